"""What is private to LangGraph and scopes stand on: one file, and each thing in it still does what it did."""

import ast
import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

import crossthread
from crossthread import Memory, _langgraph

SOURCE = Path(crossthread.__file__).parent


def private_imports(path):
    """Return what a module takes from LangGraph's private modules or under private names, but for type checkers."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("langgraph"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name for name in names if any(part.startswith("_") for part in name.split("."))]
    return found


def test_one_file_holds_all_that_is_private():
    found = {path.relative_to(SOURCE).as_posix(): private_imports(path) for path in SOURCE.rglob("*.py")}
    of_scopes = {name for name, imports in found.items() if imports and not name.startswith("checkpointing/")}
    assert of_scopes == {"_langgraph.py"}
    for path in SOURCE.rglob("*.py"):
        if path.name != "_langgraph.py":
            assert "__pregel_" not in path.read_text("utf-8"), path


def test_langgraph_takes_the_store_from_the_seeded_runtime():
    _langgraph.check.cache_clear()
    _langgraph.check()


def test_a_langgraph_that_does_not_is_refused(monkeypatch):
    """Nobody's store is given to anybody where the seed has no effect."""
    monkeypatch.setattr(_langgraph, "CONFIG_KEY_RUNTIME", "__moved")
    _langgraph.check.cache_clear()
    try:
        with pytest.raises(RuntimeError, match="scopes are refused"):
            Memory().entrypoint(scope=("memories", "{user_id}"))(lambda x: x)
    finally:
        _langgraph.check.cache_clear()


def test_who_uses_no_scope_does_not_need_the_private_names():
    code = (
        "import sys; sys.modules['crossthread._langgraph'] = None\n"
        "from crossthread import Memory\n"
        "memory = Memory()\n"
        "part = memory.task(lambda: 1)\n"
        "workflow = memory.entrypoint(lambda x: x)\n"
        "assert workflow.invoke(1, {'configurable': {'thread_id': '1'}}) == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_runs_that_stream_and_astream_begin_are_all_the_runs_there_are():
    """Every public method of a graph that runs it ends in one of the two, or is known to touch no store."""
    runs = {"invoke", "ainvoke", "stream", "astream", "batch", "abatch", "batch_as_completed", "abatch_as_completed"}
    runs |= {"astream_events", "transform", "atransform"}
    seen = []

    class Watched(Pregel):
        def stream(self, *args, **kwargs):
            seen.append("stream")
            return super().stream(*args, **kwargs)

        def astream(self, *args, **kwargs):
            seen.append("astream")
            return super().astream(*args, **kwargs)

    graph = entrypoint()(lambda x: x)
    graph.__class__ = Watched

    async def consume(name):
        argument = ["x"] if "batch" in name else aiter_of("x") if name == "atransform" else "x"
        found = getattr(graph, name)(argument, **({"version": "v2"} if name == "astream_events" else {}))
        if hasattr(found, "__aiter__"):
            return [one async for one in found]
        return await found

    async def aiter_of(value):
        yield value

    for name in sorted(runs):
        seen.clear()
        if name.startswith("a"):
            asyncio.run(consume(name))
        else:
            argument = iter("x") if name == "transform" else ["x"] if "batch" in name else "x"
            list(getattr(graph, name)(argument))
        assert seen, name


def test_update_state_gives_no_store_to_the_edges_that_it_follows():
    """It is no run, so nobody's view is made for it."""
    stores = []

    def route(state, *, store: BaseStore | None = None):
        stores.append(store)
        return "end"

    builder = StateGraph(dict)
    builder.add_node("node", lambda state: state)
    builder.add_edge(START, "node")
    builder.add_conditional_edges("node", route, {"end": END})
    with Memory() as memory:
        graph = builder.compile(store=memory.store, checkpointer=memory.checkpointer)
        scoped = memory.scoped(graph, scope=("m", "{user_id}"))
        scoped.update_state({"configurable": {"thread_id": "1", "user_id": "ada"}}, {"a": 1}, as_node="node")
    assert stores == [None]


def test_a_nested_task_is_started_by_what_the_config_says():
    """A scoped task hands its view on by wrapping that."""
    starts = []

    @task
    def inner():
        return 1

    @entrypoint(store=InMemoryStore())
    def workflow(_):
        start = _langgraph.call_of(_langgraph.running_config())
        starts.append(start)
        return inner().result()

    assert workflow.invoke("x") == 1
    assert callable(starts[0])

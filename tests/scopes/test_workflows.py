"""Scoped workflows, graphs and tasks: all that a run reaches sees one user's memories, and never anybody else's."""

import asyncio
import functools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import add
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.cache.memory import InMemoryCache
from langgraph.config import get_config, get_store
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import InjectedStore, ToolNode, ToolRuntime
from langgraph.pregel import Pregel
from langgraph.runtime import Runtime, get_runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import CachePolicy, Command, Send, interrupt
from pydantic import BaseModel

from crossthread import (
    ConfigurationError,
    InjectionError,
    Memory,
    MemoryStore,
    Scope,
    ScopedStore,
    ScopeError,
    _langgraph,
)

SCOPE = ("memories", "{user_id}")


def run(user, thread="1", **more):
    return {"configurable": {"thread_id": thread, "user_id": user, **more}}


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory() as memory:
        for user in ("ada", "bob"):
            memory.store.put(("memories", user), "name", {"is": user})
        yield memory


def mine(store) -> list[str]:
    """Return who a store says one is, all that it holds: one name where it is somebody's view."""
    return [item.value["is"] for item in store.search(())]


async def amine(store) -> list[str]:
    return [item.value["is"] for item in await store.asearch(())]


def views(*stores) -> list[Any]:
    """Return what stores hold; each must be a view."""
    assert all(isinstance(store, ScopedStore) for store in stores)
    return [mine(store) for store in stores]


# What the functions of a workflow see


@task
def plain(deeper: bool = True, *, store: BaseStore, runtime: Runtime, config: RunnableConfig) -> list[Any]:
    found = views(
        store, runtime.store, get_store(), get_runtime().store, config["configurable"]["__pregel_runtime"].store
    )
    return found + (plain(False).result() if deeper else [])


@task
async def aplain(deeper: bool = True, *, store: BaseStore, runtime: Runtime) -> list[Any]:
    found = [await amine(one) for one in (store, runtime.store, get_store())]
    return found + (await aplain(False) + await plain(False) if deeper else [])


@tool
def whoami(runtime: ToolRuntime, store: Annotated[Any, InjectedStore()]) -> str:
    """Tell who one is."""
    return str(views(store, runtime.store, get_store()))


@tool
async def awhoami(runtime: ToolRuntime, store: Annotated[Any, InjectedStore()]) -> str:
    """Tell who one is."""
    return str([await amine(one) for one in (store, runtime.store, get_store())])


def call_of(name):
    return {"messages": [AIMessage("", tool_calls=[{"name": name, "args": {}, "id": "1"}])]}


class State(TypedDict, total=False):
    messages: list[Any]
    seen: list[Any]


def node(state: State, *, store: BaseStore, runtime: Runtime) -> State:
    return {"seen": views(store, runtime.store, get_store())}


GRAPH = StateGraph(State).add_node(node).add_edge(START, "node").compile()
TOOLS = StateGraph(State).add_node("tools", ToolNode([whoami, awhoami])).add_edge(START, "tools").compile()


def everything(memory, **settings):
    """Return a workflow that collects what each thing that it reaches sees."""

    @memory.task
    def ours(*, store: BaseStore | None, runtime: Any) -> list[Any]:
        return views(store, runtime.store, get_store()) + plain().result()

    @memory.entrypoint(scope=SCOPE, **settings)
    def workflow(_: str, *, store: ScopedStore, runtime: Runtime) -> list[Any]:
        assert store is runtime.store is get_store() is get_runtime().store
        seen = views(store) + ours().result() + plain().result()
        seen += GRAPH.invoke({})["seen"]
        said = TOOLS.invoke(call_of("whoami"))["messages"][-1]
        with ThreadPoolExecutor() as executor:
            seen += executor.submit(views, store).result()
        return [*map(str, seen), *split(said)]

    @memory.entrypoint(scope=SCOPE, **settings)
    async def aworkflow(_: str, *, store: ScopedStore, runtime: Runtime) -> list[Any]:
        assert store is runtime.store is get_store()
        seen = [await amine(store)] + await aplain() + await plain() + await ours()
        seen += (await GRAPH.ainvoke({}))["seen"]
        said = [(await TOOLS.ainvoke(call_of(name)))["messages"][-1] for name in ("whoami", "awhoami")]
        return [*map(str, seen), *split(said[0]), *split(said[1])]

    return workflow, aworkflow


def split(message: ToolMessage) -> list[str]:
    assert message.status == "success", message.content
    return [f"[{part}]" for part in message.content.strip("[]").split("], [")]


@pytest.mark.parametrize("user", ["ada", "bob"])
def test_all_that_a_run_reaches_sees_its_users_memories(memory, user):
    workflow, aworkflow = everything(memory)
    seen = workflow.invoke("", run(user))
    assert set(seen) == {f"['{user}']"}
    assert len(seen) == 1 + 3 + 10 + 10 + 3 + 1 + 3
    seen = workflow_async(workflow.ainvoke("", run(user)))  # a sync workflow in async code
    assert set(seen) == {f"['{user}']"}
    assert len(seen) == 31
    seen = workflow_async(aworkflow.ainvoke("", run(user)))
    assert set(seen) == {f"['{user}']"}
    assert len(seen) == 1 + (3 + 3 + 5) + 10 + 13 + 3 + 6


def workflow_async(awaitable):
    return asyncio.run(asyncio.wait_for(awaitable, 60))


def test_writing_goes_below_the_users_namespace(memory):
    @memory.task
    def write(key: str, *, store):
        store.put(("notes",), key, {"is": "noted"})

    @memory.entrypoint(scope=SCOPE)
    def workflow(key, *, store):
        store.put((), key, {"is": key})
        write(key).result()
        return store.list_namespaces()

    assert workflow.invoke("tea", run("eve")) == [(), ("notes",)]
    assert memory.store.get(("memories", "eve"), "tea").value == {"is": "tea"}
    assert memory.store.get(("memories", "eve", "notes"), "tea").value == {"is": "noted"}
    assert {item.key for item in memory.store.search(("memories", "ada"))} == {"name"}


def test_any_string_is_a_user(memory):
    @memory.entrypoint(scope=SCOPE)
    def remember(word, *, store):
        store.put((), "word", {"is": word})
        return mine(store)

    users = ["bob@example.com", "bob@example%2Ecom", "a.b.c", "*", "\0", "langgraph", "é", "e\u0301", "\ud800"]
    for number, user in enumerate(users):
        assert remember.invoke(str(number), run(user, str(number))) == [str(number)]
    for number, user in enumerate(users):
        view = memory.scope(*SCOPE).bind(run(user))
        assert mine(view) == [str(number)]


# Many users at once


def test_many_users_at_once_in_one_event_loop(memory):
    users = [f"user.{n}" for n in range(50)]

    @task
    async def write(n: int):
        await asyncio.sleep(0)
        await get_store().aput(("at",), str(n), {"is": str(n)})

    @memory.entrypoint(scope=SCOPE)
    async def workflow(user, *, store):
        await asyncio.gather(*(write(n) for n in range(3)))
        await store.aput((), "who", {"is": user})
        await asyncio.sleep(0.001)
        await plain_names()
        return sorted(await amine(store))

    @task
    def plain_names():
        return mine(get_store())

    async def main():
        return await asyncio.gather(*(workflow.ainvoke(user, run(user, user)) for user in users))

    assert asyncio.run(main()) == [sorted(["0", "1", "2", user]) for user in users]


def test_many_users_at_once_in_many_threads(memory):
    users = [f"user.{n}" for n in range(64)]
    barrier = threading.Barrier(16)

    @task
    def write():
        get_store().put((), "task", {"is": "task"})

    @memory.entrypoint(scope=SCOPE)
    def workflow(user, *, store):
        store.put((), "who", {"is": user})
        barrier.wait(10)
        write().result()
        return sorted(mine(store))

    with ThreadPoolExecutor(16) as executor:
        results = list(executor.map(lambda user: workflow.invoke(user, run(user, user)), users))
    assert results == [sorted(["task", user]) for user in users]


# Where the user comes from, and runs of nobody


@dataclass
class AContext:
    user_id: str = "ada"


class AModel(BaseModel):
    user_id: str


class ADict(TypedDict):
    user_id: str


@pytest.mark.parametrize(
    ("schema", "context"),
    [
        (AContext, AContext("bob")),
        (AContext, {"user_id": "bob"}),
        (AModel, AModel(user_id="bob")),
        (AModel, {"user_id": "bob"}),
        (ADict, {"user_id": "bob"}),
        (dict, {"user_id": "bob"}),
        (None, {"user_id": "bob"}),
    ],
)
def test_the_context_names_the_user(memory, schema, context):
    @memory.entrypoint(scope=SCOPE, context_schema=schema)
    def workflow(_, *, store, runtime):
        assert runtime.context is not None
        return views(store, get_store()) + plain(False).result()

    config = {"configurable": {"thread_id": "1"}}
    assert set(map(str, workflow.invoke("", config, context=context))) == {"['bob']"}
    assert set(map(str, workflow.invoke("", run("ada"), context=context))) == {"['bob']"}
    assert set(map(str, workflow_async(workflow.ainvoke("", config, context=context)))) == {"['bob']"}


def test_a_default_of_the_contexts_schema_counts(memory):
    @memory.entrypoint(scope=SCOPE, context_schema=AContext)
    def workflow(_, *, store):
        return mine(store)

    assert workflow.invoke("", run("bob"), context=AContext()) == ["ada"]
    assert workflow.invoke("", run("bob")) == ["bob"]  # no context at all


def test_whoever_is_signed_in_cannot_be_somebody_else(memory):
    @memory.entrypoint(scope=SCOPE)
    def with_context(_, *, store):
        return views(store)[0]

    workflow, _ = everything(memory)
    for user in ({"identity": "ada"}, type("User", (), {"identity": "ada"})()):
        forged = run("bob", langgraph_auth_user=user, langgraph_auth_user_id="bob")
        assert set(workflow.invoke("", forged)) == {"['ada']"}
        assert with_context.invoke("", forged, context={"user_id": "bob"}) == ["ada"]


@pytest.mark.parametrize("config", [run(""), run(None), run(7), {"configurable": {"thread_id": "1"}}])
def test_a_run_of_nobody_runs_no_code(memory, config):
    called = []

    @memory.entrypoint(scope=SCOPE)
    def workflow(x):
        called.append(x)

    async def astream():
        return [chunk async for chunk in workflow.astream("", config)]

    async def events():
        return [event async for event in workflow.astream_events("", config, version="v2")]

    for attempt in (
        lambda: workflow.invoke("", config),
        lambda: list(workflow.stream("", config)),
        lambda: workflow.batch([""], config),
        lambda: workflow.with_config(tags=["x"]).invoke("", config),
        lambda: asyncio.run(workflow.ainvoke("", config)),
        lambda: asyncio.run(workflow.abatch([""], config)),
        lambda: asyncio.run(astream()),
        lambda: asyncio.run(events()),
    ):
        with pytest.raises(ScopeError, match="'user_id'") as raised:
            attempt()
        assert raised.value.field == "user_id"
    assert called == []
    assert list(memory.checkpointer.list(None)) == []


def test_no_config_at_all(memory):
    @memory.entrypoint(scope=SCOPE)
    def workflow(_):
        raise AssertionError

    with pytest.raises(ScopeError):
        workflow.invoke("")


def test_a_checkpointer_still_wants_a_thread(memory):
    @memory.entrypoint(scope=SCOPE)
    def workflow(_):
        raise AssertionError

    with pytest.raises((ValueError, KeyError), match="thread_id"):
        workflow.invoke("", context={"user_id": "ada"})


def test_without_a_store_there_is_nothing_to_scope():
    for memory in (Memory(store=None), Memory()):

        @memory.entrypoint(scope=SCOPE, store=None)
        def workflow(_):
            raise AssertionError

        with pytest.raises(ScopeError, match="has no store"):
            workflow.invoke("", run("ada"))


# Ways to run


def test_every_way_to_run(memory):
    @memory.entrypoint(scope=SCOPE)
    def workflow(word, *, store, previous, writer):
        writer(mine(store)[0])
        return entrypoint.final(value=[word, *views(store)[0], *plain(False).result()[0]], save=word)

    ada = run("ada")
    assert workflow.invoke("a", ada) == ["a", "ada", "ada"]
    assert workflow.batch(["a", "b"], [run("ada", "2"), run("bob", "3")]) == [["a", "ada", "ada"], ["b", "bob", "bob"]]
    assert list(workflow.stream("a", ada, stream_mode="custom")) == ["ada"]
    assert list(workflow.stream("a", ada))[-1] == {"workflow": ["a", "ada", "ada"]}
    assert [mode for mode, _ in workflow.stream("a", ada, stream_mode=["custom", "values"])] == ["custom", "values"]
    assert workflow.with_config(ada).invoke("a") == ["a", "ada", "ada"]
    assert workflow.with_config({"configurable": {"user_id": "bob"}}).invoke("a", ada) == ["a", "ada", "ada"]
    assert workflow.with_retry().invoke("a", ada) == ["a", "ada", "ada"]
    assert (workflow | (lambda words: words[-1])).invoke("a", ada) == "ada"
    assert workflow.get_state(ada).values == ["a", "ada", "ada"]

    async def main():
        assert await workflow.ainvoke("a", ada) == ["a", "ada", "ada"]
        assert await workflow.abatch(["a"], run("bob", "9")) == [["a", "bob", "bob"]]
        assert [chunk async for chunk in workflow.astream("a", ada, stream_mode="custom")] == ["ada"]
        events = [event async for event in workflow.astream_events("a", ada, version="v2")]
        assert events[-1]["data"]["output"] == ["a", "ada", "ada"]
        with pytest.warns(match="experimental"):
            streamed = await workflow.astream_events("a", ada, version="v3")
        assert await streamed.output() == ["a", "ada", "ada"]
        done = [result async for _, result in workflow.abatch_as_completed(["a"], [ada])]
        assert done == [["a", "ada", "ada"]]

    asyncio.run(main())


def test_interrupt_and_resume(memory):
    @task
    def ask():
        return [interrupt("who?"), *mine(get_store())]

    @memory.entrypoint(scope=SCOPE)
    def workflow(_, *, store):
        return ask().result() + mine(store)

    ada = run("ada")
    assert workflow.invoke("", ada)["__interrupt__"][0].value == "who?"
    assert workflow.invoke(Command(resume="me"), ada) == ["me", "ada", "ada"]
    assert workflow_async(workflow.ainvoke("", run("bob", "2")))["__interrupt__"]
    assert workflow_async(workflow.ainvoke(Command(resume="me"), run("bob", "2"))) == ["me", "bob", "bob"]
    assert workflow.invoke("", run("bob", "3"))["__interrupt__"]
    with pytest.raises(ScopeError):
        workflow.invoke(Command(resume="me"), {"configurable": {"thread_id": "3"}})


def test_what_is_seeded_is_not_kept(tmp_path):
    with Memory(tmp_path / "agent.db") as memory:

        @memory.entrypoint(scope=SCOPE)
        def workflow(_, *, store, previous: int | None):
            store.put((), "k", {"is": "x"})
            return (previous or 0) + 1

        config = run("ada")
        assert [workflow.invoke("", config) for _ in range(2)] == [1, 2]
        assert config == run("ada")
        (kept, *_) = memory.checkpointer.list(None)
        assert "__pregel_runtime" not in str(kept)


def test_threads_are_found_by_the_ids_of_their_runs(tmp_path):
    with Memory(tmp_path / "agent.db") as memory:

        @memory.entrypoint(scope=SCOPE, context_schema=dict)
        def workflow(_):
            return get_config()["metadata"]["topic"]

        def begin(thread, user=None, **configurable):
            config = {"configurable": {"thread_id": thread, **configurable}, "metadata": {"topic": "tea"}}
            context = None if user is None else {"user_id": user}
            for graph in (workflow, workflow.with_config(metadata={"kind": "chat"})):
                assert graph.invoke("", config, context=context) == "tea"
                assert workflow_async(graph.ainvoke("", config, context=context)) == "tea"
            assert config["metadata"] == {"topic": "tea"}

        def found(**metadata):
            return sorted(thread.thread_id for thread in memory.threads.list(filter=metadata))

        begin("context", "ada")
        begin("config", user_id="ada")
        begin("over", "ada", user_id="bob")
        # A client says that it is somebody else: the thread is of who signed in.
        begin("signed in", user_id="bob", langgraph_auth_user={"identity": "ada"})
        # What databases cannot hold would make the metadata somebody else's.
        begin("NUL", "ada\x00")
        begin("surrogate", "ada\ud800")
        assert found(user_id="ada") == ["config", "context", "over", "signed in"]
        assert found(user_id="bob") == []
        assert len(found(topic="tea", kind="chat")) == 6
        assert workflow.with_config(metadata={"topic": "x"}).invoke("", run("eve")) == "x"

        report = memory.forget_user("ada", threads={"user_id": "ada"})
        assert sorted(report.threads) == ["config", "context", "over", "signed in"]
        assert memory.threads.previous("NUL") == "tea"


def test_the_platforms_store_is_scoped_too(memory):
    workflow, aworkflow = everything(Memory(store=None, checkpointer=None))
    for graph in (workflow, aworkflow):
        assert isinstance(graph, Pregel)
        served = graph.copy(update={"store": memory.store, "checkpointer": memory.checkpointer})
        assert set(asyncio.run(served.ainvoke("", run("bob")))) == {"['bob']"}
        assert graph.store is None


@dataclass
class FactoryRuntime:
    """As a server's, for graphs that are made for each run."""

    context: Any
    store: Any = None


def test_a_context_from_what_makes_graphs(memory):
    @memory.entrypoint(scope=SCOPE)
    def workflow(_, *, store, runtime):
        return [*mine(store), runtime.context["user_id"]]

    config = {"configurable": {"thread_id": "1", "__pregel_runtime": FactoryRuntime({"user_id": "bob"})}}
    assert workflow.invoke("", config) == ["bob", "bob"]


# Graphs and nested graphs


def test_a_compiled_graph_can_be_scoped(memory):
    builder = StateGraph(State).add_node(node).add_edge(START, "node")
    graph = builder.compile(store=memory.store, checkpointer=memory.checkpointer)
    scoped = memory.scoped(graph, scope=SCOPE)
    assert scoped.invoke({}, run("bob"))["seen"] == [["bob"]] * 3
    assert workflow_async(scoped.ainvoke({}, run("ada")))["seen"] == [["ada"]] * 3
    assert isinstance(scoped, CompiledStateGraph)
    assert scoped.get_state(run("ada")).values["seen"] == [["ada"]] * 3
    assert scoped.get_graph().draw_mermaid() == graph.get_graph().draw_mermaid()
    with pytest.raises(ScopeError):
        scoped.invoke({}, {"configurable": {"thread_id": "1"}})
    with pytest.raises(AssertionError):  # the graph given is left as it was
        graph.invoke({}, run("bob"))
    other = InMemoryStore()
    other.put(("memories", "bob"), "name", {"is": "another bob"})
    assert scoped.copy(update={"store": other}).invoke({}, run("bob"))["seen"] == [["another bob"]] * 3
    bare = memory.scoped(builder.compile(), scope=memory.scope(*SCOPE))
    assert bare.invoke({}, run("bob"))["seen"] == [["bob"]] * 3
    with pytest.raises(ConfigurationError, match="scoped already"):
        memory.scoped(scoped, scope=SCOPE)
    with pytest.raises(ConfigurationError, match="not a workflow"):
        memory.scoped(lambda: None, scope=SCOPE)


def test_a_scope_means_the_same_place_inside_a_scoped_workflow(memory):
    memory.store.put(("notes", "ada"), "n", {"is": "a note"})
    notes = memory.scope("notes", "{user_id}")

    @memory.task(scope=notes)
    def of_task(*, store):
        return mine(store)

    @memory.entrypoint(scope=SCOPE, checkpointer=None)
    def same(_, *, store):
        return mine(store)

    @memory.entrypoint(scope=notes, checkpointer=None)
    def other(_, *, store):
        return mine(store) + same.invoke("")

    @memory.entrypoint(scope=SCOPE)
    def workflow(_, *, store, config):
        assert notes.bind(config) == notes.bind() == notes.bind(run("ada"))
        assert memory.scope(*SCOPE).bind() == store
        found = [same.invoke(""), other.invoke(""), mine(notes.bind())]
        below = Scope("below").bind(store=store)
        below.put((), "b", {"is": "below"})
        found += [mine(below), mine(store)]
        store.delete(("below",), "b")
        return [*found, of_task().result()]

    expected = [["ada"], ["a note", "ada"], ["a note"], ["below"], ["below", "ada"], ["a note"]]
    assert workflow.invoke("", run("ada")) == expected
    assert workflow_async(workflow.ainvoke("", run("ada"))) == expected


def test_subgraphs_and_nodes_that_are_sent_to(memory):
    def send(state):
        return [Send("each", {"n": n}) for n in range(3)]

    class Sent(TypedDict, total=False):
        seen: Annotated[list[Any], add]

    def each(state, *, store: BaseStore) -> Sent:
        return {"seen": mine(store) + mine(get_store())}

    inner = StateGraph(Sent).add_node("inner", each).add_edge(START, "inner").compile()
    builder = StateGraph(Sent).add_node("each", each).add_node("sub", inner)
    builder.add_conditional_edges(START, send, ["each"]).add_edge(START, "sub")
    graph = memory.scoped(builder.compile(store=memory.store), scope=SCOPE)
    assert graph.invoke({}, run("bob"))["seen"] == ["bob"] * 8
    assert workflow_async(graph.ainvoke({}, run("ada")))["seen"] == ["ada"] * 8
    assert {names for names, _ in graph.stream({}, run("ada"), subgraphs=True)} != {()}


def test_a_workflow_can_be_made_and_run_in_an_event_loop(memory):
    async def main():
        _langgraph.check.cache_clear()

        @memory.entrypoint(scope=SCOPE)
        def workflow(_, *, store):
            return mine(store)

        return [await workflow.ainvoke("", run("ada")), workflow.invoke("", run("bob"))]

    assert asyncio.run(main()) == [["ada"], ["bob"]]


def test_a_view_that_others_made_is_not_reached_around(memory):
    tenant = Scope("acme").bind(store=memory.store)
    inside = Memory(store=tenant, checkpointer=None)

    @inside.entrypoint(scope=SCOPE)
    def nested(_, *, store):
        store.put((), "k", {"is": "acme's"})
        return mine(store)

    @inside.entrypoint(scope=("x",))
    def workflow(_):
        return nested.invoke("")

    assert workflow.invoke("", run("ada")) == ["acme's"]
    assert memory.store.get(("acme", "memories", "ada"), "k") is not None


def test_a_nested_workflow_on_a_thread_of_its_own_must_be_told_whose_it_is(memory):
    @memory.entrypoint(scope=SCOPE)
    def child(_, *, store):
        return mine(store)

    @memory.entrypoint(scope=SCOPE)
    def parent(given):
        return child.invoke("", given)

    # LangGraph hands nothing on to a child that is given a thread, nobody's name either.
    with pytest.raises(ScopeError):
        parent.invoke({"configurable": {"thread_id": "child"}}, run("ada"))
    assert parent.invoke(run("ada", "child"), run("ada")) == ["ada"]
    assert parent.invoke({"configurable": {}}, run("ada")) == ["ada"]


def test_a_scoped_workflow_in_a_graph_that_is_not(memory):
    @memory.entrypoint(scope=SCOPE, checkpointer=None)
    def child(_, *, store):
        return views(store)[0]

    def call(state: State) -> State:
        return {"seen": child.invoke("")}

    for store in (None, memory.store):
        parent = StateGraph(State).add_node(call).add_edge(START, "call").compile(store=store)
        assert parent.invoke({}, run("bob"))["seen"] == ["bob"]
        assert workflow_async(parent.ainvoke({}, run("ada")))["seen"] == ["ada"]


def test_a_nested_stream_keeps_its_mode(memory):
    """LangGraph takes the mode from whether the config given says that the graph runs as a node."""

    @memory.entrypoint(scope=SCOPE, checkpointer=None)
    def child(_):
        return 1

    @entrypoint()
    def bare(_):
        return 1

    @memory.entrypoint(scope=SCOPE)
    def parent(_):
        return [list(child.stream("")), list(child.stream("", get_config()))]

    @entrypoint()
    def bare_parent(_):
        return [list(bare.stream("")), list(bare.stream("", get_config()))]

    expected = [[{"child": 1}], [1]]
    assert parent.invoke("", run("ada")) == expected
    assert bare_parent.invoke("") == [[{"bare": 1}], [1]]


# Tasks


def scoped_tasks(memory):
    @memory.task(scope=SCOPE)
    def one(word: str, *, store: ScopedStore, runtime, config, **more: Any) -> list[Any]:
        assert store is runtime.store is get_store() is config["configurable"]["__pregel_runtime"].store
        tools = split(TOOLS.invoke(call_of("whoami"))["messages"][-1])
        return [word, *map(str, views(store)), *map(str, plain().result()), *tools]

    @memory.task(scope=memory.scope(*SCOPE), name="renamed")
    async def other(word: str, store: "ScopedStore | None" = None) -> list[Any]:
        return [word, str(await amine(store)), *map(str, await aplain()), *await one(word)]

    return one, other


def test_a_scoped_task_in_a_workflow_that_is_not(memory):
    one, other = scoped_tasks(memory)

    @memory.entrypoint
    def workflow(word, *, store):
        assert store is memory.store
        found = one(word).result()
        assert get_store() is memory.store
        return found

    @memory.entrypoint
    async def aworkflow(word):
        found = await other(word)
        assert get_store() is memory.store
        return found

    assert set(workflow.invoke("w", run("ada"))) == {"w", "['ada']"}
    assert set(workflow.invoke("w", run("bob"))) == {"w", "['bob']"}
    assert set(asyncio.run(workflow.ainvoke("w", run("bob")))) == {"w", "['bob']"}
    seen = asyncio.run(aworkflow.ainvoke("w", run("bob")))
    assert set(seen) == {"w", "['bob']"}
    assert len(seen) == 2 + 11 + 15
    assert other.__name__ == "renamed"
    for graph in (workflow, aworkflow):
        with pytest.raises(ScopeError):
            asyncio.run(graph.ainvoke("w", {"configurable": {"thread_id": "x"}}))


def test_a_scoped_task_of_nobody_does_not_begin(memory):
    called = []

    @memory.task(scope=SCOPE)
    def never():
        called.append(1)

    @memory.entrypoint
    def workflow(_):
        never().result()

    with pytest.raises(ScopeError, match="'user_id'"):
        workflow.invoke("", {"configurable": {"thread_id": "1"}})
    assert called == []


def test_a_scoped_task_has_the_store_of_the_run_or_else_of_its_memory(memory):
    bare = Memory(store=None, checkpointer=None)

    @memory.task(scope=SCOPE)
    def of_memory(*, store):
        return views(store, get_store())

    @bare.task(scope=SCOPE)
    def of_nothing(*, store): ...

    @entrypoint()
    def without_store(which):
        return [of_memory, of_nothing][which]().result()

    @entrypoint(store=InMemoryStore())
    def with_another(_):
        return of_memory().result()

    assert without_store.invoke(0, run("ada")) == [["ada"], ["ada"]]
    assert with_another.invoke("", run("ada")) == [[], []]
    with pytest.raises(ScopeError, match="has no store"):
        without_store.invoke(1, run("ada"))


def test_scoped_tasks_of_many_users_at_once(memory):
    @memory.task(scope=SCOPE)
    async def write(user, *, store):
        await store.aput((), "who", {"is": user})
        await asyncio.sleep(0)
        return await amine(store)

    @memory.entrypoint
    async def workflow(user):
        return await asyncio.gather(write(user), write(user))

    async def main():
        users = [f"u{n}" for n in range(30)]
        results = await asyncio.gather(*(workflow.ainvoke(user, run(user, user)) for user in users))
        assert results == [[[user], [user]] for user in users]

    asyncio.run(main())


def test_odd_callables_are_tasks_too(memory):
    class Worker:
        def __call__(self, word):
            return [word, *mine(get_store())]

    def worker(mark, word):
        return [mark, word, *mine(get_store())]

    parts = [task(Worker()), task(functools.partial(worker, "!"))]

    @memory.task(scope=SCOPE)
    def outer():
        return [part("w").result() for part in parts]

    @memory.entrypoint
    def workflow(_):
        return outer().result()

    assert workflow.invoke("", run("bob")) == [["w", "bob"], ["!", "w", "bob"]]


def test_interrupts_and_errors_pass_through_scoped_tasks(memory):
    @memory.task(scope=SCOPE)
    def ask(*, store):
        answer = interrupt("well?")
        if answer == "no":
            raise ValueError("no")
        return [answer, *mine(store)]

    @memory.entrypoint
    def workflow(_):
        return ask().result()

    assert workflow.invoke("", run("ada"))["__interrupt__"]
    assert workflow.invoke(Command(resume="yes"), run("ada")) == ["yes", "ada"]
    assert workflow.invoke("", run("bob", "2"))["__interrupt__"]
    with pytest.raises(ValueError, match="no"):
        workflow.invoke(Command(resume="no"), run("bob", "2"))


# Caches


def test_a_cached_result_is_never_given_to_another_user(memory):
    calls = []
    cache = InMemoryCache()

    @task(cache_policy=CachePolicy())
    def plain_cached(word):
        calls.append("plain")
        return [word, *mine(get_store())]

    @memory.task(cache_policy=CachePolicy())
    def ours_cached(word, *, store):
        calls.append("ours")
        return [word, *mine(store)]

    @memory.task(scope=SCOPE, cache_policy=CachePolicy(key_func=lambda word: word))
    def scoped_cached(word, *, store):
        calls.append("scoped")
        return [word, *mine(store), *plain_cached(word).result()]

    def body(word):
        return [plain_cached(word).result(), ours_cached(word).result(), scoped_cached(word).result()]

    @memory.entrypoint(scope=SCOPE, cache=cache, cache_policy=CachePolicy())
    def workflow(word):
        calls.append("workflow")
        return body(word)

    @memory.entrypoint(cache=cache)
    def unscoped(word):
        return scoped_cached(word).result()

    threads = map(str, range(100))

    def invoke(graph, user, asynchronous):
        config = run(user, next(threads))
        return asyncio.run(graph.ainvoke("w", config)) if asynchronous else graph.invoke("w", config)

    for asynchronous in (False, True):
        for user in ("ada", "bob", "ada", "bob"):
            expected = [["w", user], ["w", user], ["w", user, "w", user]]
            assert invoke(workflow, user, asynchronous) == expected
            assert invoke(unscoped, user, asynchronous) == ["w", user, "w", user]
        # Each ran once for each user in each way, and the rest came from the cache.
        assert sorted(calls) == sorted(["workflow", "plain", "ours", *["scoped", "plain"] * 2] * 2)
        calls.clear()
        for one in (plain_cached, ours_cached, scoped_cached):
            one.clear_cache(cache) if asynchronous else asyncio.run(one.aclear_cache(cache))
        cache.clear()


def test_a_nested_graph_with_a_cache_of_its_own_gives_nothing_to_another_user(memory):
    @task(cache_policy=CachePolicy())
    def cached(word):
        return mine(get_store())

    @entrypoint(cache=InMemoryCache())
    def inner_workflow(word):
        return cached(word).result()

    def node(state: State) -> State:
        return {"seen": mine(get_store())}

    graph = StateGraph(State).add_node(node, cache_policy=CachePolicy()).add_edge(START, "node")
    inner_graph = graph.compile(cache=InMemoryCache())

    def body(_=""):
        return inner_workflow.invoke("w"), inner_graph.invoke({})["seen"]

    async def abody(_=""):
        return await inner_workflow.ainvoke("w"), (await inner_graph.ainvoke({}))["seen"]

    scoped = memory.entrypoint(scope=SCOPE, checkpointer=None)(body)
    ascoped = memory.entrypoint(scope=SCOPE, checkpointer=None)(abody)
    cached_too = memory.entrypoint(scope=SCOPE, checkpointer=None, cache=InMemoryCache())(body)
    body_task, abody_task = memory.task(scope=SCOPE)(body), memory.task(scope=SCOPE)(abody)
    with_task = memory.entrypoint(checkpointer=None)(lambda _: body_task().result())

    @memory.entrypoint(checkpointer=None)
    async def with_atask(_):
        return await abody_task()

    for user in ("ada", "bob", "ada", "bob"):
        for workflow in (scoped, cached_too, with_task):
            assert workflow.invoke("", run(user)) == ([user], [user])
        for workflow in (ascoped, with_atask):
            assert workflow_async(workflow.ainvoke("", run(user))) == ([user], [user])


def test_a_nested_scoped_workflow_keeps_its_cache(memory):
    calls = []

    @memory.entrypoint(scope=SCOPE, checkpointer=None, cache=InMemoryCache(), cache_policy=CachePolicy())
    def child(word, *, store):
        calls.append(word)
        return mine(store)

    parent = memory.entrypoint(scope=SCOPE, checkpointer=None)(lambda word: child.invoke(word))
    for user in ("ada", "bob", "ada", "bob"):
        assert parent.invoke("w", run(user)) == [user]
    assert calls == ["w", "w"]


def test_clearing_a_tasks_cache_clears_it_for_every_scope(memory):
    calls = []
    cache = InMemoryCache()

    @memory.task(cache_policy=CachePolicy())
    def cached(word):
        calls.append(word)

    @memory.entrypoint(scope=SCOPE, cache=cache, checkpointer=None)
    def workflow(word):
        cached(word).result()

    for _ in range(2):
        workflow.invoke("w", run("ada"))
        workflow.invoke("w", run("bob"))
    assert calls == ["w", "w"]
    cached.clear_cache(cache)
    workflow.invoke("w", run("ada"))
    asyncio.run(cached.aclear_cache(cache))
    workflow.invoke("w", run("ada"))
    assert calls == ["w"] * 4


# Decorating


def test_the_store_of_a_scoped_workflow_is_annotated_as_what_it_is(memory):
    for decorator in (memory.entrypoint(scope=SCOPE), memory.task(scope=SCOPE)):
        with pytest.raises(InjectionError, match="ScopedStore"):

            @decorator
            def workflow(_, *, store: MemoryStore): ...

    @memory.entrypoint(scope=SCOPE)
    def fine(_, *, store: BaseStore | None): ...


@pytest.mark.parametrize("scope", ["memories", (), ("a.b",), ("{a}{b}",), (1,)])
def test_a_scope_that_is_none_is_refused_where_it_is_written(memory, scope):
    for decorate in (memory.entrypoint, memory.task, functools.partial(memory.scoped, GRAPH)):
        with pytest.raises(ConfigurationError):
            decorate(scope=scope)


def test_over_the_stores_of_others():
    memory = Memory(store=InMemoryStore(), checkpointer=None)
    for user in ("ada", "bob", "bobby"):
        memory.store.put(("memories", user), "name", {"is": user})
    for graph in everything(memory):
        assert set(asyncio.run(graph.ainvoke("", run("bob")))) == {"['bob']"}

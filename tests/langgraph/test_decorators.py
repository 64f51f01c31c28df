"""``memory.entrypoint`` and ``memory.task`` accept, do and return what LangGraph's own decorators do."""

import asyncio
import contextvars
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import NodeTimeoutError
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.pregel import Pregel
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import CachePolicy, Command, RetryPolicy, interrupt
from langgraph.warnings import LangGraphDeprecatedSinceV10

from crossthread import Memory

QUICK = RetryPolicy(initial_interval=0.001, backoff_factor=1.0, jitter=False)


def thread(name: Any = "1") -> Any:
    return {"configurable": {"thread_id": str(name)}}


@pytest.fixture(params=["memory", "file"])
def memory(request, tmp_path):
    """Both with LangGraph's store; the checkpointer is LangGraph's in-memory one, or ours on a file."""
    if request.param == "memory":
        yield Memory(store=InMemoryStore(), checkpointer=InMemorySaver())
        return
    with Memory(tmp_path / "agent.db", store=InMemoryStore()) as opened:
        yield opened


def test_bare_and_called_forms_return_what_langgraph_returns(memory):
    def function(text: str) -> str:
        return text

    for made in (memory.entrypoint(function), memory.entrypoint()(function), memory.entrypoint(cache=None)(function)):
        assert type(made) is Pregel
        assert made.invoke("x", thread()) == "x"
        assert made.checkpointer is memory.checkpointer
        assert made.store is memory.store
    for made in (memory.task(function), memory.task()(function), memory.task(name="other")(function)):
        assert type(made) is type(task(function))
        started: list[Any] = []
        memory.entrypoint(lambda _, made=made, started=started: started.append(made("x"))).invoke("go", thread("t"))
        assert isinstance(started[0], Future)
    assert made.__name__ == "other"
    assert function.__name__ == "function"


def test_the_type_that_is_promised_to_type_checkers_exists():
    from langgraph.pregel._call import SyncAsyncFuture

    assert issubclass(SyncAsyncFuture, Future)


def test_final_separates_what_is_returned_from_what_is_saved(memory):
    @memory.entrypoint
    def total(n: int, *, previous: "int | None") -> "entrypoint.final[str, int]":
        saved = (previous or 0) + n
        return entrypoint.final(value=f"total {saved}", save=saved)

    assert [total.invoke(n, thread()) for n in (1, 2, 3)] == ["total 1", "total 3", "total 6"]
    assert total.invoke(5, thread("other")) == "total 5"
    assert total.get_input_jsonschema()["type"] == "integer"
    assert total.get_output_jsonschema()["type"] == "string"


def test_quoted_types_reach_langgraph_as_types(memory):
    @memory.entrypoint
    def workflow(store: "BaseStore | None", inputs: "list[int]") -> "dict[str, int]":
        return {}

    assert workflow.get_input_jsonschema()["items"] == {"type": "integer"}
    assert workflow.get_output_jsonschema()["type"] == "object"


def make_chat(memory):
    """A workflow of nested tasks that counts in the store and remembers in the thread."""

    @memory.task
    def bump(user: str, store: BaseStore | None = None) -> int:
        assert store is not None
        item = store.get(("count",), user)
        store.put(("count",), user, {"n": (item.value["n"] if item else 0) + 1})
        return store.get(("count",), user).value["n"]

    @memory.task
    def outer(user: str, *, config: dict, store: "BaseStore") -> tuple[str, int]:
        return config["configurable"]["thread_id"], bump(user).result()

    @memory.entrypoint
    def chat(user: str, *, previous: list | None, store: Any) -> Any:
        where, count = outer(user).result()
        history = [*(previous or []), count]
        return entrypoint.final(value={"thread": where, "history": history}, save=history)

    return chat


def make_achat(memory):
    @memory.task
    async def bump(user: str, store: BaseStore | None = None) -> int:
        assert store is not None
        item = await store.aget(("count",), user)
        await store.aput(("count",), user, {"n": (item.value["n"] if item else 0) + 1})
        return (await store.aget(("count",), user)).value["n"]

    @memory.task
    async def outer(user: str, *, config: dict, store: "BaseStore") -> tuple[str, int]:
        return config["configurable"]["thread_id"], await bump(user)

    @memory.entrypoint
    async def chat(user: str, *, previous: list | None, store: Any) -> Any:
        where, count = await outer(user)
        history = [*(previous or []), count]
        return entrypoint.final(value={"thread": where, "history": history}, save=history)

    return chat


async def collect(stream):
    return [part async for part in stream]


RUNS = {
    "invoke": (make_chat, lambda g, v, c: g.invoke(v, c)),
    "stream": (make_chat, lambda g, v, c: [*g.stream(v, c, stream_mode="values")][-1]),
    "sync ainvoke": (make_chat, lambda g, v, c: asyncio.run(g.ainvoke(v, c))),
    "ainvoke": (make_achat, lambda g, v, c: asyncio.run(g.ainvoke(v, c))),
    "astream": (make_achat, lambda g, v, c: asyncio.run(collect(g.astream(v, c, stream_mode="values")))[-1]),
}


@pytest.mark.parametrize("how", RUNS)
def test_nested_tasks_share_the_store_and_each_thread_has_its_history(memory, how):
    make, run = RUNS[how]
    chat = make(memory)
    assert run(chat, "ada", thread(1)) == {"thread": "1", "history": [1]}
    assert run(chat, "ada", thread(2)) == {"thread": "2", "history": [2]}
    assert run(chat, "bob", thread(3)) == {"thread": "3", "history": [1]}
    assert run(chat, "ada", thread(1)) == {"thread": "1", "history": [1, 3]}


def test_streams_of_updates_custom_values_and_events(memory):
    @memory.task
    def double(n: int, writer: Any) -> int:
        writer(f"doubling {n}")
        return 2 * n

    @memory.entrypoint
    def workflow(n: int) -> int:
        return double(n).result()

    assert [*workflow.stream(2, thread(), stream_mode="updates")] == [{"double": 4}, {"workflow": 4}]
    parts = [*workflow.stream(2, thread(), stream_mode=["custom", "values"])]
    assert parts == [("custom", "doubling 2"), ("values", 4)]
    events = asyncio.run(collect(workflow.astream_events(2, thread(), version="v2")))
    assert {"workflow", "double"} <= {event["name"] for event in events}


def test_an_interrupt_in_a_sync_run_is_resumed_in_an_async_one(memory):
    calls = []

    @memory.task
    def draft(topic: str, *, store: "BaseStore") -> str:
        calls.append(topic)
        store.put(("drafts",), topic, {"text": topic})
        return f"about {topic}"

    @memory.entrypoint
    def review(topic: str, *, store: BaseStore | None) -> dict[str, str]:
        text = draft(topic).result()
        return {"text": text, "answer": interrupt({"please read": text})}

    first = [*review.stream("cats", thread())]
    assert first[-1]["__interrupt__"][0].value == {"please read": "about cats"}
    resumed = asyncio.run(review.ainvoke(Command(resume="fine"), thread()))
    assert resumed == {"text": "about cats", "answer": "fine"}
    assert calls == ["cats"]  # the task's result came from the checkpoint


def test_an_interrupt_in_an_async_run_is_resumed_in_a_sync_one(memory):
    @memory.entrypoint
    def review(topic: str, *, previous: "str | None") -> str:
        return interrupt(topic) + (previous or "")

    asyncio.run(review.ainvoke("cats", thread()))
    assert review.invoke(Command(resume="yes"), thread()) == "yes"
    assert asyncio.run(review.aget_state(thread())).values == "yes"


@pytest.mark.parametrize("form", ["entrypoint", "task"])
def test_a_retry_policy_tries_again(memory, form):
    tries = []

    def flaky(text: str, *, store: BaseStore | None = None) -> str:
        assert store is memory.store
        tries.append(text)
        if len(tries) < 3:
            raise ConnectionError("not yet")
        return text

    if form == "entrypoint":
        graph = memory.entrypoint(retry_policy=QUICK)(flaky)
    else:
        flaky_task = memory.task(retry_policy=[QUICK])(flaky)
        graph = memory.entrypoint(lambda text: flaky_task(text).result())
    assert graph.invoke("x", thread()) == "x"
    assert len(tries) == 3


def test_a_cached_task_runs_once_until_its_cache_is_cleared(memory):
    runs, cache = [], InMemoryCache()

    @memory.task(cache_policy=CachePolicy())
    def slow(n: int, *, store: "BaseStore | None" = None) -> int:
        assert store is memory.store
        runs.append(n)
        return 2 * n

    @memory.entrypoint(cache=cache)
    def workflow(n: int) -> int:
        return slow(n).result()

    assert [workflow.invoke(n, thread(i)) for i, n in enumerate((1, 1, 2))] == [2, 2, 4]
    assert runs == [1, 2]
    slow.clear_cache(cache)
    workflow.invoke(1, thread("a"))
    asyncio.run(slow.aclear_cache(cache))
    workflow.invoke(1, thread("b"))
    assert runs == [1, 2, 1, 1]


def test_callable_objects_of_two_classes_do_not_share_a_cache(memory):
    class One:
        def __call__(self, text):
            return "one"

    class Two:
        def __call__(self, text):
            return "two"

    tasks = [memory.task(cache_policy=CachePolicy())(made) for made in (One(), Two())]
    graph = memory.entrypoint(cache=InMemoryCache())(lambda text: [made(text).result() for made in tasks])
    assert graph.invoke("same", thread()) == ["one", "two"]


def test_a_cached_entrypoint_runs_once(memory):
    runs = []

    @memory.entrypoint(cache=InMemoryCache(), cache_policy=CachePolicy())
    def workflow(text: str, *, store: Any) -> int:
        runs.append(text)
        return len(runs)

    assert [workflow.invoke("x", thread(i)) for i in range(3)] == [1, 1, 1]


@pytest.mark.parametrize("form", ["entrypoint", "task"])
def test_a_timeout_ends_async_functions_and_is_refused_for_sync_ones(memory, form):
    async def slow(text: str, *, store: BaseStore | None = None) -> str:
        await asyncio.sleep(5)
        return text

    if form == "entrypoint":
        graph = memory.entrypoint(timeout=0.02)(slow)
    else:
        slow_task = memory.task(timeout=0.02)(slow)

        @memory.entrypoint
        async def graph(text: str) -> str:
            return await slow_task(text)

    with pytest.raises(NodeTimeoutError):
        asyncio.run(graph.ainvoke("x", thread()))
    with pytest.raises(ValueError, match="sync"):
        getattr(memory, form)(timeout=1)(lambda text: text)


@dataclass
class Context:
    user: str


def test_context_reaches_the_runtime_of_entrypoints_and_tasks(memory):
    @memory.task
    def who(_: str, runtime: "Runtime[Context]") -> str:
        return runtime.context.user

    @memory.entrypoint(context_schema=Context)
    def workflow(text: str, *, runtime: Runtime[Context] | None) -> tuple[str, str, bool]:
        return runtime.context.user, who(text).result(), runtime.store is memory.store

    assert workflow.invoke("x", thread(), context=Context("ada")) == ("ada", "ada", True)
    assert asyncio.run(workflow.ainvoke("x", thread(), context={"user": "bob"})) == ("bob", "bob", True)
    assert "user" in workflow.get_context_jsonschema()["properties"]


def test_store_and_checkpointer_can_be_set_for_one_workflow(memory):
    other = InMemoryStore()

    def function(text: str, *, store: BaseStore | None) -> bool:
        return store is other

    assert memory.entrypoint(store=other)(function).invoke("x", thread()) is True
    assert memory.entrypoint(store=None, checkpointer=None)(function).invoke("x") is False
    assert memory.entrypoint(checkpointer=None)(function).checkpointer is None


def test_what_is_left_to_the_platform_is_taken_from_it():
    """The server installs its own with copy(), and refuses graphs that come with one."""
    platform = Memory(store=None, checkpointer=None)

    @platform.entrypoint
    def workflow(text: str, *, store: BaseStore | None, previous: "int | None") -> int:
        store.put(("seen",), text, {"n": 1})
        return (previous or 0) + 1

    assert (workflow.store, workflow.checkpointer) == (None, None)
    store, saver = InMemoryStore(), InMemorySaver()
    installed = workflow.copy(update={"store": store, "checkpointer": saver})
    assert [installed.invoke("x", thread()) for _ in range(2)] == [1, 2]
    assert store.get(("seen",), "x").value == {"n": 1}


def test_tasks_work_in_a_state_graph(memory):
    @memory.task
    def remember(text: str, store: "BaseStore | None" = None) -> int:
        store.put(("memories",), text, {"text": text})
        return len(store.search(("memories",)))

    def node(state: dict) -> dict:
        return {"n": remember(state["text"]).result()}

    builder = StateGraph(dict)
    builder.add_node(node)
    builder.add_edge(START, "node")
    builder.add_edge("node", END)
    graph = builder.compile(store=memory.store, checkpointer=memory.checkpointer)
    assert graph.invoke({"text": "a"}, thread())["n"] == 1
    assert graph.invoke({"text": "b"}, thread())["n"] == 2


def test_workflows_nest(memory):
    @memory.entrypoint
    def inner(text: str, *, store: "BaseStore") -> bool:
        return store is memory.store

    @memory.entrypoint
    def outer(text: str) -> bool:
        return inner.invoke(text)

    assert outer.invoke("x", thread()) is True


def test_many_runs_at_once_never_mix(memory):
    current = contextvars.ContextVar("current")

    @memory.task
    async def echo(n: int, *, config: Any, store: BaseStore | None) -> tuple[int, str, int]:
        await asyncio.sleep(0)
        return n, config["configurable"]["thread_id"], current.get()

    @memory.entrypoint
    async def workflow(n: int, *, previous: Any, store: Any) -> Any:
        return await echo(n)

    async def one(n):
        current.set(n)
        return await workflow.ainvoke(n, thread(n))

    async def main():
        return await asyncio.gather(*(one(n) for n in range(60)))

    assert asyncio.run(main()) == [(n, str(n), n) for n in range(60)]


def test_sixteen_threads_never_mix(memory):
    chat = make_chat(memory)

    def one(n):
        return [chat.invoke(f"user {n}", thread(n)) for _ in range(3)][-1]

    with ThreadPoolExecutor(16) as pool:
        results = [*pool.map(one, range(16))]
    assert results == [{"thread": str(n), "history": [1, 2, 3]} for n in range(16)]


def test_misspelt_settings_are_refused(memory):
    with pytest.raises(TypeError, match="unexpected setting 'retry_polcy'"):
        memory.task(retry_polcy=QUICK)
    with pytest.raises(TypeError, match=r"memory.entrypoint\(\).*'chache'.*takes cache, cache_policy"):
        memory.entrypoint(chache=None)


def test_deprecated_settings_are_langgraphs_business(memory):
    with pytest.warns(LangGraphDeprecatedSinceV10, match="config_schema"):
        made = memory.entrypoint(config_schema=Context)(lambda text: text)
    assert made.context_schema is Context

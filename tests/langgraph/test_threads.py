"""``memory.threads``: the same over our checkpointers and LangGraph's own, sync and async."""

import asyncio
import contextlib
import inspect
import itertools
import operator
import threading
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypedDict

import pytest
from _savers import place
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt

from crossthread import (
    ConfigurationError,
    InvalidArgumentError,
    InvalidFilterError,
    Memory,
    ThreadNotFoundError,
    Threads,
    UnsupportedError,
)
from crossthread.checkpointing.sqlite import DurableSaver

KINDS = ["memory", "file", "server", "stock file"]


@contextlib.contextmanager
def opened(kind, folder):
    if kind == "memory":
        yield InMemorySaver()
    elif kind == "stock file":
        with SqliteSaver.from_conn_string(str(folder / "stock.db")) as saver:
            yield saver
    else:
        with place(kind, folder).open() as saver:
            yield saver


@pytest.fixture(params=KINDS)
def saver(request, tmp_path):
    with opened(request.param, tmp_path) as saver:
        yield saver


class Both:
    """Calls threads sync or, where the checkpointer has that side, async; what one says, the other must say too."""

    def __init__(self, saver):
        self.threads = Threads(saver)
        self.is_async = not isinstance(saver, SqliteSaver) or isinstance(saver, DurableSaver)

    def __getattr__(self, name):
        def call(*args, **kwargs):
            found = getattr(self.threads, name)(*args, **kwargs)
            if self.is_async and name in ("list", "history", "previous"):
                assert asyncio.run(getattr(self.threads, f"a{name}")(*args, **kwargs)) == found
            return found

        return call


def chat(saver):
    @entrypoint(checkpointer=saver)
    def workflow(text: str, *, previous: list[str] | None) -> entrypoint.final[str, list[str]]:
        history = [*(previous or []), text]
        return entrypoint.final(value=f"{len(history)}: {text}", save=history)

    return workflow


def config(thread, **more):
    return {"configurable": {"thread_id": thread, **more}}


def ids(threads):
    return [thread.thread_id for thread in threads]


def test_the_thread_that_was_used_last_comes_first(saver):
    threads, workflow = Both(saver), chat(saver)
    for name in ("a", "b", "c", "a"):
        workflow.invoke("hello", config(name))
    assert ids(threads.list()) == ["a", "c", "b"]
    assert ids(threads.list(limit=2)) == ["a", "c"]
    assert ids(threads.list(limit=2, offset=1)) == ["c", "b"]
    assert ids(threads.list(offset=3)) == ids(threads.list(limit=0)) == []
    assert ids(threads.list(limit=None)) == ["a", "c", "b"]


def test_no_thread_is_an_empty_list(saver):
    assert Both(saver).list() == []
    assert Both(saver).history("a") == []
    assert Both(saver).previous("a") is None
    assert Both(saver).previous("a", default=[]) == []


def test_a_thread_tells_its_times_and_the_metadata_of_its_last_step(saver):
    before = datetime.now(UTC)
    workflow = chat(saver)
    workflow.invoke("hello", config("a", user_id="ada"))
    between = datetime.now(UTC)
    workflow.invoke("hello", config("a", user_id="ada", mood="good") | {"metadata": {"channel": "mail"}})
    (thread,) = Both(saver).list()
    moment = timedelta(milliseconds=1)  # ids are made a moment after the time in a checkpoint
    assert before - moment <= thread.created_at <= between + moment
    assert between - moment <= thread.updated_at <= datetime.now(UTC) + moment
    assert {"source": "loop", "step": 2, "user_id": "ada", "mood": "good", "channel": "mail"}.items() <= (
        thread.metadata.items()
    )
    assert thread.checkpoint_id == saver.get_tuple(thread.config).config["configurable"]["checkpoint_id"]


def test_threads_are_found_by_the_metadata_of_any_step(saver):
    workflow, threads = chat(saver), Both(saver)
    workflow.invoke("x", config("1", user_id="ada", age=3, vip=True))
    workflow.invoke("x", config("2", user_id="bob", age=1, vip=False))
    workflow.invoke("x", config("3", user_id="ada", age=3.5))
    workflow.invoke("x", config("3", user_id="eve"))
    workflow.invoke("x", config("4", user_id='a"d.a', vip=1))
    workflow.invoke("x", config("5") | {"metadata": {"user id": "ada", "user_id": "%"}})
    assert ids(threads.list(filter={"user_id": "ada"})) == ["3", "1"]
    assert ids(threads.list(filter={"user_id": "ada"}, limit=1, offset=1)) == ["1"]
    assert ids(threads.list(filter={"user_id": "eve"})) == ["3"]
    assert ids(threads.list(filter={"user_id": 'a"d.a'})) == ["4"]
    assert ids(threads.list(filter={"user_id": "%"})) == ids(threads.list(filter={"user id": "ada"})) == ["5"]
    assert ids(threads.list(filter={"user_id": "ada", "age": 3.0})) == ["1"]
    assert ids(threads.list(filter={"vip": True})) == ["1"]
    assert ids(threads.list(filter={"vip": 1})) == ["4"]
    assert ids(threads.list(filter={"vip": False})) == ["2"]
    assert threads.list(filter={"user_id": "eve", "age": 3.5}) == []  # in one step, both
    assert threads.list(filter={"user_id": "nobody"}) == threads.list(filter={"nothing": "ada"}) == []
    assert ids(threads.list(filter={})) == ["5", "4", "3", "2", "1"]


@pytest.mark.parametrize(
    "wanted", [{"user_id": None}, {"user_id": ["ada"]}, {1: "ada"}, {"a": "x\0"}, {"a": "\ud800"}, {"a": 2**70}, "ada"]
)
def test_what_metadata_cannot_hold_is_refused(saver, wanted):
    with pytest.raises(InvalidFilterError):
        Threads(saver).list(filter=wanted)


@pytest.mark.parametrize("arguments", [{"limit": -1}, {"offset": -1}, {"limit": "3"}, {"limit": True}])
def test_a_wrong_page_is_refused(saver, arguments):
    with pytest.raises(InvalidArgumentError, match="0 or more"):
        Threads(saver).list(**arguments)


def test_history_tells_what_was_said(saver):
    workflow, threads = chat(saver), Both(saver)
    for text in ("hello", "bye"):
        workflow.invoke(text, config("a", user_id="ada"))
    workflow.invoke("other", config("b"))
    steps = threads.history("a")
    assert [(step.step, step.source, step.input) for step in steps] == [
        (2, "loop", None),
        (1, "input", "bye"),
        (0, "loop", None),
        (-1, "input", "hello"),
    ]
    assert [step.result for step in steps] == ["2: bye", "1: hello", "1: hello", None]
    assert [step.previous for step in steps] == [["hello", "bye"], ["hello"], ["hello"], None]
    assert [step.parent_id for step in steps] == [*[step.checkpoint_id for step in steps[1:]], None]
    assert all(step.values == {} and step.thread_id == "a" for step in steps)
    assert sorted((step.created_at for step in steps), reverse=True) == [step.created_at for step in steps]
    assert steps[0].metadata["user_id"] == "ada"
    assert threads.history("a", limit=2) == steps[:2]
    assert threads.history("a", before=steps[1].checkpoint_id) == steps[2:]
    assert threads.history("a", limit=1, before=steps[1].checkpoint_id) == steps[2:3]
    assert threads.history("a", limit=0) == []
    with pytest.raises(InvalidArgumentError):
        threads.history("a", limit=-1)


def test_a_step_is_where_a_run_can_go_on(saver):
    workflow = chat(saver)
    for text in ("one", "two"):
        workflow.invoke(text, config("a"))
    first_turn = Threads(saver).history("a")[2]
    assert workflow.invoke("again", first_turn.config) == "2: again"
    assert Threads(saver).previous("a") == ["one", "again"]


def test_previous_is_what_the_next_turn_gets(saver):
    workflow, threads = chat(saver), Both(saver)
    for text in ("one", "two"):
        workflow.invoke(text, config("a"))
        given = []

        @entrypoint(checkpointer=saver)
        def look(_, *, previous):
            given.append(previous)  # noqa: B023 - called within the round
            return entrypoint.final(value=None, save=previous)

        saved = threads.previous("a")
        look.invoke("look", config("a"))
        assert given == [saved]
    assert saved == ["one", "two"]


class State(TypedDict):
    """A state with a channel of each kind."""

    name: str
    items: Annotated[list[str], operator.add]


def test_history_tells_the_state_of_a_graph(saver):
    graph = StateGraph(State).add_node("add", lambda state: {"items": [state["name"]]}).add_edge(START, "add")
    graph.compile(checkpointer=saver).invoke({"name": "ada", "items": []}, config("a"))
    steps = Both(saver).history("a")
    assert [step.values for step in steps] == [{"name": "ada", "items": ["ada"]}, {"name": "ada", "items": []}, {}]
    assert steps[-1].input == {"name": "ada", "items": []}
    assert Both(saver).previous("a") is None


def test_clear_takes_one_thread_and_no_memories(tmp_path):
    with Memory(tmp_path / "agent.db") as memory:

        @memory.entrypoint
        def workflow(text, *, previous, store):
            store.put(("memories", "ada"), text, {"text": text})
            return (previous or 0) + 1

        assert workflow.invoke("one", config("a")) == workflow.invoke("two", config("b")) == 1
        memory.threads.clear("a")
        memory.threads.clear("nothing")
        assert ids(memory.threads.list()) == ["b"]
        assert len(memory.store.search(("memories", "ada"))) == 2
        assert workflow.invoke("three", config("a")) == 1
        asyncio.run(memory.threads.aclear("b"))
        assert ids(memory.threads.list()) == ["a"]


def test_a_copy_goes_on_by_itself(saver):
    workflow, threads = chat(saver), Both(saver)
    for text in ("one", "two"):
        workflow.invoke(text, config("a", user_id="ada"))
    threads.copy("a", "b")
    assert [step.checkpoint_id for step in threads.history("b")] == [
        step.checkpoint_id for step in threads.history("a")
    ]
    assert [step.previous for step in threads.history("b")] == [step.previous for step in threads.history("a")]
    assert ids(threads.list(filter={"user_id": "ada"})) == ["a", "b"]  # at the same time: by id
    workflow.invoke("three", config("b"))
    assert threads.previous("a") == ["one", "two"]
    assert threads.previous("b") == ["one", "two", "three"]
    threads.clear("a")
    assert threads.previous("b") == ["one", "two", "three"]


def test_a_copy_is_refused_where_it_makes_no_sense(saver):
    workflow, threads = chat(saver), Threads(saver)
    workflow.invoke("one", config("a"))
    workflow.invoke("two", config("b"))
    with pytest.raises(InvalidArgumentError, match="'b' is there already"):
        threads.copy("a", "b")
    with pytest.raises(InvalidArgumentError, match="itself"):
        threads.copy("a", "a")
    with pytest.raises(ThreadNotFoundError, match="no thread 'c'"):
        threads.copy("c", "d")
    for wrong in ("", None, 3, b"x", "a\x00b", "\ud800"):
        with pytest.raises(InvalidArgumentError, match="A thread's id is a string that is not empty"):
            threads.copy("a", wrong)
        with pytest.raises(InvalidArgumentError, match="A thread's id is a string that is not empty"):
            asyncio.run(threads.acopy("a", wrong))
    assert threads.previous("b") == ["two"]
    assert ids(threads.list()) == ["b", "a"]


def test_an_id_that_cannot_be_kept_is_no_thread_or_refused(saver):
    """Half of a surrogate pair is in no database; LangGraph's store in memory does not mind."""
    threads = Threads(saver)
    for call in (threads.history, threads.previous, threads.clear, lambda id_: threads.copy(id_, "new")):
        with contextlib.suppress(InvalidArgumentError, ThreadNotFoundError):
            assert not call("\ud800")
    assert threads.list() == []


def test_a_copy_can_be_resumed_where_the_original_was_interrupted(saver):
    @entrypoint(checkpointer=saver)
    def ask(name, *, previous):
        answer = interrupt(f"How old is {name}?")
        return entrypoint.final(value=(answer, previous), save=name)

    ask.invoke("ada", config("a"))
    ask.invoke(Command(resume=36), config("a"))
    ask.invoke("bob", config("a"))
    Threads(saver).copy("a", "b")
    assert ask.invoke(Command(resume=20), config("b")) == (20, "ada")
    assert ask.invoke(Command(resume=30), config("a")) == (30, "ada")


def test_a_copy_has_the_threads_of_subgraphs(saver):
    def inner(state):
        return {"items": [interrupt("go on?")]}

    subgraph = StateGraph(State).add_node("inner", inner).add_edge(START, "inner").compile()
    graph = StateGraph(State).add_node("sub", subgraph).add_edge(START, "sub").compile(checkpointer=saver)
    graph.invoke({"name": "ada", "items": []}, config("a"))
    threads = Threads(saver)
    threads.copy("a", "b")
    spaces = [
        {found.config["configurable"]["checkpoint_ns"] for found in saver.list(config(name))} for name in ("a", "b")
    ]
    assert spaces[0] == spaces[1]
    assert len(spaces[0]) == 2
    threads.clear("a")
    assert graph.invoke(Command(resume="yes"), config("b"))["items"] == ["yes"]


def test_a_copy_rebuilds_delta_channels_in_the_order_of_the_original(saver):
    def extend(state: list, updates: list[list]) -> list:
        return [*state, *itertools.chain.from_iterable(updates)]

    channel = DeltaChannel(extend, list, snapshot_frequency=100)
    builder = StateGraph(TypedDict("Delta", {"items": Annotated[list, channel]}))
    builder.add_node("work", lambda state: {"items": [state["n"]]})
    builder.add_conditional_edges(START, lambda _: [Send("work", {"n": n}) for n in range(5)], ["work"])
    graph = builder.compile(checkpointer=saver)
    for _ in range(2):
        graph.invoke({"items": ["start"]}, config("a"))
    Threads(saver).copy("a", "b")
    items = graph.get_state(config("a")).values["items"]
    assert len(items) == 12
    assert graph.get_state(config("b")).values["items"] == items


def test_a_copy_that_fails_leaves_nothing(tmp_path):
    class Failing(InMemorySaver):
        left = 3

        def put(self, config, *args):
            if config["configurable"]["thread_id"] == "b":
                self.left -= 1
                if not self.left:
                    raise OSError("no more")
            return super().put(config, *args)

    saver = Failing()
    workflow = chat(saver)
    for _ in range(3):
        workflow.invoke("x", config("a"))
    with pytest.raises(OSError, match="no more"):
        Threads(saver).copy("a", "b")
    assert ids(Threads(saver).list()) == ["a"]


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_async_calls_copy_and_clear(kind, tmp_path):
    async def use():
        with opened(kind, tmp_path) as saver:
            threads, workflow = Threads(saver), chat(saver)
            await workflow.ainvoke("one", config("a"))
            await threads.acopy("a", "b")
            with pytest.raises(ThreadNotFoundError):
                await threads.acopy("x", "y")
            await threads.aclear("a")
            assert ids(await threads.alist()) == ["b"]
            assert await threads.aprevious("b") == ["one"]

    asyncio.run(use())


def test_langgraphs_async_checkpointer(tmp_path):
    async def use():
        async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "stock.db")) as saver:
            await saver.setup()
            threads, workflow = Threads(saver), chat(saver)
            for text in ("one", "two"):
                await workflow.ainvoke(text, config("a", user_id="ada"))
            await threads.acopy("a", "b")
            assert ids(await threads.alist(filter={"user_id": "ada"}, limit=1)) == ["a"]
            assert [step.result for step in await threads.ahistory("b", limit=2)] == ["2: two", "1: one"]
            await threads.aclear("a")
            assert ids(await threads.alist()) == ["b"]

    asyncio.run(use())


class Poor(BaseCheckpointSaver):
    """A checkpointer that can do nothing but find a checkpoint."""

    def get_tuple(self, config):
        return None


@pytest.mark.parametrize(
    ("call", "missing"),
    [
        (lambda threads: threads.list(), "list"),
        (lambda threads: threads.history("a"), "list"),
        (lambda threads: threads.clear("a"), "delete_thread"),
        (lambda threads: threads.copy("a", "b"), "list"),
        (lambda threads: threads.alist(), "alist"),
        (lambda threads: threads.ahistory("a"), "alist"),
        (lambda threads: threads.aprevious("a"), "aget_tuple"),
        (lambda threads: threads.aclear("a"), "adelete_thread"),
        (lambda threads: threads.acopy("a", "b"), "alist"),
    ],
)
def test_what_a_checkpointer_lacks_is_named(call, missing):
    def use():
        found = call(Threads(Poor()))
        if inspect.iscoroutine(found):
            asyncio.run(found)

    with pytest.raises(UnsupportedError, match=rf"Poor has no {missing}\(\)"):
        use()
    assert Threads(Poor()).previous("a") is None


def test_a_memory_without_a_checkpointer_has_no_threads():
    with pytest.raises(ConfigurationError, match="no checkpointer"):
        _ = Memory(store=None, checkpointer=None).threads


@pytest.mark.parametrize("kind", ["file", "server"])
def test_our_list_reads_no_checkpoint(kind, tmp_path, monkeypatch):
    with opened(kind, tmp_path) as saver:
        workflow = chat(saver)
        for name in ("a", "b"):
            workflow.invoke("hello", config(name, user_id="ada"))

        def refuse(*_):
            raise AssertionError("a checkpoint was read")

        monkeypatch.setattr(type(saver.serde), "loads_typed", refuse)
        assert ids(Threads(saver).list()) == ids(Threads(saver).list(filter={"user_id": "ada"})) == ["b", "a"]
        with pytest.raises(AssertionError):
            Threads(saver).previous("a")


def test_threads_are_listed_while_runs_add_some(saver):
    if isinstance(saver, SqliteSaver) and not isinstance(saver, DurableSaver):
        pytest.skip("SqliteSaver is for one thread at a time")
    workflow, threads, done = chat(saver), Threads(saver), threading.Event()

    def run():
        for number in range(60):
            workflow.invoke("x", config(f"{number}"))
        done.set()

    runner = threading.Thread(target=run)
    runner.start()
    lengths = []
    while not done.is_set():
        lengths.append(len(threads.list()))
    runner.join()
    assert lengths == sorted(lengths)
    assert len(threads.list()) == 60


def test_ids_of_another_kind_have_the_times_of_their_checkpoints(tmp_path):
    from langgraph.checkpoint.base import empty_checkpoint

    with opened("file", tmp_path) as saver:
        for number, time in (("1", "2024-01-01T00:00:00+00:00"), ("2", "2025-01-01T00:00:00+00:00")):
            checkpoint = {**empty_checkpoint(), "id": number, "ts": time}
            saver.put(config("a", checkpoint_ns=""), checkpoint, {"step": int(number)}, {})
        (thread,) = Both(saver).list()
        assert (thread.created_at.year, thread.updated_at.year) == (2024, 2025)


def test_only_calls_of_subgraphs_are_a_thread_too(saver):
    from langgraph.checkpoint.base import empty_checkpoint

    saver.put(config("a", checkpoint_ns="sub:1"), empty_checkpoint(), {"step": 0, "user_id": "ada"}, {})
    assert ids(Both(saver).list(filter={"user_id": "ada"})) == ["a"]

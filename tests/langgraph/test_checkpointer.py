"""Our checkpointers keep threads for every kind of caller: in a file, and on a server, one like the other."""

import asyncio
import math
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from _savers import acounter, collect, counter, delta_graph, place, put, thread
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph

from crossthread import ConfigurationError, InvalidArgumentError, StoreClosedError
from crossthread.checkpointing.opening import open_checkpointer
from crossthread.engines.base import BlockingEngine


@pytest.fixture(params=["file", "server"])
def home(request, tmp_path):
    return place(request.param, tmp_path)


@pytest.fixture
def saver(home):
    with home.open() as opened:
        yield opened


# One object for every caller


def test_one_object_serves_sync_and_async_callers_in_two_event_loops(saver):
    count, acount = counter(saver), acounter(saver)
    assert count.invoke("a", thread()) == 1
    assert asyncio.run(acount.ainvoke("b", thread())) == 2
    assert asyncio.run(count.ainvoke("c", thread())) == 3
    assert [*count.stream("d", thread(), stream_mode="values")] == [4]
    assert asyncio.run(collect(acount.astream("e", thread(), stream_mode="values"))) == [5]


def test_a_sync_call_on_a_running_loops_thread_works(saver):
    async def main():
        count = counter(saver)
        return count.invoke("a", thread()), await count.ainvoke("b", thread()), count.get_state(thread()).values

    assert asyncio.run(main()) == (1, 2, 2)


def test_two_loops_at_once(saver):
    count = acounter(saver)

    def loop(n):
        async def main():
            return [await count.ainvoke("x", thread(n)) for _ in range(5)]

        return asyncio.run(main())

    with ThreadPoolExecutor(2) as pool:
        assert [*pool.map(loop, range(2))] == [[1, 2, 3, 4, 5]] * 2


def test_many_coroutines_at_once(saver):
    count = acounter(saver)

    async def main():
        return await asyncio.gather(*(count.ainvoke("x", thread(n % 50)) for n in range(100)))

    assert set(asyncio.run(main())) <= {1, 2}
    assert sum(1 for _ in saver.list(None, filter={"source": "input"})) == 100


def test_sixteen_threads(saver):
    count = counter(saver)

    def run(n):
        return [count.invoke("x", thread(n)) for _ in range(4)]

    with ThreadPoolExecutor(16) as pool:
        assert [*pool.map(run, range(16))] == [[1, 2, 3, 4]] * 16


def test_state_history_and_updates(saver):
    count = acounter(saver)

    async def main():
        for _ in range(3):
            await count.ainvoke("x", thread())
        history = await collect(count.aget_state_history(thread()))
        await count.aupdate_state(thread(), 10, as_node="count")
        return [state.values for state in history if state.metadata["source"] == "loop"]

    assert asyncio.run(main()) == [3, 2, 1]
    assert counter(saver).get_state(thread()).values == 10


def test_writing_while_listing_does_not_deadlock(saver):
    for name in "abc":
        put(saver, name)
    for found in saver.list(None):
        saver.delete_thread(found.config["configurable"]["thread_id"])
    assert [*saver.list(None)] == []

    async def main():
        put(saver, "d")
        put(saver, "e")
        async for found in saver.alist(thread("d")):
            await saver.adelete_thread(found.config["configurable"]["thread_id"])
        for found in saver.list(None):
            await asyncio.wait_for(saver.adelete_thread(found.config["configurable"]["thread_id"]), 5)
        return await collect(saver.alist(None))

    assert asyncio.run(main()) == []


@pytest.mark.parametrize("asynchronous", [False, True])
def test_list_takes_filter_before_and_limit(saver, asynchronous):
    ids = [put(saver, run_id=str(n))["configurable"]["checkpoint_id"] for n in range(4)]

    def listed(*args, **kwargs):
        found = asyncio.run(collect(saver.alist(*args, **kwargs))) if asynchronous else saver.list(*args, **kwargs)
        return [each.config["configurable"]["checkpoint_id"] for each in found]

    assert listed(thread()) == ids[::-1]
    assert listed(thread(), limit=2) == ids[:1:-1]
    assert listed(thread(), filter={"run_id": "1"}) == [ids[1]]
    assert listed(thread(), before={"configurable": {"checkpoint_id": ids[1]}}) == [ids[0]]


def test_task_paths_are_kept(saver, home):
    config = put(saver)
    asyncio.run(saver.aput_writes(config, [("channel", 1)], "task", "~the path"))
    saver.put_writes(config, [("channel", 2)], "task 2", task_path="~another")
    assert home.rows("SELECT task_path FROM {writes} ORDER BY task_id") == [("~the path",), ("~another",)]


@pytest.mark.parametrize("value", ["a\x00b", math.inf, -math.inf, True, "", b"\x00", {"text": "\x00"}, [math.inf]])
def test_every_value_comes_back(saver, value):
    @entrypoint(checkpointer=saver)
    def echo(given: Any) -> Any:
        return given

    echo.invoke(value, thread())
    assert echo.get_state(thread()).values == value
    (first,) = saver.list(thread(), limit=1)
    assert value in first.checkpoint["channel_values"].values()
    saver.prune(["1"])
    assert echo.get_state(thread()).values == value


@pytest.mark.parametrize("frequency", [1, 2, 3, 100])
def test_delta_channels_are_rebuilt_and_survive_pruning(saver, frequency):
    graph = delta_graph(saver, frequency)
    for n in range(3):
        asyncio.run(graph.ainvoke({"items": [f"in {n}"]}, thread()))
    whole = ["in 0", 1, "in 1", 3, "in 2", 5]
    assert graph.get_state(thread()).values == {"items": whole}
    assert asyncio.run(graph.aget_state(thread())).values == {"items": whole}
    before = len([*saver.list(thread())])
    saver.prune(["1"])
    left = [*saver.list(thread())]
    assert len(left) < before or frequency == 100
    assert left[-1].parent_config is None
    assert graph.get_state(thread()).values == {"items": whole}
    assert graph.invoke({"items": ["more"]}, thread()) == {"items": [*whole, "more", 7]}


def test_shallow_copies_share_everything(home):
    """LangGraph makes one for each graph when it is told to be strict about types."""
    saver = home.open(serde=JsonPlusSerializer(allowed_msgpack_modules=[]))
    clone = saver.with_allowlist([("crossthread.errors", "StoreError")])
    assert clone is not saver
    count = acounter(clone)
    assert asyncio.run(count.ainvoke("x", thread())) == 1
    assert counter(saver).invoke("x", thread()) == 2
    saver.close()
    with pytest.raises(StoreClosedError):
        clone.get_tuple(thread())


@pytest.mark.parametrize("kind", ["file", "server"])
def test_the_conformance_suite_of_langgraph(tmp_path, kind):
    """All capabilities, with the three that no stock saver has in full. Skipped where the suite is not installed."""
    conformance = pytest.importorskip("langgraph.checkpoint.conformance")

    @conformance.checkpointer_test(name=kind)
    async def durable():
        folder = tmp_path / str(time.monotonic_ns())
        folder.mkdir()
        with place(kind, folder).open() as fresh:
            yield fresh

    report = asyncio.run(conformance.validate(durable))
    assert {name: result.failures for name, result in report.results.items() if not result.passed} == {}
    assert all(result.detected for result in report.results.values())


# What the platform asks for


def test_copying_a_thread(saver):
    count = counter(saver)
    for _ in range(2):
        count.invoke("x", thread("a"))
    saver.put_writes(saver.get_tuple(thread("a")).config, [("channel", 1)], "task", "path")
    saver.copy_thread("a", "b")
    asyncio.run(saver.acopy_thread("a", "c"))
    saver.copy_thread("a", "a")
    saver.copy_thread("no such thread", "d")
    originals = [*saver.list(thread("a"))]
    for name in "bc":
        copies = [*saver.list(thread(name))]
        assert [c.checkpoint for c in copies] == [o.checkpoint for o in originals]
        assert [c.pending_writes for c in copies] == [o.pending_writes for o in originals]
    assert [*saver.list(thread("d"))] == []
    assert count.invoke("x", thread("b")) == 3
    assert count.invoke("x", thread("a")) == 3


@pytest.mark.parametrize("asynchronous", [False, True])
def test_deleting_what_runs_have_saved(saver, home, asynchronous):
    kept, gone = put(saver, "a", run_id="1"), put(saver, "b", run_id="2")
    for config in (kept, gone):
        saver.put_writes(config, [("channel", 1)], "task")
    if asynchronous:
        asyncio.run(saver.adelete_for_runs(["2", "3"]))
    else:
        saver.delete_for_runs(["2", "3"])
    assert saver.get_tuple(gone) is None
    assert len(saver.get_tuple(kept).pending_writes) == 1
    saver.delete_for_runs([])
    assert home.rows("SELECT count(*) FROM {writes}") == [(1,)]


def test_what_follows_a_deleted_run_has_no_parent(saver):
    first = put(saver, run_id="1")
    second = put(saver, parent=first["configurable"]["checkpoint_id"], run_id="2")
    assert saver.get_tuple(second).parent_config == first
    saver.delete_for_runs(["1"])
    assert saver.get_tuple(second).parent_config is None


@pytest.mark.parametrize("asynchronous", [False, True])
def test_pruning_keeps_the_latest(saver, home, asynchronous):
    def prune(*args, **kwargs):
        return asyncio.run(saver.aprune(*args, **kwargs)) if asynchronous else saver.prune(*args, **kwargs)

    count = counter(saver)
    for name in ("a", "b"):
        for _ in range(3):
            count.invoke("x", thread(name))
    latest = saver.get_tuple(thread("a"))
    prune(["a", "no such thread"])
    assert [(t.checkpoint, t.pending_writes) for t in saver.list(thread("a"))] == [
        (latest.checkpoint, latest.pending_writes)
    ]
    assert saver.get_tuple(thread("a")).parent_config is None
    written = home.rows("SELECT DISTINCT checkpoint_id FROM {writes} WHERE thread_id = 'a'")
    assert {row[0] for row in written} <= {latest.checkpoint["id"]}
    assert len([*saver.list(thread("b"))]) > 1
    assert count.invoke("x", thread("a")) == 4
    prune(["a"], strategy="delete")
    assert saver.get_tuple(thread("a")) is None
    assert count.invoke("x", thread("b")) == 4


def test_pruning_leaves_writes_that_wait_for_their_checkpoint(saver, home):
    put(saver)
    early = {"configurable": {"thread_id": "1", "checkpoint_ns": "", "checkpoint_id": "not yet saved"}}
    saver.put_writes(early, [("channel", 1)], "task")
    saver.prune(["1"])
    assert home.rows("SELECT checkpoint_id FROM {writes}") == [("not yet saved",)]
    saver.prune(["1"], strategy="delete_all")  # what LangGraph's server calls it
    assert home.rows("SELECT checkpoint_id FROM {writes}") == []


def test_pruning_ends_where_parents_go_in_a_circle(saver, home):
    first = put(saver, counters_since_delta_snapshot={"items": [1, 1]})["configurable"]["checkpoint_id"]
    home.rows("UPDATE checkpoints SET parent_checkpoint_id = checkpoint_id")
    saver.prune(["1"])
    assert saver.get_tuple(thread()).checkpoint["id"] == first


def test_pruning_takes_the_calls_of_subgraphs_with_it(saver):
    """A subgraph's call goes with the checkpoint it was called from; a subgraph with a memory of its own stays."""

    def subgraph(checkpointer):
        builder = StateGraph(dict)
        builder.add_node("inner", lambda state: {"n": state["n"] + 1})
        builder.add_edge(START, "inner")
        return builder.compile(checkpointer=checkpointer)

    builder = StateGraph(dict)
    builder.add_node("call", subgraph(None))
    builder.add_node("own", subgraph(True))
    builder.add_edge(START, "call")
    builder.add_edge("call", "own")
    graph = builder.compile(checkpointer=saver)
    for n in range(2):
        assert graph.invoke({"n": n}, thread()) == {"n": n + 2}

    def namespaces():
        return {found.config["configurable"]["checkpoint_ns"].partition(":")[0] for found in saver.list(thread())}

    assert namespaces() == {"", "call", "own"}
    saver.prune(["1"])
    assert namespaces() == {"", "own"}
    assert graph.invoke({"n": 5}, thread()) == {"n": 7}


def test_pruning_keeps_a_call_whose_caller_is_kept_or_not_yet_saved(saver):
    root = put(saver)["configurable"]["checkpoint_id"]
    put(saver, namespace="kept:1", parents={"": root})
    put(saver, namespace="early:1", parents={"": "not yet saved"})
    saver.prune(["1"])
    assert {found.config["configurable"]["checkpoint_ns"] for found in saver.list(None)} == {"", "kept:1", "early:1"}


def test_bad_arguments_are_refused(saver):
    with pytest.raises(InvalidArgumentError, match="'keep_latest' or 'delete', not 'newest'"):
        saver.prune(["1"], strategy="newest")
    with pytest.raises(InvalidArgumentError, match="thread_ids must be a list"):
        saver.prune("12")
    with pytest.raises(InvalidArgumentError, match="run_ids must be a list"):
        asyncio.run(saver.adelete_for_runs("12"))


# Durability and failures


def test_a_second_process_goes_on_where_the_first_was_killed(home):
    program = f"""
import os, signal
from langgraph.func import entrypoint
from crossthread.checkpointing.opening import open_checkpointer

@entrypoint(checkpointer=open_checkpointer({home.url!r}))
def count(text, *, previous):
    return (previous or 0) + 1

for _ in range(3):
    count.invoke("x", {{"configurable": {{"thread_id": "1"}}}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    with home.open() as saver:
        assert counter(saver).invoke("x", thread()) == 4


def test_a_failed_write_leaves_nothing_of_itself(saver):
    config = put(saver)
    with pytest.raises(TypeError):
        saver.put_writes(config, [("good", 1), ("bad", threading.Lock())], "task")
    with pytest.raises(TypeError):
        asyncio.run(saver.aput_writes(config, [("good", 1), ("bad", threading.Lock())], "task"))
    assert saver.get_tuple(thread()).pending_writes == []
    with pytest.raises(TypeError):
        put(saver, values={"good": [1], "bad": threading.Lock()})
    assert len([*saver.list(None)]) == 1


def test_of_many_async_writes_only_the_failing_one_fails(saver):
    config = put(saver)

    async def main():
        values = [threading.Lock() if n == 20 else n for n in range(40)]
        writes = (saver.aput_writes(config, [("channel", value)], f"task {n}") for n, value in enumerate(values))
        return await asyncio.gather(*writes, return_exceptions=True)

    outcomes = asyncio.run(main())
    assert [n for n, outcome in enumerate(outcomes) if outcome is not None] == [20]
    assert isinstance(outcomes[20], TypeError)
    assert len(saver.get_tuple(thread()).pending_writes) == 39


def test_a_closed_checkpointer_says_so(home):
    saver = home.open()
    asyncio.run(saver.aput_writes(put(saver), [("channel", 1)], "task"))
    saver.close()
    saver.close()
    asyncio.run(saver.aclose())
    with pytest.raises(StoreClosedError):
        put(saver)
    with pytest.raises(StoreClosedError):
        asyncio.run(saver.aget_tuple(thread()))
    assert not [t for t in threading.enumerate() if t.name == "crossthread-checkpointer"]
    with home.open() as again:
        assert len(again.get_tuple(thread()).pending_writes) == 1


def test_async_with_closes(home):
    async def main():
        async with home.open() as saver:
            await acounter(saver).ainvoke("x", thread())
        return saver

    with pytest.raises(StoreClosedError):
        asyncio.run(main()).get_tuple(thread())


def test_from_conn_string(home):
    with home.saver.from_conn_string(home.url) as saver:
        assert isinstance(saver, home.saver)
        put(saver)
    with pytest.raises(StoreClosedError):
        saver.get_tuple(thread())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_goes_on_by_itself(saver):
    count = acounter(saver)
    asyncio.run(count.ainvoke("x", thread()))
    if (child := os.fork()) == 0:
        try:
            os._exit(asyncio.run(count.ainvoke("x", thread())) + counter(saver).invoke("x", thread()))
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2 + 3
    assert asyncio.run(count.ainvoke("x", thread())) == 4


def test_processes_open_a_new_place_at_once(home):
    program = f"""
import sys
from crossthread.checkpointing.opening import open_checkpointer
sys.stdin.readline()
open_checkpointer({home.url!r}).put({{"configurable": {{"thread_id": sys.argv[1], "checkpoint_ns": ""}}}},
    {{"v": 4, "id": "1", "channel_values": {{}}}}, {{}}, {{}})
"""
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(n)], stdin=subprocess.PIPE, text=True) for n in range(3)
    ]
    for process in started:
        process.stdin.write("go\n")
        process.stdin.close()
    assert [process.wait() for process in started] == [0] * len(started)
    with home.open() as saver:
        assert len([*saver.list(None)]) == len(started)


# Opening by url


def test_places_of_other_engines_need_a_checkpointer_of_their_own():
    class Elsewhere(BlockingEngine):
        """An engine of another package."""

        from_url = open = None

        def run_all(self, batches):
            raise AssertionError("it is not asked for anything")

    with pytest.raises(ConfigurationError, match="checkpointer="):
        open_checkpointer(Elsewhere())

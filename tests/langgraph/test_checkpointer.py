"""Our checkpointer keeps threads on disk for every kind of caller, in the tables of LangGraph's SQLite saver."""

import asyncio
import contextlib
import itertools
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph

from crossthread import (
    ConfigurationError,
    InvalidArgumentError,
    StoreBusyError,
    StoreClosedError,
    StoreCorruptError,
    StoreError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from crossthread.checkpointing import DurableSaver, open_checkpointer
from crossthread.engines.base import BlockingEngine
from crossthread.engines.sqlite import connection


def thread(name: Any = "1") -> Any:
    return {"configurable": {"thread_id": str(name)}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent.db"


@pytest.fixture
def saver(path):
    with DurableSaver(path) as opened:
        yield opened


def counter(saver: Any) -> Any:
    @entrypoint(checkpointer=saver)
    def count(text: str, *, previous: Any) -> int:
        return (previous or 0) + 1

    return count


def acounter(saver: Any) -> Any:
    @entrypoint(checkpointer=saver)
    async def count(text: str, *, previous: Any) -> int:
        return (previous or 0) + 1

    return count


def put(saver: Any, name: str = "1", parent: Any = None, run_id: str = "run", values: Any = None) -> Any:
    checkpoint = {**empty_checkpoint(), "channel_values": values or {}}
    config = {"configurable": {"thread_id": name, "checkpoint_ns": "", **({"checkpoint_id": parent} if parent else {})}}
    return saver.put(config, checkpoint, {"source": "loop", "step": 0, "parents": {}, "run_id": run_id}, {})


async def collect(stream):
    return [part async for part in stream]


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


def test_async_calls_do_not_block_the_loop(saver, path):
    """Another program holds the write lock; the loop goes on meanwhile, and the call succeeds afterwards."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    async def main():
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(saver.adelete_thread("1"))
        for _ in range(10):
            await asyncio.sleep(0.005)
        assert not waiting.done()
        other.execute("COMMIT")
        await asyncio.wait_for(waiting, 5)

    with contextlib.closing(other):
        asyncio.run(main())


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


def test_task_paths_are_kept(saver, path):
    config = put(saver)
    asyncio.run(saver.aput_writes(config, [("channel", 1)], "task", "~the path"))
    saver.put_writes(config, [("channel", 2)], "task 2", task_path="~another")
    with contextlib.closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT task_path FROM writes ORDER BY task_id").fetchall() == [
            ("~the path",),
            ("~another",),
        ]


def delta_graph(saver: Any, frequency: int = 100) -> Any:
    def extend(state: list, updates: list[list]) -> list:
        return [*state, *itertools.chain.from_iterable(updates)]

    channel = DeltaChannel(extend, list, snapshot_frequency=frequency)
    builder = StateGraph(TypedDict("State", {"items": Annotated[list, channel]}))
    builder.add_node("node", lambda state: {"items": [len(state["items"])]})
    builder.add_edge(START, "node")
    return builder.compile(checkpointer=saver)


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


def test_shallow_copies_share_everything(path):
    """LangGraph makes one for each graph when it is told to be strict about types."""
    saver = DurableSaver(path, serde=JsonPlusSerializer(allowed_msgpack_modules=[]))
    clone = saver.with_allowlist([("crossthread.errors", "StoreError")])
    assert clone is not saver
    count = acounter(clone)
    assert asyncio.run(count.ainvoke("x", thread())) == 1
    assert counter(saver).invoke("x", thread()) == 2
    saver.close()
    with pytest.raises(StoreClosedError):
        clone.get_tuple(thread())


def test_langgraphs_own_saver_reads_and_writes_the_same_file(saver, path):
    assert counter(saver).invoke("x", thread()) == 1
    with SqliteSaver.from_conn_string(str(path)) as theirs:
        assert counter(theirs).invoke("x", thread()) == 2
    assert counter(saver).invoke("x", thread()) == 3


def test_the_conformance_suite_of_langgraph(tmp_path):
    """All capabilities, with the three that no stock saver has in full. Skipped where the suite is not installed."""
    conformance = pytest.importorskip("langgraph.checkpoint.conformance")

    @conformance.checkpointer_test(name="DurableSaver")
    async def durable():
        with DurableSaver(tmp_path / f"{time.monotonic_ns()}.db") as fresh:
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
def test_deleting_what_runs_have_saved(saver, asynchronous):
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
    with saver.cursor() as cursor:
        assert cursor.execute("SELECT count(*) FROM writes").fetchone() == (1,)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_pruning_keeps_the_latest(saver, asynchronous):
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
    with saver.cursor() as cursor:
        written = "SELECT DISTINCT checkpoint_id FROM writes WHERE thread_id = 'a'"
        assert {row[0] for row in cursor.execute(written)} <= {latest.checkpoint["id"]}
    assert len([*saver.list(thread("b"))]) > 1
    assert count.invoke("x", thread("a")) == 4
    prune(["a"], strategy="delete")
    assert saver.get_tuple(thread("a")) is None
    assert count.invoke("x", thread("b")) == 4


def test_pruning_leaves_writes_that_wait_for_their_checkpoint(saver):
    put(saver)
    early = {"configurable": {"thread_id": "1", "checkpoint_ns": "", "checkpoint_id": "not yet saved"}}
    saver.put_writes(early, [("channel", 1)], "task")
    saver.prune(["1"])
    with saver.cursor() as cursor:
        assert cursor.execute("SELECT checkpoint_id FROM writes").fetchall() == [("not yet saved",)]


def test_pruning_ends_where_parents_go_in_a_circle(saver):
    first = put(saver)["configurable"]["checkpoint_id"]
    with saver.cursor() as cursor:
        cursor.execute(
            "UPDATE checkpoints SET parent_checkpoint_id = checkpoint_id, metadata = ?",
            ['{"counters_since_delta_snapshot": {"items": [1, 1]}}'],
        )
    saver.prune(["1"])
    assert saver.get_tuple(thread()).checkpoint["id"] == first


def test_bad_arguments_are_refused(saver):
    with pytest.raises(InvalidArgumentError, match="'keep_latest' or 'delete', not 'newest'"):
        saver.prune(["1"], strategy="newest")
    with pytest.raises(InvalidArgumentError, match="thread_ids must be a list"):
        saver.prune("12")
    with pytest.raises(InvalidArgumentError, match="run_ids must be a list"):
        asyncio.run(saver.adelete_for_runs("12"))


# Durability and failures


def test_a_second_process_goes_on_where_the_first_was_killed(path):
    program = f"""
import os, signal
from langgraph.func import entrypoint
from crossthread.checkpointing import DurableSaver

@entrypoint(checkpointer=DurableSaver({str(path)!r}))
def count(text, *, previous):
    return (previous or 0) + 1

for _ in range(3):
    count.invoke("x", {{"configurable": {{"thread_id": "1"}}}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    with DurableSaver(path) as saver:
        assert counter(saver).invoke("x", thread()) == 4
        assert saver.conn.execute("PRAGMA synchronous").fetchone() == (2,)
        assert saver.conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_failed_write_leaves_nothing_of_itself(saver):
    config = put(saver)
    with pytest.raises(TypeError):
        saver.put_writes(config, [("good", 1), ("bad", threading.Lock())], "task")
    with pytest.raises(TypeError):
        asyncio.run(saver.aput_writes(config, [("good", 1), ("bad", threading.Lock())], "task"))
    assert saver.get_tuple(thread()).pending_writes == []
    with pytest.raises(StoreError, match="no such table: nowhere"), saver.cursor() as cursor:
        cursor.executemany("DELETE FROM checkpoints", [()]).execute("DELETE FROM nowhere")
    assert saver.get_tuple(thread()) is not None


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


def test_many_async_writes_share_commits(saver):
    commits = []
    saver.conn.set_trace_callback(lambda statement: commits.append(statement) if statement == "COMMIT" else None)
    config = put(saver)

    async def main():
        await asyncio.gather(*(saver.aput_writes(config, [("channel", n)], f"task {n}") for n in range(200)))

    asyncio.run(main())
    assert len(commits) < 50
    assert len(saver.get_tuple(thread()).pending_writes) == 200


def test_a_locked_file_is_busy(path, monkeypatch):
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)
    with DurableSaver(path) as saver, contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError):
            put(saver)

        async def main():
            return await asyncio.gather(*(saver.adelete_thread(str(n)) for n in range(5)), return_exceptions=True)

        assert {type(outcome) for outcome in asyncio.run(main())} == {StoreBusyError}
        other.execute("ROLLBACK")
        put(saver)


def test_a_closed_checkpointer_says_so(path):
    saver = DurableSaver(path)
    asyncio.run(saver.aput_writes(put(saver), [("channel", 1)], "task"))
    saver.close()
    saver.close()
    asyncio.run(saver.aclose())
    with pytest.raises(StoreClosedError):
        put(saver)
    with pytest.raises(StoreClosedError):
        asyncio.run(saver.aget_tuple(thread()))
    assert not [t for t in threading.enumerate() if t.name == "crossthread-checkpointer"]
    assert sorted(os.listdir(path.parent)) == ["agent.db"]  # no log is left behind


def test_async_with_closes(path):
    async def main():
        async with DurableSaver(path) as saver:
            await acounter(saver).ainvoke("x", thread())
        return saver

    with pytest.raises(StoreClosedError):
        asyncio.run(main()).get_tuple(thread())


def test_from_conn_string(path):
    with DurableSaver.from_conn_string(str(path)) as saver:
        assert isinstance(saver, DurableSaver)
        put(saver)
    with pytest.raises(StoreClosedError):
        saver.get_tuple(thread())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_opens_its_own_connection(saver):
    count = acounter(saver)
    asyncio.run(count.ainvoke("x", thread()))
    parents = saver.conn
    if (child := os.fork()) == 0:
        result = asyncio.run(count.ainvoke("x", thread()))
        os._exit(result if saver.conn is not parents else 99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    assert asyncio.run(count.ainvoke("x", thread())) == 3


def test_processes_open_a_new_file_at_once(path):
    program = f"""
import sys
from crossthread.checkpointing import DurableSaver
sys.stdin.readline()
DurableSaver({str(path)!r}).put({{"configurable": {{"thread_id": sys.argv[1], "checkpoint_ns": ""}}}},
    {{"id": "1", "channel_values": {{}}}}, {{}}, {{}})
"""
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(n)], stdin=subprocess.PIPE, text=True) for n in range(3)
    ]
    for process in started:
        process.stdin.write("go\n")
        process.stdin.close()
    assert [process.wait() for process in started] == [0] * len(started)
    with DurableSaver(path) as saver:
        assert len([*saver.list(None)]) == len(started)


def test_a_new_file_is_private(path):
    umask = os.umask(0)
    try:
        with DurableSaver(path) as saver:
            put(saver)
            modes = {name: stat.S_IMODE((path.parent / name).stat().st_mode) for name in os.listdir(path.parent)}
    finally:
        os.umask(umask)
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3


def test_a_missing_folder_and_a_folder_are_refused(tmp_path):
    with pytest.raises(StoreUnavailableError, match="does not exist"):
        DurableSaver(tmp_path / "nowhere" / "agent.db")
    with pytest.raises(StoreUnavailableError, match="is a folder"):
        DurableSaver(tmp_path)


def test_a_file_that_is_no_database_is_left_as_it_was(path):
    path.write_text("Dear diary")
    with pytest.raises(StoreCorruptError):
        DurableSaver(path)
    assert path.read_text() == "Dear diary"
    path.write_bytes(b"SQLite format 3\x00" + b"garbage" * 1000)
    with pytest.raises(StoreCorruptError):
        DurableSaver(path)


def test_a_read_only_file_is_read(path, monkeypatch):
    with DurableSaver(path) as saver:
        config = put(saver)
        saver.put_writes(config, [("channel", 1)], "a", task_path="~2")
        saver.put_writes(config, [("channel", 2)], "b", task_path="~1")
    # Permissions do not hold root back, so the check is replaced.
    monkeypatch.setattr("crossthread.engines.sqlite.shared.is_read_only", lambda path: True)
    with DurableSaver(path) as saver:
        assert [value for _, _, value in saver.get_tuple(thread()).pending_writes] == [2, 1]
        assert asyncio.run(saver.aget_tuple(thread())).checkpoint == saver.get_tuple(thread()).checkpoint
        with pytest.raises(StoreReadOnlyError):
            put(saver)

        async def main():
            return await asyncio.gather(*(saver.adelete_thread(n) for n in "123"), return_exceptions=True)

        assert {type(outcome) for outcome in asyncio.run(main())} == {StoreReadOnlyError}


def test_a_read_only_file_without_its_tables_opens_and_refuses(path, monkeypatch):
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (x)")
    monkeypatch.setattr("crossthread.engines.sqlite.shared.is_read_only", lambda path: True)
    with DurableSaver(path) as saver, pytest.raises(StoreReadOnlyError):
        saver.get_tuple(thread())


# Opening by url


def test_urls_are_those_of_the_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_checkpointer(":memory:"), InMemorySaver)
    for url in ("a.db", tmp_path / "b.db", "sqlite:///c.db", f"sqlite:///{tmp_path}/d.db"):
        with open_checkpointer(url) as saver:
            assert isinstance(saver, DurableSaver)
            put(saver)
    assert sorted(os.listdir()) == ["a.db", "b.db", "c.db", "d.db"]
    with pytest.raises(ConfigurationError):
        open_checkpointer("unheard-of://somewhere")


def test_places_of_other_engines_need_a_checkpointer_of_their_own():
    class Elsewhere(BlockingEngine):
        """An engine of another package."""

        from_url = open = None

        def run_all(self, batches):
            raise AssertionError("it is not asked for anything")

    with pytest.raises(ConfigurationError, match="checkpointer="):
        open_checkpointer(Elsewhere())

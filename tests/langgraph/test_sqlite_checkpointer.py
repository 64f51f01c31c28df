"""What is special about our checkpointer in a file: the file, its locks, and LangGraph's SQLite saver beside it."""

import asyncio
import contextlib
import os
import sqlite3
import stat

import pytest
from _savers import acounter, counter, put, thread
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver

from crossthread import (
    ConfigurationError,
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from crossthread.checkpointing.opening import open_checkpointer
from crossthread.checkpointing.sqlite import DurableSaver
from crossthread.engines.sqlite import connection


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent.db"


@pytest.fixture
def saver(path):
    with DurableSaver(path) as opened:
        yield opened


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


def test_langgraphs_own_saver_reads_and_writes_the_same_file(saver, path):
    assert counter(saver).invoke("x", thread()) == 1
    with SqliteSaver.from_conn_string(str(path)) as theirs:
        assert counter(theirs).invoke("x", thread()) == 2
    assert counter(saver).invoke("x", thread()) == 3


def test_it_waits_for_the_disk_and_reads_while_others_write(saver):
    assert saver.conn.execute("PRAGMA synchronous").fetchone() == (2,)
    assert saver.conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_failed_statement_undoes_its_transaction(saver):
    put(saver)
    with pytest.raises(StoreError, match="no such table: nowhere"), saver.cursor() as cursor:
        cursor.executemany("DELETE FROM checkpoints", [()]).execute("DELETE FROM nowhere")
    assert saver.get_tuple(thread()) is not None


def test_pruning_several_threads_is_one_transaction(saver, monkeypatch):
    for name in "ab":
        put(saver, name, parent=None)
        put(saver, name)
    keep_latest = saver._keep_latest

    def fail_at_the_second(thread_id):
        keep_latest(thread_id)
        if thread_id == "b":
            raise OSError("the power is gone")

    monkeypatch.setattr(saver, "_keep_latest", fail_at_the_second)
    with pytest.raises(OSError, match="the power is gone"):
        saver.prune(["a", "b"])
    assert len([*saver.list(None)]) == 4


def test_no_log_is_left_behind(path):
    saver = DurableSaver(path)
    put(saver)
    saver.close()
    assert os.listdir(path.parent) == ["agent.db"]


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_opens_its_own_connection(saver):
    asyncio.run(acounter(saver).ainvoke("x", thread()))
    parents = saver.conn
    if (child := os.fork()) == 0:
        counter(saver).invoke("x", thread())
        os._exit(saver.conn is parents)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


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

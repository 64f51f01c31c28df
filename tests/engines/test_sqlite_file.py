"""What only the embedded engine has: a file that may be missing, foreign, newer, read-only, full, shared or forked."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import GetOp, PutOp

from crossthread import Memory, MemoryStore
from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.engines.sqlite.limits import LIMITS
from crossthread.engines.sqlite.ranking import MadeFor, Ranking
from crossthread.errors import (
    ConfigurationError,
    CrossthreadError,
    IndexMismatchError,
    SchemaVersionError,
    StoreBusyError,
    StoreClosedError,
    StoreCorruptError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from crossthread.filters.parse import parse_filter
from crossthread.testing import HashEmbeddings, ManualClock
from processes import run_python

ADA = ("memories", "ada")


# Where the file is


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}"])
def test_a_path_and_a_url_name_the_same_file(tmp_path, form):
    path = tmp_path / "agent.db"
    with MemoryStore(form.format(path)) as store:
        store.put(ADA, "k", {"n": 1})
    with MemoryStore(path) as store:
        assert store.get(ADA, "k").value == {"n": 1}


def test_a_url_with_three_slashes_is_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    MemoryStore("sqlite:///here.db").close()
    assert (tmp_path / "here.db").exists()


@pytest.mark.parametrize("url", ["", None, 3, "nobody://x", "sqlite://", "sqlite:///", "a\x00b"])
def test_what_names_no_file_is_refused(url):
    with pytest.raises(ConfigurationError):
        MemoryStore(url)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(StoreUnavailableError, match="folder .*nowhere does not exist"):
        MemoryStore(tmp_path / "nowhere" / "agent.db")
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(StoreUnavailableError, match="is a folder"):
        MemoryStore(tmp_path)


def test_a_new_file_is_for_its_owner_only(tmp_path):
    path = tmp_path / "agent.db"
    with MemoryStore(path) as store:
        store.put(ADA, "k", {"n": 1})
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}, modes


def test_an_empty_file_is_a_new_store(tmp_path):
    path = tmp_path / "agent.db"
    path.touch()
    with MemoryStore(path) as store:
        store.put(ADA, "k", {"n": 1})
        assert store.count() == 1


# What is in the file


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 5000, b"x"])
def test_a_file_that_is_no_database_is_left_as_it_was(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(StoreCorruptError, match=r"notes\.txt"):
        MemoryStore(path)
    assert path.read_bytes() == content


def test_a_file_of_a_newer_release_is_left_as_it_was(tmp_path):
    path = tmp_path / "agent.db"
    with MemoryStore(path) as store:
        store.put(ADA, "k", {"n": 1})
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE crossthread_state SET schema_version = 99")
    before = path.read_bytes()
    with pytest.raises(SchemaVersionError, match="schema 99.*pip install -U"):
        MemoryStore(path)
    assert path.read_bytes() == before


def test_the_tables_of_others_stay_untouched(tmp_path):
    path = tmp_path / "shared.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE items (n)")
        connection.execute("INSERT INTO items VALUES (7)")
    with MemoryStore(path) as store:
        store.put(ADA, "k", {"n": 1})
        store.forget(())
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT n FROM items").fetchall() == [(7,)]


def test_opening_again_and_setting_up_again_change_nothing(tmp_path):
    path = tmp_path / "agent.db"
    with MemoryStore(path) as store:
        store.put(ADA, "k", {"n": 1})
    before = path.read_bytes()
    with MemoryStore(path) as store:
        store.setup()
        assert store.get(ADA, "k").value == {"n": 1}
    assert path.read_bytes() == before


def test_two_processes_that_create_the_file_at_once_do_it_once(tmp_path):
    code = """
        import sys
        from crossthread import MemoryStore
        with MemoryStore(sys.argv[1]) as store:
            store.put(("p",), sys.argv[2], {"n": 1})
    """
    path = tmp_path / "agent.db"
    threads = [threading.Thread(target=run_python, args=(code, path, i)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with MemoryStore(path) as store:
        assert store.count() == 3


# The vectors in the file


def test_dims_are_learnt_and_kept_in_the_file(tmp_path):
    path = tmp_path / "agent.db"
    with MemoryStore(path, index={"embed": HashEmbeddings(dims=8)}) as store:
        store.put(ADA, "k", {"text": "likes pizza"})
    with pytest.raises(IndexMismatchError, match="dims 8.*asks for 16"):
        MemoryStore(path, index={"embed": HashEmbeddings(dims=16), "dims": 16})
    with MemoryStore(path, index={"embed": HashEmbeddings(dims=8), "dims": 8}) as store:
        assert store.search(ADA, query="pizza")[0].key == "k"


def test_another_model_is_refused_where_both_are_known(tmp_path):
    path = tmp_path / "agent.db"
    embed = HashEmbeddings(dims=8)
    with MemoryStore(path, index={"embed": embed, "model": "one"}) as store:
        store.put(ADA, "k", {"text": "likes pizza"})
    with pytest.raises(IndexMismatchError, match="model 'one'.*asks for 'two'.*reembed"):
        MemoryStore(path, index={"embed": embed, "model": "two"})
    MemoryStore(path, index={"embed": embed.embed_documents}).close()
    with MemoryStore(path) as store:
        assert store.get(ADA, "k").value == {"text": "likes pizza"}


def test_two_stores_that_learn_different_models_at_once_do_not_mix(tmp_path):
    path = tmp_path / "agent.db"
    first = MemoryStore(path, index={"embed": HashEmbeddings(dims=8), "model": "one"})
    second = MemoryStore(path, index={"embed": HashEmbeddings(dims=8), "model": "two"})
    with first, second:
        first.put(ADA, "k", {"text": "likes pizza"})
        with pytest.raises(IndexMismatchError):
            second.put(ADA, "k2", {"text": "likes tea"})
        assert second.count() == 1


def test_a_store_without_index_still_drops_the_vectors_of_what_it_replaces(tmp_path):
    path = tmp_path / "agent.db"
    index = {"embed": HashEmbeddings(dims=8)}
    with MemoryStore(path, index=index) as store:
        store.put(ADA, "k", {"text": "likes pizza"})
    with MemoryStore(path) as store:
        store.put(ADA, "k", {"text": "likes tea"})
    with MemoryStore(path, index=index) as store:
        assert store.search(ADA, query="pizza") == []


@pytest.mark.parametrize("unindexed", [1, 7, 1000])
def test_nothing_is_left_behind_by_items_that_went(tmp_path, unindexed):
    path = tmp_path / "agent.db"
    engine = SQLiteEngine(path, limits=LIMITS._replace(unindexed=unindexed))
    with MemoryStore(engine, index={"embed": HashEmbeddings(dims=8), "fields": ["a", "b"]}) as store:
        for i in range(20):
            store.put(("n", str(i % 3)), str(i), {"a": f"text {i % 5}", "b": f"other {i}"}, ttl=0 if i > 15 else None)
        store.put(("n", "0"), "0", {"a": "only one"})
        store.put(("n", "1"), "1", {"a": "x"}, index=False)
        store.delete(("n", "2"), "2")
        store.sweep_ttl()
        with contextlib.closing(sqlite3.connect(path)) as connection:
            counts = """
                SELECT (SELECT count(*) FROM crossthread_texts
                        WHERE updated_at NOT IN (SELECT updated_at FROM crossthread_items)),
                       (SELECT count(*) FROM crossthread_texts),
                       (SELECT sum(length(texts)) / 16 FROM crossthread_items
                        WHERE updated_at <= (SELECT indexed_items FROM crossthread_state)),
                       (SELECT count(*) FROM crossthread_words('s*')),
                       (SELECT count(*) FROM crossthread_items
                        WHERE words <> '' AND updated_at <= (SELECT indexed_items FROM crossthread_state))
            """
            orphans, texts, hashes, indexed, worded = connection.execute(counts).fetchone()
            assert orphans == 0
            assert texts == (hashes or 0)
            assert indexed == worded
            assert (texts > 0) is (unindexed < 1000)
            left = "words IS NOT NULL OR texts IS NOT NULL OR namespace <> ''"
            assert connection.execute(f"SELECT count(*) FROM crossthread_erased WHERE {left}").fetchone() == (0,)
        store.forget(())
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM crossthread_texts").fetchone() == (0,)
            assert connection.execute("SELECT count(*) FROM crossthread_words('s* OR t*')").fetchone() == (0,)


# Choices


@pytest.mark.parametrize(("durability", "synchronous"), [("disk", 2), ("process", 1)])
def test_durability_is_what_the_commits_wait_for(tmp_path, durability, synchronous):
    with MemoryStore(tmp_path / "agent.db", durability=durability) as store:
        connection = store._engine._pool.borrow()
        assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
        store._engine._pool.give_back(connection)


def test_a_put_outlives_a_killed_process_whatever_the_durability(tmp_path):
    code = """
        import os, sys
        from crossthread import MemoryStore
        store = MemoryStore(sys.argv[1], durability="process")
        for i in range(50):
            store.put(("n",), str(i), {"i": i})
        print("written", flush=True)
        os.kill(os.getpid(), 9)
    """
    path = tmp_path / "agent.db"
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), path], capture_output=True, text=True)
    assert done.stdout == "written\n"
    with MemoryStore(path) as store:
        assert store.count(("n",)) == 50


@pytest.mark.parametrize("durability", ["fast", None, True, "Disk"])
def test_an_unknown_durability_is_refused(tmp_path, durability):
    with pytest.raises(ConfigurationError, match="durability must be 'disk' or 'process'"):
        MemoryStore(tmp_path / "agent.db", durability=durability)


def test_filters_on_fields_with_an_index_read_no_other_items(tmp_path):
    with MemoryStore(tmp_path / "agent.db", index={"filter_fields": ["kind", "user.plan", 'o"dd']}) as store:
        store.batch([PutOp(("u", str(i % 9)), str(i), {"kind": f"k{i % 50}", "user": {"plan": i}}) for i in range(500)])
        assert store.count(("u",), filter={"kind": "k7"}) == 10
        assert [hit.key for hit in store.search((), filter={"user.plan": {"$gt": 497}})] == ["499", "498"]
        connection = store._engine._pool.borrow()
        try:
            ranking = Ranking(connection, -1, store._engine._dialect, LIMITS, None, MadeFor(0, None))
            plans = []
            connection.set_trace_callback(plans.append)
            assert len(ranking.matching_ids("u.", parse_filter({"kind": "k7"}))) == 10
            connection.set_trace_callback(None)
            details = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {plans[-1]}")]
            assert "crossthread_filter_" in details[0]
        finally:
            store._engine._pool.give_back(connection)  # close() waits for it


def test_words_not_yet_indexed_are_read_once_and_from_the_end_of_the_table(tmp_path):
    engine = SQLiteEngine(tmp_path / "agent.db", limits=LIMITS._replace(few_words=0, many_words=0))
    with MemoryStore(engine, index={"fields": ["text"]}) as store:
        for i in range(20):
            store.put(("u", str(i % 3)), str(i), {"text": f"tea {i}"})
        connection = engine._pool.borrow()
        engine._pool.give_back(connection)
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        assert len(store.search(("u",), query="tea 7", limit=20)) == 20
        connection.set_trace_callback(None)
        (reading,) = [one for one in statements if "updated_at >" in one]
        (detail,) = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {reading}")]
        assert "USING INTEGER PRIMARY KEY (rowid>?)" in detail


# When the file cannot be written


def read_without_rights(path: Path, answers: "multiprocessing.SimpleQueue[object]") -> None:
    """Use a store whose file may not be written; root may write anything, so somebody else does it then."""
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    try:
        with MemoryStore(path, index={"embed": HashEmbeddings(dims=8)}) as store:
            assert store.get(ADA, "k").value == {"text": "likes pizza"}
            assert store.search((), query="pizza")[0].key == "k"
            for write in (lambda: store.put(("a",), "k", {}), lambda: store.forget(())):
                with pytest.raises(StoreReadOnlyError, match=r"agent\.db cannot be written"):
                    write()
            assert store.count() == 1
    except BaseException as error:
        answers.put(repr(error))
    else:
        answers.put("as expected")


@pytest.mark.parametrize("folder_mode", [0o777, 0o555], ids=["folder writable", "folder read-only"])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX permissions")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_read_only_file_can_be_read_and_says_so_when_written(tmp_path, folder_mode):
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "agent.db"
    with MemoryStore(path, index={"embed": HashEmbeddings(dims=8)}) as store:
        store.put(ADA, "k", {"text": "likes pizza"}, ttl=60)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path(parent.anchor):
            parent.chmod(parent.stat().st_mode | 0o011)
    tmp_path.chmod(0o755)
    path.chmod(0o444)
    folder.chmod(folder_mode)
    before = path.read_bytes()
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=read_without_rights, args=(path, answers))
    child.start()
    assert answers.get() == "as expected"
    child.join()
    folder.chmod(0o777)
    assert path.read_bytes() == before


def test_a_full_disk_is_said_and_nothing_is_half_written(tmp_path):
    with MemoryStore(tmp_path / "agent.db", index={"embed": HashEmbeddings(dims=8)}) as store:
        store.put(ADA, "k", {"text": "likes pizza"})
        engine = store._engine
        assert isinstance(engine, SQLiteEngine)
        connection = engine._pool.borrow()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        engine._pool.give_back(connection)
        big = {"text": "x" * 100_000}
        with pytest.raises(StoreFullError, match="disk is full"):
            store.batch([PutOp(ADA, "small", {"text": "tea"}), PutOp(ADA, "big", big)])
        assert [item.key for item in store.search(ADA)] == ["k"]
        connection = engine._pool.borrow()
        connection.execute("PRAGMA max_page_count = 1000000")
        engine._pool.give_back(connection)
        store.batch([PutOp(ADA, "small", {"text": "tea"}), PutOp(ADA, "big", big)])
        assert store.count(ADA) == 3


def test_a_file_that_stays_locked_is_an_error_that_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr("crossthread.engines.sqlite.connection.BUSY_SECONDS", 0.05)
    path = tmp_path / "agent.db"
    with MemoryStore(path) as store, contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match=r"agent\.db was locked"):
            store.put(ADA, "k", {"n": 1})
        assert store.get(ADA, "k") is None
        other.execute("COMMIT")
        store.put(ADA, "k", {"n": 1})
        assert store.get(ADA, "k").value == {"n": 1}


def test_every_error_of_the_file_is_ours():
    for error in (StoreBusyError, StoreFullError, StoreReadOnlyError, StoreCorruptError, StoreUnavailableError):
        assert issubclass(error, CrossthreadError)


# Several at once


def test_what_another_process_writes_is_found_by_the_next_search(tmp_path):
    path = tmp_path / "agent.db"
    with MemoryStore(path, index={"embed": HashEmbeddings(dims=8)}) as store:
        store.put(ADA, "tea", {"text": "likes tea"})
        assert [item.key for item in store.search(ADA, query="tea")] == ["tea"]
        run_python(
            """
            import sys
            from crossthread import MemoryStore
            from crossthread.testing import HashEmbeddings
            with MemoryStore(sys.argv[1], index={"embed": HashEmbeddings(dims=8)}) as store:
                store.put(("memories", "ada"), "more", {"text": "likes tea"})
                store.delete(("memories", "ada"), "tea")
            """,
            path,
        )
        assert [item.key for item in store.search(ADA, query="tea")] == ["more"]


def test_processes_and_threads_count_up_together_and_lose_nothing(tmp_path):
    code = """
        import sys, threading
        from crossthread import MemoryStore
        with MemoryStore(sys.argv[1]) as store:
            def count_up():
                for _ in range(20):
                    store.update(("c",), "n", lambda value: {"n": value["n"] + 1}, default={"n": 0})
            threads = [threading.Thread(target=count_up) for _ in range(3)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
    """
    path = tmp_path / "agent.db"
    processes = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), path], stderr=subprocess.PIPE) for _ in range(3)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    with MemoryStore(path) as store:
        assert store.get(("c",), "n").value == {"n": 180}


def test_what_put_returned_from_survives_a_kill(tmp_path):
    code = """
        import itertools, sys
        from crossthread import MemoryStore
        store = MemoryStore(sys.argv[1])
        for i in itertools.count():
            store.put(("k",), str(i), {"i": i})
            print(i, flush=True)
    """
    path = tmp_path / "agent.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), path], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(25)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
    writer.wait()
    writer.stdout.close()
    with MemoryStore(path) as store:
        kept = {item.value["i"] for item in store.search(("k",), limit=10**9)}
        assert set(acknowledged) <= kept
        assert len(kept) <= len(acknowledged) + 1
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _child_of_fork(store: MemoryStore, answers: "multiprocessing.SimpleQueue[object]") -> None:
    store.put(ADA, "child", {"n": 2})
    answers.put(sorted(item.key for item in store.search(ADA)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_uses_the_store_with_connections_of_its_own(tmp_path):
    context = multiprocessing.get_context("fork")
    with MemoryStore(tmp_path / "agent.db") as store:
        store.put(ADA, "parent", {"n": 1})
        answers = context.SimpleQueue()
        child = context.Process(target=_child_of_fork, args=(store, answers))
        child.start()
        assert answers.get() == ["child", "parent"]
        child.join()
        assert child.exitcode == 0
        store.put(ADA, "later", {"n": 3})
        assert sorted(item.key for item in store.search(ADA)) == ["child", "later", "parent"]


# Connections


def open_files(path: Path) -> int:
    folder = Path("/proc/self/fd")
    return sum(1 for fd in folder.iterdir() if os.path.realpath(fd).startswith(str(path)))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_close_gives_every_file_back_also_while_threads_are_at_work(tmp_path):
    path = tmp_path / "agent.db"
    store = MemoryStore(path)
    started = threading.Barrier(5)
    errors = []

    def work(name: str) -> None:
        started.wait()
        try:
            for i in range(10_000):
                store.batch([PutOp(("t", name), str(i % 9), {"i": i}), GetOp(("t", name), "0")])
                store.search(("t",))
        except StoreClosedError:
            pass
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    time.sleep(0.05)
    store.close()
    assert open_files(path) == 0
    for thread in threads:
        thread.join()
    assert not errors
    store.close()
    assert not path.with_name("agent.db-wal").exists()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_forgotten_store_is_closed(tmp_path):
    path = tmp_path / "agent.db"
    store = MemoryStore(path, ttl={"sweep_interval_minutes": 60})
    store.put(ADA, "k", {"n": 1})
    del store
    for _ in range(100):  # the sweeper's thread ends by itself
        if not open_files(path):
            break
        time.sleep(0.01)
    assert open_files(path) == 0


def test_a_failed_opening_leaves_nothing_open(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"no database" * 500)
    with pytest.raises(StoreCorruptError):
        MemoryStore(path)
    if Path("/proc/self/fd").exists():
        assert open_files(path) == 0


# Locks: SQLite's are the process's, and POSIX drops them all when any handle of the file is closed


OTHER_WRITER = """
    import sys
    from crossthread import MemoryStore
    with MemoryStore(sys.argv[1]) as store:
        store.put(("p",), "other", {"n": 1})
"""


@pytest.mark.parametrize("also", ["nothing", "setup", "second store", "memory"])
def test_what_was_put_around_another_process_closing_is_kept(tmp_path, also):
    path = tmp_path / "agent.db"
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(Memory(path) if also == "memory" else MemoryStore(path))
        store = opened.store if isinstance(opened, Memory) else opened
        store.put(("p",), "before", {"n": 1})
        if also == "setup":
            store.setup()
        elif also == "second store":
            stack.enter_context(MemoryStore(path))
        run_python(OTHER_WRITER, path)
        store.put(("p",), "after", {"n": 1})
        seen = run_python(
            """
            import sys
            from crossthread import MemoryStore
            with MemoryStore(sys.argv[1]) as store:
                print(*sorted(item.key for item in store.search(("p",))))
            """,
            path,
        )
        assert seen.stdout.split() == ["after", "before", "other"]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _child_between(store: MemoryStore, go: Any, answers: Any) -> None:
    store.put(ADA, "child1", {"n": 1})
    answers.put("first")
    go.wait()
    store.put(ADA, "child2", {"n": 1})
    store.close()
    answers.put("second")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_keeps_its_puts_when_the_parent_closes(tmp_path):
    context = multiprocessing.get_context("fork")
    path = tmp_path / "agent.db"
    go, answers = context.Event(), context.SimpleQueue()
    with MemoryStore(path) as store:
        store.put(ADA, "parent", {"n": 1})
        child = context.Process(target=_child_between, args=(store, go, answers))
        child.start()
        assert answers.get() == "first"
    go.set()
    assert answers.get() == "second"
    child.join()
    with MemoryStore(path) as store:
        assert sorted(item.key for item in store.search(ADA)) == ["child1", "child2", "parent"]


@pytest.mark.parametrize("url", [":memory:", "agent.db"])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forking_while_other_threads_write_leaves_no_child_hanging(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    context = multiprocessing.get_context("fork")
    stop = threading.Event()
    with MemoryStore(url) as store:

        def write() -> None:
            while not stop.is_set():
                store.put(ADA, "busy", {"n": 1})

        threads = [threading.Thread(target=write) for _ in range(2)]
        for thread in threads:
            thread.start()
        children = [context.Process(target=store.put, args=(ADA, str(i), {"n": i})) for i in range(5)]
        for child in children:
            child.start()
        for child in children:
            child.join(20)
        stop.set()
        for thread in threads:
            thread.join()
        assert [child.exitcode for child in children] == [0] * 5


def test_a_file_that_was_removed_is_not_made_anew(tmp_path):
    path = tmp_path / "agent.db"
    with MemoryStore(path) as store:
        store.put(ADA, "k", {"n": 1})
        engine = store._engine
        assert isinstance(engine, SQLiteEngine)
        lent = engine._pool.borrow()
        for file in tmp_path.iterdir():
            file.unlink()
        with pytest.raises(StoreUnavailableError):
            store.get(ADA, "k")
        engine._pool.give_back(lent)
        assert not path.exists()


# Odd paths


@pytest.mark.parametrize("url", ["file:agent.db", "file:///tmp/agent.db?mode=ro", "file::memory:?cache=shared"])
def test_a_uri_of_sqlite_is_no_path(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="write the path alone"):
        MemoryStore(url)
    assert list(tmp_path.iterdir()) == []
    with MemoryStore(f"./{url[:7]}") as store:  # which is one all the same
        store.put(ADA, "k", {"n": 1})


@pytest.mark.parametrize("name", ["x" * 300, "loop.db", "dangling/agent.db"])
def test_a_path_that_leads_nowhere_is_told(tmp_path, name):
    (tmp_path / "loop.db").symlink_to(tmp_path / "loop.db")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreUnavailableError, match=name[:4]):
        MemoryStore(tmp_path / name)
    with pytest.raises(ConfigurationError, match="surrogate"):
        MemoryStore(str(tmp_path / "\ud800.db"))


def test_what_is_no_file_is_told(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path(os.devnull)):
        with pytest.raises(StoreUnavailableError, match=path.name):
            MemoryStore(path)


def test_odd_names_are_names(tmp_path):
    for name in ("a?mode=ro#b%20c.db", "ü 🍕\n.db", "'; DROP TABLE x; --.db", "\udcff.db", "-wal"):
        with MemoryStore(tmp_path / name) as store:
            store.put(ADA, "k", {"n": 1})
            assert (tmp_path / name).exists()
        with MemoryStore(tmp_path / name) as store:
            assert store.get(ADA, "k").value == {"n": 1}


def test_a_link_to_a_file_that_is_not_there_yet_makes_it(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "agent.db").symlink_to(tmp_path / "data" / "real.db")
    with MemoryStore(tmp_path / "agent.db") as store:
        store.put(ADA, "k", {"n": 1})
        assert {path.name for path in (tmp_path / "data").iterdir()} == {"real.db", "real.db-wal", "real.db-shm"}
    assert (tmp_path / "data" / "real.db").stat().st_mode & 0o777 == 0o600


def test_two_paths_of_one_file_are_one_store(tmp_path):
    """Through a link to the file, a link to its folder, and a roundabout path, in one process and in two."""
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "other.db").symlink_to(tmp_path / "agent.db")
    paths = [
        tmp_path / "agent.db",
        tmp_path / "other.db",
        tmp_path / "link" / "agent.db",
        tmp_path / "link" / ".." / tmp_path.name / "other.db",
    ]
    stores = [MemoryStore(path, index={"fields": ["text"]}) for path in paths]
    for n, store in enumerate(stores):
        store.put(ADA, f"{n}", {"text": f"tea {n}"})
        store.update(("c",), "n", lambda value: {"n": value["n"] + 1}, default={"n": 0})
        for other in stores:
            assert other.get(("c",), "n").value == {"n": n + 1}
            assert other.search(ADA, query=f"{n}")[0].key == f"{n}"
    for path in paths:
        run_python(
            """
            import sys
            from crossthread import MemoryStore
            with MemoryStore(sys.argv[1], index={"fields": ["text"]}) as store:
                store.update(("c",), "n", lambda value: {"n": value["n"] + 1})
            """,
            path,
        )
    assert [store.get(("c",), "n").value for store in stores] == [{"n": 8}] * 4
    for store in stores:
        assert store.verify()
        store.close()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_without_the_rights_is_told_so(request):
    """A process of another user, for each way in which rights may be missing."""
    folder = Path(tempfile.mkdtemp())  # not in the folder of these tests, which nobody else may enter
    request.addfinalizer(lambda: shutil.rmtree(folder))
    with MemoryStore(folder / "agent.db") as store:
        store.put(ADA, "k", {"n": 1})
    program = """
        import os, sys
        from pathlib import Path
        from crossthread import MemoryStore
        from crossthread.errors import StoreReadOnlyError, StoreUnavailableError

        with MemoryStore(sys.argv[1] + ".other") as other:  # whoever may not read this file may not import Python's
            other.get(("a",), "k")
        os.remove(sys.argv[1] + ".other")
        os.setgid(65534)
        os.setuid(65534)
        path, can = Path(sys.argv[1]), sys.argv[2]
        try:
            store = MemoryStore(path)
            assert store.get(("memories", "ada"), "k").value == {"n": 1}
        except StoreUnavailableError as error:
            assert can == "nothing" and str(path) in str(error), (can, error)
            sys.exit()
        assert can != "nothing"
        try:
            store.put(("memories", "ada"), "new", {"n": 1})
        except StoreReadOnlyError as error:
            assert can == "read" and str(path) in str(error), (can, error)
            sys.exit()
        assert can == "write"
    """
    for folder_mode, mode, can in (
        (0o755, 0o000, "nothing"),
        (0o755, 0o222, "nothing"),
        (0o755, 0o444, "read"),
        (0o755, 0o666, "read"),  # there is no place for a log
        (0o700, 0o666, "nothing"),
        (0o777, 0o444, "read"),
        (0o777, 0o666, "write"),
    ):
        folder.chmod(folder_mode)
        (folder / "agent.db").chmod(mode)
        run_python(program, folder / "agent.db", can)
        with MemoryStore(folder / "agent.db") as store:
            assert store.verify()
    folder.chmod(0o755)
    run_python(program, folder / "new.db", "nothing")


def test_a_large_batch_of_new_and_known_items(tmp_path):
    """Puts of a batch share statements; those that replace something keep its birth, unless that had expired."""
    clock = ManualClock()
    with MemoryStore(
        tmp_path / "agent.db", index={"embed": HashEmbeddings(dims=8), "mode": "hybrid"}, clock=clock
    ) as s:
        lives = [None if n % 10 else 1 for n in range(300)]
        s.batch([PutOp(("u", str(n % 7)), str(n), {"text": f"first {n}"}, ttl=ttl) for n, ttl in enumerate(lives)])
        before = {n: s.get(("u", str(n % 7)), str(n), refresh_ttl=False).created_at for n in range(300)}
        clock.advance(minutes=2)
        numbers = [*range(200, 450), 7, 10]
        s.batch([PutOp(("u", str(n % 7)), str(n), {"text": f"second {n}"}) for n in numbers])
        found = [s.get(("u", str(n % 7)), str(n)) for n in numbers]
        for n, item in zip(numbers, found, strict=True):
            assert item.value == {"text": f"second {n}"}
            is_old = n < 300 and n % 10
            assert (item.created_at == before[n]) if is_old else (item.created_at == item.updated_at)
        times = [item.updated_at for item in found]
        assert times == sorted(set(times))  # in the order of the batch
        assert not s.search((), query="first 250", mode="keyword", filter={"text": "first 250"})
        assert s.search((), query="second 250", mode="keyword")[0].value == {"text": "second 250"}
        assert s.verify()

"""A file that is renamed, replaced or removed while it is open: no write is acknowledged that nobody will find."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossthread import Memory, MemoryStore
from crossthread.checkpointing.sqlite import DurableSaver
from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.errors import StoreCorruptError, StoreError, StoreUnavailableError
from processes import run_python

ADA = ("memories", "ada")
SOON = 0.15  # seconds; a reader looks ten times a second
EVERYTHING = ("", "-wal", "-shm")


def remove(path: Path) -> None:
    path.unlink()


def remove_everything(path: Path) -> None:
    for end in EVERYTHING:
        Path(f"{path}{end}").unlink()


def move(path: Path) -> None:
    path.rename(f"{path}.moved")


def move_everything(path: Path) -> None:
    for end in EVERYTHING:
        Path(f"{path}{end}").rename(path.with_name("moved.db" + end))


def put_another_in_its_place(path: Path) -> None:
    path.with_name("other.db").rename(path)


def put_a_copy_in_its_place(path: Path) -> None:
    shutil.copy(path, f"{path}.copy")
    Path(f"{path}.copy").rename(path)


def remove_the_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def remove_the_index_of_the_log(path: Path) -> None:
    Path(f"{path}-shm").unlink()


def put_another_log_in_its_place(path: Path) -> None:
    shutil.copy(f"{path}-wal", f"{path}.log")
    Path(f"{path}.log").rename(f"{path}-wal")


def empty(path: Path) -> None:
    os.truncate(path, 0)


DEEDS = [
    remove,
    remove_everything,
    move,
    move_everything,
    put_another_in_its_place,
    put_a_copy_in_its_place,
    remove_the_log,
    remove_the_index_of_the_log,
    put_another_log_in_its_place,
    empty,
]

needs_posix = pytest.mark.skipif(os.name == "nt", reason="Windows keeps open files where they are")
pytestmark = needs_posix


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with MemoryStore(tmp_path / "other.db") as other:
        other.put(ADA, "other", {"n": 1})
    return tmp_path / "agent.db"


@pytest.mark.parametrize("deed", DEEDS)
def test_no_write_is_acknowledged_and_every_call_says_so(path, deed):
    expected = StoreCorruptError if deed is empty else StoreUnavailableError
    with MemoryStore(path) as store:
        store.put(ADA, "old", {"n": 1})
        assert store.get(ADA, "old")
        deed(path)
        writes: list[Callable[[], Any]] = [
            lambda: store.put(ADA, "new", {"n": 2}),
            lambda: store.delete(ADA, "old"),
            lambda: store.update(ADA, "old", lambda value: {"n": 3}),
            lambda: store.forget(ADA),
            store.sweep_ttl,
            store.verify,
            store.erase_traces,
            lambda: store.backup(path.with_name("backup.db")),
        ]
        for write in writes:
            with pytest.raises(expected, match=r"agent\.db"):
                write()
        time.sleep(SOON)
        for _ in range(3):  # a reader that has found out does not forget
            with pytest.raises(expected, match=r"agent\.db"):
                store.get(ADA, "old")
            with pytest.raises(expected, match=r"agent\.db"):
                store.search(ADA)
    assert not path.with_name("backup.db").exists()


@pytest.mark.parametrize("durability", ["disk", "process"])
@pytest.mark.parametrize("deed", [move, move_everything])
def test_it_works_again_when_the_file_is_back(path, deed, durability):
    with MemoryStore(path, durability=durability) as store:
        store.put(ADA, "old", {"n": 1})
        deed(path)
        time.sleep(SOON)
        with pytest.raises(StoreUnavailableError, match="was removed"):
            store.put(ADA, "new", {"n": 2})
        for moved in sorted(path.parent.glob("*moved*")):
            moved.rename(path.with_name(moved.name.replace("moved.db", "agent.db").replace(".moved", "")))
        assert [item.key for item in store.search(ADA)] == ["old"]
        store.put(ADA, "new", {"n": 3})
    with MemoryStore(path, durability=durability) as store:
        assert {item.key for item in store.search(ADA)} == {"old", "new"}
        assert store.verify()


def test_what_was_written_before_its_log_was_removed_is_in_the_file_after_closing(path):
    with MemoryStore(path) as store:
        for n in range(100):
            store.put(ADA, str(n), {"n": n})
        remove_the_log(path)
        with pytest.raises(StoreUnavailableError, match="agent.db-wal, which belongs to"):
            store.put(ADA, "new", {"n": 1})
    with MemoryStore(path) as store:
        assert store.count() == 100
        assert store.verify()
        store.put(ADA, "new", {"n": 1})


def test_a_new_connection_to_another_file_is_refused(path):
    """A thread that needs a connection of its own would work on the new file, others on the earlier one."""
    with MemoryStore(path) as store:
        store.put(ADA, "old", {"n": 1})
        engine = store._engine
        assert isinstance(engine, SQLiteEngine)
        lent = engine._pool.borrow()
        remove_everything(path)
        path.with_name("other.db").rename(path)
        with pytest.raises(StoreUnavailableError, match="was replaced by another file"):
            store.get(ADA, "old")
        engine._pool.give_back(lent)
    with MemoryStore(path) as store:
        assert [item.key for item in store.search(())] == ["other"]


def test_writers_at_full_speed_are_acknowledged_nothing_that_is_lost(path):
    """The file moves at any moment; what was acknowledged is in it, and nothing afterwards is acknowledged."""
    for round_ in range(5):
        told: list[int] = []
        moved = path.with_name(f"moved-{round_}.db")

        def write(store: MemoryStore, told: list[int]) -> None:
            with contextlib.suppress(StoreUnavailableError):
                for n in range(100_000):
                    store.put(ADA, str(n), {"n": n})
                    told.append(n)

        with MemoryStore(path) as store:
            writer = threading.Thread(target=write, args=(store, told))
            writer.start()
            time.sleep(0.05)
            path.rename(moved)
            acknowledged = len(told)
            writer.join(20)
            assert not writer.is_alive()
            assert len(told) <= acknowledged + 1
            for end in EVERYTHING[1:]:
                Path(f"{path}{end}").rename(f"{moved}{end}")
        with MemoryStore(moved) as store:
            found = {item.key for item in store.search(ADA, limit=10**6)}
            assert {str(n) for n in told} <= found
            assert store.verify()


def test_the_files_of_another_process_that_closes_last_are_no_replacement(path):
    """The log goes when the last store is closed, and another one comes; a store that is open all the time keeps it."""
    program = f"""
        from crossthread import MemoryStore
        for n in range(5):
            with MemoryStore({str(path)!r}) as store:
                store.put(("memories", "other"), str(n), {{"n": n}})
    """
    with MemoryStore(path) as store:
        store.put(ADA, "k", {"n": 1})
        run_python(program)
        store.put(ADA, "k", {"n": 2})
        store.erase_traces()  # which empties the log
        store.put(ADA, "k", {"n": 3})
        engine = store._engine
        assert isinstance(engine, SQLiteEngine)
        for _ in range(3):
            engine._pool._close_idle()  # as before a fork: nobody has the file open, and its log goes
            assert not Path(f"{path}-wal").exists()
            run_python(program)
            store.put(ADA, "k", {"n": 3})
        assert store.count() == 6


def test_threads_are_guarded_alike(path):
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    with Memory(path) as memory:

        @memory.entrypoint
        def chat(message: str, *, previous: Any = None) -> str:
            return f"{previous} {message}"

        chat.invoke("one", config)
        assert isinstance(memory.checkpointer, DurableSaver)
        path.rename(f"{path}.moved")
        with pytest.raises(StoreError, match="was removed"):
            chat.invoke("two", config)
        time.sleep(SOON)
        with pytest.raises(StoreError, match="was removed"):
            memory.checkpointer.get_tuple(config)
        Path(f"{path}.moved").rename(path)
        assert chat.invoke("three", config) == "one three" or chat.invoke("four", config)


def test_a_link_that_points_elsewhere_is_another_file(tmp_path):
    real, other, link = tmp_path / "real.db", tmp_path / "other.db", tmp_path / "agent.db"
    for path in (real, other):
        MemoryStore(path).close()
    link.symlink_to(real)
    with MemoryStore(link) as store:
        store.put(ADA, "k", {"n": 1})
        assert (tmp_path / "real.db-wal").exists()
        link.unlink()
        link.symlink_to(other)
        with pytest.raises(StoreUnavailableError, match="replaced"):
            store.put(ADA, "k", {"n": 2})
        link.unlink()
        link.symlink_to(real)
        store.put(ADA, "k", {"n": 3})
    with MemoryStore(real) as store:
        assert store.get(ADA, "k").value == {"n": 3}


def test_looking_costs_a_write_little(path, monkeypatch):
    """By the number of questions to the file system, four a commit; get and search ask ten times a second at most."""
    asked: list[str] = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda name, **options: (asked.append(str(name)), stat(name, **options))[1])
    with MemoryStore(path) as store:
        store.put(ADA, "k", {"n": 1})
        store.put(ADA, "k", {"n": 1})
        asked.clear()
        store.put(ADA, "k", {"n": 1})
        assert len(asked) == 4
        time.sleep(SOON)
        asked.clear()
        for _ in range(100):
            store.get(ADA, "k")
        assert 3 <= len(asked) <= 6


def test_what_others_write_by_hand_into_the_tables_is_no_replacement(path):
    with MemoryStore(path) as store:
        store.put(ADA, "k", {"n": 1})
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE mine (n)")
        connection.close()
        store.put(ADA, "k", {"n": 2})

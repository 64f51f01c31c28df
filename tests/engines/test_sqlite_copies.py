"""Copies of a file: backups of a live store, and the one kept while a file of an earlier release is migrated."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sqlite3
import threading
from typing import Any

import pytest
from langgraph.store.base import PutOp
from test_sqlite_migration import old_file

from crossthread import (
    InvalidArgumentError,
    Memory,
    MemoryStore,
    StoreClosedError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)
from crossthread.engines.migrations import load_migrations
from crossthread.engines.sqlite import copying
from crossthread.testing import HashEmbeddings
from processes import run_python
from servers import schema_for, store_url

KEPT = f"before-schema-{load_migrations('crossthread.engines.sqlite')[-1].number}"

ADA = ("memories", "ada")
INDEX: Any = {"embed": HashEmbeddings(dims=8), "dims": 8, "fields": ["text"]}


def names(folder: Any) -> set[str]:
    return {file.name for file in folder.iterdir()}


# Backups


def test_a_backup_is_a_store_like_the_original(tmp_path):
    told: list[tuple[int, int]] = []
    with MemoryStore(tmp_path / "agent.db", index=INDEX) as store:
        store.batch([PutOp(ADA, str(n), {"text": f"tea {n} " + "x" * 3000}) for n in range(500)])
        store.backup(tmp_path / "copy.db", progress=lambda done, total: told.append((done, total)))
        assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
        assert len(told) > 1
        assert told == sorted(told)
        assert told[-1][0] == told[-1][1] == (tmp_path / "copy.db").stat().st_size
        store.put(ADA, "later", {"text": "coffee"})
        asyncio.run(store.abackup(tmp_path / "later.db"))
        assert not [name for name in names(tmp_path) if "partial" in name]
        assert store.verify().ok
    for name, count in (("copy.db", 500), ("later.db", 501)):
        with MemoryStore(tmp_path / name, index=INDEX) as copy:
            assert copy.verify().ok
            assert copy.count() == count
            assert copy.search(ADA, query="tea 7", limit=1)
            copy.put(ADA, "own", {"text": "milk"})
    with pytest.raises(StoreClosedError):
        store.backup(tmp_path / "closed.db")


def test_threads_are_copied_with_the_memories(tmp_path):
    thread: Any = {"configurable": {"thread_id": "1"}}
    for name in ("agent.db", "copy.db"):
        with Memory(tmp_path / name) as memory:

            @memory.entrypoint
            def count(word: str, *, previous: int | None) -> int:
                return (previous or 0) + 1

            assert count.invoke("x", thread) == (1 if name == "agent.db" else 2)
            if name == "agent.db":
                memory.store.backup(tmp_path / "copy.db")


def test_a_backup_is_of_one_moment_and_ends_while_others_write(tmp_path, monkeypatch):
    """Each write moves a sum from one item to another, so that any moment has the same total; no writer waits."""
    monkeypatch.setattr(copying, "_PAGES", 4)
    written = 0
    stop = threading.Event()

    def write() -> None:
        nonlocal written
        with MemoryStore(tmp_path / "agent.db", index=INDEX) as other:
            while not stop.is_set():
                a, b = written % 40, (written * 7 + 1) % 40
                if a != b:
                    items = [other.get(ADA, str(n)) for n in (a, b)]
                    sums = [item.value["n"] if item else 0 for item in items]
                    pad = {"text": "x" * 2000}
                    other.batch(
                        [PutOp(ADA, str(a), {"n": sums[0] - 1, **pad}), PutOp(ADA, str(b), {"n": sums[1] + 1, **pad})]
                    )
                written += 1

    with MemoryStore(tmp_path / "agent.db", index=INDEX) as store:
        store.batch([PutOp(ADA, str(n), {"n": 0, "text": "x" * 2000}) for n in range(40)])
        store.batch([PutOp(ADA, f"more{n}", {"n": 0, "text": "x" * 4000}) for n in range(100)])
        writer = threading.Thread(target=write)
        writer.start()
        try:
            counts = []
            for n in range(5):
                before = written
                store.backup(tmp_path / f"{n}.db")
                counts.append(written - before)
        finally:
            stop.set()
            writer.join()
    assert min(counts) > 0, "the writer went on during each copy"
    for n in range(5):
        with MemoryStore(tmp_path / f"{n}.db", index=INDEX) as copy:
            assert copy.verify().ok
            assert sum(item.value["n"] for item in copy.search(ADA, limit=200)) == 0


def test_a_backup_overwrites_nothing(tmp_path, monkeypatch):
    with MemoryStore(tmp_path / "agent.db") as store:
        for taken in ("agent.db", "notes.txt", "folder", "link"):
            path = tmp_path / taken
            if taken == "notes.txt":
                path.write_text("mine")
            elif taken == "folder":
                path.mkdir()
            elif taken == "link":
                path.symlink_to(tmp_path / "nowhere")
            with pytest.raises(InvalidArgumentError, match=f"{taken} exists already"):
                store.backup(path)
        assert (tmp_path / "notes.txt").read_text() == "mine"

        # Somebody else takes the name while the copy is made; once with, once without links.
        def take(done: int, total: int) -> None:
            (tmp_path / "raced.db").write_text("theirs")

        for _ in range(2):
            with pytest.raises(InvalidArgumentError, match="exists already"):
                store.backup(tmp_path / "raced.db", progress=take)
            assert (tmp_path / "raced.db").read_text() == "theirs"
            (tmp_path / "raced.db").unlink()
            monkeypatch.setattr(os, "link", _no_links)
        store.backup(tmp_path / "copied.db")
        assert not [name for name in names(tmp_path) if "partial" in name]


def _no_links(*_: object) -> None:
    raise OSError(1, "Operation not permitted")


def test_a_backup_that_fails_leaves_nothing(tmp_path):
    with MemoryStore(tmp_path / "agent.db") as store:
        store.batch([PutOp(ADA, str(n), {"text": "x" * 4000}) for n in range(400)])
        with pytest.raises(StoreUnavailableError, match="nowhere"):
            store.backup(tmp_path / "nowhere" / "copy.db")

        def fail(done: int, total: int) -> None:
            raise LookupError("enough")

        with pytest.raises(LookupError, match="enough"):
            store.backup(tmp_path / "copy.db", progress=fail)
        before = names(tmp_path)
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:  # no file may grow beyond this, which SQLite sees as a disk that fails
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
            with pytest.raises((StoreFullError, StoreUnavailableError), match="copy.db"):
                store.backup(tmp_path / "copy.db")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            signal.signal(signal.SIGXFSZ, handler)
        assert names(tmp_path) == before
        assert "copy.db" not in before
        store.backup(tmp_path / "copy.db")


def test_what_is_not_in_a_file_says_how_it_is_copied(tmp_path):
    with MemoryStore() as store, pytest.raises(StoreError, match="has no file.*Open a file"):
        store.backup(tmp_path / "copy.db")
    with MemoryStore(store_url(tmp_path)) as store:
        with pytest.raises(StoreError, match=f"pg_dump --schema={schema_for(tmp_path)}"):
            store.backup(tmp_path / "copy.db")
        with pytest.raises(StoreError, match="pg_dump"):
            asyncio.run(store.abackup(tmp_path / "copy.db"))
    assert not names(tmp_path)


# Before a file is migrated


def rows(path: Any) -> list[Any]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT key, value, updated_at FROM crossthread_items ORDER BY key").fetchall()


def version(path: Any) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute("SELECT schema_version FROM crossthread_state").fetchone()[0]
        return found


def fail_at(monkeypatch: pytest.MonkeyPatch, what: Any) -> None:
    failing = load_migrations("crossthread.engines.sqlite")
    failing[2] = failing[2]._replace(statements=(*failing[2].statements[:5], what))
    monkeypatch.setattr("crossthread.engines.sqlite.engine.load_migrations", lambda package: failing)


@pytest.mark.parametrize("release", [1, 2])
def test_a_copy_is_kept_until_a_migration_has_succeeded(tmp_path, monkeypatch, release, caplog):
    path, kept = tmp_path / "agent.db", tmp_path / f"agent.db.{KEPT}"
    old_file(path, release=release)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
        # What is only in the log must be in the copy.
        holder.execute("PRAGMA journal_mode = WAL")
        holder.execute("UPDATE crossthread_items SET value = '{\"text\":\"in the log\"}' WHERE key = '2'")
        before = rows(path)
        fail_at(monkeypatch, "SELECT no_such_function()")
        with pytest.raises(StoreError, match="no such function"):
            MemoryStore(path, index=INDEX)
        assert f"{kept} is a copy of it" in caplog.text
        assert (version(path), rows(path)) == (release, before)
        assert (version(kept), rows(kept)) == (release, before)
        assert kept.stat().st_mode & 0o777 == 0o600
        # The copy of a failed attempt gives way to that of the next one.
        holder.execute("UPDATE crossthread_items SET value = '{\"text\":\"changed since\"}' WHERE key = '2'")
        with pytest.raises(StoreError, match="no such function"):
            MemoryStore(path, index=INDEX)
        assert rows(kept) == rows(path) != before
    monkeypatch.undo()
    with MemoryStore(path, index=INDEX) as store:
        assert (store.count(), store.verify().problems) == (3, ())
        assert not [name for name in names(tmp_path) if "before" in name or "partial" in name]
    os.rename(path, tmp_path / "done.db")


def test_the_copy_of_a_migration_that_was_killed_opens_like_the_file(tmp_path):
    path, kept = tmp_path / "agent.db", tmp_path / f"agent.db.{KEPT}"
    old_file(path, release=2)
    run_python(
        """
        import os, sys
        from crossthread import MemoryStore
        from crossthread.engines.sqlite import indexes
        from crossthread.testing import HashEmbeddings

        pid = os.fork()
        if not pid:
            indexes.settle = lambda *_: os.kill(os.getpid(), 9)  # the last step before the commit
            MemoryStore(sys.argv[1], index={"embed": HashEmbeddings(dims=8), "fields": ["text"]})
        assert os.waitpid(pid, 0)[1] == 9
        """,
        path,
    )
    assert kept.exists()
    assert version(kept) == version(path) == 2
    for one in (kept, path):
        with MemoryStore(one, index=INDEX) as store:
            assert (store.count(), store.verify().problems) == (3, ())


def test_no_room_for_the_copy_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "agent.db"
    old_file(path, release=2)
    before = rows(path)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limit[1]))
        with pytest.raises((StoreFullError, StoreUnavailableError), match=KEPT):
            MemoryStore(path, index=INDEX)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert (version(path), rows(path)) == (2, before)
    assert not [name for name in names(tmp_path) if "before" in name or "partial" in name]


def test_a_new_file_and_one_of_this_release_are_not_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(copying, "copy_over", None)
    for _ in range(2):
        MemoryStore(tmp_path / "agent.db").close()

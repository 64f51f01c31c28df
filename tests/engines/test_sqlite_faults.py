"""Every call of the file engine to SQLite fails once, or from then on: nothing is half done, and the store goes on.

The n-th call fails for every n until the operation passes, so each line that can meet a fault meets it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from langgraph.store.base import GetOp, ListNamespacesOp, PutOp, SearchOp

from crossthread import MemoryStore
from crossthread.engines.sqlite import pool
from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.engines.sqlite.limits import LIMITS
from crossthread.errors import (
    CrossthreadError,
    StoreBusyError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from crossthread.testing import HashEmbeddings, ManualClock

LONG = bool(os.environ.get("CROSSTHREAD_LONG"))
ADA, BOB = ("memories", "ada"), ("memories", "bob")
INDEX: dict[str, Any] = {"fields": ["text"], "mode": "hybrid"}

ERRORS = {
    "disk I/O error": (sqlite3.SQLITE_IOERR, StoreUnavailableError),
    "database or disk is full": (sqlite3.SQLITE_FULL, StoreFullError),
    "database is locked": (sqlite3.SQLITE_BUSY, StoreBusyError),
    "attempt to write a readonly database": (sqlite3.SQLITE_READONLY, StoreReadOnlyError),
}


class Faults:
    """Counts the calls to SQLite; when armed, one of them raises, or all from one on."""

    def __init__(self) -> None:
        self.disarm()

    def disarm(self) -> None:
        self.calls, self.at, self.fired = 0, 0, False
        self.message, self.stays, self.undoes = "", False, False

    def arm(self, at: int, message: str, *, stays: bool = False, undoes: bool = False) -> None:
        """Let call ``at`` raise; ``stays``: all later ones too; ``undoes``: SQLite ends the transaction by itself."""
        self.calls, self.at, self.fired = 0, at, False
        self.message, self.stays, self.undoes = message, stays, undoes

    def strike(self, connection: sqlite3.Connection | None = None) -> None:
        self.calls += 1
        if not self.at or (self.calls < self.at) or (self.calls > self.at and not self.stays):
            return
        self.fired = True
        if self.undoes and connection is not None and connection.in_transaction:
            connection.execute("ROLLBACK")
        if self.message == "interrupt":
            raise KeyboardInterrupt
        error = sqlite3.OperationalError(self.message)
        error.sqlite_errorcode = ERRORS[self.message][0]
        raise error


class FlakyCursor:
    def __init__(self, real: sqlite3.Cursor, connection: sqlite3.Connection, faults: Faults) -> None:
        self._real, self._connection, self._faults = real, connection, faults

    def fetchone(self) -> Any:
        self._faults.strike(self._connection)
        return self._real.fetchone()

    def fetchmany(self, size: int) -> Any:
        self._faults.strike(self._connection)
        return self._real.fetchmany(size)

    def fetchall(self) -> Any:
        self._faults.strike(self._connection)
        return self._real.fetchall()

    def __iter__(self) -> Iterator[Any]:
        for row in self._real:
            self._faults.strike(self._connection)
            yield row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class FlakyConnection:
    def __init__(self, real: sqlite3.Connection, faults: Faults) -> None:
        self._real, self._faults = real, faults

    def execute(self, *args: Any) -> FlakyCursor:
        self._faults.strike(self._real)
        return FlakyCursor(self._real.execute(*args), self._real, self._faults)

    def executemany(self, *args: Any) -> FlakyCursor:
        self._faults.strike(self._real)
        return FlakyCursor(self._real.executemany(*args), self._real, self._faults)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    faults = Faults()
    connect = pool.connect

    def flaky(path: Path, **settings: Any) -> Any:
        try:
            faults.strike()
        except sqlite3.Error as error:  # as `connect` does
            from crossthread.engines.sqlite.connection import as_store_error

            raise as_store_error(error, path) from error
        return FlakyConnection(connect(path, **settings), faults)

    monkeypatch.setattr(pool, "connect", flaky)
    return faults


class Place:
    """A folder with a file that holds a few memories, copied anew for each fault."""

    def __init__(self, folder: Path, unindexed: int) -> None:
        self.folder = folder
        self.limits = LIMITS._replace(unindexed=unindexed, few_words=0, many_words=0, listed_items=0)
        self.clock = ManualClock()
        self.number = 0
        self.model = folder / "model.db"
        with self.open(self.model) as store:
            store.batch([PutOp(ADA, f"{n}", {"text": f"tea {n}", "n": n}) for n in range(4)])
            store.batch([PutOp(BOB, f"{n}", {"text": f"roses {n}"}, ttl=10) for n in range(3)])
            store.put(BOB, "brief", {"text": "winter"}, ttl=1)
            store.put(ADA, "1", {"text": "green tea"})
            store.delete(ADA, "0")
        self.clock.advance(minutes=2)
        self.now = self.clock.now_us

    def open(self, path: Path) -> MemoryStore:
        engine = SQLiteEngine(path, clock=self.clock, limits=self.limits)
        return MemoryStore(engine, index={"embed": HashEmbeddings(16), **INDEX})

    def fresh(self) -> Path:
        self.clock.now_us = self.now
        self.number += 1
        path = self.folder / f"{self.number}.db"
        shutil.copy(self.model, path)
        return path


OPERATIONS: dict[str, Callable[[MemoryStore], Any]] = {
    "put": lambda store: store.put(ADA, "new", {"text": "old trains"}),
    "replace": lambda store: store.put(ADA, "1", {"text": "old trains and tea"}),
    "delete": lambda store: store.delete(BOB, "1"),
    "update": lambda store: store.update(ADA, "2", lambda value: {**value, "n": value["n"] + 1}),
    "batch": lambda store: store.batch(
        [
            GetOp(BOB, "0", refresh_ttl=True),
            SearchOp(ADA, query="tea"),
            ListNamespacesOp(),
            *[PutOp(ADA, f"b{n}", {"text": f"tea {n}"}) for n in range(3)],
            PutOp(ADA, "3", None),
            PutOp(BOB, "0", {"text": "red roses"}, ttl=5),
        ]
    ),
    "forget": lambda store: store.forget(BOB),
    "sweep": lambda store: store.sweep_ttl(),
    "search": lambda store: store.search(BOB, query="roses", refresh_ttl=True),
    "get": lambda store: store.get(BOB, "1", refresh_ttl=True),
}
READS = {"search", "get"}


def content(path: Path, place: Place) -> Any:
    """Return what a file holds, which must be sound; in the long form also what a store answers that opens it anew."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT * FROM crossthread_items ORDER BY updated_at").fetchall()
    if not LONG:
        return rows
    with place.open(path) as store:
        return rows, answers(store)


def answers(store: MemoryStore) -> list[Any]:
    """Return what a store says, of all kinds of search; renews nothing."""
    found: list[Any] = [store.count(), store.list_namespaces()]
    for prefix in ((), ADA, BOB) if LONG else ((),):
        for query, mode in ((None, None), ("tea", "semantic"), ("tea roses", "keyword"), ("green tea", "hybrid")):
            hits = store.search(prefix, query=query, mode=mode, refresh_ttl=False, limit=100)
            found.append([(hit.namespace, hit.key, repr(hit.value), hit.updated_at, hit.score) for hit in hits])
    return found


KINDS = [
    ("disk I/O error", False, True),
    ("disk I/O error", True, False),
    ("database or disk is full", False, False),
    ("database or disk is full", True, True),
    ("database is locked", True, False),
    ("attempt to write a readonly database", True, False),
    ("interrupt", False, False),
]
FEW = KINDS if LONG else [KINDS[0], KINDS[3], KINDS[6]]


@pytest.mark.parametrize("unindexed", [3, 1000] if LONG else [3])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_is_done_or_not_done_whatever_call_fails(
    tmp_path: Path, faults: Faults, operation: str, unindexed: int
) -> None:
    place = Place(tmp_path, unindexed)
    act = OPERATIONS[operation]
    path = place.fresh()
    before, after = _before_and_after(path, place, act)
    for message, stays, undoes in FEW:
        for at in range(1, 500):
            path = place.fresh()
            with place.open(path) as store:
                answers(store)  # vectors are in memory
                faults.arm(at, message, stays=stays, undoes=undoes)
                try:
                    act(store)
                    outcome = None
                except (CrossthreadError, KeyboardInterrupt) as error:
                    outcome = error
                fired = faults.fired
                faults.disarm()
                told = f"{operation}: call {at}, {message}, stays={stays}, undoes={undoes}: {outcome!r}"
                if isinstance(outcome, CrossthreadError):
                    assert isinstance(outcome, ERRORS[message][1]), told
                place.clock.now_us = place.now
                now = answers(store)
                if outcome is None and operation not in READS:
                    assert now == after.answers, told
                elif isinstance(outcome, CrossthreadError):
                    assert now == before.answers, told
                else:
                    assert now in (before.answers, after.answers), told
                if outcome is not None and now == before.answers:
                    act(store)  # it works again
                    assert answers(store) == after.answers, told
            found = content(path, place)
            assert found == after.content or (outcome is None and operation in READS and found == before.content), told
            path.unlink()
            if not fired:
                break
        else:
            raise AssertionError("it never passed")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_same_through_the_async_methods(tmp_path: Path, faults: Faults, operation: str) -> None:
    place = Place(tmp_path, 1000)

    def act(store: MemoryStore) -> Any:
        async def main() -> Any:
            return await OPERATIONS[operation](_Async(store))

        return asyncio.run(main())

    path = place.fresh()
    before, after = _before_and_after(path, place, act)
    for message, stays, undoes in KINDS[:-1] if LONG else KINDS[3:4]:
        for at in range(1, 500):
            path = place.fresh()
            with place.open(path) as store:
                faults.arm(at, message, stays=stays, undoes=undoes)
                outcome = None
                try:
                    act(store)
                except CrossthreadError as error:
                    outcome = error
                fired = faults.fired
                faults.disarm()
                told = f"{operation}: call {at}, {message}, stays={stays}, undoes={undoes}: {outcome!r}"
                if outcome is not None:
                    assert answers(store) == before.answers, told
                    act(store)
            found = content(path, place)
            assert found == after.content or (outcome is None and operation in READS and found == before.content), told
            path.unlink()
            if not fired:
                break


class State(NamedTuple):
    """What a file holds, and what a store on it answers."""

    content: Any
    answers: list[Any]


def _before_and_after(path: Path, place: Place, act: Callable[[MemoryStore], Any]) -> tuple[State, State]:
    found = [content(path, place)]
    with place.open(path) as store:
        told = [answers(store)]
        act(store)
        place.clock.now_us = place.now
        told.append(answers(store))
    found.append(content(path, place))
    before, after = (State(*state) for state in zip(found, told, strict=True))
    assert before.content != after.content
    return before, after


class _Async:
    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, f"a{name}")


@pytest.mark.parametrize(("message", "stays", "undoes"), KINDS)
def test_a_file_is_made_or_not_made_whatever_call_fails(
    tmp_path: Path, faults: Faults, message: str, stays: bool, undoes: bool
) -> None:
    embed = {"embed": HashEmbeddings(16), **INDEX, "filter_fields": ["n"]}
    for at in range(1, 500):
        path = tmp_path / f"{at}.db"
        faults.arm(at, message, stays=stays, undoes=undoes)
        expected = ERRORS[message][1] if message in ERRORS else KeyboardInterrupt
        with contextlib.suppress(expected):
            MemoryStore(path, index=embed).close()
        fired = faults.fired
        faults.disarm()
        with MemoryStore(path, index=embed) as store:
            store.put(ADA, "k", {"text": "tea", "n": 1})
            assert [hit.key for hit in store.search(ADA, query="tea", filter={"n": 1})] == ["k"]
        if not fired:
            assert at > 20
            return
    raise AssertionError("it never passed")

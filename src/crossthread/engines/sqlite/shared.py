"""One connection for many callers, sync and async: its lock, its transactions, its thread. Knows no tables."""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from crossthread.engines._fork import watch
from crossthread.engines._worker import Worker, copies
from crossthread.engines.sqlite.connection import (
    Connection,
    check_size,
    connect,
    create_private,
    is_read_only,
    mapped_errors,
)
from crossthread.engines.sqlite.presence import Identity, Looks
from crossthread.errors import StoreBusyError, StoreClosedError


class Call(NamedTuple):
    """Something to execute for an async caller, and whether it writes."""

    run: Callable[[], Any]
    writes: bool


class SharedConnection:
    """One connection, the lock around it, and a thread that works for async callers.

    Args:
        path: The file; it is created, readable for its owner only, where it does not exist.

    Raises:
        StoreError: The file is not a database, or cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read_only = is_read_only(path)
        if not self.read_only:
            create_private(path)
        check_size(path)
        self._lock = threading.RLock()
        self._closed = False
        self._open: list[Connection] = []
        self._looks = Looks()
        self._database: Identity | None = None
        # A connection that nobody closed still leaves a clean file, at the latest when the program ends.
        weakref.finalize(self, _close_all, self._open)
        self._worker = Worker(self._run_all, "crossthread-checkpointer")
        watch(self)

    def connection(self) -> Connection:
        """Return the connection; the caller holds the lock, or nobody else knows this object."""
        if self._closed:
            raise StoreClosedError("This checkpointer is closed; open a new one to go on.")
        if not self._open:
            self._open.append(connect(self.path, read_only=self.read_only, database=self._database))
            self._database = self._open[0].files.database
        return self._open[0]

    @contextmanager
    def transaction(
        self, *, writes: bool, prepare: Callable[[sqlite3.Connection], None] | None = None
    ) -> Iterator[sqlite3.Connection]:
        """Begin and end a transaction, or take part in the one that this thread has begun."""
        with self._lock, mapped_errors(self.path):
            connection = self.connection()
            if prepare is not None:
                prepare(connection)
            if connection.in_transaction:
                yield connection
                return
            if not writes:
                connection.check_files(self._looks)
            connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            try:
                yield connection
                if writes:
                    connection.check_files()
                connection.execute("COMMIT")
                if writes:
                    connection.files.check_database()
            except BaseException:
                if connection.in_transaction:  # SQLite has undone it by itself where the disk is full
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def alone(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection outside of any transaction, to nobody else."""
        with self._lock, mapped_errors(self.path):
            connection = self.connection()
            connection.check_files()
            yield connection

    async def arun(self, call: Call) -> Any:
        """Wait, without blocking the event loop, for what a call returns."""
        if self._closed:
            self.connection()
        return await self._worker.submit(call)

    def _run_all(self, calls: Sequence[Call]) -> list[Any]:
        """Execute calls in their order; many that write share one wait for the disk."""
        if sum(call.writes for call in calls) > 1:
            try:
                with self.transaction(writes=True):
                    return [call.run() for call in calls]
            except StoreBusyError as error:
                return list(copies(error, len(calls)))
            except Exception:  # nothing was written; each by itself finds out whose it was
                pass
        return [_outcome(call) for call in calls]

    def close(self) -> None:
        """Finish the calls that wait, and close the connection."""
        self._worker.stop()
        with self._lock:
            self._closed = True
            _close_all(self._open)

    def before_fork(self) -> None:
        """Close the connection: SQLite's locks do not survive a fork."""
        self._lock.acquire()
        _close_all(self._open)

    def after_fork(self, in_child: bool) -> None:
        """Go on; the next call opens a new connection."""
        self._lock.release()


def _outcome(call: Call) -> Any:
    try:
        return call.run()
    except Exception as error:
        return error


def _close_all(connections: list[Connection]) -> None:
    while connections:
        connections.pop().close()

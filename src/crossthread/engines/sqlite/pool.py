"""Connections to one file, lent to one thread at a time. As many are open as were ever needed at once."""

from __future__ import annotations

import gc
import math
import threading
import time
import weakref
from collections import deque
from pathlib import Path

from crossthread.engines.sqlite.connection import Connection, connect
from crossthread.engines.sqlite.presence import Identity, Looks
from crossthread.errors import StoreClosedError
from crossthread.settings import Durability

_LOOKS_SECONDS = 0.1  # how often a lost connection is looked for


class _Opening:
    """Stands for a connection that is about to be open."""


class ConnectionPool:
    """Lends connections; lending one costs a deque's pop.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read_only = False
        """Whether connections are opened for reading only; set before the first is lent."""
        self.durability: Durability = "disk"
        """What a commit outlives; set before the first is lent."""
        self.looks = Looks()
        """When those who read look whether the file is still there."""
        self._database: Identity | None = None
        self._idle: deque[Connection] = deque()
        self._make_locks()
        # One that an interrupt lost on its way to a caller is closed with its last reference, and leaves by itself.
        self._open: list[weakref.ref[Connection | _Opening]] = []
        self._closed = False
        self._paused = False

    def _make_locks(self) -> None:
        # Entered by itself: an interrupt between the lines of a condition's own entry would leave it locked.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    def borrow(self) -> Connection:
        """Return a connection that nobody else uses until `give_back`."""
        try:
            return self._idle.pop()
        except IndexError:
            pass
        opening = _Opening()
        try:
            with self._lock:
                self._changed.wait_for(lambda: not self._paused)
                if self._closed:
                    raise StoreClosedError("This store is closed; open a new one to go on.")
                self._open.append(weakref.ref(opening))
            connection = connect(
                self.path, read_only=self.read_only, durability=self.durability, database=self._database
            )
            self._database = connection.files.database
            with self._lock:
                self._open.append(weakref.ref(connection))
            return connection
        finally:
            del opening  # an error keeps what stands in this frame

    def give_back(self, connection: Connection) -> None:
        """Take a connection back; it must be outside of any transaction."""
        if self._closed or self._paused or connection.in_transaction:
            self._discard(connection)
        else:
            self._idle.append(connection)
            if self._closed or self._paused:  # since the line above: somebody waits for this one
                self._close_idle()

    def close(self, timeout_seconds: float | None = None) -> None:
        """Lend no more, and return when every connection is closed, those that are lent too."""
        with self._lock:
            self._closed = True
        self._close_idle()
        self._wait_for_all(timeout_seconds)

    def pause(self) -> None:
        """Close every connection, and lend no more until `resume`."""
        with self._lock:
            self._paused = True
        self._close_idle()
        self._wait_for_all(None)

    def resume(self, in_child: bool) -> None:
        """Lend again. In a forked child nobody waits, and the lock may be held by a thread that is not there."""
        if in_child:
            self._make_locks()
        with self._lock:
            self._paused = False
            self._changed.notify_all()

    def _close_idle(self) -> None:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            self._discard(connection)

    def _discard(self, connection: Connection) -> None:
        connection.close()
        with self._lock:
            self._open = [one for one in self._open if one() not in (connection, None)]
            self._changed.notify_all()

    def _wait_for_all(self, timeout_seconds: float | None) -> None:
        """Wait until every connection is closed."""
        ends = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
        while time.monotonic() < ends:
            with self._lock:
                if all(one() is None for one in self._open):
                    return
                if self._changed.wait(min(_LOOKS_SECONDS, max(ends - time.monotonic(), 0))):
                    continue
            gc.collect()  # a connection that an interrupt lost is often held by nothing but its traceback

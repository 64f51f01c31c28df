"""Connections to one file, lent to one thread at a time. As many are open as were ever needed at once."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from pathlib import Path

from crossthread.engines.sqlite.connection import connect
from crossthread.errors import StoreClosedError
from crossthread.settings import Durability


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
        self._idle: deque[sqlite3.Connection] = deque()
        self._lock = threading.Condition()
        self._open = 0
        self._closed = False
        self._paused = False

    def borrow(self) -> sqlite3.Connection:
        """Return a connection that nobody else uses until `give_back`."""
        try:
            return self._idle.pop()
        except IndexError:
            pass
        with self._lock:
            self._lock.wait_for(lambda: not self._paused)
            if self._closed:
                raise StoreClosedError("This store is closed; open a new one to go on.")
            self._open += 1
        try:
            return connect(self.path, read_only=self.read_only, durability=self.durability)
        except BaseException:
            self._lost()
            raise

    def give_back(self, connection: sqlite3.Connection) -> None:
        """Take a connection back; it must be outside of any transaction."""
        if self._closed or self._paused or connection.in_transaction:
            connection.close()
            self._lost()
        else:
            self._idle.append(connection)
            if self._closed or self._paused:  # since the line above: somebody waits for this one
                self._close_idle()

    def close(self, timeout_seconds: float | None = None) -> None:
        """Lend no more, and return when every connection is closed, those that are lent too."""
        with self._lock:
            self._closed = True
        self._close_idle()
        with self._lock:
            self._lock.wait_for(lambda: self._open == 0, timeout_seconds)

    def pause(self) -> None:
        """Close every connection, and lend no more until `resume`."""
        with self._lock:
            self._paused = True
        self._close_idle()
        with self._lock:
            self._lock.wait_for(lambda: self._open == 0)

    def resume(self, in_child: bool) -> None:
        """Lend again. In a forked child nobody waits, and the lock may be held by a thread that is not there."""
        if in_child:
            self._lock = threading.Condition()
        with self._lock:
            self._paused = False
            self._lock.notify_all()

    def _close_idle(self) -> None:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            connection.close()
            self._lost()

    def _lost(self) -> None:
        with self._lock:
            self._open -= 1
            self._lock.notify_all()

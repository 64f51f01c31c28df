"""Lets many threads share commits: whoever commits next takes what all others have waiting. Knows no database.

One wait for the disk then serves all of them. Who waits is woken once, when its work is done or when it is its turn to
commit for those behind it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from crossthread.engines._worker import copies
from crossthread.errors import StoreError


class Entry:
    """Something to do in a transaction, and what came of it: a result or an exception."""

    __slots__ = ("outcome", "work")

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.work = work
        self.outcome: Any = None


class _Ticket:
    """A caller with its entries; ``turn`` is held until the entries are done or the caller is to commit."""

    __slots__ = ("commits", "done", "entries", "turn")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self.turn = threading.Lock()
        self.turn.acquire()
        self.commits = False
        self.done = False


class Commits:
    """A queue of callers, of which one commits at a time.

    Args:
        commit: Carries out entries in one transaction and sets the outcome of each; raises what concerns all of them.
    """

    def __init__(self, commit: Callable[[list[Entry]], None]) -> None:
        self._commit = weakref.WeakMethod(commit)  # or the two would keep each other alive
        self._lock = threading.Lock()
        self._waiting: list[_Ticket] = []
        self._busy = False

    def carry_out(self, entries: Sequence[Entry]) -> list[Any]:
        """Return the outcome of each entry when all are committed, or refused."""
        ticket = _Ticket(entries)
        with self._lock:
            self._waiting.append(ticket)
            waits, self._busy = self._busy, True
        if waits:
            self._wait(ticket)
        if not ticket.done:
            self._commit_all()
        return [entry.outcome for entry in entries]

    def _wait(self, ticket: _Ticket) -> None:
        try:
            ticket.turn.acquire()
        except BaseException:  # an interrupt: nobody must wait for this thread
            with self._lock:
                if not ticket.commits and ticket in self._waiting:
                    self._waiting.remove(ticket)
            if ticket.commits:
                self._commit_all()
            raise

    def _commit_all(self) -> None:
        with self._lock:
            taken, self._waiting = self._waiting, []
        entries = [entry for ticket in taken for entry in ticket.entries]
        try:
            commit = self._commit()
            assert commit is not None, "whoever waits here holds the engine"
            commit(entries)
        except BaseException as error:
            # An interrupt belongs to this thread; the others must still not take their writes for done.
            failed = error if isinstance(error, Exception) else StoreError(f"The commit was interrupted: {error!r}")
            spoilt = [entry for entry in entries if not isinstance(entry.outcome, BaseException)]
            for entry, own in zip(spoilt, copies(failed, len(spoilt)), strict=False):
                entry.outcome = own
            if failed is not error:
                raise
        finally:
            self._hand_over()
            for ticket in taken:
                ticket.done = True
                ticket.turn.release()

    def _hand_over(self) -> None:
        """Let the next caller commit."""
        with self._lock:
            if not self._waiting:
                self._busy = False
                return
            following = self._waiting[0]
            following.commits = True
        following.turn.release()

    def drain(self) -> None:
        """Return when everything that waited before this call is done."""
        self.carry_out([])

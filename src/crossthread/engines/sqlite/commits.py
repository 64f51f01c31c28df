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


class _Undone:
    """Stands for the outcome of an entry that was not carried out."""


class Entry:
    """Something to do in a transaction, and what came of it: a result or an exception."""

    __slots__ = ("committed", "outcome", "work")

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.work = work
        self.outcome: Any = _Undone
        self.committed = False
        """Set by a commit that is done, so that an interrupt which comes later spoils nothing."""


class _Ticket:
    """A caller with its entries; ``turn`` is held until the entries are done or the caller is to commit."""

    __slots__ = ("done", "entries", "taken", "turn")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self.turn = threading.Lock()
        self.turn.acquire()
        self.done = False
        self.taken: list[_Ticket] = []
        """The callers for whom this one commits."""

    def wake(self) -> None:
        if self.turn.locked():
            self.turn.release()


class Commits:
    """A queue of callers, of which one commits at a time.

    Args:
        commit: Carries out entries in one transaction and sets the outcome of each; raises what concerns all of them.
    """

    def __init__(self, commit: Callable[[list[Entry]], None]) -> None:
        self._commit = weakref.WeakMethod(commit)  # or the two would keep each other alive
        self._lock = threading.Lock()
        self._waiting: list[_Ticket] = []
        self._leader: _Ticket | None = None

    def carry_out(self, entries: Sequence[Entry]) -> list[Any]:
        """Return the outcome of each entry when all are committed, or refused."""
        ticket = _Ticket(entries)
        try:
            with self._lock:
                self._waiting.append(ticket)
                if self._leader is None:
                    self._leader = ticket
            if self._leader is not ticket:
                ticket.turn.acquire()
            if not ticket.done:
                self._commit_all(ticket)
        except BaseException:
            self._leave(ticket)
            raise
        if ticket.taken or self._leader is ticket:
            try:
                self._leave(ticket)
            except BaseException:  # an interrupt, which may come anywhere: nobody must wait for this thread
                self._leave(ticket)
                raise
        return [_interrupted() if entry.outcome is _Undone else entry.outcome for entry in entries]

    def _commit_all(self, ticket: _Ticket) -> None:
        """Commit what waits; the caller is the one whose turn it is."""
        try:
            with self._lock:
                ticket.taken, self._waiting = self._waiting, []
            entries = [entry for one in ticket.taken for entry in one.entries]
            commit = self._commit()
            assert commit is not None, "whoever waits here holds the engine"
            commit(entries)
        except Exception as error:
            entries = [entry for one in ticket.taken for entry in one.entries]
            spoilt = [one for one in entries if not one.committed and not isinstance(one.outcome, BaseException)]
            for entry, own in zip(spoilt, copies(error, len(spoilt)), strict=False):
                entry.outcome = own
        except BaseException:
            # An interrupt belongs to this thread alone: the others' work is for whoever is next.
            self._hand_back(ticket)
            raise

    def _hand_back(self, ticket: _Ticket) -> None:
        """Let others wait again for whom this caller did not commit."""
        with self._lock:
            left = [one for one in ticket.taken if one is not ticket and not _is_committed(one)]
            for one in left:
                for entry in one.entries:
                    entry.outcome = _Undone
            done = [one for one in ticket.taken if one not in left]
            ticket.taken, self._waiting = done, left + self._waiting

    def _leave(self, ticket: _Ticket) -> None:
        """Wake those for whom a caller has committed, and let the next one commit; doing it again changes nothing."""
        with self._lock:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            if self._leader is ticket:
                self._leader = self._waiting[0] if self._waiting else None
            if self._leader is not None:
                self._leader.wake()  # also one that works already, to whom it means nothing
            for one in ticket.taken:
                one.done = True
                one.wake()

    def drain(self) -> None:
        """Return when everything that waited before this call is done."""
        self.carry_out([])


def _is_committed(ticket: _Ticket) -> bool:
    return all(entry.committed for entry in ticket.entries)


def _interrupted() -> StoreError:
    # For whoever waits for a thread that was interrupted a second time before it could hand back what it had taken.
    return StoreError("The commit was interrupted by another thread's KeyboardInterrupt; nothing was written.")

"""Carries out the writing commands on one connection, inside the transaction that its caller begins and ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

from crossthread import ttl
from crossthread._clock import system_clock
from crossthread.engines._worker import Stretch
from crossthread.engines.base import VectorSpace
from crossthread.engines.sqlite import indexes, queries
from crossthread.engines.sqlite.ranking import ALWAYS, MadeFor
from crossthread.engines.sqlite.reads import Reader, Renewal
from crossthread.engines.sqlite.staging import Staging, read_progress
from crossthread.engines.sqlite.state import SETTLING, STAGING, State, read_state
from crossthread.operations.commands import (
    ABSENT,
    WRITES,
    Answer,
    Batch,
    Command,
    Conflict,
    Delete,
    Forget,
    Held,
    Put,
    Restore,
    Row,
    Sweep,
)
from crossthread.operations.reembedding import Begin, Hold, Settle, Stage, Switch
from crossthread.search.vectors import to_bytes
from crossthread.search.words import as_column

_PUTS_AT_ONCE = 100  # a millisecond


class _Found(NamedTuple):
    """An item that stands in the way of a put, or is to be erased."""

    updated_at: int
    created_at: int
    expires_at: int | None
    words: str | None
    texts: bytes | None
    namespace: str


class Progress(NamedTuple):
    """What a part of a transaction has changed so far."""

    latest: int
    last_write: int
    erasures: int
    space: VectorSpace
    erased: bool
    lowered: bool
    is_in_order: bool
    changes: int
    written: int
    phase: int
    held_until: int
    must_settle: bool


class Transaction:
    """One transaction's changes and what they do to the state of the store.

    Args:
        connection: A connection inside a write transaction.
        now: The present in microseconds.
        named: The model that new vectors are of, where it is known.
    """

    def __init__(self, connection: sqlite3.Connection, now: int, named: str | None) -> None:
        self.connection = connection
        self.now = now
        self.named = named
        self.before: State = read_state(connection)
        self.latest = self.before.latest
        self.last_write = max(self.before.last_write, self.latest)
        self.erasures = self.before.erasures
        self.space = self.before.space
        self.admitted = 0  # dimensions that were found to be those of the store
        self.erased = False
        self.lowered = False  # whether the latest item may be gone, without one that is later
        self.is_in_order = True  # whether all that was written is later than what was there
        self.changes = 0
        """How many changes the indexes of words and texts have yet to be told of."""
        self.written: list[tuple[int, tuple[bytes, ...]]] = []
        """The times of the items written, each with the hashes of its texts."""
        self.indexed = self.before.indexed_items
        self.phase = self.before.phase
        self.held_until = self.before.held_until
        self.must_settle = False
        """Whether the indexes have to know all items: staged vectors are looked up by texts."""
        self._staging = Staging(connection)

    def run(self, batch: Batch) -> list[Answer]:
        """Execute a batch: its reads, then its writes."""
        answers: list[Answer] = [None] * len(batch.commands)
        reads = [position for position, command in enumerate(batch.commands) if not isinstance(command, WRITES)]
        if reads:
            made_for = MadeFor(batch.generation, self.named)
            reader = Reader(self.connection, self.now, batch.omit_expired, made_for=made_for)
            for position in reads:
                answers[position] = reader.answer(batch.commands[position])
            self.renew(reader.renewals, batch.omit_expired)
        horizon = self.now if batch.omit_expired else ALWAYS
        if isinstance(batch.commands[0], Restore):  # no others are in its batch
            restores = [command for command in batch.commands if isinstance(command, Restore)]
            if any(command.vectors is not None for command in restores):
                self._check_vectors(batch.generation)
            return self._restore(restores)
        if not reads and len(batch.commands) > 1 and all(map(_is_plain_put, batch.commands)):
            puts = cast(Sequence[Put], batch.commands)
            if any(command.vectors is not None for command in puts):
                self._check_vectors(batch.generation)
            return self._put_all(puts, horizon)
        stretch = Stretch()
        for position, command in enumerate(batch.commands):
            if isinstance(command, WRITES):
                if isinstance(command, Put) and command.vectors is not None:
                    self._check_vectors(batch.generation)
                answers[position] = self._write(command, horizon)
                stretch.pause()
        return answers

    def save(self) -> Progress:
        """Return what `restore` needs after a part of the transaction was taken back."""
        return Progress(
            self.latest,
            self.last_write,
            self.erasures,
            self.space,
            self.erased,
            self.lowered,
            self.is_in_order,
            self.changes,
            len(self.written),
            self.phase,
            self.held_until,
            self.must_settle,
        )

    def restore(self, before: Progress) -> None:
        """Take back what the object knows about a part that was rolled back."""
        self.latest, self.last_write, self.erasures, self.space, self.erased, self.lowered = before[:6]
        self.is_in_order, self.changes = before.is_in_order, before.changes
        self.phase, self.held_until, self.must_settle = before.phase, before.held_until, before.must_settle
        self.admitted = 0
        del self.written[before.written :]

    def renew(self, renewals: Iterable[Renewal], omit_expired: bool) -> None:
        """Let items that were read live longer; items that were written, erased or expired since are left alone."""
        horizon = self.now if omit_expired else ALWAYS
        self.connection.executemany(
            queries.REFRESH, [(ttl.expiry(self.now, one.ttl_minutes), one.updated_at, horizon) for one in renewals]
        )

    def finish(self, settle: bool) -> None:
        """Write what changed of the state; with ``settle``, bring the indexes of words and texts up to date."""
        if self.erased or self.lowered or self.space != self.before.space:
            self.connection.execute(queries.SET_STATE, (self.last_write, self.space.model, self.space.dims))
        if settle:
            indexes.settle(self.connection, self.before, self.latest, self.erasures)
            self.indexed = max(self.latest, self.indexed)
        elif self.erased:  # what was erased is to stand nowhere
            indexes.settle_erased(self.connection, self.before, self.erasures)

    def _write(self, command: Command, horizon: int) -> Answer:
        match command:
            case Put():
                return self._put(command, horizon)
            case Delete(namespace, key):
                self._erase(self._found(queries.CURRENT, (namespace, key)))
                return None
            case Forget(prefix):
                scope, parameters = queries.below(prefix)
                found = self._found(queries.all_below(scope), parameters)
                self._erase(found)
                return sum(1 for one in found if ttl.is_live(one.expires_at, horizon))
            case Sweep():
                found = self._found(queries.EXPIRED, (self.now,))
                self._erase(found)
                return len(found)
            case _:
                return self._change_model(command)

    def _check_vectors(self, generation: int) -> None:
        """Refuse vectors that were made for another generation, or while nobody may write any."""
        if generation != self.space.generation:
            self.space.check(generation, self.named, "the store")
        if self.held_until and system_clock() < self.held_until:
            raise Held

    def _change_model(self, command: Command) -> Answer:
        run = read_progress(self.connection).run
        match command:
            case Begin(number, model):
                if not self.phase:
                    self._staging.begin(number, model)
                    self.phase = STAGING
                self.must_settle = True
                return read_progress(self.connection)
            case Settle(number):
                if number and number != run:
                    return False
                if number:
                    more = self._staging.abandon(read_progress(self.connection).last_run)
                else:
                    more = self.phase == SETTLING and self._staging.settle()
                if not more and (number or self.phase == SETTLING):
                    self.phase = 0
                return more
            case Stage() | Hold() | Switch():
                return bool(run) and command.run == run and self._go_on(command)
            case _:
                raise AssertionError(f"not a write: {command!r}")

    def _go_on(self, command: Stage | Hold | Switch) -> bool:
        match command:
            case Stage():
                self._staging.stage(command)
                self.must_settle = self.must_settle or command.complete is not None
            case Hold(_, seconds):
                self.held_until = self._staging.hold(seconds)
            case Switch():
                space = self._staging.switch(self.space.generation)
                if space is None:
                    return False
                self.space, self.phase, self.held_until, self.admitted = space, SETTLING, 0, 0
        return True

    def _found(self, query: str, parameters: tuple[Any, ...]) -> list[_Found]:
        return [_Found(*row) for row in self.connection.execute(query, parameters)]

    def _put_all(self, commands: Sequence[Put], horizon: int) -> list[Answer]:
        """Carry out puts without conditions, no two of one address, many with one statement."""
        answers: list[Answer] = []
        stretch = Stretch()
        for start in range(0, len(commands), _PUTS_AT_ONCE):
            part = commands[start : start + _PUTS_AT_ONCE]
            first = max(self.now, self.last_write + 1)
            rows = [self._new_row(command, first + number) for number, command in enumerate(part)]
            stretch.pause()
            created = [row[0] for row in rows]
            if self.connection.executemany(queries.INSERT_NEW, rows).rowcount < len(rows):
                new = {time for (time,) in self.connection.execute(queries.WRITTEN_SINCE, (first,))}
                for number, (command, row) in enumerate(zip(part, rows, strict=True)):
                    if row[0] not in new:
                        created[number] = self._replace(command, horizon, row)
            self.latest = self.last_write = first + len(rows) - 1
            self.changes += len(rows)
            self.written += [(row[0], command.hashes) for row, command in zip(rows, part, strict=True)]
            answers += [
                Row(command.namespace, command.key, command.value, at, row[0])
                for command, row, at in zip(part, rows, created, strict=True)
            ]
            stretch.pause()
        return answers

    def _put(self, command: Put, horizon: int) -> Row:
        stamp = max(self.now, self.last_write + 1)
        row = self._new_row(command, stamp)
        if command.expected is None and self.connection.execute(queries.INSERT_NEW, row).rowcount:
            created_at = stamp
        else:
            created_at = self._replace(command, horizon, row)
        self.latest = self.last_write = stamp
        self.changes += 1
        self.written.append((stamp, command.hashes))
        return Row(command.namespace, command.key, command.value, created_at, stamp)

    def _replace(self, command: Put, horizon: int, row: tuple[Any, ...]) -> int:
        """Put a row in the place of the one that stands at its address, or refuse; return when the item was created."""
        found = self._found(queries.CURRENT, (command.namespace, command.key))
        live = [one for one in found if ttl.is_live(one.expires_at, horizon)]
        if command.expected is not None and command.expected != (live[0].updated_at if live else ABSENT):
            raise Conflict
        if self.phase == STAGING and command.hashes:
            for one in found:
                self._staging.hand_on(one.updated_at, row[0], b"".join(command.hashes))
        self._take_away(found)
        # An expired item counts as gone, so what replaces it is new.
        stamp, namespace, key, value, created_at, *rest = row
        created_at = live[0].created_at if live else stamp
        self.connection.execute(queries.INSERT, (stamp, namespace, key, value, created_at, *rest))
        return created_at

    def _new_row(self, command: Put, stamp: int) -> tuple[Any, ...]:
        ends = ttl.expiry(self.now, command.ttl_minutes)
        address = command.namespace, command.key
        return (stamp, *address, command.value, stamp, command.ttl_minutes, ends, *self._found_by(command))

    def _found_by(self, command: Put | Restore) -> tuple[Any, ...]:
        """Return the columns of what an item is found by: length, words, texts, vectors."""
        texts, vectors = self._packed(command)
        words, length = (None, None) if command.words is None else (as_column(command.words), command.words.length)
        return length, words, texts, vectors

    def _packed(self, command: Put | Restore) -> tuple[bytes | None, bytes | None]:
        """Return the texts and vectors of a put as columns."""
        if command.vectors is None:
            return None, None
        dims = command.vectors.shape[1]
        if dims != self.admitted:
            if self.space.dims is None:
                self.space = self.space._replace(model=self.named)
            # Another process may have given the store its first vectors since this one opened it.
            self.space.agreed(VectorSpace(self.named), "the store")
            self.space = self.space.admit(dims)
            self.admitted = dims
        return b"".join(command.hashes), to_bytes(command.vectors)

    def _restore(self, commands: Sequence[Restore]) -> list[Answer]:
        """Write items with the times that they had elsewhere, which may be earlier than those of others.

        Who follows the end of the table does not see them there, so each leaves its time in the log of erased items, as
        ~time; and the indexes, which are complete up to some time, are told at once of what belongs before it.
        """
        answers: list[Answer] = [None] * len(commands)
        chosen = []
        stretch = Stretch()
        for position, command in enumerate(commands):
            found = self._found(queries.CURRENT, (command.namespace, command.key))
            if not command.replaces_newer and any(one.updated_at > command.updated_at for one in found):
                continue
            if found:
                self.lowered = True
                self._take_away(found)
            chosen.append(position)
            stretch.pause()
        chosen.sort(key=lambda position: commands[position].updated_at)
        times = self._free_times([commands[position].updated_at for position in chosen])
        early = [time for time in times if time <= self.before.indexed_items]
        if early and not self._pending().isdisjoint(early):
            # An index entry of this time must go before another one comes.
            indexes.settle_erased(self.connection, self.before, self.erasures)
        rows = []
        entries: list[indexes.Entry] = []
        for time, position in zip(times, chosen, strict=True):
            command = commands[position]
            address = command.namespace, command.key
            found_by = self._found_by(command)
            ends = command.ttl_minutes, command.expires_at
            rows.append((time, *address, command.value, command.created_at, *ends, *found_by))
            answers[position] = Row(*address, command.value, command.created_at, time)
            if time <= self.before.indexed_items:
                _, words, texts, _ = found_by
                entries.append((time, command.namespace, words, texts))
            else:
                self.changes += 1
            stretch.pause()
        self.connection.executemany(queries.INSERT, rows)
        if self.phase == STAGING and times:
            self._staging.restored(times)
        indexes.put_in(self.connection, entries)
        self._note_restored([time for time in times if time <= self.last_write])
        if times:
            self.is_in_order = self.is_in_order and times[0] > self.last_write
            self.latest, self.last_write = max(self.latest, times[-1]), max(self.last_write, times[-1])
            self.written += [(time, commands[position].hashes) for time, position in zip(times, chosen, strict=True)]
        return answers

    def _free_times(self, wanted: Sequence[int]) -> list[int]:
        """Return a time for each that no item has: the one wanted, or the next free one; both in order."""
        times: list[int] = []
        for time in wanted:
            free = max(time, times[-1] + 1) if times else time
            while free <= self.last_write and self.connection.execute(queries.IS_TAKEN, (free,)).fetchone()[0]:
                free += 1
            times.append(free)
        return times

    def _pending(self) -> set[int]:
        """Return the times of items that are gone and have yet to be taken out of the indexes."""
        found = self.connection.execute(queries.PENDING, (self.before.indexed_erasures,))
        return {time for (time,) in found}

    def _note_restored(self, times: Sequence[int]) -> None:
        notes = [(number, ~time, "", None, None) for number, time in enumerate(times, self.erasures + 1)]
        self.connection.executemany(queries.PUT_ERASED, notes)
        self.erasures += len(notes)
        self.changes += len(notes)

    def _erase(self, found: Sequence[_Found]) -> None:
        """Erase items with all that belongs to them."""
        if found:
            self.erased = True
            self._take_away(found)

    def _take_away(self, found: Sequence[_Found]) -> None:
        """Delete the rows of items, and leave word of it."""
        gone = []
        for one in found:
            self.erasures += 1
            # What the indexes have not been told of need not be taken out of them.
            indexed = one.updated_at <= self.before.indexed_items
            left = (one.words, one.texts) if indexed else (None, None)
            gone.append((self.erasures, one.updated_at, one.namespace, *left))
        self.connection.executemany(queries.DELETE_ITEM, [(one.updated_at,) for one in found])
        self.connection.executemany(queries.PUT_ERASED, gone)
        if self.phase:
            self._staging.drop(one.updated_at for one in found)
        self.changes += len(gone)


def _is_plain_put(command: Command) -> bool:
    return type(command) is Put and command.expected is None

"""Carries out the writing commands on one connection, inside the transaction that its caller begins and ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from crossthread import ttl
from crossthread.embedding.extract import HASH_BYTES
from crossthread.engines.base import VectorSpace
from crossthread.engines.sqlite import queries
from crossthread.engines.sqlite.reads import ALWAYS, Reader, Renewal
from crossthread.operations.commands import (
    ABSENT,
    WRITES,
    Answer,
    Batch,
    Command,
    Conflict,
    Delete,
    Forget,
    Put,
    Row,
    Sweep,
)
from crossthread.search.vectors import to_bytes


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
        self.version: int
        self.last_write: int
        self.version, self.last_write, model, dims = connection.execute(queries.STATE).fetchone()
        self.space = VectorSpace(model if dims else named, dims)
        self.touched: set[str] = set()
        self.forgotten: set[str] = set()
        self.changed = False

    def run(self, batch: Batch) -> list[Answer]:
        """Execute a batch: its reads, then its writes."""
        reader = Reader(self.connection, self.now, batch.omit_expired, cache=None)
        answers: dict[int, Answer] = {}
        for position, command in enumerate(batch.commands):
            if not isinstance(command, WRITES):
                answers[position] = reader.answer(command)
        self.renew(reader.renewals)
        horizon = self.now if batch.omit_expired else ALWAYS
        for position, command in enumerate(batch.commands):
            if isinstance(command, WRITES):
                answers[position] = self._write(command, horizon)
        return [answers[position] for position in range(len(batch.commands))]

    def save(self) -> tuple[int, VectorSpace]:
        """Return what `restore` needs after a part of the transaction was taken back."""
        return self.last_write, self.space

    def restore(self, before: tuple[int, VectorSpace]) -> None:
        """Take back what the object knows about a part that was rolled back."""
        self.last_write, self.space = before

    def renew(self, renewals: Iterable[Renewal]) -> None:
        """Let items that were read live longer; items that were written or erased since are left alone."""
        self.connection.executemany(
            queries.REFRESH,
            [(ttl.expiry(self.now, one.ttl_minutes), one.id, one.updated_at) for one in renewals],
        )

    def finish(self) -> int:
        """Write the state of the store and return its version."""
        if self.changed:
            state = (self.version + 1, self.last_write, self.space.model, self.space.dims)
            self.connection.execute(queries.SET_STATE, state)
        return self.version + int(self.changed)

    def _write(self, command: Command, horizon: int) -> Answer:
        self.changed = True
        match command:
            case Put():
                return self._put(command, horizon)
            case Delete(namespace, key):
                found = self.connection.execute(queries.ID_OF, (namespace, key)).fetchall()
                self._erase(found)
                self.touched.add(namespace)
                return None
            case Forget(prefix):
                scope, parameters = queries.below(prefix)
                found = self.connection.execute(queries.all_below(scope), parameters).fetchall()
                self._erase([(id_,) for id_, _ in found])
                self.forgotten.add(prefix)
                return sum(1 for _, expires_at in found if ttl.is_live(expires_at, horizon))
            case Sweep():
                expired = self.connection.execute(queries.EXPIRED, (self.now,)).fetchall()
                self._erase([(id_,) for id_, _ in expired])
                self.touched.update(namespace for _, namespace in expired)
                return len(expired)
            case _:
                raise AssertionError(f"not a write: {command!r}")

    def _put(self, command: Put, horizon: int) -> Row:
        if command.expected is not None:
            found = self.connection.execute(queries.CURRENT, (command.namespace, command.key, horizon)).fetchone()
            if command.expected != (ABSENT if found is None else found[0]):
                raise Conflict
        self.last_write = stamp = max(self.now, self.last_write + 1)
        ((id_, created_at, texts),) = self.connection.execute(
            queries.PUT,
            (
                command.namespace,
                command.key,
                command.value,
                stamp,
                stamp,
                command.ttl_minutes,
                ttl.expiry(self.now, command.ttl_minutes),
                horizon,
            ),
        ).fetchall()
        self._put_vectors(id_, texts or b"", command)
        self.touched.add(command.namespace)
        return Row(command.namespace, command.key, command.value, created_at, stamp)

    def _put_vectors(self, id_: int, old: bytes, command: Put) -> None:
        """Replace the vectors of an item; the same texts (here: their hashes) have the same vectors already."""
        new = b"".join(command.hashes)
        if command.vectors is not None:
            # Another process may have given the store its first vectors since this one opened it.
            self.space.agreed(VectorSpace(self.named), "the store")
            self.space = self.space.admit(command.vectors.shape[1])
        if old == new:
            return
        if old:
            self._delete_texts(id_, old)
        if command.vectors is None:
            self.connection.execute(queries.DELETE_VECTORS, (id_,))
            return
        self.connection.execute(queries.PUT_VECTORS, (id_, new, to_bytes(command.vectors)))
        self.connection.executemany(queries.PUT_TEXT, [(hash_, id_) for hash_ in command.hashes])

    def _delete_texts(self, id_: int, texts: bytes) -> None:
        hashes = [texts[at : at + HASH_BYTES] for at in range(0, len(texts), HASH_BYTES)]
        self.connection.executemany(queries.DELETE_TEXT, [(hash_, id_) for hash_ in hashes])

    def _erase(self, ids: list[tuple[int]]) -> None:
        """Erase items with all that belongs to them."""
        for (id_,) in ids:
            found = self.connection.execute(queries.TEXTS_OF, (id_,)).fetchone()
            if found is not None:
                self._delete_texts(id_, found[0])
        self.connection.executemany(queries.DELETE_VECTORS, ids)
        self.connection.executemany(queries.DELETE_ITEM, ids)

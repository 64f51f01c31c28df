"""Carries out the writing commands on one connection, inside the transaction that its caller begins and ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from crossthread import ttl
from crossthread.embedding.extract import HASH_BYTES
from crossthread.engines.base import VectorSpace
from crossthread.engines.sqlite import queries, words
from crossthread.engines.sqlite.reads import ALWAYS, Reader, Renewal
from crossthread.engines.sqlite.vector_cache import Version
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
from crossthread.search.words import as_column


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
        self.erasures: int
        self.erasures, latest, last_write, model, dims = connection.execute(queries.STATE).fetchone()
        self.latest: int = latest or 0
        self.last_write: int = max(last_write, self.latest)
        self.before: Version = (self.erasures, self.latest)
        self.space = self.stored = VectorSpace(model, dims)
        self.touched: set[str] = set()
        self.forgotten: set[str] = set()
        self.erased = False

    def run(self, batch: Batch) -> list[Answer]:
        """Execute a batch: its reads, then its writes."""
        answers: list[Answer] = [None] * len(batch.commands)
        reads = [position for position, command in enumerate(batch.commands) if not isinstance(command, WRITES)]
        if reads:
            reader = Reader(self.connection, self.now, batch.omit_expired, cache=None)
            for position in reads:
                answers[position] = reader.answer(batch.commands[position])
            self.renew(reader.renewals, batch.omit_expired)
        horizon = self.now if batch.omit_expired else ALWAYS
        for position, command in enumerate(batch.commands):
            if isinstance(command, WRITES):
                answers[position] = self._write(command, horizon)
        return answers

    def save(self) -> tuple[int, int, VectorSpace, bool]:
        """Return what `restore` needs after a part of the transaction was taken back."""
        return self.latest, self.last_write, self.space, self.erased

    def restore(self, before: tuple[int, int, VectorSpace, bool]) -> None:
        """Take back what the object knows about a part that was rolled back."""
        self.latest, self.last_write, self.space, self.erased = before

    def renew(self, renewals: Iterable[Renewal], omit_expired: bool) -> None:
        """Let items that were read live longer; items that were written, erased or expired since are left alone."""
        horizon = self.now if omit_expired else ALWAYS
        self.connection.executemany(
            queries.REFRESH,
            [(ttl.expiry(self.now, one.ttl_minutes), one.id, one.updated_at, horizon) for one in renewals],
        )

    def finish(self) -> Version:
        """Write the state of the store where it changed, and return the version that the commit makes."""
        if self.erased or self.space != self.stored:
            state = (self.erasures + int(self.erased), self.last_write, self.space.model, self.space.dims)
            self.connection.execute(queries.SET_STATE, state)
        if self.erased:  # perhaps the latest write of all
            (latest,) = self.connection.execute(queries.LATEST).fetchone()
            return self.erasures + 1, latest or 0
        return self.erasures, self.latest

    def _write(self, command: Command, horizon: int) -> Answer:
        match command:
            case Put():
                return self._put(command, horizon)
            case Delete(namespace, key):
                found = self.connection.execute(queries.CURRENT, (namespace, key)).fetchall()
                self._erase([(id_, texts, old, namespace) for id_, *_, texts, old in found])
                self.touched.add(namespace)
                return None
            case Forget(prefix):
                scope, parameters = queries.below(prefix)
                found = self.connection.execute(queries.all_below(scope), parameters).fetchall()
                self._erase([one[:4] for one in found])
                self.forgotten.add(prefix)
                return sum(1 for *_, expires_at in found if ttl.is_live(expires_at, horizon))
            case Sweep():
                found = self.connection.execute(queries.EXPIRED, (self.now,)).fetchall()
                self._erase(found)
                self.touched.update(namespace for *_, namespace in found)
                return len(found)
            case _:
                raise AssertionError(f"not a write: {command!r}")

    def _put(self, command: Put, horizon: int) -> Row:
        address = command.namespace, command.key
        found = self.connection.execute(queries.CURRENT, address).fetchone()
        id_, created_at, updated_at, expires_at, old_texts, old_words = found or (None, 0, 0, None, None, None)
        live = id_ is not None and ttl.is_live(expires_at, horizon)
        if command.expected is not None and command.expected != (updated_at if live else ABSENT):
            raise Conflict
        self.latest = self.last_write = stamp = max(self.now, self.last_write + 1)
        if not live:  # an expired item counts as gone, so what replaces it is new
            created_at = stamp
        texts, vectors = self._packed(command)
        ends = ttl.expiry(self.now, command.ttl_minutes)
        new_words = None if command.words is None else as_column(command.words)
        length = None if command.words is None else command.words.length
        columns = (command.value, created_at, stamp, command.ttl_minutes, ends, texts, vectors, new_words, length)
        if id_ is None:
            id_ = self.connection.execute(queries.INSERT, (*columns, *address)).lastrowid
        else:
            self.connection.execute(queries.UPDATE, (*columns, id_))
        if texts != old_texts:
            self._change_texts(queries.DELETE_TEXT, [(id_, old_texts)])
            self._change_texts(queries.PUT_TEXT, [(id_, texts)])
        if new_words != old_words:
            self._change_words(queries.DELETE_WORDS, [(id_, old_words, command.namespace)])
            self._change_words(queries.PUT_WORDS, [(id_, new_words, command.namespace)])
        self.touched.add(command.namespace)
        return Row(*address, command.value, created_at, stamp)

    def _packed(self, command: Put) -> tuple[bytes | None, bytes | None]:
        """Return the texts and vectors of a put as columns."""
        if command.vectors is None:
            return None, None
        if self.space.dims is None:
            self.space = VectorSpace(self.named)
        # Another process may have given the store its first vectors since this one opened it.
        self.space.agreed(VectorSpace(self.named), "the store")
        self.space = self.space.admit(command.vectors.shape[1])
        return b"".join(command.hashes), to_bytes(command.vectors)

    def _change_texts(self, query: str, items: list[tuple[Any, bytes | None]]) -> None:
        rows = [(texts[at : at + HASH_BYTES], id_) for id_, texts in items if texts for at in _starts(texts)]
        if rows:
            self.connection.executemany(query, rows)

    def _change_words(self, query: str, items: list[tuple[Any, str | None, str]]) -> None:
        rows = [(id_, words.document(namespace, column)) for id_, column, namespace in items if column is not None]
        if rows:
            self.connection.executemany(query, rows)

    def _erase(self, items: list[tuple[int, bytes | None, str | None, str]]) -> None:
        """Erase items, given by id, texts, words and namespace, with all that belongs to them."""
        if items:
            self.erased = True
            self._change_texts(queries.DELETE_TEXT, [(id_, texts) for id_, texts, *_ in items])
            self._change_words(queries.DELETE_WORDS, [(id_, column, namespace) for id_, _, column, namespace in items])
            self.connection.executemany(queries.DELETE_ITEM, [(id_,) for id_, *_ in items])


def _starts(texts: bytes) -> range:
    return range(0, len(texts), HASH_BYTES)

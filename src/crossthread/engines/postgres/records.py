"""Answers what moving and looking at a store ask: whole items, page by page, and how much there is. Writes nothing.

Several statements make an answer; the caller has begun a transaction in which they see the same state.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from crossthread.engines.postgres.addresses import address
from crossthread.engines.postgres.connection import NUMBERS, Connection, fetch
from crossthread.engines.postgres.statements import Statements, scope
from crossthread.operations.commands import Measured, MeasuredNamespace, Page, Records, RecordsAt, Row, Stats, Stored
from crossthread.search.vectors import to_bytes
from crossthread.search.words import Words, from_column

_FIRST, _LAST = -(2**63), 2**63 - 1


class RecordReader:
    """Reads through one connection, inside a transaction.

    Args:
        connection: The connection.
        statements: The texts.
        now: The present in microseconds; ``reads.ALWAYS`` to see expired items too; None for the server's clock.
        present: The present, without the exception.
    """

    def __init__(self, connection: Connection, statements: Statements, now: int | None, present: int | None) -> None:
        self.connection = connection
        self.statements = statements
        self.now = now
        self.present = present

    def records(self, command: Records) -> Page:
        """Return a page of items along the order by time."""
        covered = scope(command.prefix)
        build = self.statements.stored_newest_first if command.newest_first else self.statements.stored
        place: tuple[Any, ...] = (_LAST if command.newest_first else _FIRST, "", "", "")
        if command.after is not None:
            place = (command.after.updated_at, *address(command.after.namespace, command.after.key)[:3])
        parameters = (*covered.parameters, self.now, *place, command.limit)
        found = fetch(self.connection, build(covered), parameters, planned=not covered.is_one_home)
        return Page([*self._stored(found, vectors=command.vectors)], *self._state())

    def records_at(self, command: RecordsAt) -> Page:
        """Return items by their addresses."""
        places = [address(*one)[:3] for one in command.addresses]
        columns = [list(column) for column in zip(*places, strict=True)] or [[], [], []]
        found = fetch(self.connection, self.statements.stored_at, (*columns, self.now))
        answers: list[Stored | None] = [None] * len(places)
        stored = self._stored([one[:-1] for one in found], vectors=command.vectors)
        for (*_, number), one in zip(found, stored, strict=True):
            answers[number - 1] = one
        return Page(answers, *self._state())

    def stats(self, command: Stats) -> Measured:
        """Return what lies below a prefix."""
        covered = scope(command.prefix)
        statements = self.statements

        def read(text: str, now: int | None) -> list[Any]:
            return fetch(self.connection, text, (*covered.parameters, now), planned=True)

        measured = tuple(
            MeasuredNamespace(json.loads(full)[0] if full else home + rest, *numbers)
            for home, rest, full, *numbers in read(statements.measured(covered), self.now)
        )
        ((expired,),) = read(statements.count_expired(covered), self.present)
        _, _, language, model, dims, generation = fetch(self.connection, statements.state)[0]
        vectors = 0
        if statements.has_vectors:
            parameters = (*covered.parameters, self.now, generation)
            vectors = fetch(self.connection, statements.count_vectors(covered), parameters, planned=True)[0][0]
        return Measured(measured, expired, vectors, model, dims, language)

    def _state(self) -> tuple[str | None, str | None, int | None, int]:
        _, _, language, model, dims, generation = fetch(self.connection, self.statements.state)[0]
        return language, model, dims, generation

    def _stored(self, found: list[Any], *, vectors: bool) -> list[Stored]:
        """Return whole items from rows of theirs."""
        if not found:
            return []
        places = [list(column) for column in zip(*((*one[:3], one[5]) for one in found), strict=True)]
        words = {
            number: from_column(terms.replace("'", ""), length)
            for number, terms, length in fetch(self.connection, self.statements.words_of, places)
        }
        texts: dict[int, list[tuple[bytes, Any]]] = {}
        if self.statements.has_vectors:
            text = self.statements.vectors_of if vectors else self.statements.hashes_of
            ((generation,),) = fetch(self.connection, self.statements.generation)
            for number, hash_, embedding in fetch(self.connection, text, [*places, generation]):
                texts.setdefault(number, []).append((hash_, embedding))
        return [
            _one(one, words.get(number), texts.get(number, []), vectors=vectors) for number, one in enumerate(found, 1)
        ]


def _one(found: Any, words: Words | None, texts: list[tuple[bytes, Any]], *, vectors: bool) -> Stored:
    home, rest, key, value, created_at, updated_at, ttl_minutes, full, expires_at = found
    namespace = home + rest
    if full is not None:
        namespace, key = json.loads(full)
    return Stored(
        Row(namespace, key, value, created_at, updated_at),
        ttl_minutes,
        expires_at,
        tuple(hash_ for hash_, _ in texts),
        words,
        b"".join(to_bytes(np.frombuffer(numbers, NUMBERS)) for _, numbers in texts) if vectors else None,
    )

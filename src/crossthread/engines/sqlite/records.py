"""Answers what moving and looking at a store ask: whole items, page by page, and how much there is. Writes nothing."""

from __future__ import annotations

import sqlite3
from typing import Any

from crossthread.embedding.extract import HASH_BYTES
from crossthread.engines.sqlite import queries
from crossthread.engines.sqlite.indexes import split
from crossthread.engines.sqlite.state import read_state
from crossthread.operations.commands import (
    Measured,
    MeasuredNamespace,
    Page,
    Records,
    RecordsAt,
    Row,
    Stats,
    Stored,
)
from crossthread.search.words import from_column

_FEW = 5000  # items that are sorted in less time than a large table is read along
_FIRST, _LAST = -(2**63), 2**63 - 1


def records(connection: sqlite3.Connection, command: Records, horizon: int) -> Page:
    """Return a page of items along the order by time."""
    scope, parameters, is_sorted = _scope(connection, command.prefix)
    sql = queries.stored_below(scope, newest_first=command.newest_first, vectors=command.vectors, is_sorted=is_sorted)
    start = _LAST if command.newest_first else _FIRST
    if command.after is not None:
        start = command.after.updated_at
    found = connection.execute(sql, (*parameters, start, horizon, command.limit)).fetchall()
    return Page([_stored(one) for one in found], *_state(connection))


def records_at(connection: sqlite3.Connection, command: RecordsAt, horizon: int) -> Page:
    """Return items by their addresses."""
    sql = queries.stored_at(vectors=command.vectors)
    found = [connection.execute(sql, (*address, horizon)).fetchone() for address in command.addresses]
    return Page([None if one is None else _stored(one) for one in found], *_state(connection))


def stats(connection: sqlite3.Connection, command: Stats, horizon: int, now: int) -> Measured:
    """Return what lies below a prefix."""
    scope, parameters = queries.below(command.prefix)
    found = connection.execute(queries.measured(scope), (*parameters, horizon)).fetchall()
    (expired,) = connection.execute(queries.count_expired(scope), (now, *parameters)).fetchone()
    state = read_state(connection)
    vectors = int(sum(texts for *_, texts in found)) // HASH_BYTES
    measured = tuple(MeasuredNamespace(*numbers) for *numbers, _ in found)
    return Measured(measured, expired, vectors, state.model, state.dims, state.language)


def _state(connection: sqlite3.Connection) -> tuple[str | None, str | None, int | None, int]:
    state = read_state(connection)
    return state.language, state.model, state.dims, state.generation


def _scope(connection: sqlite3.Connection, prefix: str) -> tuple[str, tuple[Any, ...], bool]:
    """Return the condition for a prefix, its parameters, and whether what it finds is best read by time."""
    if not prefix:
        return "TRUE", (), True
    bounds = queries.bounds(prefix)
    first, last = connection.execute(queries.ENDS, bounds).fetchone()
    if first is not None and first == last:
        return "namespace = ?", (first,), True
    (among,) = connection.execute(queries.AMONG, (*bounds, _FEW + 1)).fetchone()
    if among <= _FEW:
        return "namespace >= ? AND namespace < ?", bounds, False
    return "+namespace >= ? AND +namespace < ?", bounds, True


def _stored(found: Any) -> Stored:
    *columns, ttl_minutes, expires_at, length, words, texts, vectors = found
    return Stored(
        Row(*columns),
        ttl_minutes,
        expires_at,
        () if texts is None else tuple(split(texts)),
        None if words is None else from_column(words, length),
        vectors,
    )

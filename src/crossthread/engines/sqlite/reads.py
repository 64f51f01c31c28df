"""Answers the reading commands on one connection, inside the transaction that its caller holds. Writes nothing.

What a read must renew (items with a time to live) is collected for the caller, who owns the writing.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any, NamedTuple

from crossthread import namespaces, values
from crossthread.embedding.extract import HASH_BYTES
from crossthread.engines.narrowing import Dialect, narrowing
from crossthread.engines.sqlite import indexes, queries, records, staging
from crossthread.engines.sqlite.limits import LIMITS, Limits
from crossthread.engines.sqlite.ranking import ALWAYS, MadeFor, Ranking
from crossthread.engines.sqlite.resident import Entry, Resident
from crossthread.engines.sqlite.state import read_state
from crossthread.filters.ast import Node
from crossthread.filters.match import matches
from crossthread.operations.commands import (
    Answer,
    Command,
    Count,
    Get,
    KnownVectors,
    ListNamespaces,
    Records,
    RecordsAt,
    Row,
    Search,
    Stats,
    scored_row,
)
from crossthread.operations.reembedding import CountTexts, ReadProgress, ReadTexts
from crossthread.search import scan

_FEW_TEXTS = 16
_TEXTS_AT_ONCE = 500  # SQLite takes at least 999 parameters


class Renewal(NamedTuple):
    """An item that a read returned and that lives longer for it."""

    updated_at: int
    ttl_minutes: float


class Reader:
    """Reads the state that one transaction sees.

    Args:
        connection: The connection to read on.
        now: The present in microseconds.
        omit_expired: Whether expired items are gone.
        dialect: How filters are written, where there are indexes for some.
        limits: From where on searches work in another way.
        resident: Vectors read before; None to read past them.
        recent: Texts that the index has not been told of; None where nobody asks for texts.
        made_for: What the vectors of queries were made for.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        now: int,
        omit_expired: bool,
        dialect: Dialect = queries.DIALECT,
        limits: Limits = LIMITS,
        resident: Resident | None = None,
        recent: indexes.RecentTexts | None = None,
        made_for: MadeFor = MadeFor(0, None),  # noqa: B008 - it never changes
    ) -> None:
        self.connection = connection
        self.now = now
        self.horizon = now if omit_expired else ALWAYS
        self.dialect = dialect
        self.limits = limits
        self.resident = resident
        self.recent = recent
        self.made_for = made_for
        self.renewals: list[Renewal] = []

    def answer(self, command: Command) -> Answer:
        """Answer one reading command."""
        match command:
            case Get():
                return self.get(command)
            case Search():
                return self.search(command)
            case ListNamespaces():
                return self.list_namespaces(command)
            case Count(prefix, where):
                return self.count(prefix, where)
            case KnownVectors(hashes, _):
                return self.known_vectors(hashes)
            case ReadProgress():
                return staging.read_progress(self.connection)
            case CountTexts():
                return staging.count_texts(self.connection, command)
            case ReadTexts():
                return staging.read_texts(self.connection, command)
            case Records():
                return records.records(self.connection, command, self.horizon)
            case RecordsAt():
                return records.records_at(self.connection, command, self.horizon)
            case Stats():
                return records.stats(self.connection, command, self.horizon, self.now)
            case _:
                raise AssertionError(f"not a read: {command!r}")

    def get(self, command: Get) -> Row | None:
        """Return an item."""
        found = self.connection.execute(queries.GET, (command.namespace, command.key, self.horizon)).fetchone()
        return None if found is None else self._row(found, command.refresh_ttl)

    def search(self, command: Search) -> list[Row]:
        """Return the items that a search finds."""
        if not command.limit:
            return []
        return self._newest(command) if command.mode is None else self._best(command)

    def list_namespaces(self, command: ListNamespaces) -> list[namespaces.Namespace]:
        """Return the namespaces that hold a live item."""
        low, high = queries.bounds(namespaces.literal_prefix(command.patterns))
        found = self.connection.execute(queries.LIST_NAMESPACES, (low, high, self.horizon))
        names = [namespaces.from_text(name) for (name,) in found]
        return namespaces.listed(names, command.patterns, command.max_depth, command.limit, command.offset)

    def count(self, prefix: str, where: Node | None) -> int:
        """Return how many live items match."""
        if where is not None:
            return len(self._ranking(None).matching_ids(prefix, where))
        scope, parameters = queries.below(prefix)
        number: int = self.connection.execute(queries.count_below(scope), (*parameters, self.horizon)).fetchone()[0]
        return number

    def known_vectors(self, hashes: tuple[bytes, ...]) -> dict[bytes, bytes]:
        """Return the vectors of texts that are embedded already."""
        known: dict[bytes, bytes] = {}
        for hash_ in hashes if len(hashes) <= _FEW_TEXTS else self._present(hashes):
            latest, generation, texts, vectors = self.connection.execute(queries.KNOWN_VECTOR, (hash_,)).fetchone()
            if generation != self.made_for.generation:
                read_state(self.connection).space.check(*self.made_for, "the store")
            if texts is None and self.recent is not None:
                texts, vectors = self._recent_vector(hash_, latest)
            if texts is not None:
                size = len(vectors) * HASH_BYTES // len(texts)
                position = indexes.split(texts).index(hash_)
                known[hash_] = vectors[position * size : (position + 1) * size]
        return known

    def _present(self, hashes: tuple[bytes, ...]) -> list[bytes]:
        """Return those texts that some item may have: most of a large batch are new, and need no look at the items."""
        present: set[bytes] = set()
        for start in range(0, len(hashes), _TEXTS_AT_ONCE):
            part = hashes[start : start + _TEXTS_AT_ONCE]
            present.update(hash_ for (hash_,) in self.connection.execute(queries.present_texts(len(part)), part))
        if self.recent is not None:
            (latest,) = self.connection.execute(queries.LATEST).fetchone()
            present.update(hash_ for hash_ in hashes if self.recent.times_of(self.connection, hash_, latest))
        return list(present)

    def _recent_vector(self, hash_: bytes, latest: int | None) -> tuple[Any, Any]:
        assert self.recent is not None
        for time in self.recent.times_of(self.connection, hash_, latest):
            found: tuple[Any, Any] | None = self.connection.execute(queries.TEXTS_OF, (time,)).fetchone()
            # An import of another process may have brought another item with this very time.
            if found is not None and hash_ in indexes.split(found[0]):
                return found
        return None, None

    def _newest(self, command: Search) -> list[Row]:
        scope, parameters = self._scope(command.prefix)
        extra, values_ = narrowing(command.where, self.dialect)
        sql = queries.newest_first(scope, extra, paged=command.where is None)
        parameters = (*parameters, self.horizon, *values_)
        if command.where is None:
            found = self.connection.execute(sql, (*parameters, command.limit, command.offset))
            return [self._row(one, command.refresh_ttl) for one in found.fetchall()]
        rows: list[Row] = []
        skipped = 0
        cursor = self.connection.execute(sql, parameters)
        for one in cursor:
            if not matches(command.where, values.decode(one[2])):
                continue
            if skipped < command.offset:
                skipped += 1
                continue
            rows.append(self._row(one, command.refresh_ttl))
            if len(rows) == command.limit:
                break
        cursor.close()  # an unfinished statement would keep the transaction open
        return rows

    def answer_in_memory(self, command: Command) -> list[Row] | None:
        """Answer a search for which hardly anything must be read, outside of any transaction; None for any other.

        What a row says never changes, and it is there as long as the item is; so whoever finds all rows of the hits has
        seen the state in which they were the best. Only an import may give the time of a row to another one: what was
        read is of that state if the state is still the same.
        """
        if not isinstance(command, Search) or not command.limit:
            return None
        ranking = self._ranking(self.resident)
        hits = ranking.best_in_memory(command)
        if hits is None:
            return None
        assert ranking.entry is not None
        wanted = {hit.id for hit in hits}
        known = ranking.entry.rows.by_time
        rows = {time: row for time in wanted if (row := known.get(time)) is not None}
        if len(rows) < len(wanted):
            rows = self._rows(hits, ranking.entry, command.prefix)
            if len(rows) < len(wanted) or read_state(self.connection).version != ranking.entry.version:
                return None
        return self._scored(command, hits, rows, {})

    def _ranking(self, resident: Resident | None) -> Ranking:
        return Ranking(self.connection, self.horizon, self.dialect, self.limits, resident, self.made_for)

    def _best(self, command: Search) -> list[Row]:
        ranking = self._ranking(self.resident)
        hits, terms = ranking.best(command)
        return self._scored(command, hits, self._rows(hits, ranking.entry, command.prefix), terms)

    def _scored(
        self, command: Search, hits: list[scan.Hit], rows: dict[int, Any], terms: dict[int, dict[str, float]]
    ) -> list[Row]:
        if not command.explain:
            return [self._row(rows[hit.id], command.refresh_ttl, hit.score) for hit in hits]
        found = [(self._row(rows[hit.id], command.refresh_ttl), hit, terms.get(hit.id, {})) for hit in hits]
        return [scored_row(row, hit, own, explain=True) for row, hit, own in found]

    def _scope(self, prefix: str) -> tuple[str, tuple[Any, ...]]:
        """Return the condition for a prefix; one that covers a single namespace can use the index by time."""
        if prefix:
            first, last = self.connection.execute(queries.ENDS, queries.bounds(prefix)).fetchone()
            if first is not None and first == last:
                return "namespace = ?", (first,)
        return queries.below(prefix)

    def _rows(self, hits: list[scan.Hit], entry: Entry | None, prefix: str) -> dict[int, Any]:
        """Return the rows of hits by their ids, as far as they are there."""
        known = {} if entry is None else entry.rows.by_time
        rows = {hit.id: row for hit in hits if (row := known.get(hit.id)) is not None}
        missing = [hit.id for hit in hits if hit.id not in rows]
        if missing:
            found = self.connection.execute(queries.ROWS, (json.dumps(missing),)).fetchall()
            rows.update((row[4], row) for row in found)
            if entry is not None and self.resident is not None:
                self.resident.remember(prefix, entry, found)
        return rows

    def _row(self, found: Any, refresh_ttl: bool, score: float | None = None) -> Row:
        namespace, key, value, created_at, updated_at, ttl_minutes = found
        if refresh_ttl and ttl_minutes is not None:
            self.renewals.append(Renewal(updated_at, ttl_minutes))
        return Row(namespace, key, value, created_at, updated_at, score)

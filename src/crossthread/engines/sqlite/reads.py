"""Answers the reading commands on one connection, inside the transaction that its caller holds. Writes nothing.

What a read must renew (items with a time to live) is collected for the caller, who owns the writing.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from crossthread import namespaces, values
from crossthread.embedding.extract import HASH_BYTES
from crossthread.engines.base import VectorSpace
from crossthread.engines.narrowing import narrowing
from crossthread.engines.sqlite import queries, words
from crossthread.engines.sqlite.vector_cache import Entry, VectorCache, Version
from crossthread.filters.ast import Node
from crossthread.filters.match import matches
from crossthread.operations.commands import (
    Answer,
    Command,
    Count,
    Get,
    KnownVectors,
    ListNamespaces,
    Row,
    Search,
    scored_row,
)
from crossthread.search import fusion, keyword, scan
from crossthread.search.vectors import Vectors
from crossthread.search.words import counts_of

ALWAYS = -1  # as "now": before every expiry, so nothing has expired
_ROWS_AT_ONCE = 8192
_FEW_TEXTS = 16
MANY_ITEMS = 5000
_TEXTS_AT_ONCE = 500  # SQLite takes at least 999 parameters


class Renewal(NamedTuple):
    """An item that a read returned and that lives longer for it."""

    id: int
    updated_at: int
    ttl_minutes: float


class Reader:
    """Reads the state that one transaction sees.

    Args:
        connection: The connection to read on.
        now: The present in microseconds.
        omit_expired: Whether expired items are gone.
        cache: Vectors read before; None to read past it.
        many: How many items of a scope, or with a term, are looked at one by one for a search by words.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        now: int,
        omit_expired: bool,
        cache: VectorCache | None,
        many: int = MANY_ITEMS,
    ) -> None:
        self.connection = connection
        self.horizon = now if omit_expired else ALWAYS
        self.cache = cache
        self.many = many
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
            return len(self._matching_ids(prefix, where))
        scope, parameters = queries.below(prefix)
        number: int = self.connection.execute(queries.count_below(scope), (*parameters, self.horizon)).fetchone()[0]
        return number

    def known_vectors(self, hashes: tuple[bytes, ...]) -> dict[bytes, bytes]:
        """Return the vectors of texts that are embedded already."""
        known: dict[bytes, bytes] = {}
        for hash_ in hashes if len(hashes) <= _FEW_TEXTS else self._present(hashes):
            found = self.connection.execute(queries.KNOWN_VECTOR, (hash_,)).fetchone()
            if found is not None:
                texts, vectors = found
                size = len(vectors) * HASH_BYTES // len(texts)
                position = [texts[at : at + HASH_BYTES] for at in range(0, len(texts), HASH_BYTES)].index(hash_)
                known[hash_] = vectors[position * size : (position + 1) * size]
        return known

    def _present(self, hashes: tuple[bytes, ...]) -> list[bytes]:
        """Return those texts that some item has: most of a large batch are new, and need no look at the items."""
        present: list[bytes] = []
        for start in range(0, len(hashes), _TEXTS_AT_ONCE):
            part = hashes[start : start + _TEXTS_AT_ONCE]
            present += [hash_ for (hash_,) in self.connection.execute(queries.present_texts(len(part)), part)]
        return present

    def _newest(self, command: Search) -> list[Row]:
        scope, parameters = self._scope(command.prefix)
        extra, values_ = narrowing(command.where, queries.DIALECT)
        sql = queries.newest_first(scope, extra, paged=command.where is None)
        parameters = (*parameters, self.horizon, *values_)
        if command.where is None:
            found = self.connection.execute(sql, (*parameters, command.limit, command.offset))
            return [self._row(one, command.refresh_ttl) for one in found.fetchall()]
        rows: list[Row] = []
        skipped = 0
        cursor = self.connection.execute(sql, parameters)
        for one in cursor:
            if not matches(command.where, values.decode(one[3])):
                continue
            if skipped < command.offset:
                skipped += 1
                continue
            rows.append(self._row(one, command.refresh_ttl))
            if len(rows) == command.limit:
                break
        cursor.close()  # an unfinished statement would keep the transaction open
        return rows

    def _best(self, command: Search) -> list[Row]:
        matching = None if command.where is None else self._matching_ids(command.prefix, command.where)
        count = command.offset + command.limit
        postings, corpus, rest = self._postings(command, matching)
        if command.mode == "keyword":
            found = keyword.scored(postings, corpus, matching)
            hits = keyword.best(found, count, min_score=command.min_score)
        elif command.mode == "semantic":
            hits = self._nearest(command, matching, count)
        else:
            postings = self._with_nearest(command, matching, postings, corpus, rest)
            hits = self._fused(command, matching, keyword.scored(postings, corpus, matching), count)
            if command.min_score is not None:
                hits = [hit for hit in hits if hit.score >= command.min_score]
        hits = hits[command.offset :]
        terms: dict[int, dict[str, float]] = {}
        if command.explain:
            terms = keyword.explained(postings, corpus, command.terms, [hit.id for hit in hits])
        return [
            scored_row(row, hit, terms.get(hit.id, {}), command.explain)
            for row, hit in zip(self._rows(hits, command.refresh_ttl), hits, strict=True)
        ]

    def _nearest(self, command: Search, matching: npt.NDArray[np.int64] | None, count: int) -> list[scan.Hit]:
        hits: list[scan.Hit] = []
        parts = 0
        for block, allowed in self._allowed_blocks(command, matching):
            hits += scan.best(block, cast(Vectors, command.vector), count, allowed=allowed, min_score=command.min_score)
            parts += 1
        return scan.rank(hits)[:count] if parts > 1 else hits

    def _fused(
        self, command: Search, matching: npt.NDArray[np.int64] | None, found: keyword.Scored, count: int
    ) -> list[scan.Hit]:
        query = cast(Vectors, command.vector)
        return fusion.best(lambda: self._allowed_blocks(command, matching), query, found, command.weight, count)

    def _with_nearest(
        self,
        command: Search,
        matching: npt.NDArray[np.int64] | None,
        postings: keyword.Postings,
        corpus: keyword.Corpus,
        rest: float,
    ) -> keyword.Postings:
        """Return the postings with those of items that may be among the hits if words left out were counted.

        Args:
            command: The search.
            matching: The ids that the filter leaves.
            postings: Where the rarer terms occur.
            corpus: The numbers of the scope.
            rest: What the other terms can add to a score at the most.
        """
        found = keyword.scored(postings, corpus, matching)
        if not rest:
            return postings
        wanted = command.offset + command.limit
        added = (1.0 - command.weight) * rest / float(found.scores.max())
        count = wanted + self.many // 50  # some to spare
        while True:
            hits = self._fused(command, matching, found, count)
            if len(hits) < count or hits[-1].score + added < hits[wanted - 1].score:
                break
            count *= 4
        unseen = json.dumps([hit.id for hit in hits if not hit.keyword])
        rows = self.connection.execute(queries.WORDS_OF, (unseen,)).fetchall()
        more = self._counted(rows, command.terms)
        return keyword.Postings(*(np.concatenate(columns) for columns in zip(postings, more, strict=True)))

    def _allowed_blocks(
        self, command: Search, matching: npt.NDArray[np.int64] | None
    ) -> Iterator[tuple[scan.Block, npt.NDArray[np.int64] | None]]:
        """Yield the vectors below the prefix, each part with the ids that may be found (None: all)."""
        erasures, latest, _, model, dims = self.connection.execute(queries.STATE).fetchone()
        if dims is None:
            return
        VectorSpace(model, dims).admit(cast(Vectors, command.vector).size)
        for block, expires in self._blocks(command.prefix, (erasures, latest or 0), dims):
            allowed = matching
            if allowed is None and expires and self.horizon != ALWAYS:
                allowed = self._live_ids(command.prefix)
            yield block, allowed

    def _postings(
        self, command: Search, allowed: npt.NDArray[np.int64] | None
    ) -> tuple[keyword.Postings, keyword.Corpus, float]:
        """Return where terms occur below the prefix, and what terms left out can add to a score at the most.

        Common terms of many items are left out where they cannot bring another item among the hits.
        """
        terms = command.terms
        if not terms:
            return keyword.Postings.of([], 0), keyword.Corpus(0, 0, ()), 0.0
        scope, parameters = queries.below(command.prefix)
        items, length = self.connection.execute(queries.corpus(scope), (*parameters, self.horizon)).fetchone()
        corpus = keyword.Corpus(items, int(length), (0,) * len(terms))
        if not items:  # a file that can only be read may have no index of words
            return keyword.Postings.of([], len(terms)), corpus, 0.0
        if items > self.many and not self._has_expired(scope, parameters):
            return self._rare_postings(command, allowed, corpus)
        postings = self._postings_of(command, terms)
        return postings, corpus._replace(holding=tuple((postings.counts > 0).sum(axis=0).tolist())), 0.0

    def _rare_postings(
        self, command: Search, allowed: npt.NDArray[np.int64] | None, corpus: keyword.Corpus
    ) -> tuple[keyword.Postings, keyword.Corpus, float]:
        """Do what `_postings` does, the rarest terms first.

        Source: Turtle and Flood, Query Evaluation: Strategies and Optimizations (1995), known as MaxScore.
        """
        terms = command.terms
        expressions = [words.expression(command.prefix, [term]) for term in terms]
        holding = [self.connection.execute(queries.HOLDING, (one,)).fetchone()[0] for one in expressions]
        corpus = corpus._replace(holding=tuple(holding))
        most = keyword.most(corpus)
        order = sorted(range(len(terms)), key=holding.__getitem__)
        # The scores that other items must reach: of the last hit, or for a hybrid search that of the best.
        wanted = command.offset + command.limit if command.mode == "keyword" else 1
        least = command.min_score if command.mode == "keyword" and command.min_score is not None else math.inf
        taken = 0
        while True:
            taken += 1
            while taken < len(order) and sum(holding[n] for n in order[: taken + 1]) <= self.many:
                taken += 1
            if holding[order[taken - 1]] > corpus.items / 4:
                taken = len(order)  # so common that nothing would be saved
            postings = self._postings_of(command, tuple(terms[n] for n in order[:taken]))
            scores = np.sort(keyword.scored(postings, corpus, allowed).scores)
            enough = float(scores[-wanted]) if len(scores) >= wanted else math.inf
            rest = float(most[order[taken:]].sum())
            if taken == len(order) or (rest < enough < math.inf) or rest < least < math.inf:
                return postings, corpus, rest

    def _postings_of(self, command: Search, searched: tuple[str, ...]) -> keyword.Postings:
        """Return where some of the terms occur, with the counts of all."""
        scope, parameters = queries.below(command.prefix)
        expression = words.expression(command.prefix, searched)
        found = self.connection.execute(queries.postings(scope), (expression, *parameters, self.horizon))
        return self._counted(found, command.terms)

    @staticmethod
    def _counted(found: Iterable[Any], terms: tuple[str, ...]) -> keyword.Postings:
        rows = [(id_, stamp, size, counts_of(column, terms)) for id_, stamp, size, column in found]
        return keyword.Postings.of(rows, len(terms))

    def _has_expired(self, scope: str, parameters: tuple[Any, ...]) -> bool:
        found = self.connection.execute(queries.expired_below(scope), (self.horizon, *parameters)).fetchone()
        return bool(found[0])

    def _blocks(self, prefix: str, version: Version, dims: int) -> Iterator[Entry]:
        """Yield the vectors below a prefix: from the cache, or in parts from the file (kept, if they fit)."""
        entry = None if self.cache is None else self.cache.find(prefix, version)
        if entry is not None:
            yield entry
            return
        read: list[Entry] = []
        size = 0
        for part in self._read_blocks(prefix, dims):
            yield part
            size += part.block.nbytes
            if self.cache is not None and size <= self.cache.budget_bytes:
                read.append(part)
        if self.cache is not None and read and size <= self.cache.budget_bytes:
            self.cache.keep(prefix, version, _joined(read))

    def _read_blocks(self, prefix: str, dims: int) -> Iterator[Entry]:
        scope, parameters = queries.below(prefix)
        cursor = self.connection.execute(queries.vectors_below(scope), parameters)
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            ids, stamps, expire, vectors = zip(*rows, strict=True)
            yield Entry(scan.pack(list(ids), list(stamps), list(vectors), dims), any(expire))

    def _matching_ids(self, prefix: str, where: Node) -> npt.NDArray[np.int64]:
        scope, parameters = queries.below(prefix)
        extra, values_ = narrowing(where, queries.DIALECT)
        found = self.connection.execute(queries.ids_below(scope, extra), (*parameters, self.horizon, *values_))
        return np.array([id_ for id_, value in found if matches(where, values.decode(value))], dtype=np.int64)

    def _live_ids(self, prefix: str) -> npt.NDArray[np.int64]:
        scope, parameters = queries.below(prefix)
        found = self.connection.execute(queries.live_ids_below(scope), (*parameters, self.horizon))
        return np.array([id_ for (id_,) in found.fetchall()], dtype=np.int64)

    def _scope(self, prefix: str) -> tuple[str, tuple[Any, ...]]:
        """Return the condition for a prefix; one that covers a single namespace can use the index by time."""
        if prefix:
            first, last = self.connection.execute(queries.ENDS, queries.bounds(prefix)).fetchone()
            if first is not None and first == last:
                return "namespace = ?", (first,)
        return queries.below(prefix)

    def _rows(self, hits: list[scan.Hit], refresh_ttl: bool) -> list[Row]:
        if not hits:
            return []
        found = self.connection.execute(queries.ROWS, (json.dumps([hit.id for hit in hits]),)).fetchall()
        by_id = {one[0]: one for one in found}
        return [self._row(by_id[hit.id], refresh_ttl) for hit in hits]

    def _row(self, found: Any, refresh_ttl: bool) -> Row:
        id_, namespace, key, value, created_at, updated_at, ttl_minutes = found
        if refresh_ttl and ttl_minutes is not None:
            self.renewals.append(Renewal(id_, updated_at, ttl_minutes))
        return Row(namespace, key, value, created_at, updated_at)


def _joined(entries: list[Entry]) -> Entry:
    """Return one entry for parts that were read one after the other."""
    if len(entries) == 1:
        return entries[0]
    blocks = [entry.block for entry in entries]
    starts = None
    if any(block.starts is not None for block in blocks):
        parts, rows = [], 0
        for block in blocks:
            own = np.arange(len(block.ids)) if block.starts is None else block.starts
            parts.append(own + rows)
            rows += len(block.matrix)
        starts = np.concatenate(parts)
    block = scan.Block(
        np.concatenate([block.ids for block in blocks]),
        np.concatenate([block.stamps for block in blocks]),
        np.concatenate([block.matrix for block in blocks]),
        starts,
    )
    return Entry(block, any(entry.expires for entry in entries))

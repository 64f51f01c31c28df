"""Ranks the items of a scope by a query: gathers vectors and words, and lets ``search`` score. Writes nothing.

The id of an item in here is its ``updated_at``.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from crossthread import values
from crossthread.engines.narrowing import Dialect, narrowing
from crossthread.engines.sqlite import queries, words
from crossthread.engines.sqlite.limits import Limits
from crossthread.engines.sqlite.resident import Entry, Resident
from crossthread.engines.sqlite.state import State, read_state
from crossthread.filters.ast import Node
from crossthread.filters.match import matches
from crossthread.operations.commands import Search
from crossthread.search import fusion, keyword, scan, signs
from crossthread.search.vectors import Vectors
from crossthread.search.words import counts_of

ALWAYS = -1  # as "now": before every expiry, so nothing has expired
_ROWS_AT_ONCE = 8192

Ids = npt.NDArray[np.int64]
Part = tuple[scan.Block, Ids | None]
"""Vectors, and which of the items may be found; None: all."""


class MadeFor(NamedTuple):
    """What vectors of a caller were made for: a generation of the store's, by a model where it has a name."""

    generation: int
    named: str | None


class _Chosen(NamedTuple):
    """The vectors that a search compares: in parts, as often as asked; only of ``ids``, where signs chose these."""

    parts: Callable[[], Iterable[Part]]
    ids: Ids | None


class Ranking:
    """Ranks on one connection, in the transaction that its caller holds.

    Args:
        connection: The connection to read on.
        horizon: What expires until this microsecond is gone.
        dialect: How filters are written.
        limits: From where on it works in another way.
        resident: Vectors read before; None to read past them.
        made_for: What the vector of a query was made for.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        horizon: int,
        dialect: Dialect,
        limits: Limits,
        resident: Resident | None,
        made_for: MadeFor,
    ) -> None:
        self.connection = connection
        self.horizon = horizon
        self.dialect = dialect
        self.limits = limits
        self.resident = resident
        self.made_for = made_for
        self._state: State | None = None
        self._recent: list[Any] | None = None
        self.entry: Entry | None = None
        """What was searched, if it is in memory."""

    def best(self, command: Search) -> tuple[list[scan.Hit], dict[int, dict[str, float]]]:
        """Return the hits of a page in rank order, and where asked what the terms of each add to its score."""
        matching = None if command.where is None else self.matching_ids(command.prefix, command.where)
        count = command.offset + command.limit
        if command.mode == "semantic":
            return self._nearest(command, matching, count)[command.offset :], {}
        postings, corpus, rest = self._postings(command, matching)
        found = keyword.scored(postings, corpus, matching)
        if command.mode == "keyword":
            hits = keyword.best(found, count, min_score=command.min_score)
        else:
            postings = self._with_nearest(command, matching, postings, corpus, rest)
            hits = self._fused(command, matching, keyword.scored(postings, corpus, matching), count)
            if command.min_score is not None:
                hits = [hit for hit in hits if hit.score >= command.min_score]
        hits = hits[command.offset :]
        if not command.explain:
            return hits, {}
        return hits, keyword.explained(postings, corpus, command.terms, [hit.id for hit in hits])

    def best_in_memory(self, command: Search) -> list[scan.Hit] | None:
        """Return the hits of a page if nothing but the present state must be read for it; None otherwise."""
        if command.mode != "semantic" or command.where is not None or self.resident is None:
            return None
        state = self._read_state()
        state.space.check(*self.made_for, "the store")
        entry = self.resident.peek(command.prefix, state.version)
        if entry is None or entry.expires or not isinstance(entry.vectors, scan.Block):
            return None
        query = cast(Vectors, command.vector)
        state.space.admit(query.size)
        self.entry = entry
        count = command.offset + command.limit
        return scan.best(entry.vectors, query, count, min_score=command.min_score)[command.offset :]

    def matching_ids(self, prefix: str, where: Node) -> Ids:
        """Return the live items below a prefix that satisfy a filter."""
        scope, parameters = queries.below(prefix)
        extra, values_ = narrowing(where, self.dialect)
        found = self.connection.execute(queries.values_below(scope, extra), (*parameters, self.horizon, *values_))
        return np.array([id_ for id_, value in found if matches(where, values.decode(value))], dtype=np.int64)

    # Vectors

    def _nearest(self, command: Search, matching: Ids | None, count: int) -> list[scan.Hit]:
        hits: list[scan.Hit] = []
        parts = 0
        query = cast(Vectors, command.vector)
        for block, allowed in self._vectors(command, matching, count).parts():
            hits += scan.best(block, query, count, allowed=allowed, min_score=command.min_score)
            parts += 1
        return scan.rank(hits)[:count] if parts > 1 else hits

    def _fused(self, command: Search, matching: Ids | None, found: keyword.Scored, count: int) -> list[scan.Hit]:
        query = cast(Vectors, command.vector)
        parts, chosen = self._vectors(command, matching, count, found)
        return fusion.best(parts, query, found.only(chosen), command.weight, count)

    def _vectors(
        self, command: Search, matching: Ids | None, count: int, found: keyword.Scored | None = None
    ) -> _Chosen:
        """Return the vectors below the prefix that are to be compared; ``found``: items that words bring in."""
        state = self._read_state()
        state.space.check(*self.made_for, "the store")
        if state.dims is None:
            return _Chosen(lambda: (), None)
        dims = state.dims
        state.space.admit(cast(Vectors, command.vector).size)
        if self.resident is not None and self.entry is None:
            self.entry = self.resident.find(self.connection, command.prefix, state, dims)
        entry = self.entry
        if entry is None:
            return _Chosen(lambda: self._read_parts(command.prefix, matching, dims), None)
        vectors = entry.vectors
        if matching is None and entry.expires and self.horizon != ALWAYS:
            vectors = vectors.without(self._expired(command.prefix))
        if isinstance(vectors, scan.Block):
            block = vectors
            return _Chosen(lambda: [(block, matching)], None)
        if count > self.limits.candidates // 4:
            return _Chosen(lambda: self._read_parts(command.prefix, matching, dims), None)
        query = cast(Vectors, command.vector)
        first, second = self.limits.counted, self.limits.candidates
        chosen = signs.most_alike(vectors, query, first, second, matching, items=4 * count)
        if found is not None:
            best = keyword.best(found, self.limits.candidates)
            chosen = np.union1d(chosen, np.array([hit.id for hit in best], dtype=np.int64))
        few = self._vectors_of(chosen, dims)
        return _Chosen(lambda: [(few, None)], chosen)

    def _read_parts(self, prefix: str, matching: Ids | None, dims: int) -> Iterator[Part]:
        """Yield all vectors below a prefix from the file."""
        scope, parameters = queries.below(prefix)
        expired: Ids | None = None
        settling = self._read_state().is_settling
        cursor = self.connection.execute(queries.vectors_below(scope, settling=settling), parameters)
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            block = _packed(rows, dims)
            if matching is None and self.horizon != ALWAYS and any(row[1] for row in rows):
                expired = self._expired(prefix) if expired is None else expired
                block = block.without(expired)
            yield block, matching

    def _vectors_of(self, ids: Ids, dims: int) -> scan.Block:
        found = self.connection.execute(queries.VECTORS_OF[self._read_state().is_settling], (json.dumps(ids.tolist()),))
        return _packed(found.fetchall(), dims)

    def _expired(self, prefix: str) -> Ids:
        scope, parameters = queries.below(prefix)
        found = self.connection.execute(queries.expired_below(scope), (self.horizon, *parameters))
        return np.array([id_ for (id_,) in found], dtype=np.int64)

    def _with_nearest(
        self,
        command: Search,
        matching: Ids | None,
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
        count = wanted + self.limits.many_words // 50  # some to spare
        while True:
            hits = self._fused(command, matching, found, count)
            if len(hits) < count or hits[-1].score + added < hits[wanted - 1].score:
                break
            count *= 4
        unseen = json.dumps([hit.id for hit in hits if not hit.keyword])
        rows = self.connection.execute(queries.WORDS_OF, (unseen,)).fetchall()
        more = _counted(rows, command.terms)
        return keyword.Postings(*(np.concatenate(columns) for columns in zip(postings, more, strict=True)))

    # Words

    def _postings(self, command: Search, allowed: Ids | None) -> tuple[keyword.Postings, keyword.Corpus, float]:
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
        if items > self.limits.many_words and not len(self._expired(command.prefix)):
            return self._rare_postings(command, allowed, corpus)
        postings = self._postings_of(command, terms, items)
        return postings, corpus._replace(holding=tuple((postings.counts > 0).sum(axis=0).tolist())), 0.0

    def _rare_postings(
        self, command: Search, allowed: Ids | None, corpus: keyword.Corpus
    ) -> tuple[keyword.Postings, keyword.Corpus, float]:
        """Do what `_postings` does, the rarest terms first.

        Source: Turtle and Flood, Query Evaluation: Strategies and Optimizations (1995), known as MaxScore.
        """
        terms = command.terms
        corpus = corpus._replace(holding=self._holding(command))
        holding = corpus.holding
        most = keyword.most(corpus)
        order = sorted(range(len(terms)), key=holding.__getitem__)
        # The scores that other items must reach: of the last hit, or for a hybrid search that of the best.
        wanted = command.offset + command.limit if command.mode == "keyword" else 1
        least = command.min_score if command.mode == "keyword" and command.min_score is not None else math.inf
        taken = 0
        while True:
            taken += 1
            while taken < len(order) and sum(holding[n] for n in order[: taken + 1]) <= self.limits.many_words:
                taken += 1
            if holding[order[taken - 1]] > corpus.items / 4:
                taken = len(order)  # so common that nothing would be saved
            postings = self._postings_of(command, tuple(terms[n] for n in order[:taken]), corpus.items)
            scores = np.sort(keyword.scored(postings, corpus, allowed).scores)
            enough = float(scores[-wanted]) if len(scores) >= wanted else math.inf
            rest = float(most[order[taken:]].sum())
            if taken == len(order) or (rest < enough < math.inf) or rest < least < math.inf:
                return postings, corpus, rest

    def _holding(self, command: Search) -> tuple[int, ...]:
        """Return in how many items each term occurs; none of them has expired."""
        expressions = [words.expression(command.prefix, [term]) for term in command.terms]
        indexed = [self.connection.execute(queries.HOLDING, (one,)).fetchone()[0] for one in expressions]
        scope, parameters = queries.below(command.prefix)
        state = self._read_state()
        gone = self.connection.execute(queries.erased_words(scope), (state.indexed_erasures, *parameters))
        for (column,) in gone:
            indexed = [n - (count > 0) for n, count in zip(indexed, counts_of(column, command.terms), strict=True)]
        recent = self._recent_words(command)
        for *_, column in recent:
            indexed = [n + (count > 0) for n, count in zip(indexed, counts_of(column, command.terms), strict=True)]
        return tuple(indexed)

    def _postings_of(self, command: Search, searched: tuple[str, ...], items: int) -> keyword.Postings:
        """Return where some of the terms occur, with the counts of all; ``items``: how many the scope holds."""
        scope, parameters = queries.below(command.prefix)
        if items <= self.limits.few_words:
            rows = self.connection.execute(queries.words_below(scope), (*parameters, self.horizon)).fetchall()
        else:
            expression = words.expression(command.prefix, searched)
            rows = self.connection.execute(queries.postings(scope), (expression, *parameters, self.horizon)).fetchall()
            rows += self._recent_words(command)
        return _counted(rows, command.terms, searched)

    def _recent_words(self, command: Search) -> list[Any]:
        """Return the words of items that the index has not been told of."""
        if self._recent is None:
            since = (self._read_state().indexed_items, *queries.bounds(command.prefix), self.horizon)
            self._recent = self.connection.execute(queries.WORDS_SINCE, since).fetchall()
        return self._recent

    def _read_state(self) -> State:
        if self._state is None:
            self._state = read_state(self.connection)
        return self._state


def _packed(rows: list[Any], dims: int) -> scan.Block:
    """Return the vectors of rows of id, whether it will expire, and vectors."""
    found = [(id_, blob) for id_, _, blob in rows if blob is not None]
    ids = [id_ for id_, _ in found]
    return scan.pack(ids, ids, [blob for _, blob in found], dims)


def _counted(rows: Iterable[Any], terms: tuple[str, ...], searched: tuple[str, ...] | None = None) -> keyword.Postings:
    """Return postings for rows of id, length and words; only of those in which one of the terms searched occurs."""
    found = [(id_, id_, length, counts_of(column, terms)) for id_, length, column in rows]
    if searched is not None:
        places = [place for place, term in enumerate(terms) if term in searched]
        found = [row for row in found if any(row[3][place] for place in places)]
    return keyword.Postings.of(found, len(terms))

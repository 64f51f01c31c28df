"""Answers the reading commands on one connection. Writes nothing; what must be renewed is collected for the caller.

The server compares vectors one by one in float32 and returns the best; they are ranked here in float64, as on every
engine (``search.scan``). Filters likewise: the server narrows, ``filters.match`` decides. Where too few of what the
server returned remain, it is asked for more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from crossthread import namespaces, values
from crossthread.engines.base import VectorSpace
from crossthread.engines.narrowing import ANY, Dialect, narrowing
from crossthread.engines.postgres.addresses import address, split
from crossthread.engines.postgres.candidates import Candidates
from crossthread.engines.postgres.connection import NUMBERS, Connection, fetch
from crossthread.engines.postgres.statements import Statements, scope
from crossthread.filters.ast import Node
from crossthread.filters.match import matches
from crossthread.namespaces import Namespace
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
from crossthread.search.vectors import Vectors, to_bytes
from crossthread.search.words import counts_of

ALWAYS = -1  # as "now": before every expiry, so nothing has expired
_ALL = 2**62
_SPARE = 2  # more candidates than hits are wanted, so that the last hit is seldom in doubt
_MOST_TIES = 2000
_MORE = 4  # how many times as many where that did not do

DIALECT = Dialect(
    text='(i.value #>> ?::text[]) COLLATE "C"',
    number="(CASE json_typeof(i.value #> ?::text[]) WHEN 'number' THEN (i.value #>> ?::text[])::float8 END)",
    path=lambda keys: keys,
    boolean=lambda value: "true" if value else "false",
)


class Renewal(NamedTuple):
    """An item that a read returned and that lives longer for it; the columns of its address first."""

    namespace: str
    subspace: str
    key: str
    updated_at: int
    ttl_minutes: float


class Reader:
    """Reads through one connection.

    Args:
        connection: The connection.
        statements: The texts.
        now: The present in microseconds; `ALWAYS` to see expired items too; None for the server's clock.
        find_space: Returns what is known of the vectors.
        generation: Of which generation of the store's the vectors of queries are.
        named: The model that made them, where it has a name.
    """

    def __init__(
        self,
        connection: Connection,
        statements: Statements,
        now: int | None,
        find_space: Callable[[Connection], VectorSpace],
        generation: int = 0,
        named: str | None = None,
    ) -> None:
        self.connection = connection
        self.statements = statements
        self.now = now
        self.find_space = find_space
        self.generation = generation
        self.named = named
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
            case KnownVectors():
                return self.known_vectors(command)
            case _:
                raise AssertionError(f"not a read: {command!r}")

    def get(self, command: Get) -> Row | None:
        """Return an item."""
        place = address(command.namespace, command.key)
        found = fetch(self.connection, self.statements.get, (*place[:3], self.now))
        return self._row(found[0], command.refresh_ttl) if found else None

    def get_many(self, commands: list[Get]) -> list[Row | None]:
        """Return several items at once."""
        places = [address(command.namespace, command.key) for command in commands]
        columns = [list(column) for column in zip(*places, strict=True)][:3]
        rows: list[Row | None] = [None] * len(commands)
        for *found, number in fetch(self.connection, self.statements.get_many, (*columns, self.now)):
            rows[number - 1] = self._row(found, commands[number - 1].refresh_ttl)
        return rows

    def search(self, command: Search) -> list[Row]:
        """Return the items that a search finds."""
        if not command.limit:
            return []
        match command.mode:
            case None:
                return self._newest(command)
            case "semantic":
                return self._nearest(command)
            case "keyword":
                return self._by_words(command)
        return self._by_both(command)

    def list_namespaces(self, command: ListNamespaces) -> list[Namespace]:
        """Return the namespaces that hold a live item."""
        covered = scope(namespaces.literal_prefix(command.patterns))
        found = fetch(self.connection, self.statements.list_namespaces(covered), (*covered.parameters, self.now))
        names = [namespaces.from_text(json.loads(full)[0] if full else home + rest) for home, rest, full in found]
        return namespaces.listed(names, command.patterns, command.max_depth, command.limit, command.offset)

    def count(self, prefix: str, where: Node | None) -> int:
        """Return how many live items match."""
        covered = scope(prefix)
        if where is None:
            parameters = (*covered.parameters, self.now)
            number: int = fetch(self.connection, self.statements.count(covered), parameters)[0][0]
            return number
        extra, operands = self._narrowing(where, len(covered.parameters) + 2)
        text = self.statements.values(covered, extra)
        with self.connection.cursor(binary=True) as cursor:
            found = cursor.stream(cast(Any, text), (*covered.parameters, self.now, *operands))
            return sum(matches(where, values.decode(value)) for (value,) in found)

    def known_vectors(self, command: KnownVectors) -> dict[bytes, bytes]:
        """Return the vectors of texts that are embedded already."""
        parameters: list[Any] = [list(command.hashes), self.generation]
        if self.statements.is_cluster:
            parameters.append(sorted({split(namespace)[0] for namespace in command.namespaces}))
        if len(command.hashes) == 1:
            found = fetch(self.connection, self.statements.known_vector, [*command.hashes, *parameters[1:]])
        else:
            found = fetch(self.connection, self.statements.known_vectors, parameters)
        return {hash_: to_bytes(np.frombuffer(numbers, NUMBERS)) for hash_, numbers in found}

    def _newest(self, command: Search) -> list[Row]:
        covered = scope(command.prefix)
        extra, operands = self._narrowing(command.where, len(covered.parameters) + 4)
        text = self.statements.newest(covered, extra)

        def page(limit: int, offset: int) -> list[Any]:
            parameters = (*covered.parameters, self.now, limit, offset, *operands)
            return fetch(self.connection, text, parameters, planned=not covered.is_one_home)

        if command.where is None:
            return [self._row(one, command.refresh_ttl) for one in page(command.limit, command.offset)]
        wanted = command.offset + command.limit
        for limit in _more(wanted if extra != ANY[0] else wanted * _MORE):
            found = page(limit, 0)
            kept = [one for one in found if matches(command.where, values.decode(one[3]))]
            if len(kept) >= wanted or len(found) < limit:
                break
        return [self._row(one, command.refresh_ttl) for one in kept[command.offset : wanted]]

    def _nearest(self, command: Search) -> list[Row]:
        assert command.vector is not None
        space = self._space()
        if space.dims is None:
            return []
        space.admit(command.vector.size)
        wanted = command.offset + command.limit
        for limit in _more(wanted + _SPARE):
            found = self._nearest_vectors(command, limit)
            self._check(found[0][10] if found else None)
            candidates = _Nearest(found, command)
            if len(found) < limit or candidates.are_enough(wanted):
                break
        return [
            scored_row(self._row(candidates.rows[hit.id], command.refresh_ttl), hit, {}, command.explain)
            for hit in candidates.hits[command.offset : wanted]
        ]

    def _by_words(self, command: Search) -> list[Row]:
        found = self._postings(command, with_distance=False)
        hits = keyword.best(found.words, command.offset + command.limit, min_score=command.min_score)
        return self._page(found, hits, command)

    def _by_both(self, command: Search) -> list[Row]:
        """Rank what the words find and the nearest by vectors, as many as it takes."""
        query = cast(Vectors, command.vector)
        space = self._space()
        if space.dims is not None:
            space.admit(query.size)
        found = self._postings(command, with_distance=space.dims is not None)
        wanted = command.offset + command.limit
        contenders = np.arange(len(found.places))
        block = scan.EMPTY
        if space.dims is not None:
            for limit in _more(wanted + _SPARE):
                nearest = self._nearest_vectors(command, limit)
                for one in nearest:
                    if self._is_hit(one, command):
                        found.add(one[:3], one[5], one[8])
                contenders, least, is_tie = found.contenders(command.weight, wanted, query.size)
                if len(nearest) < limit or found.cannot_be_reached(
                    nearest[-1][8], least, is_tie, command.weight, query.size
                ):
                    break
            block = self._block(found, contenders, query.size)
        words = found.words.only(contenders)
        hits = fusion.best(lambda: [(block, None)], query, words, command.weight, wanted, min_score=command.min_score)
        return self._page(found, hits, command)

    def _postings(self, command: Search, *, with_distance: bool) -> Candidates:
        """Return the items in which terms occur, of those the filter leaves."""
        found = Candidates(command.terms)
        if not command.terms:
            return found
        covered = scope(command.prefix)
        parameters: list[Any] = [*covered.parameters, self.now, " | ".join([f"'{term}'" for term in command.terms])]
        if with_distance:
            parameters += [command.vector, self.generation]
        extra, operands = None, ()
        if command.where is not None:
            extra, operands = self._narrowing(command.where, len(parameters) + 1)
        text = self.statements.postings(covered, extra, with_distance=with_distance)
        rows = fetch(self.connection, text, (*parameters, *operands), planned=not covered.is_one_home)
        counted: list[tuple[int, int, int, list[int]]] = []
        allowed: list[int] = []
        for home, rest, key, stamp, length, terms, value, distance, items, words in rows:
            id_ = len(counted)
            if command.where is None or (value is not None and matches(command.where, values.decode(value))):
                # Numbered anew below, without what the filter leaves out.
                allowed.append(id_)
                found.add((home, rest, key), stamp, distance)
            counted.append((id_, stamp, length, counts_of(terms.replace("'", ""), command.terms)))
            found.corpus = found.corpus._replace(items=items, words=words)
        postings = keyword.Postings.of(counted, len(command.terms))
        found.corpus = found.corpus._replace(holding=tuple((postings.counts > 0).sum(axis=0).tolist()))
        kept = np.array(allowed, dtype=np.int64)
        found.postings = keyword.Postings(np.arange(len(kept)), *(column[kept] for column in postings[1:]))
        found.words = keyword.scored(found.postings, found.corpus)
        return found

    def _space(self) -> VectorSpace:
        """Return what is known of the vectors, which are those that the query was made for."""
        space = self.find_space(self.connection)
        space.check(self.generation, self.named, "the store")
        return space

    def _check(self, serving: int | None) -> None:
        """Check that vectors of another generation do not serve by now; None: that has to be asked for."""
        if serving is None:
            ((serving,),) = fetch(self.connection, self.statements.generation)
        if serving != self.generation:
            *_, model, dims, serving = fetch(self.connection, self.statements.state)[0]
            VectorSpace(model, dims, serving).check(self.generation, self.named, "the store")

    def _nearest_vectors(self, command: Search, limit: int) -> list[Any]:
        """Return the nearest vectors with their items; such as may satisfy the filter."""
        covered = scope(command.prefix)
        parameters = (*covered.parameters, self.now, command.vector)
        operands: tuple[Any, ...] = ()
        if command.where is None:
            text = self.statements.nearest(covered)
        else:
            extra, operands = self._narrowing(command.where, len(parameters) + 3)
            text = self.statements.nearest_matching(covered, extra)
        return fetch(
            self.connection, text, (*parameters, limit, self.generation, *operands), planned=not covered.is_one_home
        )

    @staticmethod
    def _is_hit(one: Any, command: Search) -> bool:
        """Whether a vector has a live item, and the item satisfies the filter."""
        return one[0] is not None and (command.where is None or matches(command.where, values.decode(one[3])))

    def _block(self, found: Candidates, ids: npt.NDArray[np.int64], dims: int) -> scan.Block:
        """Return the vectors of some candidates."""
        vectors: dict[int, list[bytes]] = {}
        rows = fetch(self.connection, self.statements.vectors, [*self._addresses(found, ids.tolist()), self.generation])
        self._check(rows[0][2] if rows else None)
        for numbers, n, _ in rows:
            vectors.setdefault(int(ids[n - 1]), []).append(numbers)
        chosen = sorted(vectors)
        block = _block([found.stamps[id_] for id_ in chosen], [vectors[id_] for id_ in chosen], dims)
        return block._replace(ids=np.array(chosen, dtype=np.int64))

    def _page(self, found: Candidates, hits: list[scan.Hit], command: Search) -> list[Row]:
        """Return the rows of a page of hits."""
        hits = hits[command.offset :]
        ids = [hit.id for hit in hits]
        terms: dict[int, dict[str, float]] = {}
        if command.explain:
            terms = keyword.explained(found.postings, found.corpus, command.terms, ids)
        rows: dict[int, Any] = {}
        if ids:
            for *row, n in fetch(self.connection, self.statements.rows, self._addresses(found, ids)):
                rows[ids[n - 1]] = row
        return [
            scored_row(self._row(rows[hit.id], command.refresh_ttl), hit, terms.get(hit.id, {}), command.explain)
            for hit in hits
            if hit.id in rows  # or it was written anew since it was found
        ]

    @staticmethod
    def _addresses(found: Candidates, ids: list[int]) -> list[list[Any]]:
        columns = [list(column) for column in zip(*[found.places[id_] for id_ in ids], strict=True)] or [[], [], []]
        return [*columns, [found.stamps[id_] for id_ in ids]]

    def _narrowing(self, where: Node | None, first: int) -> tuple[str, tuple[Any, ...]]:
        """Return the narrowing of a filter, with parameters numbered from ``first`` on."""
        text, operands = narrowing(where, DIALECT)
        head, *parts = text.split("?")
        return head + "".join(f"${n}{part}" for n, part in enumerate(parts, first)), operands

    def _row(self, found: Any, refresh_ttl: bool) -> Row:
        home, rest, key, value, created_at, updated_at, ttl_minutes, full = found[:8]
        if refresh_ttl and ttl_minutes is not None:
            self.renewals.append(Renewal(home, rest, key, updated_at, ttl_minutes))
        namespace = home + rest
        if full is not None:
            namespace, key = json.loads(full)
        return Row(namespace, key, value, created_at, updated_at)


class _Nearest:
    """The vectors that the server found nearest, ranked anew."""

    def __init__(self, found: list[Any], command: Search) -> None:
        assert command.vector is not None
        self.rows: list[Any] = []
        self._command = command
        self._last: float = found[-1][8] if found else 0.0
        self._fetched = len(found)
        vectors: list[list[bytes]] = []
        places: dict[tuple[str, str, str], int] = {}
        for one in found:
            if one[0] is None or (command.where is not None and not matches(command.where, values.decode(one[3]))):
                continue
            place = places.setdefault(one[:3], len(vectors))
            if place == len(vectors):
                self.rows.append(one)
                vectors.append([one[9]])
            else:
                vectors[place].append(one[9])
        self.hits: list[scan.Hit] = []
        if vectors:
            block = _block([one[5] for one in self.rows], vectors, command.vector.size)
            self.hits = scan.best(block, command.vector, len(vectors), min_score=command.min_score)

    def are_enough(self, wanted: int) -> bool:
        """Whether no vector beyond the candidates can belong to the first ``wanted`` hits."""
        assert self._command.vector is not None
        most = -self._last + scan.rounding(self._command.vector.size)
        if len(self.hits) < wanted:
            return self._command.min_score is not None and most < self._command.min_score
        # Equal distances are no proof: the server adds in float32, where vectors that differ may be equally far. Of
        # thousands that are as near as the last hit, the server's order (the latest writes first) decides.
        return self.hits[wanted - 1].score > most or self._fetched >= wanted + _MOST_TIES


def _block(stamps: list[int], vectors: list[list[bytes]], dims: int) -> scan.Block:
    """Return the block of items whose vectors are given as they travelled."""
    numbers = b"".join([one for own in vectors for one in own])
    matrix = np.frombuffer(numbers, NUMBERS).astype(np.float32).reshape(-1, dims)
    starts = None
    if len(matrix) != len(vectors):
        starts = np.concatenate(([0], np.cumsum([len(own) for own in vectors])[:-1]))
    return scan.Block(np.arange(len(vectors)), np.array(stamps, dtype=np.int64), matrix, starts)


def _more(limit: int) -> Iterator[int]:
    """Yield ``limit`` and ever larger ones, up to all there are."""
    while limit < _ALL:
        yield limit
        limit *= _MORE
    yield _ALL

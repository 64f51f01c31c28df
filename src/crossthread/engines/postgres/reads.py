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

from crossthread import namespaces, values
from crossthread.engines.base import VectorSpace
from crossthread.engines.narrowing import ANY, Dialect, narrowing
from crossthread.engines.postgres.addresses import address, split
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
)
from crossthread.search import scan
from crossthread.search.vectors import to_bytes

ALWAYS = -1  # as "now": before every expiry, so nothing has expired
_ALL = 2**62
_SPARE = 2  # more candidates than hits are wanted, so that the last hit is seldom in doubt
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
    """

    def __init__(
        self,
        connection: Connection,
        statements: Statements,
        now: int | None,
        find_space: Callable[[Connection], VectorSpace],
    ) -> None:
        self.connection = connection
        self.statements = statements
        self.now = now
        self.find_space = find_space
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
        return self._newest(command) if command.vector is None else self._nearest(command)

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
        homes = sorted({split(namespace)[0] for namespace in command.namespaces})
        if len(command.hashes) == 1:
            found = fetch(self.connection, self.statements.known_vector, (command.hashes[0], homes))
        else:
            found = fetch(self.connection, self.statements.known_vectors, (list(command.hashes), homes))
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
        space = self.find_space(self.connection)
        if space.dims is None:
            return []
        space.admit(command.vector.size)
        covered = scope(command.prefix)
        parameters = (*covered.parameters, self.now, command.vector)
        operands: tuple[Any, ...] = ()
        if command.where is None:
            text = self.statements.nearest(covered)
        else:
            extra, operands = self._narrowing(command.where, len(parameters) + 2)
            text = self.statements.nearest_matching(covered, extra)
        wanted = command.offset + command.limit
        for limit in _more(wanted + _SPARE):
            found = fetch(self.connection, text, (*parameters, limit, *operands), planned=not covered.is_one_home)
            candidates = _Candidates(found, command)
            if len(found) < limit or candidates.are_enough(wanted):
                break
        hits = candidates.hits[command.offset : wanted]
        return [self._row(candidates.rows[hit.id], command.refresh_ttl, hit.score) for hit in hits]

    def _narrowing(self, where: Node | None, first: int) -> tuple[str, tuple[Any, ...]]:
        """Return the narrowing of a filter, with parameters numbered from ``first`` on."""
        text, operands = narrowing(where, DIALECT)
        head, *parts = text.split("?")
        return head + "".join(f"${n}{part}" for n, part in enumerate(parts, first)), operands

    def _row(self, found: Any, refresh_ttl: bool, score: float | None = None) -> Row:
        home, rest, key, value, created_at, updated_at, ttl_minutes, full = found[:8]
        if refresh_ttl and ttl_minutes is not None:
            self.renewals.append(Renewal(home, rest, key, updated_at, ttl_minutes))
        namespace = home + rest
        if full is not None:
            namespace, key = json.loads(full)
        return Row(namespace, key, value, created_at, updated_at, score)


class _Candidates:
    """The vectors that the server found nearest, ranked anew."""

    def __init__(self, found: list[Any], command: Search) -> None:
        assert command.vector is not None
        self.rows: list[Any] = []
        self._command = command
        self._last: float = found[-1][8] if found else 0.0
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
        # Equal distances are no proof: the server adds in float32, where vectors that differ may be equally far.
        return self.hits[wanted - 1].score > most


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

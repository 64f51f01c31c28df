"""The indexes of words (FTS5) and of texts, which lag behind the items. Writes inside its caller's transaction.

An index entry is cheap among a thousand and dear alone, so a put leaves none; whoever has written enough settles what
all have left. Until then the items themselves tell: those written since ``State.indexed_items`` are looked at one by
one, and those erased since ``State.indexed_erasures`` are still in the indexes, and belong to no item there.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from typing import Any

from crossthread.embedding.extract import HASH_BYTES
from crossthread.engines.sqlite import queries, words
from crossthread.engines.sqlite.state import State

_AT_ONCE = 10_000
_KEPT_ERASURES = 20_000

Entry = tuple[int, str, str | None, bytes | None]
"""The time, namespace, words and texts of an item."""


def unindexed(connection: sqlite3.Connection, state: State) -> int:
    """Return how many changes the indexes have not been told of."""
    found: int = connection.execute(queries.COUNT_UNINDEXED, (state.indexed_items, state.indexed_erasures)).fetchone()[
        0
    ]
    return found


def settle(connection: sqlite3.Connection, state: State, latest: int, erasures: int) -> None:
    """Bring both indexes up to date.

    Args:
        connection: A connection inside a write transaction.
        state: The state at its beginning.
        latest: The last ``updated_at`` of all items by now.
        erasures: The number of the last erased row by now.
    """
    settle_erased(connection, state, erasures)
    found = connection.execute(queries.UNINDEXED, (state.indexed_items, latest))
    while entries := found.fetchmany(_AT_ONCE):
        _change(connection, queries.PUT_WORDS, queries.PUT_TEXT, entries)
    connection.execute(queries.SET_INDEXED_ITEMS, (max(latest, state.indexed_items),))


def settle_erased(connection: sqlite3.Connection, state: State, erasures: int) -> None:
    """Take out of both indexes what was replaced or erased."""
    if erasures == state.indexed_erasures:
        return
    take_out(connection, connection.execute(queries.ERASED, (state.indexed_erasures,)).fetchall())
    connection.execute(queries.SETTLE_ERASED, (state.indexed_erasures,))
    connection.execute(queries.DROP_ERASED, (erasures - _KEPT_ERASURES,))
    connection.execute(queries.SET_INDEXED_ERASURES, (erasures,))


def put_in(connection: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """Put items into both indexes; they are sorted by time, in which order FTS5 takes them as one segment."""
    _change(connection, queries.PUT_WORDS, queries.PUT_TEXT, entries)


def take_out(connection: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """Take items out of both indexes."""
    _change(connection, queries.DELETE_WORDS, queries.DELETE_TEXT, entries)


def _change(connection: sqlite3.Connection, of_words: str, of_text: str, entries: Iterable[Entry]) -> None:
    documents: list[tuple[int, str]] = []
    hashes: list[tuple[bytes, int]] = []
    for time, namespace, column, texts in entries:
        if column is not None:
            documents.append((time, words.document(namespace, column)))
        if texts is not None:
            hashes += [(hash_, time) for hash_ in split(texts)]
    if documents:
        connection.executemany(of_words, documents)
    hashes.sort()  # neighbours in the index are written together
    connection.executemany(of_text, hashes)


def split(texts: bytes) -> list[bytes]:
    """Return the hashes in a column of texts."""
    return [texts[at : at + HASH_BYTES] for at in range(0, len(texts), HASH_BYTES)]


class RecentTexts:
    """The texts of items that the index of texts has not been told of, for the look-up of known ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[bytes, list[int]] = {}
        self._indexed = 0
        self._until = 0

    def times_of(self, connection: sqlite3.Connection, hash_: bytes, latest: int | None) -> list[int]:
        """Return the times of items that have, or had, a text; [] where it stands in the index or nowhere.

        The latest come first: a put of the same text again and again has erased those before.

        Args:
            connection: The connection to read on.
            hash_: The text's hash.
            latest: The latest write that there is.
        """
        with self._lock:
            if latest is not None and latest > self._until:
                self._read(connection)
            return self._times.get(hash_, [])[::-1]

    def add(self, before: int, indexed: int, written: list[tuple[int, tuple[bytes, ...]]]) -> None:
        """Take over what this process has just committed, which spares reading it back.

        Args:
            before: The latest write before the commit.
            indexed: Up to which time the index of texts is complete after it.
            written: The times of the items written, each with the hashes of its texts.
        """
        with self._lock:
            if before == self._until and written:
                self._add(written)
                self._until = written[-1][0]
            self._forget(indexed)

    def clear(self) -> None:
        """Forget all, to be read again: items came in before what is known."""
        with self._lock:
            self._times.clear()
            self._indexed = self._until = 0

    def _read(self, connection: sqlite3.Connection) -> None:
        (indexed,) = connection.execute(queries.INDEXED_ITEMS).fetchone()
        self._forget(indexed)
        rows: list[Any] = connection.execute(queries.UNINDEXED_TEXTS, (max(self._until, indexed),)).fetchall()
        self._add((time, split(texts)) for time, texts in rows)
        self._until = max([self._until, *(time for time, _ in rows)])

    def _add(self, written: Iterable[tuple[int, Iterable[bytes]]]) -> None:
        for time, hashes in written:
            for hash_ in hashes:
                self._times.setdefault(hash_, []).append(time)

    def _forget(self, indexed: int) -> None:
        if indexed > self._indexed:
            self._indexed = indexed
            kept = ((hash_, [time for time in times if time > indexed]) for hash_, times in self._times.items())
            self._times = {hash_: times for hash_, times in kept if times}

"""Checks a file against itself, in one snapshot on one connection. Reads only; its temporary table is not in the file.

Each index is read once from its beginning to its end and weighed against the items: what the items say is added up by
item, and what the index says is taken off, so that nothing is looked up one by one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from crossthread import namespaces
from crossthread._text import unescape
from crossthread.embedding.extract import HASH_BYTES
from crossthread.engines.sqlite import words
from crossthread.engines.sqlite.indexes import split
from crossthread.engines.sqlite.staging import read_progress
from crossthread.engines.sqlite.state import State, read_state
from crossthread.verification import Findings, value_problems, vector_problems, word_problems

# With the vectors that serve, of which some may have yet to take their place.
_ITEMS = """
SELECT i.updated_at, i.namespace, i.key, i.value, i.created_at, i.ttl_minutes, i.expires_at, i.length, i.words, i.texts,
       CASE WHEN s.phase = 2 THEN coalesce(n.vectors, i.vectors) ELSE i.vectors END
FROM crossthread_items AS i
JOIN crossthread_state AS s
LEFT JOIN crossthread_staged AS n ON n.updated_at = i.updated_at
ORDER BY i.updated_at
"""

_STAGED = """
SELECT n.updated_at, n.texts, n.vectors, i.updated_at IS NOT NULL, i.texts
FROM crossthread_staged AS n
LEFT JOIN crossthread_items AS i ON i.updated_at = n.updated_at
ORDER BY n.updated_at
"""

_UNSTAGED = """
SELECT i.namespace, i.key
FROM crossthread_items AS i
LEFT JOIN crossthread_staged AS n ON n.updated_at = i.updated_at
WHERE i.updated_at <= (SELECT complete_to FROM crossthread_reembedding) AND n.texts IS NOT i.texts
LIMIT 100
"""

_ERASED = """
SELECT e.number, e.updated_at, e.namespace, e.words, e.texts,
       EXISTS (SELECT 1 FROM crossthread_items AS i WHERE i.updated_at = e.updated_at)
FROM crossthread_erased AS e
ORDER BY e.number
"""

_TEXTS = "SELECT updated_at, hash FROM crossthread_texts"

_HAS_WORDS = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'crossthread_words')"

# One row for each term of each item.
_OPEN_VOCABULARY = """
CREATE VIRTUAL TABLE temp.crossthread_vocabulary USING fts5vocab ('main', 'crossthread_words', 'instance')
"""

_VOCABULARY = "SELECT doc, term FROM temp.crossthread_vocabulary"

_MOST_DAMAGE = 20


def verify(connection: sqlite3.Connection, findings: Findings) -> None:
    """Check a file; what is wrong is added to the findings. The caller has begun a transaction, and rolls it back."""
    damage = _damage(connection)
    for line in damage:
        findings.add(f"SQLite finds: {' '.join(line.split())}.")
    try:
        _Check(connection, findings).run()
    except sqlite3.DatabaseError as error:
        if not damage and not _is_damage(error):
            raise
        findings.add(f"The rest cannot be read: {error}.")


def _damage(connection: sqlite3.Connection) -> list[str]:
    """Return what SQLite's own check finds, of which some releases fail over a page that makes no sense."""
    try:
        return [line for (line,) in connection.execute(f"PRAGMA integrity_check({_MOST_DAMAGE})") if line != "ok"]
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise
        return [str(error)]


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class _Check:
    """One run over a file.

    The two balances hold, for each item by its ``updated_at``, the sum of the hashes of all that an index must have of
    it; what the index has is taken off, and nothing remains. Two different sets have equal sums once in 2**64 times.
    """

    def __init__(self, connection: sqlite3.Connection, findings: Findings) -> None:
        self.connection = connection
        self.findings = findings
        self.state: State = read_state(connection)
        self.words: dict[int, int] = {}
        self.texts: dict[int, int] = {}
        self.addresses: dict[int, tuple[str, str]] = {}
        """Of the items that the indexes must hold."""

    def run(self) -> None:
        self.check_items()
        self.check_erased()
        self.check_state()
        self.check_staged()
        self.weigh(self.texts, self.connection.execute(_TEXTS), "texts")
        self.weigh(self.words, self.postings(), "words")

    def check_items(self) -> None:
        for (
            time,
            namespace,
            key,
            value,
            created_at,
            minutes,
            expires_at,
            length,
            column,
            texts,
            vectors,
        ) in self.connection.execute(_ITEMS):
            self.findings.items += 1
            problems = [
                *_address_problems(namespace, key),
                *value_problems(value, created_at, time, minutes, expires_at),
                *_text_problems(texts, vectors, self.state.dims),
                *_column_problems(column, length),
            ]
            for problem in problems:
                self.findings.add(f"{_named(namespace, key)}: {problem}.")
            if time <= self.state.indexed_items:
                self.addresses[time] = (namespace, key)
                self.expect(time, namespace, column, texts)

    def expect(self, time: int, namespace: str, column: str | None, texts: bytes | None) -> None:
        """Note what the indexes must hold of an item."""
        if column is not None:
            self.words[time] = sum(map(hash, set(words.document(namespace, column).split(" "))))
        if texts is not None:
            self.texts[time] = sum(map(hash, split(texts)))

    def check_erased(self) -> None:
        previous: int | None = None
        still_there: dict[int, int] = {}
        latest = max(self.state.last_write, self.state.latest)
        for number, time, namespace, column, texts, stands in self.connection.execute(_ERASED):
            if previous is not None and number != previous + 1:
                self.findings.add(f"The log of erased items goes from number {previous} to {number}.")
            previous = number
            if time < 0:  # not erased: an item came in with the time ~time
                time = ~time
                still_there.pop(time, None)
            elif stands:
                still_there[time] = number
            if time > latest:
                self.findings.add(f"The item erased as number {number} was written at {time}, after the last write.")
            if number > self.state.indexed_erasures:
                self.expect(time, namespace, column, texts)
            elif namespace or column is not None or texts is not None:
                self.findings.add(f"The log of erased items still has words or texts of number {number}.")
        for time, number in still_there.items():
            self.findings.add(f"The item written at {time} is noted as erased, number {number}, and still there.")

    def check_state(self) -> None:
        state = self.state
        latest = max(state.last_write, state.latest)
        if state.indexed_items > latest:
            self.findings.add(f"The indexes claim items up to {state.indexed_items}; the last write was at {latest}.")
        if state.indexed_erasures > state.erasures:
            self.findings.add(
                f"The indexes claim erasures up to number {state.indexed_erasures}; the last one was {state.erasures}."
            )

    def check_staged(self) -> None:
        """Check what a change of the model has staged; that a run has not ended is no problem."""
        progress = read_progress(self.connection)
        if (progress.phase == "staging") != bool(progress.run):
            self.findings.add(f"The phase of a change of the model is {progress.phase!r}, and its run {progress.run}.")
        dims = self.state.dims if progress.phase == "settling" else progress.dims
        for time, texts, vectors, stands, of_item in self.connection.execute(_STAGED):
            if progress.phase == "none":
                self.findings.add(f"Vectors are staged for the item written at {time}, and no model is being changed.")
            elif not stands:
                self.findings.add(f"Vectors are staged for the item written at {time}, which is gone.")
            elif not isinstance(of_item, bytes) or not set(split(texts)) <= set(split(of_item)):
                self.findings.add(f"Vectors are staged for texts that the item written at {time} does not have.")
            for problem in _text_problems(texts, vectors, dims):
                self.findings.add(f"What is staged for the item written at {time}: {problem}.")
        for namespace, key in self.connection.execute(_UNSTAGED):
            self.findings.add(f"{_named(namespace, key)}: a text of it lacks a staged vector.")

    def postings(self) -> Iterator[tuple[int, Any]]:
        if not self.connection.execute(_HAS_WORDS).fetchone()[0]:
            return iter(())
        self.connection.execute(_OPEN_VOCABULARY)
        return iter(self.connection.execute(_VOCABULARY))

    def weigh(self, balance: dict[int, int], found: Any, what: str) -> None:
        """Take what an index holds off the balance, and tell what remains."""
        for time, entry in found:
            if time in balance:
                balance[time] -= hash(entry)
            else:
                self.findings.add(f"The index of {what} has an entry of an item written at {time}, which has none.")
        for time, rest in balance.items():
            if rest:
                name = _named(*self.addresses[time]) if time in self.addresses else f"The erased item of {time}"
                self.findings.add(f"{name}: the index of {what} does not hold exactly its {what}.")


def _named(namespace: Any, key: Any) -> str:
    if isinstance(namespace, str) and isinstance(key, str):
        return f"{namespaces.from_text(namespace)} {unescape(key)!r}"
    return f"{namespace!r} {key!r}"


def _address_problems(namespace: Any, key: Any) -> Iterator[str]:
    if not isinstance(namespace, str) or not isinstance(key, str):
        yield "its address is not text"
    elif not namespace.endswith(".") or "" in namespace.split(".")[:-1]:
        yield f"its namespace is kept as {namespace!r}"


def _text_problems(texts: Any, vectors: Any, dims: int | None) -> Iterator[str]:
    if texts is None and vectors is None:
        return
    if not isinstance(texts, bytes) or not isinstance(vectors, bytes) or len(texts) % HASH_BYTES:
        yield "it has texts without vectors, or vectors without texts"
        return
    if len(set(split(texts))) * HASH_BYTES != len(texts):
        yield "it has the same text twice"
    yield from vector_problems(len(texts) // HASH_BYTES, vectors, dims)


def _column_problems(column: Any, length: Any) -> Iterator[str]:
    if column is None and length is None:
        return
    if not isinstance(column, str) or not isinstance(length, int):
        yield "it has words without a number of words, or a number without words"
        return
    try:
        pairs = [entry.split(":") for entry in column.split(" ")] if column else []
        counts = {term: int(count) for term, count in pairs}
    except ValueError:
        yield "its words cannot be read"
        return
    yield from word_problems(counts, length)

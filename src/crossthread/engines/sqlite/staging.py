"""Carries out the commands that change the model, on one connection in its caller's transaction.

Staged vectors stand in a table of their own, a row per item. As rows of items never change, what is staged for one
stays right until the item is gone; so one number tells up to where all of them are complete, and the switch looks only
at what was written after that.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from crossthread._clock import system_clock
from crossthread.embedding.extract import HASH_BYTES
from crossthread.engines.base import VectorSpace
from crossthread.engines.sqlite import queries
from crossthread.engines.sqlite.indexes import split
from crossthread.engines.sqlite.state import SETTLING, STAGING
from crossthread.operations.reembedding import (
    CountTexts,
    IndexedItem,
    Phase,
    Progress,
    ReadTexts,
    Stage,
    StagedItem,
    TextPage,
)
from crossthread.search.vectors import to_bytes

_PHASES: tuple[Phase, ...] = ("none", "staging", "settling")
_PAGE_CHARACTERS = 16_000_000
_SETTLED_AT_ONCE = 1000


def read_progress(connection: sqlite3.Connection) -> Progress:
    """Return how far the file is."""
    generation, serves, phase, *rest = connection.execute(queries.PROGRESS).fetchone()
    return Progress(generation, serves, _PHASES[phase], *rest)


def count_texts(connection: sqlite3.Connection, command: CountTexts) -> tuple[int, int]:
    """Return how many texts the items have, and for how many of these there are staged vectors."""
    every, staged = connection.execute(queries.COUNT_TEXTS).fetchone()
    return every, staged // HASH_BYTES


def read_texts(connection: sqlite3.Connection, command: ReadTexts) -> TextPage:
    """Return a page of items that have texts."""
    complete_to, restored = connection.execute(queries.COMPLETE_TO).fetchone()
    after = command.after
    if after is None:
        after = complete_to if command.unstaged else -1
    items: list[IndexedItem] = []
    staged: dict[bytes, bytes] = {}
    characters = 0
    cursor = connection.execute(queries.TEXTS[command.unstaged], (after, command.limit))
    for place, namespace, key, value, texts, own_texts, own_vectors in cursor:
        items.append(IndexedItem(place, namespace, key, value, tuple(split(texts))))
        if own_texts is not None:
            staged.update(_by_hash(own_texts, own_vectors))
        characters += len(value)
        if characters > _PAGE_CHARACTERS:
            break
    is_last = len(items) < command.limit and characters <= _PAGE_CHARACTERS
    cursor.close()
    for hash_ in {hash_ for item in items for hash_ in item.hashes} - staged.keys():
        found = connection.execute(queries.STAGED_TEXT, (hash_,)).fetchone()
        if found is not None:
            staged[hash_] = _by_hash(*found)[hash_]
    span = (after, items[-1].place, restored) if items else None
    return TextPage(items, staged, None if is_last else items[-1].place, span)


def _by_hash(texts: bytes, vectors: bytes) -> dict[bytes, bytes]:
    hashes = split(texts)
    size = len(vectors) // len(hashes)
    return {hash_: vectors[at * size : (at + 1) * size] for at, hash_ in enumerate(hashes)}


class Staging:
    """The changes of one transaction to what is staged.

    Args:
        connection: A connection inside a write transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def begin(self, run: int, model: str | None) -> None:
        """Begin a run; there is none."""
        self._connection.execute(queries.SET_RUN, (run, model))
        self._connection.execute(queries.SET_PHASE, (STAGING,))

    def stage(self, command: Stage) -> None:
        """Keep vectors of items that are still there."""
        progress = read_progress(self._connection)
        for item in command.items:
            dims = int(item.vectors.shape[1])
            if dims != progress.dims:
                VectorSpace(None, progress.dims).admit(dims)
                self._connection.execute(queries.SET_STAGED_DIMS, (dims,))
                progress = progress._replace(dims=dims)
            self._stage_item(item)
        if command.complete is not None:
            first, last, restored = command.complete
            self._connection.execute(queries.SET_COMPLETE_TO, (last, first, restored))

    def _stage_item(self, item: StagedItem) -> None:
        row = self._connection.execute(queries.STAGED_OF, (item.place,)).fetchone()
        if row is None:
            return  # it was written anew, or erased
        texts, own_texts, own_vectors = row
        hashes, vectors = b"".join(item.hashes), to_bytes(item.vectors)
        if hashes != texts:
            found = _by_hash(hashes, vectors)
            if own_texts is not None:
                found = _by_hash(own_texts, own_vectors) | found
            hashes, vectors = _in_order(texts, found)
        if hashes:  # none where an item with other texts came in with the same time
            self._connection.execute(queries.PUT_STAGED, (item.place, hashes, vectors))

    def restored(self, times: Iterable[int]) -> None:
        """Take note of items that came in with times of their own, which may be such as were looked at already."""
        self._connection.execute(queries.LOWER_COMPLETE_TO, (min(times) - 1,))

    def hand_on(self, old: int, new: int, texts: bytes) -> None:
        """Give an item that was written anew what is staged of the texts that it still has: that is paid for."""
        row = self._connection.execute(queries.STAGED_OF, (old,)).fetchone()
        if row is not None and row[1] is not None:
            hashes, vectors = _in_order(texts, _by_hash(row[1], row[2]))
            if hashes:
                self._connection.execute(queries.PUT_STAGED, (new, hashes, vectors))

    def drop(self, times: Iterable[int]) -> None:
        """Drop what is staged for items that are gone."""
        self._connection.executemany(queries.DELETE_STAGED, [(time,) for time in times])

    def hold(self, seconds: float) -> int:
        """Let nobody write vectors for a while; return until when."""
        until = system_clock() + int(seconds * 1e6)
        self._connection.execute(queries.SET_HELD, (until,))
        return until

    def switch(self, generation: int) -> VectorSpace | None:
        """Let staged vectors be those that serve; return what they have in common, None where some are missing."""
        if self._connection.execute(queries.MISSING).fetchone()[0]:
            return None
        progress = read_progress(self._connection)
        self._connection.execute(queries.SWITCH, (SETTLING,))
        self._connection.execute(queries.END_RUN, (progress.run,))
        return VectorSpace(progress.model, progress.dims, generation + 1)

    def settle(self) -> bool:
        """Let some staged vectors take the place of the old ones; return whether there are more."""
        times = self._some()
        if times:
            self._connection.execute(queries.TAKE_STAGED, (json.dumps(times),))
            self.drop(times)
        return self._went_on(times)

    def abandon(self, last_run: int) -> bool:
        """Drop some of what a run has staged; return whether there is more."""
        times = self._some()
        self.drop(times)
        self._connection.execute(queries.FORGET_COMPLETE_TO)  # whoever goes on with the run must look at all again
        if len(times) < _SETTLED_AT_ONCE:
            self._connection.execute(queries.END_RUN, (last_run,))
        return self._went_on(times)

    def _some(self) -> list[int]:
        return [time for (time,) in self._connection.execute(queries.SOME_STAGED, (_SETTLED_AT_ONCE,))]

    def _went_on(self, times: list[int]) -> bool:
        is_done = len(times) < _SETTLED_AT_ONCE
        if is_done:
            self._connection.execute(queries.SET_PHASE, (0,))
        return not is_done


def _in_order(texts: bytes, found: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return the columns of a staged row, in the order of an item's texts."""
    hashes = [hash_ for hash_ in split(texts) if hash_ in found]
    return b"".join(hashes), b"".join(found[hash_] for hash_ in hashes)

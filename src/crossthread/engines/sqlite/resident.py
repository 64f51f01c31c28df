"""Vectors that were searched lately, kept in memory and brought up to date by what changed. Reads inside a transaction.

An entry is what lies below one prefix as of one commit. Whoever finds it older than the commit that its transaction
sees adds what has been written since and hides what has been erased: a small entry by a list of the items that there
are, a large one by the end of the table and the log of erasures. So it does not matter which process has written.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crossthread.engines.sqlite import queries
from crossthread.engines.sqlite.limits import Limits
from crossthread.engines.sqlite.state import State, Version
from crossthread.search import scan, signs

logger = logging.getLogger("crossthread.sqlite")

_ROWS_AT_ONCE = 8192
_ROW_BYTES = 800  # of a row without its value
_ROWS_SHARE = 16  # the rows of an entry may take a sixteenth of the budget
_LOGGED_ITEMS = 100_000
_FILLED = 8 / 9  # of the budget when an entry is read: it has room to grow by an eighth
_SMALL_SHARE = 8  # an entry of less than an eighth of the budget is quickly read again

Item = tuple[int, int, bytes | None]
"""The time of an item's last write, whether it will expire, its vectors."""


class Outdated(Exception):  # noqa: N818 - never reaches a caller: its transaction is begun anew
    """A transaction sees an older commit than what is in memory."""


class Rows:
    """Rows of items that searches found lately, by time: what a row says never changes."""

    def __init__(self) -> None:
        self.by_time: dict[int, Any] = {}
        self.nbytes = 0

    def clear(self) -> None:
        """Drop all."""
        self.by_time.clear()
        self.nbytes = 0

    def add(self, rows: Iterable[Any]) -> None:
        """Take in rows of `queries.ROWS`."""
        for row in rows:
            if self.by_time.setdefault(row[4], row) is row:
                self.nbytes += _ROW_BYTES + 4 * len(row[2])


class Entry(NamedTuple):
    """What lies below a prefix."""

    version: Version
    vectors: scan.Block | signs.Signs
    expires: bool
    """Whether any of the items has a time to live."""
    listed: frozenset[int] | None
    """The times of all items, those without vectors too; None where there are too many to list."""
    rows: Rows
    """Those of its items that were found."""


class Resident:
    """The entries of prefixes; those that were not searched for longest leave first, small ones before large ones.

    Args:
        limits: How much memory they may take, and how large an entry may be to be listed.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._bytes = 0
        # One thread reads or changes an entry at a time; others who want it wait for what it makes.
        self._busy: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()

    def peek(self, prefix: str, version: Version) -> Entry | None:
        """Return what lies below a prefix if it is in memory, as of this version."""
        with self._lock:
            entry = self._entries.get(prefix)
            if entry is None or entry.version != version:
                return None
            self._entries.move_to_end(prefix)
            return entry

    def remember(self, prefix: str, entry: Entry, rows: list[Any]) -> None:
        """Keep rows that a search has found in an entry."""
        with self._lock:
            kept = self._entries.get(prefix)
            if kept is None or kept.rows is not entry.rows:
                return
            self._bytes -= entry.rows.nbytes
            entry.rows.add(rows)
            if entry.rows.nbytes > self.limits.vector_bytes / _ROWS_SHARE:
                entry.rows.clear()
                entry.rows.add(rows)
            self._bytes += entry.rows.nbytes
            self._make_room(for_rows_of=prefix)
            if self._bytes > self.limits.vector_bytes:  # rows are read again in no time, vectors are not
                self._bytes -= entry.rows.nbytes
                entry.rows.clear()

    def find(self, connection: sqlite3.Connection, prefix: str, state: State, dims: int) -> Entry | None:
        """Return what lies below a prefix as of the state that a transaction sees; None: too much to keep.

        Raises:
            Outdated: The transaction sees an older state than what is in memory.
        """
        with self._lock:
            entry = self._entries.get(prefix)
            if entry is not None:
                self._entries.move_to_end(prefix)
                if entry.version == state.version:
                    return entry
            busy = self._busy.setdefault(prefix, threading.Lock())
        with busy:
            return self._made(connection, prefix, state, dims)

    def _made(self, connection: sqlite3.Connection, prefix: str, state: State, dims: int) -> Entry | None:
        with self._lock:
            entry = self._entries.get(prefix)
        if entry is not None and entry.version == state.version:
            return entry
        if entry is not None and _is_older(state, entry.version):
            raise Outdated
        loader = _Loader(connection, prefix, state, dims, self.limits)
        is_followed = entry is not None and entry.version.generation == state.generation
        made = (loader.follow(entry) if entry is not None and is_followed else None) or loader.load()
        self._keep(prefix, made)
        return made

    def _keep(self, prefix: str, entry: Entry | None) -> None:
        with self._lock:
            old = self._entries.pop(prefix, None)
            self._bytes -= self._cost(old) if old is not None else 0
            if entry is None or self._cost(entry) > self.limits.vector_bytes:
                return
            self._bytes += self._cost(entry)
            self._make_room()
            self._entries[prefix] = entry

    def _make_room(self, for_rows_of: str | None = None) -> None:
        """Let entries go until the others fit; for rows of an entry only small ones, and not that one itself."""
        budget = self.limits.vector_bytes
        for small_only in (True, False) if for_rows_of is None else (True,):
            if self._bytes <= budget:
                return
            for prefix, entry in list(self._entries.items()):
                if self._bytes <= budget:
                    return
                if prefix != for_rows_of and (not small_only or _size(entry) < budget / _SMALL_SHARE):
                    self._bytes -= self._cost(self._entries.pop(prefix))

    def _cost(self, entry: Entry) -> int:
        return self.limits.entry_bytes + _size(entry)


def _is_older(state: State, version: Version) -> bool:
    """Whether a state is of before a version: every commit erases a row, or writes one that is the latest."""
    return state.version < version


def _size(entry: Entry) -> int:
    listed = 0 if entry.listed is None else 64 * len(entry.listed)
    return _room(entry.vectors) + listed + entry.rows.nbytes


def _room(vectors: scan.Block | signs.Signs) -> int:
    """Return the bytes that vectors keep in memory, with the room that they have to grow."""
    arrays: Sequence[Any] = vectors.columns if isinstance(vectors, signs.Signs) else (vectors.matrix, vectors.starts)
    return sum(_whole(array).nbytes for array in (vectors.ids, *arrays) if array is not None)


class _Loader:
    """Reads the vectors below a prefix.

    Args:
        connection: A connection inside a transaction.
        prefix: The prefix in text form.
        state: The state that the transaction sees.
        dims: The dimensions of the vectors.
        limits: How much memory they may take.
    """

    def __init__(self, connection: sqlite3.Connection, prefix: str, state: State, dims: int, limits: Limits) -> None:
        self.connection = connection
        self.prefix = prefix
        self.state = state
        self.dims = dims
        self.limits = limits
        self._bounds = queries.bounds(prefix)

    def load(self) -> Entry | None:
        """Return the entry of a prefix that is not in memory; None: not even the signs have room there."""
        scope, parameters = queries.below(self.prefix)
        (total,) = self.connection.execute(queries.count_all(scope), parameters).fetchone()
        row_bytes = 4 * self.dims + 8
        vectors: scan.Block | signs.Signs = _no_block(self.dims)
        if total * row_bytes > self.limits.vector_bytes * _FILLED:
            vectors = _no_signs(self.dims)
        listed: list[int] = []
        expires = False
        read = 0
        cursor = self.connection.execute(queries.vectors_below(scope, settling=self.state.is_settling), parameters)
        while items := cursor.fetchmany(_ROWS_AT_ONCE):
            before, read = read, read + len(items)
            if read // _LOGGED_ITEMS > before // _LOGGED_ITEMS:
                where = "below a namespace" if self.prefix else "of the whole store"
                logger.info("Reading the vectors %s: %s of %s items", where, f"{read:,}", f"{total:,}")
            if total <= self.limits.listed_items:
                listed += [item[0] for item in items]
            expires = expires or any(item[1] for item in items)
            vectors = self._with(vectors, items, expected=total + total // 9)  # untouched pages cost no memory
            if _room(vectors) > self.limits.vector_bytes - self.limits.entry_bytes:
                if isinstance(vectors, signs.Signs):
                    cursor.close()
                    return None
                vectors = _as_signs(vectors)
        is_listed = total <= self.limits.listed_items
        return Entry(self.state.version, vectors, expires, frozenset(listed) if is_listed else None, Rows())

    def follow(self, entry: Entry) -> Entry | None:
        """Return an entry brought up to date; None: it is easier to read it again."""
        if entry.listed is None:
            return self._follow_log(entry)
        return self._follow_list(entry, entry.listed)

    def _follow_list(self, entry: Entry, listed: frozenset[int]) -> Entry | None:
        if self.state.erasures != entry.version.erasures:
            since = (entry.version.erasures,)
            reaches_back, restored = self.connection.execute(queries.RESTORED_SINCE, since).fetchone()
            if restored or not reaches_back:  # the same time may be that of another item now
                return None
        times = [time for (time,) in self.connection.execute(queries.SCOPE_TIMES, self._bounds)]
        if len(times) > self.limits.listed_items:
            return None
        new = [time for time in times if time not in listed]
        vectors = entry.vectors
        present = listed
        if len(times) - len(new) < len(listed):
            if len(listed) > 2 * len(times):
                return None
            vectors = vectors.without(np.array(list(listed.difference(times)), dtype=np.int64))
            if vectors.hidden is not None and len(vectors.hidden) > len(vectors.ids) / 2:
                return None
            present = frozenset(times)
            entry = entry._replace(rows=Rows())
        if new:
            items = self.connection.execute(queries.VECTORS_OF[self.state.is_settling], (json.dumps(new),)).fetchall()
            entry = entry._replace(expires=entry.expires or any(item[1] for item in items))
            vectors = self._with(vectors, items)
            present = present.union(new)
        return entry._replace(version=self.state.version, vectors=vectors, listed=present)

    def _follow_log(self, entry: Entry) -> Entry | None:
        vectors = entry.vectors
        count = self.state.erasures - entry.version.erasures
        found: list[tuple[int]] = []
        if count:
            found = self.connection.execute(queries.ERASED_SINCE, (entry.version.erasures,)).fetchall()
            if len(found) < count:  # the log does not reach back so far
                return None
            vectors = vectors.without(np.array([time for (time,) in found], dtype=np.int64))
            if vectors.hidden is not None and len(vectors.hidden) > len(vectors.ids) / 4:
                return None
        expires = entry.expires
        restored = [~time for (time,) in found if time < 0]
        settling = self.state.is_settling
        if restored:
            if np.isin(np.array(restored, dtype=np.int64), vectors.ids).any():
                return None  # a time that is there already, and hidden
            parameters = (json.dumps(restored), entry.version.latest, *self._bounds)
            items = self.connection.execute(queries.RESTORED_VECTORS[settling], parameters).fetchall()
            expires = expires or any(item[1] for item in items)
            vectors = self._with(vectors, items)
        cursor = self.connection.execute(queries.VECTORS_SINCE[settling], (entry.version.latest, *self._bounds))
        while items := cursor.fetchmany(_ROWS_AT_ONCE):
            expires = expires or any(item[1] for item in items)
            vectors = self._with(vectors, items)
        followed = Entry(self.state.version, vectors, expires, None, Rows() if count else entry.rows)
        return followed if self.limits.entry_bytes + _size(followed) <= self.limits.vector_bytes else None

    def _with(
        self, vectors: scan.Block | signs.Signs, items: Sequence[Item], expected: int = 0
    ) -> scan.Block | signs.Signs:
        """Return vectors with those of more items."""
        found = [(time, blob) for time, _, blob in items if blob is not None]
        if not found:
            return vectors
        times, blobs = zip(*found, strict=True)
        more = scan.pack(list(times), list(times), list(blobs), self.dims)
        if isinstance(vectors, signs.Signs):
            return _more_signs(vectors, more, expected)
        return _more_vectors(vectors, more, expected)


def _no_block(dims: int) -> scan.Block:
    none = np.empty(0, np.int64)
    return scan.Block(none, none, np.empty((0, dims), np.float32), None)


def _no_signs(dims: int) -> signs.Signs:
    none = np.empty(0, np.uint64)
    return signs.Signs(np.empty(0, np.int64), (none,) * signs.columns_for(dims))


def _more_vectors(block: scan.Block, more: scan.Block, expected: int) -> scan.Block:
    ids = _extended(block.ids, more.ids, expected)
    starts = None
    if block.starts is not None or more.starts is not None:
        own = np.arange(len(block.ids)) if block.starts is None else block.starts
        others = np.arange(len(more.ids)) if more.starts is None else more.starts
        starts = _extended(own, others + len(block.matrix), expected)
    return scan.Block(ids, ids, _extended(block.matrix, more.matrix, expected), starts, block.hidden)


def _more_signs(old: signs.Signs, more: scan.Block, expected: int) -> signs.Signs:
    ids = _extended(old.ids, _owners(more), expected)
    columns = zip(old.columns, signs.signs_of(more.matrix), strict=True)
    return signs.Signs(ids, tuple(_extended(column, others, expected) for column, others in columns), old.hidden)


def _as_signs(block: scan.Block) -> signs.Signs:
    found = _no_signs(block.matrix.shape[1])
    owners = _owners(block)
    for start in range(0, len(owners), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        one = scan.Block(owners[part], owners[part], block.matrix[part], None)
        found = _more_signs(found, one, len(owners))
    if block.hidden is not None:
        found = found.without(block.ids[block.hidden])
    return found


def _owners(block: scan.Block) -> npt.NDArray[np.int64]:
    """Return whose each vector is."""
    if block.starts is None:
        return block.ids
    return np.repeat(block.ids, np.diff(np.append(block.starts, len(block.matrix))))


def _extended(array: npt.NDArray[Any], more: npt.NDArray[Any], expected: int) -> npt.NDArray[Any]:
    """Return an array with more rows at its end, in the room behind it where there is some.

    Only the last array that was made in a room may be extended; earlier ones go on to be read.
    """
    size = len(array) + len(more)
    room = _whole(array)
    if room is array or len(room) < size:
        room = np.empty((max(expected, size + size // 8), *array.shape[1:]), array.dtype)
        room[: len(array)] = array
    room[len(array) : size] = more
    return room[:size]


def _whole(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the room that an array of `_extended` stands in; another array itself."""
    base = array.base
    if isinstance(base, np.ndarray) and base.ctypes.data == array.ctypes.data and base.strides == array.strides:
        return base
    return array

"""What a store tells of its items beyond `get`, and of itself: records page by page, and numbers. Reads only.

Programs like that of ``batch``, written once for sync and async callers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple, cast

from crossthread import namespaces, values
from crossthread._clock import to_datetime, to_expiry, to_microseconds
from crossthread._program import Program
from crossthread._text import escape, shown, unescape
from crossthread.batch import Compute
from crossthread.embedding.recover import recover
from crossthread.embedding.recover_words import recover_by_words
from crossthread.errors import InvalidArgumentError
from crossthread.operations.commands import Batch, Measured, Page, Position, Records, RecordsAt, Stats, Stored
from crossthread.search.vectors import Vectors, from_bytes
from crossthread.search.words import Language

MOST_AT_ONCE = 10_000
"""Records of one page."""
_AT_A_TIME = 64  # records that are put together in a few milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An item with all that is kept of it.

    Attributes:
        namespace: The labels of its namespace.
        key: Its key.
        value: Its value, the caller's own.
        created_at: When it was created, UTC.
        updated_at: When it was written last, UTC.
        ttl: Minutes that it lives on from when it is put or read; None: for ever.
        expires_at: When it is gone; None: never. What lies beyond the calendar is the last moment of the year 9999.
        index: The paths of the texts that it is found by, in LangGraph's form; False: it is found by none; None: that
            cannot be told, since the store has never had an index, or no path says which texts they are.
        hashes: 16 bytes for each text that has a vector, by which the store knows the text again.
        vectors: float32, shape (n, dims), unit length: those of the ``hashes``, in order; None where they were not
            asked for, or there are none.
    """

    namespace: tuple[str, ...]
    key: str
    value: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    ttl: float | None = None
    expires_at: datetime | None = None
    index: tuple[str, ...] | Literal[False] | None = None
    hashes: tuple[bytes, ...] = ()
    vectors: Vectors | None = field(default=None, compare=False, repr=False)

    @property
    def cursor(self) -> str:
        """Where it stands among all items, as text for ``records(after=...)``."""
        return json.dumps([to_microseconds(self.updated_at), list(self.namespace), self.key], separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class NamespaceStats:
    """What one namespace holds.

    Attributes:
        namespace: Its labels.
        items: How many live items are in it; those in namespaces below are theirs.
        value_bytes: How long their values are, as JSON in UTF-8.
        expiring: How many of them have a time to live.
        updated_at: When one of them was written last, UTC.
    """

    namespace: tuple[str, ...]
    items: int
    value_bytes: int
    expiring: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What a store, or a part of it, holds.

    Attributes:
        place: Where the memories are: the path of a file, or the server and the schema.
        items: How many live items there are.
        expired: How many items are over and not yet swept (``ttl={"omit_expired": False}`` counts them as live, too).
        namespaces: Those that hold live items, sorted.
        value_bytes: How long all values are, as JSON in UTF-8.
        vectors: How many vectors the live items have.
        model: The embedding model of all vectors in the store, where it told its name; None before the first vector.
        dims: Their dimensions; None before the first vector.
        language: The language of all words in the store; None where no store with ``index=`` was opened yet.
        file_bytes: How large the whole file is; None where there is no file.
    """

    place: str
    items: int
    expired: int
    namespaces: tuple[NamespaceStats, ...]
    value_bytes: int
    vectors: int
    model: str | None
    dims: int | None
    language: str | None
    file_bytes: int | None


class Reading(NamedTuple):
    """What a store knows about how its items were indexed."""

    fields: tuple[str, ...]
    language: Language | None


def run_records(command: Records, reading: Reading, omit_expired: bool) -> Program[list[Record]]:
    """Return a page of records (see `MemoryStore.records`)."""
    (page,) = yield Batch((command,), omit_expired)
    return (yield from _records(page, reading))


def run_record(namespace: Any, key: Any, vectors: bool, reading: Reading, omit_expired: bool) -> Program[Record | None]:
    """Return the record at an address (see `MemoryStore.record`).

    Raises:
        InvalidNamespaceError: The namespace breaks a rule.
    """
    address = namespaces.to_text(namespace), escape(str(key))
    (page,) = yield Batch((RecordsAt((address,), bool(vectors)),), omit_expired)
    found = yield from _records(page, reading)
    return found[0] if found else None


def run_measure(prefix: Any, omit_expired: bool) -> Program[Measured]:
    """Return the numbers of what lies below a prefix.

    Raises:
        InvalidNamespaceError: The prefix breaks a rule.
    """
    (found,) = yield Batch((Stats(namespaces.to_text(prefix, empty_allowed=True)),), omit_expired)
    return cast(Measured, found)


def as_stats(found: Measured, place: str, file_bytes: int | None) -> StoreStats:
    """Return what was measured in its public form."""
    spaces = [
        NamespaceStats(namespaces.from_text(name), items, size, expiring, to_datetime(updated_at))
        for name, items, size, expiring, updated_at in found.namespaces
    ]
    spaces.sort(key=lambda one: one.namespace)
    return StoreStats(
        place=place,
        items=sum(one.items for one in spaces),
        expired=found.expired,
        namespaces=tuple(spaces),
        value_bytes=sum(one.value_bytes for one in spaces),
        vectors=found.vectors,
        model=found.model,
        dims=found.dims,
        language=found.language,
        file_bytes=file_bytes,
    )


def records_command(prefix: Any, after: Any, limit: Any, newest_first: bool, vectors: bool) -> Records:
    """Return the command for a page.

    Raises:
        InvalidNamespaceError, InvalidArgumentError: An argument breaks a rule.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise InvalidArgumentError(f"limit must be a whole number of at least 0, not {shown(limit)}.")
    text = namespaces.to_text(prefix, empty_allowed=True)
    return Records(text, _position(after), min(limit, MOST_AT_ONCE), bool(newest_first), bool(vectors))


def _position(after: Any) -> Position | None:
    if after is None:
        return None
    if isinstance(after, Record):
        return Position(to_microseconds(after.updated_at), namespaces.to_text(after.namespace), escape(after.key))
    try:
        time, labels, key = json.loads(after)
        if isinstance(time, int) and abs(time) < 2**62 and isinstance(key, str):
            return Position(time, namespaces.to_text(labels), escape(key))
    except (TypeError, ValueError, RecursionError):
        pass
    raise InvalidArgumentError(f"after must be a Record of an earlier page, or its cursor, not {shown(after)}.")


def _records(page: Page, reading: Reading) -> Program[list[Record]]:
    """Return the records of a page, put together a few at a time."""
    language = reading.language
    if page.language is not None and (language is None or language.name != page.language):
        language = Language(page.language)
    found = [one for one in page.items if one is not None]
    if len(found) <= _AT_A_TIME:
        return [as_record(one, reading.fields, language) for one in found]
    records: list[Record] = []
    for start in range(0, len(found), _AT_A_TIME):
        part = found[start : start + _AT_A_TIME]
        records += yield Compute(partial(_some, part, reading.fields, language))
    return records


def _some(found: list[Stored], fields: tuple[str, ...], language: Language | None) -> list[Record]:
    return [as_record(one, fields, language) for one in found]


def as_record(found: Stored, fields: tuple[str, ...], language: Language | None) -> Record:
    """Return an item in its public form.

    Args:
        found: What the engine has of it.
        fields: The store's own fields.
        language: The language of the store's words; None where there never were any.
    """
    row = found.row
    value = values.decode(row.value)
    # Engines keep texts in orders of their own; records of one item are the same everywhere.
    order = sorted(range(len(found.hashes)), key=found.hashes.__getitem__)
    vectors = None
    if found.vectors and found.hashes:
        vectors = from_bytes(found.vectors).reshape(len(order), -1)[order]
    return Record(
        namespace=namespaces.from_text(row.namespace),
        key=unescape(row.key),
        value=value,
        created_at=to_datetime(row.created_at),
        updated_at=to_datetime(row.updated_at),
        ttl=found.ttl_minutes,
        expires_at=to_expiry(found.expires_at),
        index=_index(value, found, fields, language),
        hashes=tuple([found.hashes[n] for n in order]),
        vectors=vectors,
    )


def _index(
    value: dict[str, Any], found: Stored, fields: tuple[str, ...], language: Language | None
) -> tuple[str, ...] | Literal[False] | None:
    if language is None and not found.hashes:
        return None
    if found.hashes:
        paths = recover(value, found.hashes, fields).paths
    elif found.words is not None and language is not None:
        paths = recover_by_words(value, found.words, fields, language)
    else:
        return False
    if paths is None:
        return None
    return tuple(sorted(paths, key=lambda path: (fields.index(path) if path in fields else len(fields), path)))

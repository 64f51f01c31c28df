"""An item on its way from one store to another, and what both stores must agree on. Pure.

Everything is in the forms of the engines' commands, so that nothing is lost or turned around on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from crossthread import namespaces, values
from crossthread._clock import to_datetime, to_microseconds
from crossthread._text import escape, shown
from crossthread.embedding.recover import recover
from crossthread.embedding.recover_words import recover_by_words
from crossthread.errors import InvalidArgumentError
from crossthread.operations.commands import Page, Stored
from crossthread.search.words import Language, Words

Existing = Literal["newer", "replace"]
"""What becomes of an item that is there already: the ``newer`` one stays, or what comes ``replace``\\s it."""

_EARLIEST, _LATEST = 0, to_microseconds(datetime(9999, 1, 1, tzinfo=UTC))


class Space(NamedTuple):
    """What holds for all items of a store: the language of its words, the model and dimensions of its vectors."""

    language: str | None
    model: str | None
    dims: int | None

    @classmethod
    def of(cls, page: Page) -> Space:
        """Return what a page says of its store."""
        return cls(page.language, page.model, page.dims)


@dataclass(frozen=True, slots=True)
class Moving:
    """An item on its way.

    Attributes:
        namespace: In text form.
        key: Escaped.
        value: JSON text.
        created_at: Microseconds since 1970.
        updated_at: Likewise.
        ttl: Minutes that it lives on from a read or a put.
        expires_at: Microseconds since 1970.
        index: The paths of its texts; False for none; None: as the receiving store does by itself.
        texts: The texts themselves, where no paths say which they are.
        hashes: Of the texts that have a vector.
        vectors: float32 numbers of all of them; None where they do not travel.
        words: What keywords find it by, where that travels, in the language of the store it comes from.
    """

    namespace: str
    key: str
    value: str
    created_at: int
    updated_at: int
    ttl: float | None = None
    expires_at: int | None = None
    index: tuple[str, ...] | Literal[False] | None = None
    texts: tuple[str, ...] | None = None
    hashes: tuple[bytes, ...] = ()
    vectors: bytes | None = None
    words: Words | None = None

    @property
    def address(self) -> tuple[str, str]:
        """Its namespace and key."""
        return self.namespace, self.key


def from_stored(stored: Stored, fields: tuple[str, ...], language: Language | None) -> Moving:
    """Return an item of one of our stores.

    Args:
        stored: What the engine has of it.
        fields: The store's own fields.
        language: The language of the store's words; None where there never were any.
    """
    index, texts = _indexed(stored, fields, language)
    namespace, key, value, created_at, updated_at, *_ = stored.row
    times = created_at, updated_at, stored.ttl_minutes, stored.expires_at
    vectors = stored.vectors if stored.hashes else None
    return Moving(namespace, key, value, *times, index, texts, stored.hashes, vectors, stored.words)


def _indexed(
    stored: Stored, fields: tuple[str, ...], language: Language | None
) -> tuple[tuple[str, ...] | Literal[False] | None, tuple[str, ...] | None]:
    if stored.hashes:
        found = recover(values.decode(stored.row.value), stored.hashes, fields)
        if found.paths is None and not found.missing:
            return None, tuple(one.text for one in found.texts)
        return found.paths, None
    if language is None:
        return None, None
    if stored.words is None:
        return False, None
    return recover_by_words(values.decode(stored.row.value), stored.words, fields, language), None


def from_item(item: Any, ttl: float | None, now: int) -> Moving:
    """Return an item of anybody's store, checked as a put would be.

    Args:
        item: LangGraph's ``Item``.
        ttl: Minutes that it is to live from now on; None for ever: a ``BaseStore`` does not tell.
        now: The present.

    Raises:
        InvalidNamespaceError, InvalidArgumentError: These stores cannot hold it.
    """
    updated_at = time_of("updated_at", item.updated_at)
    created_at = min(time_of("created_at", item.created_at), updated_at)
    if not isinstance(item.key, str):
        raise InvalidArgumentError(f"key must be text, not {shown(item.key)}.")
    expires_at = None if ttl is None else now + round(ttl * 60_000_000)
    namespace, value = namespaces.to_text(item.namespace), values.encode(item.value)
    return Moving(namespace, escape(item.key), value, created_at, updated_at, ttl, expires_at)


def time_of(name: str, time: Any) -> int:
    """Return the microseconds of a time; one without a zone is in UTC.

    Raises:
        InvalidArgumentError: It is no time, or none that a store could go on from.
    """
    if not isinstance(time, datetime):
        raise InvalidArgumentError(f"{name} must be a time, not {shown(time)}.")
    stamp = to_microseconds(time if time.tzinfo is not None else time.replace(tzinfo=UTC))
    if not _EARLIEST <= stamp < _LATEST:
        first, last = to_datetime(_EARLIEST).year, to_datetime(_LATEST).year
        raise InvalidArgumentError(f"{name} must lie in the years {first} to {last - 1}, not in {time.isoformat()}.")
    return stamp

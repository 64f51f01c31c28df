"""The lines of an export: the header and the items, to text and back (docs/reference/export-format.md). Pure.

What an item says is checked as strictly as a put: whatever a file holds, only good items leave this module.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from crossthread import namespaces, values
from crossthread._clock import LAST, LAST_STAMP, to_datetime, to_expiry, to_microseconds
from crossthread._text import UNHOLDABLE, escape, shown, unescape
from crossthread.embedding.extract import HASH_BYTES
from crossthread.errors import CrossthreadError, ImportLineError, InvalidArgumentError, SchemaVersionError
from crossthread.moving.items import Moving, Space, time_of
from crossthread.search.vectors import from_bytes
from crossthread.search.words import MOST_TERMS, Words
from crossthread.ttl import checked_ttl
from crossthread.verification import UNIT_TOLERANCE

FORMAT = "crossthread-export"
VERSION = 1

_T = TypeVar("_T")

_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_ENCODE_ASCII = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_BREAKS = re.compile("[\x85\u2028\u2029]")  # what some readers take for the end of a line
_TERM = re.compile(r"(?:[a-z0-9]|[^\x00-\x7f\s\ud800-\udfff])+")
_REQUIRED = ("namespace", "key", "value", "created_at", "updated_at")
_KNOWN = frozenset((*_REQUIRED, "ttl", "expires_at", "index", "texts", "words", "vectors"))


class Header(NamedTuple):
    """The first line.

    Attributes:
        space: The language, model and dimensions of the store that was exported.
        items: How many items there were when the export began; None where nobody said.
        has_vectors: Whether the lines have vectors.
    """

    space: Space
    items: int | None
    has_vectors: bool


def header_line(space: Space, prefix: tuple[str, ...], created: int, items: int, *, vectors: bool) -> str:
    """Return the first line of an export."""
    return _line(
        {
            "format": FORMAT,
            "version": VERSION,
            "created": _time(created),
            "prefix": list(prefix),
            "items": items,
            "vectors": vectors,
            "model": space.model,
            "dims": space.dims,
            "language": space.language,
        }
    )


def read_header(line: str | bytes) -> Header:
    """Return what the first line says.

    Raises:
        ImportLineError: It is no header of an export.
        SchemaVersionError: It is that of a later release.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ImportLineError(
            1, f'an export begins with a line that says {{"format": "{FORMAT}"}}, not with {shown(line, 60)}'
        )
    version = found.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ImportLineError(1, f"version must be a whole number, not {shown(version)}")
    if version > VERSION:
        raise SchemaVersionError(
            f"This export is of format version {version}; this release reads versions up to {VERSION}. Import it with "
            "the release of crossthread that made it, or a later one."
        )
    texts = [found.get(name) for name in ("language", "model")]
    numbers = [found.get(name) for name in ("dims", "items")]
    if not all(text is None or isinstance(text, str) for text in texts):
        raise ImportLineError(1, "language and model must be text or null")
    if not all(number is None or (type(number) is int and number >= 0) for number in numbers):
        raise ImportLineError(1, "dims and items must be whole numbers or null")
    return Header(Space(texts[0], texts[1], numbers[0]), numbers[1], bool(found.get("vectors")))


def item_line(item: Moving, *, vectors: bool) -> str:
    """Return the line of an item."""
    address = _line({"namespace": list(namespaces.from_text(item.namespace)), "key": unescape(item.key)})
    told: dict[str, Any] = {
        "created_at": _time(item.created_at),
        "updated_at": _time(item.updated_at),
        "ttl": item.ttl,
        "expires_at": None if item.expires_at is None else _iso(to_expiry(item.expires_at)),
        "index": item.index if item.index is None or item.index is False else list(item.index),
    }
    if item.texts is not None:
        told["texts"] = list(item.texts)
    elif item.index is None and item.words is not None:
        told["words"] = {"length": item.words.length, "terms": item.words.counts}
    if vectors and item.vectors is not None and item.hashes:
        size = len(item.vectors) // len(item.hashes)
        own = [item.vectors[at * size : (at + 1) * size] for at in range(len(item.hashes))]
        told["vectors"] = {
            hash_.hex(): base64.b64encode(numbers).decode() for hash_, numbers in zip(item.hashes, own, strict=True)
        }
    # The value is JSON text already, and is not taken apart.
    return f'{address[:-2]},"value":{_one_line(item.value)},{_line(told)[1:]}'


def read_item(line: str | bytes, dims: int | None) -> Moving:
    """Return the item of a line.

    Args:
        line: The line, with or without its end.
        dims: The dimensions of vectors, as the header says.

    Raises:
        InvalidArgumentError, InvalidNamespaceError: It is no item that these stores can hold; the message says why.
    """
    try:
        found = json.loads(line)
    except RecursionError:
        raise InvalidArgumentError("its value is nested too deep.") from None
    except ValueError as error:
        raise InvalidArgumentError(f"it is not the whole of a JSON object: {error}.") from None
    if not isinstance(found, dict):
        raise InvalidArgumentError(f"it is not a JSON object: {shown(found, 60)}.")
    missing = [name for name in _REQUIRED if name not in found]
    if missing:
        raise InvalidArgumentError(f"it lacks {', '.join(missing)}.")
    unknown = [name for name in found if name not in _KNOWN]
    if unknown:
        raise InvalidArgumentError(f"it has unknown fields: {shown(unknown)}.")
    if not isinstance(found["key"], str):
        raise InvalidArgumentError(f"key must be text, not {shown(found['key'])}.")
    created_at, updated_at = (_read_time(name, found[name]) for name in ("created_at", "updated_at"))
    if created_at > updated_at:
        raise InvalidArgumentError(f"it was updated, at {found['updated_at']}, before it was created.")
    ttl = checked_ttl(found.get("ttl"))
    expires_at = None if found.get("expires_at") is None else _read_expiry(found["expires_at"])
    if (ttl is None) != (expires_at is None):
        raise InvalidArgumentError(
            f"ttl is {ttl} and expires_at {found.get('expires_at')}: both are there, or none is."
        )
    hashes, vectors = _read_vectors(found.get("vectors"), dims)
    return Moving(
        namespace=namespaces.to_text(found["namespace"]),
        key=escape(found["key"]),
        value=values.encode(found["value"]),
        created_at=created_at,
        updated_at=updated_at,
        ttl=ttl,
        expires_at=expires_at,
        index=_read_index(found.get("index")),
        texts=_read_texts(found.get("texts")),
        hashes=hashes,
        vectors=vectors,
        words=None if found.get("words") is None else _read_words(found["words"]),
    )


def _line(told: dict[str, Any]) -> str:
    text = _ENCODE(told)
    return _one_line(text) + "\n" if UNHOLDABLE.search(text) is None else _ENCODE_ASCII(told) + "\n"


def _one_line(text: str) -> str:
    if text.isascii() or _BREAKS.search(text) is None:
        return text
    return _BREAKS.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _time(stamp: int) -> str:
    return _iso(to_datetime(stamp))


def _iso(time: datetime | None) -> str:
    assert time is not None
    return time.isoformat(timespec="microseconds")


def _read_time(name: str, text: Any) -> int:
    time = _parsed(name, text)
    if time.tzinfo is None:
        raise InvalidArgumentError(f"{name} must tell its time zone, as in 2026-11-21T09:30:00.000000+00:00: {text!r}.")
    return time_of(name, time)


def _read_expiry(text: Any) -> int:
    time = _parsed("expires_at", text)
    if time.tzinfo is None:
        raise InvalidArgumentError(f"expires_at must tell its time zone: {text!r}.")
    return LAST_STAMP if time == LAST else to_microseconds(time)


def _parsed(name: str, text: Any) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise InvalidArgumentError(f"{name} must be a time in ISO 8601, not {shown(text)}.") from None


def _read_index(index: Any) -> tuple[str, ...] | Literal[False] | None:
    if index is None or index is False:
        return index
    return _list_of_text("index", index)


def _read_texts(texts: Any) -> tuple[str, ...] | None:
    return None if texts is None else _list_of_text("texts", texts)


def _list_of_text(name: str, found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise InvalidArgumentError(f"{name} must be a list of text, not {shown(found)}.")
    return tuple(found)


def _read_words(found: Any) -> Words:
    terms = found.get("terms") if isinstance(found, dict) else None
    if not isinstance(terms, dict) or set(found) != {"terms", "length"} or len(terms) > MOST_TERMS:
        raise InvalidArgumentError("words must be an object with terms and length.")
    if not all(_TERM.fullmatch(term) and len(term.encode("utf-8", "surrogatepass")) <= 64 for term in terms):
        raise InvalidArgumentError("the terms of words must be what a language makes: small letters and digits.")
    counts = [*terms.values(), found["length"]]
    if not all(type(count) is int and 0 < count < 2**31 for count in counts[:-1]) or type(counts[-1]) is not int:
        raise InvalidArgumentError("the terms and the length of words must have whole numbers.")
    if not sum(counts[:-1]) <= counts[-1] < 2**31:
        raise InvalidArgumentError(f"words have {sum(counts[:-1])} terms and the length {counts[-1]}.")
    return Words(terms, counts[-1])


def _read_vectors(found: Any, dims: int | None) -> tuple[tuple[bytes, ...], bytes | None]:
    if found is None:
        return (), None
    if not isinstance(found, dict) or not all(isinstance(numbers, str) for numbers in found.values()):
        raise InvalidArgumentError("vectors must be an object of base64 text by hashes.")
    hashes = tuple(_checked(lambda text: bytes.fromhex(text), text, "hash") for text in found)
    if any(len(hash_) != HASH_BYTES for hash_ in hashes) or len(set(hashes)) != len(hashes):
        raise InvalidArgumentError(f"a hash of vectors must be {2 * HASH_BYTES} hexadecimal digits, once each.")
    own = [_checked(lambda text: base64.b64decode(text, validate=True), text, "vector") for text in found.values()]
    for numbers in own:
        if not numbers or len(numbers) != 4 * (dims or 0):
            raise InvalidArgumentError(
                f"a vector has {len(numbers)} bytes; the header says {dims} dimensions of 4 bytes each."
            )
        vector = from_bytes(numbers).astype(np.float64)
        length = float(np.sqrt(vector.dot(vector))) if np.isfinite(vector).all() else np.nan
        if length != 0 and not abs(length - 1) < UNIT_TOLERANCE:
            raise InvalidArgumentError(f"a vector has the length {length:.6g}, not 1 or 0.")
    return hashes, b"".join(own) if own else None


def _checked(decode: Callable[[str], _T], text: str, what: str) -> _T:
    try:
        return decode(text)
    except (ValueError, binascii.Error):
        raise InvalidArgumentError(f"a {what} of vectors cannot be read: {shown(text, 40)}.") from None


def reason(error: Exception) -> str:
    """Return why a line is bad, as the end of a sentence."""
    text = str(error) if isinstance(error, (CrossthreadError, ValueError)) else f"{type(error).__name__}: {error}"
    return text.rstrip(".")

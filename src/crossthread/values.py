"""Values: what may be stored, as the JSON text that engines keep. The only JSON encoder and decoder of the package.

A value that is kept as text shares no object with its caller, and every engine that holds the text holds the value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from crossthread._text import UNHOLDABLE
from crossthread.errors import InvalidValueError

MAX_DEPTH = 200
"""Levels of nesting a value may have. Python, SQLite and PostgreSQL each give up somewhere above, each elsewhere."""

INT_MIN, INT_MAX = -(2**63), 2**63 - 1

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False).encode
_decode = json.JSONDecoder().raw_decode  # what `encode` wrote has no white space around it to look for


class _Invalid(Exception):  # noqa: N818 - never leaves this module
    """Carries the reason up the walk while the path is put together."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.path = ""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of a JSON object that a person wrote: an ``object_pairs_hook``.

    Raises:
        InvalidValueError: It names a field twice, of which one would be lost.
    """
    found: dict[str, Any] = {}
    for name, child in pairs:
        if name in found:
            raise InvalidValueError(f"The field {name!r} stands there twice; only one of the two could be kept.")
        found[name] = child
    return found


def encode(value: Any) -> str:
    """Return the JSON text of a value.

    Args:
        value: A mapping with string keys; inside it ``str``, ``int`` of 64 bits, finite ``float``, ``bool``, ``None``,
            lists and dicts (and subclasses of these, which come back as the plain type).

    Raises:
        InvalidValueError: Something in it is not JSON, or not every engine can hold it; the message names the path.
    """
    if not isinstance(value, Mapping):
        raise InvalidValueError(f"value: must be a dict with string keys, not {_name(value)}")
    if not isinstance(value, dict):
        value = dict(value)
    if is_plain(value):
        text = _encode(value)
        if "\\u0000" not in text and (text.isascii() or UNHOLDABLE.search(text) is None):
            return text
    try:
        _check(value, 1)
    except _Invalid as invalid:
        raise InvalidValueError(f"value{invalid.path}: {invalid.reason}") from None
    return _encode(value)


def is_plain(value: dict[Any, Any]) -> bool:
    """Whether a value is flat and of JSON's own types, which most are; its strings may still hold anything."""
    for key, child in value.items():
        kind = type(child)
        if type(key) is not str or not (
            kind is str
            or (kind is int and INT_MIN <= child <= INT_MAX)
            or child is None
            or kind is bool
            or (kind is float and math.isfinite(child))
        ):
            return False
    return True


def decode(text: str) -> Any:
    """Return a fresh object for JSON text that `encode` made."""
    return _decode(text)[0]


def is_object(text: Any) -> bool:
    """Whether something is the JSON text of an object, and nothing but that."""
    if not isinstance(text, str):
        return False
    try:
        value, end = _decode(text)
    except ValueError:
        return False
    return isinstance(value, dict) and end == len(text)


def _check(node: Any, depth: int) -> None:
    if isinstance(node, str):
        if UNHOLDABLE.search(node) is not None:
            raise _Invalid(_holds(node))
    elif node is None or isinstance(node, bool):
        pass
    elif isinstance(node, int):
        if not INT_MIN <= node <= INT_MAX:
            raise _Invalid(f"{node if abs(node) < 10**40 else 'this integer'} does not fit into 64 bits")
    elif isinstance(node, float):
        if not math.isfinite(node):
            raise _Invalid(f"{node} is not JSON; numbers must be finite")
    elif isinstance(node, (dict, list)):
        if depth > MAX_DEPTH:
            raise _Invalid(f"nested deeper than {MAX_DEPTH} levels (or contains itself)")
        _check_inside(node, depth)
    elif isinstance(node, tuple):
        raise _Invalid("tuple is not JSON, it would come back as a list; use a list")
    else:
        raise _Invalid(f"{_name(node)} is not JSON")


def _check_inside(node: dict[Any, Any] | list[Any], depth: int) -> None:
    entries = node.items() if isinstance(node, dict) else enumerate(node)
    for step, child in entries:
        try:
            if isinstance(node, dict):
                if not isinstance(step, str):
                    raise _Invalid(f"keys must be strings, not {_name(step)}")
                if UNHOLDABLE.search(step) is not None:
                    raise _Invalid(_holds(step))
            _check(child, depth + 1)
        except _Invalid as invalid:
            # Deep paths are cut: a message with two hundred steps helps nobody.
            if len(invalid.path) < 200:
                invalid.path = f"[{step!r}]{invalid.path}"
            raise


def _holds(text: str) -> str:
    bad = UNHOLDABLE.findall(text)[0]
    return f"text holds {'NUL' if bad == chr(0) else f'the lone surrogate {bad!r}'}, which cannot be stored"


def _name(thing: Any) -> str:
    return type(thing).__name__

"""How what is kept is shown to people: control characters escaped, long things cut, sizes and times in words. Pure.

A memory may hold anything, also what a model was talked into writing: sequences that drive a terminal, characters that
turn the direction of text around, line ends that look like another line of output. None of these reaches a terminal.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

# Control characters, halves of surrogate pairs, whatever turns the direction of text, marks that cannot be seen and
# tell a reader nothing, ends of lines and paragraphs, and tags. Joiners stay: emoji and many scripts need them.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
_UNITS = ("B", "kB", "MB", "GB", "TB")


def plain(text: str) -> str:
    """Return a text on one line, with each character that a terminal would act on shown as its escape."""
    return _UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    number = ord(match.group())
    named = {9: r"\t", 10: r"\n", 13: r"\r"}.get(number)
    return named or (f"\\x{number:02x}" if number < 256 else _unicode(number))


def _unicode(number: int) -> str:
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def as_json(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON that can be shown and read back: what a terminal would act on is a JSON escape."""
    return harmless_json(json.dumps(value, ensure_ascii=False, indent=indent))


def harmless_json(text: str) -> str:
    """Return a text of JSON that says the same, in which a terminal finds nothing to act on."""
    return _UNSAFE.sub(_json_escaped, text)


def _json_escaped(match: re.Match[str]) -> str:
    number = ord(match.group())
    if number == 10:
        return "\n"  # of the indentation; those of the value are escaped already
    if number < 0x10000:
        return f"\\u{number:04x}"
    number -= 0x10000
    return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"


def dotted(namespace: Sequence[str]) -> str:
    """Return a namespace as it is written in a command, ``memories.ada``; the whole store is ``(everything)``."""
    return plain(".".join(namespace)) or "(everything)"


def preview(value: Any) -> str:
    """Return a value on one line: the text alone where there is nothing else in it."""
    if isinstance(value, dict) and len(value) == 1:
        (only,) = value.values()
        if isinstance(only, str) and only:
            return plain(only)
    return as_json(value)


def cut(text: str, width: int) -> str:
    """Return a text that takes at most ``width`` columns of a terminal, with … where its end is left out."""
    if len(text) * 2 <= width or columns(text) <= width:
        return text
    room = width - 1
    for end, character in enumerate(text):
        room -= _columns_of(character)
        if room < 0:
            return text[:end].rstrip() + "…"
    return text


def columns(text: str) -> int:
    """Return how many columns a text takes in a terminal."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def _columns_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def size(number: float) -> str:
    """Return bytes in words: ``1.2 MB``."""
    for unit in _UNITS:
        if number < 999.5 or unit == _UNITS[-1]:
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "B" or number >= 99.95 else f"{number:.1f} {unit}"


def count(number: int, what: str, many: str | None = None) -> str:
    """Return a number with its noun: ``1 item``, ``2,000 items``."""
    return f"{number:,} {what if number == 1 else many or what + 's'}"


def moment(time: datetime | None) -> str:
    """Return a time in UTC to the second; nothing for None."""
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def until(time: datetime, now: datetime | None = None) -> str:
    """Return how long it is until a time, in its largest unit: ``3 hours``; ``expired`` where it has passed."""
    seconds = (time - (now or datetime.now(UTC))).total_seconds()
    if seconds <= 0:
        return "expired"
    for length, unit in ((86400 * 365, "year"), (86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            return count(int(seconds // length), unit)
    return count(int(seconds), "second")


def exact(thing: Any) -> str:
    """Return a thing as one line of JSON for machines: exact, ASCII alone, so that every pipe carries it."""
    return json.dumps(thing, default=_for_machines, separators=(",", ":"))


def _for_machines(thing: Any) -> Any:
    if isinstance(thing, datetime):
        return thing.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(thing, (set, frozenset)):
        return sorted(thing)
    return str(thing)

"""How stored things are written for people: texts, values, times. Pure; what it returns as `Markup` is safe to embed.

Memories are made of what strangers said, so nothing in them may act on the page or hide from its reader: every text is
escaped, stands in a ``<bdi>`` of its own, and characters that show nothing, or turn the order of others around, are
replaced by their names.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from markupsafe import Markup, escape

_JOINERS = "\u200c\u200d"  # Persian words and emoji are made with them
_SELECTORS = re.compile("[\ufe00-\ufe0f]")  # choose the form of the character before them
_PLAIN = re.compile(r"[\x20-\x7e\n\t]*")
# Controls, formats, fillers, private and unassigned characters: all that shows nothing, or moves what others show.
_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f"
    "\u205f-\u206f\u2800\u3164\ud800-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U0001d173-\U0001d17a\U000e0000-\U0010ffff]"
)


class Line(NamedTuple):
    """A line of a value that is written as an outline: a name with a text, or with what comes on the lines below it."""

    depth: int
    name: str
    kind: str
    """``text``, ``number``, ``truth``, ``null``, ``object``, ``list``, or ``more`` for what was left out."""
    text: str


# Texts


def visible(text: str, most: int | None = None) -> Markup:
    """Return a text as HTML that shows every character; beyond ``most`` characters it is cut, and says so."""
    rest = 0
    if most is not None and len(text) > most:
        text, rest = text[:most], len(text) - most
    found = _ODD.sub(_replaced, str(escape(text))) if _PLAIN.fullmatch(text) is None else str(escape(text))
    more = f'<span class="more">… {rest:,} more characters</span>' if rest else ""
    return Markup(f"<bdi>{found}</bdi>{more}")


def _replaced(match: re.Match[str]) -> str:
    character = match.group()
    if not _hides(match.string, match.start()):
        return character
    return f'<span class="odd" title="{_name(character)}">U+{ord(character):04X}</span>'


def _hides(text: str, at: int) -> bool:
    """Whether one of the odd characters has no business where it stands."""
    character, before = text[at], text[max(at - 1, 0)]
    if character in _JOINERS:
        return before.isascii() or text[min(at + 1, len(text) - 1)].isascii()
    if _SELECTORS.match(character):
        return at == 0 or _SELECTORS.match(before) is not None
    return True


def _name(character: str) -> str:
    names = {"\x1a": "SUBSTITUTE", "\x1b": "ESCAPE", "\x08": "BACKSPACE", "\x07": "BELL", "\r": "CARRIAGE RETURN"}
    return unicodedata.name(character, names.get(character, "CONTROL OR UNASSIGNED CHARACTER"))


def plain(text: str, most: int = 160) -> str:
    """Return a text for places that take no HTML, such as titles and labels: one line, every character visible."""
    cut = f"{text[:most]}…" if len(text) > most else text
    return "".join(_escaped(cut, at) for at in range(len(cut))).strip()


def _escaped(text: str, at: int) -> str:
    character = text[at]
    if character in "\n\t\r":
        return " "
    return f"\\u{{{ord(character):04x}}}" if _ODD.match(character) and _hides(text, at) else character


def dotted(namespace: tuple[str, ...]) -> str:
    """Return a namespace for places that take no HTML: ``memories.ada``; the whole store is ``everything``."""
    return ".".join(plain(label, 60) for label in namespace) if namespace else "everything"


# Values


def editable(value: Any) -> str:
    """Return a value as JSON to be edited: indented, with characters that cannot be seen written as escapes."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return _ODD.sub(_json_escaped, text)  # such characters are inside of strings only


def _json_escaped(match: re.Match[str]) -> str:
    character = match.group()
    if not _hides(match.string, match.start()):
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def summary(value: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    """Return what a value says, in short: its main text, and its other fields as names and texts.

    The main text is that of the field that usually holds it, or else the longest.
    """
    main = _main_field(value)
    others = [(str(name), _brief(child)) for name, child in value.items() if name != main]
    return ("" if main is None else str(value[main])), others


_MAIN = ("text", "content", "memory", "data", "message", "summary", "description", "fact", "note", "value")


def _main_field(value: Mapping[str, Any]) -> str | None:
    texts = {name: child for name, child in value.items() if isinstance(child, str) and child.strip()}
    for name in _MAIN:
        if name in texts:
            return name
    return max(texts, key=lambda name: len(texts[name])) if texts else None


def _brief(value: Any) -> str:
    if isinstance(value, (str, int, float)) or value is None:
        return _scalar(value)[1]
    if isinstance(value, Mapping):
        return f"{{{len(value)} field{'' if len(value) == 1 else 's'}}}"
    if all(isinstance(child, (str, int, float)) for child in value) and len(value) <= 6:
        return ", ".join(_scalar(child)[1] for child in value) or "none"
    return f"[{len(value)} entries]"


def outline(value: Any, most: int = 500) -> list[Line]:
    """Return a value as the lines of an outline; after ``most`` lines it is cut, and says so.

    A loop and not a recursion, since values nest deeper than templates and browsers like to.
    """
    lines: list[Line] = []
    waiting: list[Iterator[tuple[str, Any]]] = [_entries(value)]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
            continue
        if len(lines) == most:
            lines.append(Line(0, "", "more", "There is more; see the value as JSON."))
            break
        name, child = entry
        depth = len(waiting) - 1
        if isinstance(child, (Mapping, list, tuple)) and child:
            kind = "object" if isinstance(child, Mapping) else "list"
            lines.append(Line(depth, name, kind, ""))
            waiting.append(_entries(child))
        else:
            kind, text = _scalar(child)
            lines.append(Line(depth, name, kind, text))
    return lines


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return ((str(name), child) for name, child in value.items())
    if isinstance(value, (list, tuple)):
        return ((str(number), child) for number, child in enumerate(value, 1))
    return iter((("", value),))


def _scalar(value: Any) -> tuple[str, str]:
    if isinstance(value, str):
        return "text", value
    if isinstance(value, bool):
        return "truth", "yes" if value else "no"
    if value is None:
        return "null", "null"
    if isinstance(value, (int, float)):
        return "number", repr(value)
    if isinstance(value, (Mapping, list, tuple)):
        return "null", "empty"
    return "text", f"{type(value).__name__}: {value!r}"


# Times and numbers

_UNITS = (("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
_MOST_DAYS = 100 * 86_400  # which are told as days: of 90, "2 months" would say too little


def duration(seconds: float) -> str:
    """Return a length of time in words: ``3 minutes``, ``2 days``."""
    seconds = abs(seconds)
    for name, length in _UNITS:
        if seconds >= length and (name != "month" or seconds >= _MOST_DAYS):
            number = int(seconds // length)
            return f"{number:,} {name}{'' if number == 1 else 's'}"
    return "less than a second"


def ago(when: datetime, now: datetime) -> str:
    """Return a moment in words, as seen from now: ``3 minutes ago``, ``in 2 days``."""
    seconds = (now - when).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    return f"{duration(seconds)} ago" if seconds > 0 else f"in {duration(seconds)}"


def exact(when: datetime) -> str:
    """Return a moment exactly, in UTC."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f").rstrip("0").rstrip(".") + " UTC"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number of things: ``1 memory``, ``1,200 memories``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"

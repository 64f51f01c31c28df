"""Escapes the few characters that not every database can hold, so that any string can be an address. Imports nothing.

Keys are any string, and labels any string without ``.`` and NUL, but PostgreSQL holds no NUL and no database holds half
of a surrogate pair. Those characters, and the escape character itself, are written as the escape character and four
hexadecimal digits; every other string stands for itself.
"""

from __future__ import annotations

import re

ESCAPE = "\x1a"
_UNSAFE = re.compile("[\x00\x1a\ud800-\udfff]")
_ESCAPED = re.compile("\x1a([0-9a-f]{4})")
UNHOLDABLE = re.compile("[\x00\ud800-\udfff]")
"""The characters that some database cannot hold: NUL and lone surrogates."""


def shown(thing: object, most: int = 200) -> str:
    """Return the repr of something that a message names; the middle of a long one is left out."""
    try:
        text = repr(thing)
    except Exception as error:  # an integer of more digits than Python writes, or an object that cannot tell
        return f"<{type(thing).__name__}: {type(error).__name__}>"
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-(most // 4) :]}"


def escape(text: str) -> str:
    """Return ``text`` with unholdable characters escaped; `unescape` gives it back."""
    if _UNSAFE.search(text) is None:
        return text
    return _UNSAFE.sub(lambda match: f"{ESCAPE}{ord(match.group()):04x}", text)


def unescape(text: str) -> str:
    """Return the string that `escape` was given."""
    if ESCAPE not in text:
        return text
    return _ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), text)

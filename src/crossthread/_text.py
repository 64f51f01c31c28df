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

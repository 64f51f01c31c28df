"""How an address becomes columns: the first two labels, the rest, the key; long ones shortened. Pure.

A cluster is distributed by the first two labels, such as ``("memories", "ada")``, so all memories of one user lie
together, and a search below them asks one place. An index takes 2.7 kB, so a long label or key is cut and completed by
its hash; the row then holds the whole address too.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import NamedTuple

from crossthread._text import ESCAPE

_HOME_LABELS = 2
_LONGEST_LABEL = 200  # bytes; as much as it counts in `namespaces`
_LONGEST_KEY = 500
LONGEST_CACHED = 1000  # characters; a cache that held longer ones would have no bounds
_KEPT = 40  # characters of a long text, for people who look at the table
_CUT = f"{ESCAPE}#"  # stands in no escaped text (see ``_text``)


class Address(NamedTuple):
    """The columns of an item's address. ``full`` is the column ``address``: JSON, or None for ordinary ones."""

    namespace: str
    subspace: str
    key: str
    full: str | None


def address(namespace: str, key: str) -> Address:
    """Return the columns for a namespace in text form and an escaped key."""
    home, rest = split(namespace)
    short = _short(key, _LONGEST_KEY)
    is_whole = short == key and home + rest == namespace
    return Address(home, rest, short, None if is_whole else json.dumps([namespace, key]))


def split(namespace: str) -> tuple[str, str]:
    """Return the columns ``namespace`` and ``subspace`` for a text form, which `namespaces.MAX_BYTES` keeps short."""
    return _split(namespace) if len(namespace) <= LONGEST_CACHED else _columns(namespace)


def _columns(namespace: str) -> tuple[str, str]:
    labels = [_short(label, _LONGEST_LABEL) + "." for label in namespace.split(".")[:-1]]
    return "".join(labels[:_HOME_LABELS]), "".join(labels[_HOME_LABELS:])


_split = lru_cache(maxsize=8192)(_columns)


def names_all_labels(home: str) -> bool:
    """Whether a ``namespace`` column holds as many labels as it can, so that more of them stand in ``subspace``."""
    return home.count(".") == _HOME_LABELS


def _short(text: str, longest: int) -> str:
    if len(text) * 4 <= longest or len(text.encode()) <= longest:
        return text
    return text[:_KEPT] + _CUT + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

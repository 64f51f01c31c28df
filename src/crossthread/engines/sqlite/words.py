"""The forms that words have in the file: an item's own list, and tokens for FTS5. Pure.

FTS5 finds the items; it is given one token a term and one for every namespace above the item, so that a search costs
what its namespace holds, however common a word is elsewhere. Tokens are letters and digits, so no text is ever query
syntax. Scores are computed above (``search.keyword``), from the item's own list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache


def document(namespace: str, column: str) -> str:
    """Return what FTS5 indexes for an item."""
    terms = [_token(entry.partition(":")[0]) for entry in column.split(" ")] if column else []
    return " ".join([*_scopes(namespace), *terms])


def expression(prefix: str, terms: Iterable[str]) -> str:
    """Return FTS5's query for the items below a prefix in which one of some terms occurs."""
    any_term = " OR ".join([f'"{_token(term)}"' for term in terms])
    return f'"{_scope(prefix)}" AND ({any_term})' if prefix else any_term


def _token(term: str) -> str:
    return f"t{term}" if term.isascii() else f"x{term.encode().hex()}"


@lru_cache(maxsize=8192)
def _scopes(namespace: str) -> tuple[str, ...]:
    ends = [place + 1 for place, char in enumerate(namespace) if char == "."]
    return tuple([_scope(namespace[:end]) for end in ends])


@lru_cache(maxsize=8192)
def _scope(prefix: str) -> str:
    return "s" + hashlib.blake2b(prefix.encode(), digest_size=8).hexdigest()

"""The forms that words have in the file: an item's own list, and tokens for FTS5. Pure.

FTS5 finds the items; it is given one token a term and one for every namespace above the item, so that a search costs
what its namespace holds, however common a word is elsewhere. Tokens are letters and digits, so no text is ever query
syntax. Scores are computed above (``search.keyword``), from the item's own list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

_LONGEST_KEPT = 1000  # characters of a namespace; a cache of longer ones would have no bounds


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


def _scopes(namespace: str) -> tuple[str, ...]:
    return _short_scopes(namespace) if len(namespace) <= _LONGEST_KEPT else _all_scopes(namespace)


def _all_scopes(namespace: str) -> tuple[str, ...]:
    found: list[str] = []
    running = hashlib.blake2b(digest_size=8)
    for label in namespace.split(".")[:-1]:
        running.update(f"{label}.".encode())  # so far it is the hash of the prefix
        found.append(f"s{running.copy().hexdigest()}")
    return tuple(found)


_short_scopes = lru_cache(maxsize=8192)(_all_scopes)


def _scope(prefix: str) -> str:
    return "s" + hashlib.blake2b(prefix.encode(), digest_size=8).hexdigest()

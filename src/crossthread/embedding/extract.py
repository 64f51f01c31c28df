"""Which texts of a value are indexed, and how a text is known again. Pure: calls no embedder."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

from langgraph.store.base import get_text_at_path, tokenize_path

HASH_BYTES = 16

_LONGEST_KEPT = 1000  # characters; a cache that held longer paths would have no bounds


def texts_of(value: dict[str, Any], paths: tuple[str, ...]) -> list[str]:
    """Return the texts at LangGraph paths of a value, in order; blank ones are left out, repeated ones kept once.

    A blank text says nothing that could be found, and providers refuse to embed it. The same text twice in one item
    would be the same vector twice.
    """
    if (
        len(paths) == 1 and paths[0].isidentifier()
    ):  # by far the commonest, and a name of LangGraph's that is only a name
        text = value.get(paths[0])
        if type(text) is str:
            return [text] if text.strip() else []
    found: dict[str, None] = {}
    for path in paths:
        for text in get_text_at_path(value, _tokens(path)):
            if text.strip():
                found[text] = None
    return list(found)


def _tokens(path: str) -> Any:
    if path == "$":
        return path
    return _kept_tokens(path) if len(path) <= _LONGEST_KEPT else tokenize_path(path)


_kept_tokens = lru_cache(maxsize=1024)(tokenize_path)


def text_hash(text: str) -> bytes:
    """Return the 16 bytes by which the store knows a text again (BLAKE2b, collision-resistant)."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES).digest()

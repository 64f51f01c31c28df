"""The sizes from which on the engine works in another way; one place for them, so that tests can make them small."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """See `LIMITS` for the values that hold."""

    vector_bytes: int
    """How much memory vectors may take that were searched lately. A search over more than that looks at their signs
    first, and at the vectors of the most promising items."""
    entry_bytes: int
    """How much of that a prefix takes beside its vectors."""
    listed_items: int
    """A prefix of so many items at the most is brought up to date by a list of what it holds, a larger one by what has
    been written and erased since."""
    counted: int
    """How many vectors are left when differing signs have been counted."""
    candidates: int
    """How many of these a closer look at the signs leaves, whose vectors are then compared. A search for more than a
    quarter of that looks at all vectors in the file."""
    few_words: int
    """So many items at the most are read to find a word; the index finds it among more."""
    many_words: int
    """From so many items on a search by words looks for rare words first."""
    unindexed: int
    """After so many changes the indexes of words and texts are brought up to date."""


LIMITS = Limits(
    vector_bytes=512 * 2**20,
    entry_bytes=1_500,
    listed_items=2_000,
    counted=8_000,
    candidates=400,
    few_words=300,
    many_words=5_000,
    unindexed=1_000,
)

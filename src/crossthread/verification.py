"""What verify() finds, and the rules for an item that hold on every engine. Pure: reads no database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossthread import values
from crossthread.errors import StoreCorruptError
from crossthread.search.vectors import Vectors, from_bytes

_MOST_TOLD = 100
UNIT_TOLERANCE = 1e-4
"""How far from 1 the length of a stored vector may be; float32 keeps it within 1e-6."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What `MemoryStore.verify` found.

    Attributes:
        items: How many items were checked.
        problems: A sentence for each thing that is not as it must be, a hundred at the most; empty where all is well.
    """

    items: int
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def __bool__(self) -> bool:
        return self.ok

    def raise_if_damaged(self) -> None:
        """Raise `StoreCorruptError` with the first problems, if there are any."""
        if self.problems:
            told = " ".join(self.problems[:5])
            raise StoreCorruptError(f"{len(self.problems)} of the checks of {self.items} items failed. {told}")


class Findings:
    """Collects problems; of very many only the first are kept."""

    def __init__(self) -> None:
        self.items = 0
        self._problems: list[str] = []
        self._more = 0

    def add(self, sentence: str) -> None:
        """Note a problem."""
        if len(self._problems) < _MOST_TOLD:
            self._problems.append(sentence)
        else:
            self._more += 1

    def report(self) -> Verification:
        """Return what was found."""
        more = [f"There are {self._more} problems more."] if self._more else []
        return Verification(self.items, (*self._problems, *more))


def value_problems(value: Any, created_at: Any, updated_at: Any, ttl_minutes: Any, expires_at: Any) -> Iterator[str]:
    """Yield what is wrong with the value and the times of an item, as ends of sentences."""
    if not values.is_object(value):
        yield "its value is not a JSON object"
    if not isinstance(created_at, int) or created_at > updated_at:
        yield f"it was created at {created_at} and updated before, at {updated_at}"
    if (ttl_minutes is None) != (expires_at is None):
        yield f"it lives {ttl_minutes} minutes and expires at {expires_at}"


def vector_problems(texts: int, vectors: bytes, dims: int | None) -> Iterator[str]:
    """Yield what is wrong with the vectors of an item that has so many texts."""
    if not texts and not vectors:
        return
    if not dims:
        yield "it has vectors, and the store does not know their dimensions"
    elif len(vectors) != texts * dims * 4:
        yield f"it has {len(vectors)} bytes of vectors for {texts} texts of {dims} dimensions"
    else:
        lengths = _lengths(from_bytes(vectors).reshape(texts, dims))
        wrong = lengths[~((lengths == 0) | (np.abs(lengths - 1) < UNIT_TOLERANCE))]
        if wrong.size:
            yield f"a vector of it has the length {wrong[0]:.6g}, not 1 or 0"


def _lengths(vectors: Vectors) -> Any:
    with np.errstate(all="ignore"):
        return np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))


def word_problems(counts: dict[str, int], length: int) -> Iterator[str]:
    """Yield what is wrong with the words of an item."""
    # Of a very long text not all terms are kept, so that there may be fewer words in them than in the text.
    if "" in counts or min(counts.values(), default=1) < 1 or sum(counts.values()) > length:
        yield f"its {len(counts)} terms are not those of {length} words"

"""The in-memory engine's side of a change of the model: staged vectors by text. Changes nothing but itself."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, NamedTuple

from crossthread._clock import system_clock
from crossthread.operations.reembedding import IndexedItem, Phase, Progress, Stage, TextPage
from crossthread.search.vectors import to_bytes


class Indexed(NamedTuple):
    """An item that has texts, as the engine's records tell it."""

    namespace: str
    key: str
    value: str
    updated_at: int
    hashes: tuple[bytes, ...]


class Staging:
    """The vectors that a run has staged, and whether nobody may write others for a while.

    Args:
        last_run: The number of the run that made the vectors that serve.
        run: The number of this run; 0: there is none.
        model: The model that the vectors are of.
    """

    def __init__(self, last_run: int, run: int = 0, model: str | None = None) -> None:
        self.run = run
        self.model = model
        self.dims: int | None = None
        self.vectors: dict[bytes, bytes] = {}
        self.held_until = 0
        self.last_run = last_run

    def progress(self, generation: int, serves: str | None) -> Progress:
        """Return how far the store is."""
        phase: Phase = "staging" if self.run else "none"
        return Progress(generation, serves, phase, self.run, self.model, self.dims, self.last_run)

    def add(self, command: Stage, texts_at: Callable[[Any], tuple[bytes, ...]]) -> bool:
        """Keep the vectors of those texts that the items still have."""
        if not self.run or command.run != self.run:
            return False
        for item in command.items:
            still = texts_at(item.place)
            for hash_, vector in zip(item.hashes, item.vectors, strict=True):
                if hash_ in still:
                    self.dims = vector.size
                    self.vectors[hash_] = to_bytes(vector)
        return True

    def hold(self, run: int, seconds: float) -> bool:
        """Let nobody write vectors for a while."""
        if not self.run or run != self.run:
            return False
        self.held_until = system_clock() + int(seconds * 1e6)
        return True

    @property
    def is_held(self) -> bool:
        """Whether nobody may write vectors now."""
        return system_clock() < self.held_until

    def of(self, hashes: Iterable[bytes]) -> bytes | None:
        """Return the staged vectors of an item's texts; None while one is missing."""
        found = [self.vectors.get(hash_) for hash_ in hashes]
        return None if None in found else b"".join(filter(None, found))

    def page(self, items: Iterable[Indexed], after: Any, limit: int, *, unstaged: bool) -> TextPage:
        """Return a page of items in the order of their writes."""
        later = (one for one in items if after is None or one.updated_at > after)
        if unstaged:
            later = (one for one in later if not self.vectors.keys() >= set(one.hashes))
        chosen = heapq.nsmallest(limit, later, key=attrgetter("updated_at"))
        found = [IndexedItem((one.namespace, one.key, one.updated_at), *one[:3], one.hashes) for one in chosen]
        staged = {hash_: self.vectors[hash_] for one in chosen for hash_ in one.hashes if hash_ in self.vectors}
        return TextPage(found, staged, chosen[-1].updated_at if len(chosen) == limit else None)

    def forget(self, hashes: Iterable[bytes]) -> None:
        """Drop the vectors of texts that no item has any more."""
        for hash_ in hashes:
            self.vectors.pop(hash_, None)

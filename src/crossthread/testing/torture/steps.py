"""What the workers of a torture do, step by step, and what must be there after each step. Pure but for `perform`.

A worker has namespaces of its own, so what must be in them is a plain replay of its steps; a step is made of its
worker's number and its own, so that two processes agree on it without a word.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from langgraph.store.base import GetOp, PutOp

from crossthread.store import MemoryStore
from crossthread.testing.embedder import HashEmbeddings

DIMS = 16
_KEYS = 12
_WORDS = [
    "tea",
    "coffee",
    "milk",
    "water",
    "juice",
    "Häuser",
    "東京",
    "night",
    "day",
    "green",
    "blue",
    "likes",
    "hates",
    "often",
    "never",
]

State = dict[tuple[tuple[str, ...], str], dict[str, Any]]
"""What a worker's namespaces hold: values by namespace and key."""


class Step(NamedTuple):
    """A call of a store's method, and what it does to the state."""

    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    after: Callable[[State], State]

    def perform(self, store: MemoryStore) -> None:
        """Make the call."""
        getattr(store, self.method)(*self.arguments, **self.options)

    async def aperform(self, store: MemoryStore) -> None:
        """Make the call by its async twin."""
        await getattr(store, f"a{self.method}")(*self.arguments, **self.options)


def index() -> Any:
    """Return the ``index=`` of all tortures."""
    return {"embed": HashEmbeddings(DIMS), "dims": DIMS, "fields": ["text"]}


def home(worker: int) -> tuple[str, ...]:
    """Return the namespace of a worker."""
    return ("torture", f"w{worker}")


def step(seed: int, worker: int, number: int) -> Step:
    """Return the step of that number."""
    chance = random.Random(f"{seed} {worker} {number}")
    place, below = home(worker), (*home(worker), "below")
    kind = chance.random()
    if kind < 0.3:
        return _writes("put", [(place, _key(chance), _value(chance, number))])
    if kind < 0.4:
        return _writes("delete", [(place, _key(chance), None)])
    if kind < 0.7:
        keys = chance.sample(range(_KEYS), chance.randint(2, 6))
        return _writes(
            "batch",
            [(place, f"k{key}", _value(chance, number) if chance.random() < 0.8 else None) for key in keys],
        )
    if kind < 0.85:
        return _counted(place)
    if kind < 0.95:
        return _writes("put", [(below, _key(chance), _value(chance, number))])
    return Step("forget", (below,), {}, lambda state: {at: value for at, value in state.items() if at[0] != below})


def found(store: MemoryStore, worker: int) -> State:
    """Return what a worker's namespaces hold."""
    return {(item.namespace, item.key): item.value for item in store.search(home(worker), limit=10_000)}


def _key(chance: random.Random) -> str:
    return f"k{chance.randrange(_KEYS)}"


def _value(chance: random.Random, number: int) -> dict[str, Any]:
    value: dict[str, Any] = {"n": number, "text": " ".join(chance.choices(_WORDS, k=chance.randint(0, 8)))}
    if chance.random() < 0.1:
        value["long"] = "x" * chance.randrange(20_000)  # pages of its own
    return value


def _writes(method: str, writes: list[tuple[tuple[str, ...], str, dict[str, Any] | None]]) -> Step:
    def after(state: State) -> State:
        changed = dict(state)
        for namespace, key, value in writes:
            changed.pop((namespace, key), None)
            if value is not None:
                changed[namespace, key] = value
        return changed

    if method == "batch":
        ops = [PutOp(namespace, key, value) for namespace, key, value in writes]
        return Step("batch", ([*ops, GetOp(writes[0][0], writes[0][1])],), {}, after)
    ((namespace, key, value),) = writes
    return Step(method, (namespace, key) if value is None else (namespace, key, value), {}, after)


def _counted(place: tuple[str, ...]) -> Step:
    def more(value: dict[str, Any]) -> dict[str, Any]:
        return {**value, "count": value["count"] + 1, "text": "counted"}

    def after(state: State) -> State:
        return {**state, (place, "counter"): more(state.get((place, "counter"), {"count": 0}))}

    return Step("update", (place, "counter", more), {"default": {"count": 0}}, after)

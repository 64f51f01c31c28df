"""The file that ``million.py`` searches: real sentences with their vectors, and what exact search finds among them."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import texts
from langgraph.store.base import PutOp

from crossthread import MemoryStore
from crossthread.embedding.local import LocalEmbeddings

ITEMS_OF_A_USER = 100
BEST = 10
SAME = 1e-6  # cosines of float32 vectors that differ by less are equal
CHUNK = 5_000


class Local(LocalEmbeddings):
    """The offline model; ``spent`` adds up the seconds that it takes, which are taken off every figure.

    Args:
        known: Texts with vectors that are at hand.
    """

    def __init__(self, known: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.known = known
        self.spent = 0.0

    def embed_documents(self, texts: list[str]) -> Any:
        """Return the vectors of texts."""
        start = time.perf_counter()
        found = super().embed_documents(texts) if self.known is None else [self.known[text] for text in texts]
        self.spent += time.perf_counter() - start
        return found

    def embed_query(self, text: str) -> Any:
        """Return the vector of a query."""
        start = time.perf_counter()
        found = super().embed_query(text)
        self.spent += time.perf_counter() - start
        return found

    def timed(self, action: Callable[[], Any]) -> float:
        """Return how many microseconds an action takes, without its embeddings."""
        spent, start = self.spent, time.perf_counter()
        action()
        return (time.perf_counter() - start - (self.spent - spent)) * 1e6


def index_of(model: Local) -> Any:
    """Return the settings of the store."""
    return {"embed": model, "fields": ["text"]}


def user(number: int, users: int) -> tuple[str, str]:
    """Return the namespace of an item: users write in turns, so that what belongs to one lies all over the file."""
    return ("users", f"user{number % users}")


# Filling


def fill(folder: Path, items: int, queries: int, more: list[Path]) -> dict[str, Any]:
    """Gather and embed sentences and put them into a store; leave its file, the vectors and the queries."""
    found: dict[str, Any] = {}
    start = time.perf_counter()
    chosen = texts.sentences(items + queries, [*texts.places(), *more])
    found["gathered in s"] = time.perf_counter() - start
    if len(chosen) < 20 * queries:
        sys.exit(f"{len(chosen):,} sentences were found; name folders with more text by --texts")
    asked, kept = chosen[:queries], chosen[queries:]
    found["items"], found["users"] = len(kept), max(1, len(kept) // ITEMS_OF_A_USER)
    model = Local()
    start = time.perf_counter()
    vectors = np.concatenate(
        [LocalEmbeddings.embed_documents(model, kept[at : at + CHUNK]) for at in range(0, len(kept), CHUNK)]
    )
    found["embedded in s"] = time.perf_counter() - start
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths, lengths, 1)
    np.save(folder / "vectors.npy", units)
    (folder / "queries.json").write_text(json.dumps(asked), "utf-8")
    found["dims"] = units.shape[1]
    model.known = dict(zip(kept, vectors, strict=True))
    with MemoryStore(folder / "million.db", index=index_of(model)) as store:
        taken = 0.0
        for at in range(0, len(kept), 1000):
            ops = [
                PutOp(user(number, found["users"]), str(number), {"text": kept[number]})
                for number in range(at, min(at + 1000, len(kept)))
            ]
            taken += model.timed(lambda ops=ops: store.batch(ops)) / 1e6  # type: ignore[misc]
        model.known = None
    found["put in s"] = taken
    found["file in MB"] = (folder / "million.db").stat().st_size / 2**20
    return found


# What is right


def exact(folder: Path) -> dict[str, Any]:
    """Write the cosine of the tenth best item of each query; return how long numpy's bare product takes."""
    matrix = np.load(folder / "vectors.npy")
    asked = unit_queries(folder)
    tenth = np.empty(len(asked), dtype=np.float32)
    for n, query in enumerate(asked):
        tenth[n] = np.partition(matrix @ query, -BEST)[-BEST]
    np.save(folder / "tenth.npy", tenth)
    taken = []
    for query in asked[:30]:
        start = time.perf_counter()
        matrix @ query
        taken.append(time.perf_counter() - start)
    return {"bare product": statistics.median(taken) * 1e6}


def unit_queries(folder: Path) -> Any:
    """Return the vectors of the queries, shape (queries, dims)."""
    vectors = LocalEmbeddings().embed_documents(json.loads((folder / "queries.json").read_text("utf-8")))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths, lengths, 1)


def recall(folder: Path, found: list[list[int]]) -> tuple[float, float]:
    """Return which share of the ten best items the searches found: on average, and for the worst query."""
    matrix = np.load(folder / "vectors.npy", mmap_mode="r")
    tenth = np.load(folder / "tenth.npy")
    shares = [
        float((matrix[sorted(set(numbers))] @ query >= least - SAME).sum()) / BEST
        for numbers, query, least in zip(found, unit_queries(folder), tenth, strict=True)
    ]
    return statistics.fmean(shares), min(shares)

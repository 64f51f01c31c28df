"""Random steps: whatever happens to a store, the embedded engine and the reference answer alike.

A short walk by default; CROSSTHREAD_LONG=1 takes a long one.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

from crossthread import MemoryStore
from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.testing import StoreComparison
from servers import store_url

LONG = bool(os.environ.get("CROSSTHREAD_LONG"))

WALK = settings(
    max_examples=600 if LONG else 60,
    stateful_step_count=60 if LONG else 25,
    deadline=None,
    derandomize=not LONG,  # the short walk is the same everywhere, the long one looks for new ways
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


class SQLiteComparison(StoreComparison):
    def open_store(self, folder: Path, **settings: Any) -> MemoryStore:
        return MemoryStore(folder / "agent.db", **settings)


class RareWordsComparison(StoreComparison):
    """The file engine as it searches many items: the rarest words first, and no more than it takes."""

    def open_store(self, folder: Path, *, clock: Any, **settings: Any) -> MemoryStore:
        return MemoryStore(SQLiteEngine(folder / "agent.db", clock=clock, many_items=0), **settings)


class _Pair:
    """Two stores as one: each call goes to either of them, the same way in every run."""

    def __init__(self, *stores: MemoryStore) -> None:
        self.stores = stores
        self._turns = random.Random(7)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._turns.choice(self.stores), name)

    def close(self) -> None:
        for store in self.stores:
            store.close()


class PairComparison(StoreComparison):
    """Two objects on one file in turn: what one wrote, the other knows at once, whatever it has kept in memory."""

    def open_store(self, folder: Path, **settings: Any) -> _Pair:
        return _Pair(*(MemoryStore(folder / "agent.db", **settings) for _ in range(2)))


class MemoryComparison(StoreComparison):
    """The reference against itself, one of the two driven through the async methods: sync equals async."""

    can_reopen = False

    def open_store(self, folder: Path, **settings: Any) -> MemoryStore:
        return MemoryStore(":memory:", **settings)


class PostgresComparison(StoreComparison):
    def open_store(self, folder: Path, **settings: Any) -> MemoryStore:
        return MemoryStore(store_url(folder), **settings)


class TestPostgres(PostgresComparison.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(WALK, max_examples=100 if LONG else 20)


class TestSQLite(SQLiteComparison.TestCase):  # type: ignore[name-defined,misc]
    settings = WALK


class TestRareWords(RareWordsComparison.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(WALK, max_examples=300 if LONG else 30)


class TestPair(PairComparison.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(WALK, max_examples=400 if LONG else 40)


class TestMemory(MemoryComparison.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(WALK, max_examples=300 if LONG else 15)

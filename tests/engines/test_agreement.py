"""Random steps: whatever happens to a store, the engines and the reference answer alike.

A short walk by default; CROSSTHREAD_LONG=1 takes a long one.
"""

from __future__ import annotations

import inspect
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

from crossthread import MemoryStore, StoreStats
from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.engines.sqlite.limits import LIMITS
from crossthread.testing import StoreComparison
from servers import run_sql, schema_for, server_url, with_parameters

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

    limits = LIMITS._replace(few_words=0, many_words=0, unindexed=5, listed_items=0)

    def open_store(self, folder: Path, *, clock: Any, **settings: Any) -> MemoryStore:
        return MemoryStore(SQLiteEngine(folder / "agent.db", clock=clock, limits=self.limits), **settings)


class LittleMemoryComparison(RareWordsComparison):
    """The file engine with hardly any room for vectors: entries grow out of it, turn into signs, leave, come back."""

    limits = LIMITS._replace(vector_bytes=400, entry_bytes=0, listed_items=4, few_words=3, unindexed=1)

    def open_store(self, folder: Path, *, index: Any = None, **settings: Any) -> MemoryStore:
        index = None if index is None else {**index, "filter_fields": ["a", "b", "a.b", "b.c"]}
        return super().open_store(folder, index=index, **settings)


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


class _OfSeveral(StoreComparison):
    """Imports go to one of the stores under test, and where each must answer alike, to all."""

    def import_lines(self, store: Any, lines: list[str], **settings: Any) -> Any:
        if isinstance(store, _Pair):
            store = store.stores[len(lines[1]) % len(store.stores)]
        if isinstance(store, _Twins):
            return _agreed([super(_OfSeveral, self).import_lines(one, lines, **settings) for one in store.stores])
        return super().import_lines(store, lines, **settings)


class PairComparison(_OfSeveral):
    """Two objects on one file in turn: what one wrote, the other knows at once, whatever it has kept in memory."""

    def open_store(self, folder: Path, **settings: Any) -> _Pair:
        return _Pair(*(MemoryStore(folder / "agent.db", **settings) for _ in range(2)))


class UnequalPairComparison(_OfSeveral):
    """Two objects on one file that work in different ways: each keeps up with what the other one leaves undone."""

    limits = (
        LIMITS._replace(vector_bytes=3_000, listed_items=0, few_words=0, many_words=5, unindexed=20),
        LIMITS._replace(vector_bytes=20_000, entry_bytes=0, listed_items=3, few_words=3, unindexed=3),
    )

    def open_store(self, folder: Path, *, clock: Any, **settings: Any) -> _Pair:
        engines = [SQLiteEngine(folder / "agent.db", clock=clock, limits=limits) for limits in self.limits]
        return _Pair(*(MemoryStore(engine, **settings) for engine in engines))


_SCHEMA = schema_for(Path(__file__))
_last_folder: Path | None = None


def server_store(folder: Path, **settings: Any) -> MemoryStore:
    """Open a store on the server, as new where the folder is another than before; to make a schema takes longer."""
    global _last_folder
    url = with_parameters(server_url(), schema=_SCHEMA, pool_size=2)
    if _last_folder is None:
        MemoryStore(url, **{**settings, "index": {"embed": len}}).close()
    if folder != _last_folder:
        _last_folder = folder
        run_sql(f"TRUNCATE {_SCHEMA}.items, {_SCHEMA}.words, {_SCHEMA}.vectors")
        run_sql(f"UPDATE {_SCHEMA}.state SET language = NULL, model = NULL, dims = NULL")
        run_sql(f"ALTER SEQUENCE {_SCHEMA}.stamps RESTART")
    return MemoryStore(url, **settings)


class PostgresComparison(StoreComparison):
    def open_store(self, folder: Path, **settings: Any) -> MemoryStore:
        return server_store(folder, **settings)


class _Twins:
    """Two stores as one: each call goes to both, which must answer alike."""

    def __init__(self, *stores: MemoryStore) -> None:
        self.stores = stores

    def __getattr__(self, name: str) -> Callable[..., Any]:
        calls = [getattr(store, name) for store in self.stores]

        def call(*args: Any, **kwargs: Any) -> Any:
            outcomes = []
            for one in calls:
                try:
                    outcomes.append(one(*args, **kwargs))
                except Exception as error:
                    outcomes.append(error)
            return _agreed(outcomes)

        async def acall(*args: Any, **kwargs: Any) -> Any:
            outcomes = []
            for one in calls:
                try:
                    outcomes.append(await one(*args, **kwargs))
                except Exception as error:
                    outcomes.append(error)
            return _agreed(outcomes)

        return acall if inspect.iscoroutinefunction(calls[0]) else call

    def close(self) -> None:
        for store in self.stores:
            store.close()


def _agreed(outcomes: list[Any]) -> Any:
    if isinstance(outcomes[0], StoreStats):  # each has a place of its own
        outcomes = [replace(one, place="", file_bytes=None) for one in outcomes]
    assert repr(outcomes[0]) == repr(outcomes[1])
    if isinstance(outcomes[0], Exception):
        raise outcomes[0]
    return outcomes[0]


class TwinComparison(_OfSeveral):
    """A file and a server side by side."""

    def open_store(self, folder: Path, **settings: Any) -> _Twins:
        return _Twins(MemoryStore(folder / "agent.db", **settings), server_store(folder, **settings))


class MemoryComparison(StoreComparison):
    """The reference against itself, one of the two driven through the async methods: sync equals async."""

    can_reopen = False

    def open_store(self, folder: Path, **settings: Any) -> MemoryStore:
        return MemoryStore(":memory:", **settings)


class TestSQLite(SQLiteComparison.TestCase):  # type: ignore[name-defined,misc]
    settings = WALK


class TestLittleMemory(LittleMemoryComparison.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(WALK, max_examples=300 if LONG else 30)


class TestRareWords(RareWordsComparison.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(WALK, max_examples=300 if LONG else 30)


class TestPair(PairComparison.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(WALK, max_examples=400 if LONG else 40)


class TestUnequalPair(UnequalPairComparison.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(WALK, max_examples=300 if LONG else 30)


class TestPostgres(PostgresComparison.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(WALK, max_examples=400 if LONG else 12)


class TestTwins(TwinComparison.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(WALK, max_examples=200 if LONG else 6)


class TestMemory(MemoryComparison.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(WALK, max_examples=300 if LONG else 15)

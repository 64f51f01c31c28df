"""Isolation on a file whose limits are small: vectors in memory, signs, pending words. The suite has the rest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from crossthread import MemoryStore
from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.engines.sqlite.limits import LIMITS
from crossthread.testing.suite.isolation import Isolation
from servers import store_url

LONG = bool(os.environ.get("CROSSTHREAD_LONG"))


class _Little(Isolation):
    isolation_examples = 300 if LONG else 15
    limits = LIMITS

    def make_store(self, tmp_path: Path, *, clock: Any = None, **settings: Any) -> MemoryStore:
        return MemoryStore(SQLiteEngine(tmp_path / "agent.db", clock=clock, limits=self.limits), **settings)


class TestLateIndexes(_Little):
    """Words that the index is told of late, and searched for from the first item on."""

    limits = LIMITS._replace(unindexed=3, few_words=0, many_words=0)


class TestLittleMemory(_Little):
    """Hardly any room for vectors, which come and go."""

    limits = LIMITS._replace(unindexed=3, few_words=0, many_words=0, vector_bytes=600, listed_items=0)


class TestSigns(_Little):
    """No room for vectors at all."""

    limits = LIMITS._replace(unindexed=1, vector_bytes=0, listed_items=4)


@pytest.mark.skipif(not LONG, reason="the suite tries fewer sets; CROSSTHREAD_LONG=1 for these")
class TestManySets(Isolation):
    """More sets of namespaces than the suite tries."""

    isolation_examples = 500

    @pytest.fixture(params=["sqlite", "memory", "postgres"], autouse=True)
    def _place(self, request: pytest.FixtureRequest) -> None:
        self.place = str(request.param)

    def make_store(self, tmp_path: Path, **settings: Any) -> MemoryStore:
        url = {"sqlite": lambda: str(tmp_path / "a.db"), "memory": lambda: ":memory:"}.get(self.place)
        return MemoryStore(url() if url is not None else store_url(tmp_path), **settings)

"""The conformance suites: subclass one in your tests, say how your store opens, and it is held to the contract.

```python
from crossthread.testing import StoreSuite


class TestMyStore(StoreSuite):
    lacks = {"ttl": "items of this store live for ever"}

    def make_store(self, tmp_path, **settings):
        return MyStore(tmp_path / "my.db", **settings)
```

Every test runs twice, through the sync methods and through the async ones, and names the capabilities it needs beyond
a plain LangGraph store; what ``lacks`` names is skipped. `crossthread.testing.suite.harness.CAPABILITIES` lists them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langgraph.store.base import GetOp, PutOp

from crossthread.errors import ConfigurationError, StoreClosedError
from crossthread.store import MemoryStore
from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.addresses import Addresses
from crossthread.testing.suite.batches import Batches
from crossthread.testing.suite.calling import Calling
from crossthread.testing.suite.closing import Closing
from crossthread.testing.suite.extras import Forgetting, Updating
from crossthread.testing.suite.filters import Filters
from crossthread.testing.suite.fresh_words import FreshWords
from crossthread.testing.suite.harness import OpenRaw, index_of
from crossthread.testing.suite.hostile import Hostile
from crossthread.testing.suite.hybrid import Hybrid
from crossthread.testing.suite.indexing import Indexing
from crossthread.testing.suite.isolation import Isolation
from crossthread.testing.suite.keywords import Keywords
from crossthread.testing.suite.modes import Modes
from crossthread.testing.suite.moving import Moving
from crossthread.testing.suite.namespaces import Namespaces
from crossthread.testing.suite.records import Looking
from crossthread.testing.suite.reported import Reported
from crossthread.testing.suite.reranking import Explaining, Reranking
from crossthread.testing.suite.search import Search
from crossthread.testing.suite.semantic import Semantic, TableEmbeddings
from crossthread.testing.suite.settings import IndexSettings
from crossthread.testing.suite.times import Times
from crossthread.testing.suite.ttl import TimeToLive
from crossthread.testing.suite.values import Values


class StoreSuite(
    Addresses,
    Values,
    Batches,
    Times,
    Search,
    Filters,
    Semantic,
    Modes,
    Keywords,
    FreshWords,
    Hybrid,
    Explaining,
    Reranking,
    Indexing,
    IndexSettings,
    TimeToLive,
    Namespaces,
    Isolation,
    Hostile,
    Calling,
    Closing,
    Forgetting,
    Updating,
    Looking,
    Moving,
):
    """The contract, for any ``BaseStore``; a subclass defines ``make_store`` and what its store lacks."""


class EngineSuite(Reported, StoreSuite):
    """The contract, and what `MemoryStore` promises besides, for an engine of crossthread.

    A subclass defines ``url``; an engine whose data ends with the object lacks "reopening".
    """

    def url(self, tmp_path: Path) -> str:
        """Return the URL of a store in the test's empty folder, the same whenever it is asked."""
        raise NotImplementedError("a subclass names the URL of its engine here")

    def make_store(self, tmp_path: Path, **settings: Any) -> MemoryStore:
        """Open a MemoryStore on the engine."""
        return MemoryStore(self.url(tmp_path), **settings)

    def test_from_conn_string_with(self, tmp_path: Path) -> None:
        """What from_conn_string returns is the open store for with, and closed at its end."""
        with MemoryStore.from_conn_string(
            self.url(tmp_path), index=index_of(HashEmbeddings()), ttl={"default_ttl": 5}
        ) as store:
            assert isinstance(store, MemoryStore)
            store.setup()
            store.put(("c",), "k", {"text": "green tea"})
            assert store.search(("c",), query="tea")[0].key == "k"
            assert store.ttl_config == {"default_ttl": 5}
        with pytest.raises(StoreClosedError):
            store.get(("c",), "k")

    def test_from_conn_string_async_with(self, tmp_path: Path) -> None:
        """The same object works with async with."""

        async def main() -> MemoryStore:
            async with MemoryStore.from_conn_string(self.url(tmp_path)) as store:
                await store.asetup()
                await store.aput(("c",), "k", {"n": 1})
                assert len(await store.asearch(("c",))) == 1
            return store

        store = asyncio.run(main())
        with pytest.raises(StoreClosedError):
            store.get(("c",), "k")

    @pytest.mark.parametrize("embed", ["nobody:no-such-model", "no-such-model", ""])
    def test_an_unknown_provider_string(self, tmp_path: Path, embed: str) -> None:
        """A provider string that leads to no model is a ConfigurationError when the store is opened."""
        with pytest.raises(ConfigurationError):
            MemoryStore(self.url(tmp_path), index=index_of(embed))

    def test_search_among_many(self, open_raw: OpenRaw) -> None:
        """Among ten thousand items, some with several vectors, the hits are those of a plain float64 scan."""
        generator = np.random.default_rng(3)
        vectors = generator.normal(size=(14_000, 8))
        table = {str(n): vector.tolist() for n, vector in enumerate(vectors)}
        store = open_raw(index=index_of(TableEmbeddings(table), dims=8, fields=["texts[*]"]))
        best: dict[str, float] = {}
        cosines = vectors @ vectors[0] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[0])
        for start in range(0, 10_000, 2_500):
            ops = []
            for n in range(start, start + 2_500):
                own = [n, 10_000 + n] if n < 4_000 else [n]
                best[str(n)] = max(float(cosines[m]) for m in own)
                ops.append(PutOp(("many", str(n % 100)), str(n), {"texts": [str(m) for m in own], "even": n % 2 == 0}))
            store.batch(ops)
        ranked = sorted(best, key=lambda key: -best[key])
        for _ in range(2):
            hits = store.search((), query="0", limit=50, offset=5)
            assert [hit.score for hit in hits] == pytest.approx([best[key] for key in ranked[5:55]], abs=1e-5)
            assert {hit.key for hit in store.search((), query="0", limit=10_001)} == set(best)
        even = [key for key in ranked if int(key) % 2 == 0 and int(key) % 100 < 50]
        hits = [
            hit
            for n in range(50)
            for hit in store.search(("many", str(n)), query="0", filter={"even": True}, limit=1_000)
        ]
        assert sorted((hit.key for hit in hits), key=int) == sorted(even, key=int)

    def test_sixty_thousand_coroutines(self, open_raw: OpenRaw) -> None:
        """As many calls as there are users finish in one gather: 60,000, writes and reads mixed."""
        store = open_raw()
        count = 20_000

        async def main() -> None:
            writes = [store.aput(("many", str(n % 100)), str(n), {"n": n}) for n in range(count)]
            reads = [store.aget(("many", str(n % 100)), str(n)) for n in range(count)]
            results = await asyncio.gather(*writes, *reads, *(store.aget(("none",), str(n)) for n in range(count)))
            assert results[:count] == [None] * count

        asyncio.run(main())
        assert store.count() == count
        items = store.batch([GetOp(("many", str(n % 100)), str(n)) for n in range(count)])
        assert [item.value["n"] for item in items] == list(range(count))

"""What a store tells of its items beyond `get`, and of itself: records(), record() and stats()."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from langgraph.store.base import InvalidNamespaceError, PutOp

from crossthread.embedding.extract import text_hash
from crossthread.errors import InvalidArgumentError
from crossthread.records import NamespaceStats
from crossthread.testing.clock import ManualClock
from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import Caller, OpenStore, SuiteBase, index_of, keys, needs


def pages(store: Caller, *prefix: str, limit: int = 3, **more: Any) -> list[Any]:
    """Return all records below a prefix, read in pages."""
    found: list[Any] = []
    after = None
    while page := store.records(prefix, after=after, limit=limit, **more):
        assert len(page) <= limit
        found += page
        after = page[-1] if len(found) % 2 else page[-1].cursor
    return found


class Looking(SuiteBase):
    """Records and numbers."""

    @needs("records")
    def test_a_record_says_what_get_says(self, store: Caller) -> None:
        """Value and times are those of the item; what a store without index knows of its texts is nothing."""
        store.put(("r", "a"), "k", {"n": 1, "deep": {"list": [1, None, "ü"]}})
        item, record = store.get(("r", "a"), "k"), store.record(("r", "a"), "k")
        assert (record.namespace, record.key, record.value) == (("r", "a"), "k", item.value)
        assert (record.created_at, record.updated_at) == (item.created_at, item.updated_at)
        assert (record.ttl, record.expires_at, record.index, record.hashes) == (None, None, None, ())
        assert store.records() == store.records(("r",)) == [record]
        assert store.record(("r", "a"), "other") is None
        assert store.records(("r", "a", "b")) == []

    @needs("records", "clock", "ttl")
    def test_times(self, timed: Caller, clock: ManualClock) -> None:
        """A record has its life in minutes and its end; reading it renews nothing; what is over is gone."""
        timed.put(("r",), "k", {"n": 1}, ttl=2)
        created = clock.now_us
        clock.advance(minutes=1)
        (record,) = timed.records(("r",))
        assert record == timed.record(("r",), "k")
        assert record.ttl == 2.0
        assert record.expires_at == record.created_at + timedelta(minutes=2)
        assert record.created_at == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=created)
        clock.advance(minutes=1)
        assert timed.records(("r",)) == []
        assert timed.record(("r",), "k") is None
        assert timed.stats().expired == 1

    @needs("records", "clock", "ttl")
    def test_a_life_beyond_the_calendar(self, timed: Caller) -> None:
        """It ends, for a datetime, with the last moment that there is."""
        timed.put(("r",), "k", {"n": 1}, ttl=1e12)
        assert timed.record(("r",), "k").expires_at == datetime.max.replace(tzinfo=UTC)

    @needs("records")
    @pytest.mark.parametrize("newest_first", [False, True])
    def test_pages_hold_every_item_once(self, store: Caller, newest_first: bool) -> None:
        """In the order of the last writes, whatever the prefix covers."""
        names = [("r",), ("r", "a"), ("r", "a", "b"), ("r", "ab"), ("ra",)]
        written = [(name, str(n)) for n in range(8) for name in names]
        store.batch([PutOp(name, key, {"n": 1}) for name, key in written])
        store.put(("r", "a"), "3", {"n": 2})
        written.remove((("r", "a"), "3"))
        written.append((("r", "a"), "3"))
        if newest_first:
            written.reverse()
        for prefix in [(), *names]:
            below = [one for one in written if one[0][: len(prefix)] == prefix]
            for limit in (1, 7, 100):
                found = pages(store, *prefix, limit=limit, newest_first=newest_first)
                assert [(record.namespace, record.key) for record in found] == below

    @needs("records")
    def test_pages_while_others_write(self, store: Caller) -> None:
        """What was there all the time is on a page; what is written meanwhile may come again, later."""
        store.batch([PutOp(("r",), str(n), {"n": n}) for n in range(9)])
        first = store.records(("r",), limit=4)
        store.put(("r",), "0", {"n": "again"})
        store.put(("r",), "7", {"n": "changed"})
        store.delete(("r",), "3")
        rest = store.records(("r",), after=first[-1], limit=100)
        assert keys(first) == ["0", "1", "2", "3"]
        assert keys(rest) == ["4", "5", "6", "8", "0", "7"]
        assert rest[-1].value == {"n": "changed"}

    @needs("records", "semantic")
    def test_vectors(self, memories: Caller, embeddings: HashEmbeddings) -> None:
        """A vector for each text, known by the hash of the text; only where they are asked for."""
        memories.put(("r",), "k", {"text": "green tea", "more": ["old trains", "roses"]}, index=["text", "more[*]"])
        memories.put(("r",), "none", {"text": "green tea"}, index=False)
        record = memories.record(("r",), "k", vectors=True)
        assert record.index == ("text", "more[*]") or set(record.index) == {"text", "more[0]", "more[1]"}
        texts = ["green tea", "old trains", "roses"]
        assert list(record.hashes) == sorted(map(text_hash, texts))
        assert record.vectors.dtype == np.float32
        for text, vector in zip(texts, embeddings.embed_documents(texts), strict=True):
            unit = np.array(vector) / np.linalg.norm(vector)
            np.testing.assert_allclose(record.vectors[record.hashes.index(text_hash(text))], unit, atol=1e-6)
        first, second = memories.records(("r",), vectors=True)
        assert first == record
        np.testing.assert_array_equal(first.vectors, record.vectors)
        assert (second.index, second.hashes, second.vectors) == (False, (), None)
        assert [one.vectors for one in memories.records()] == [None, None]

    @needs("records", "semantic")
    @pytest.mark.parametrize(
        ("index", "told"),
        [
            (None, ("text",)),
            (False, False),
            (["o.deep"], ("o.deep",)),
            (["$"], ("$",)),
            (["n", "text"], ("text", "n")),
            (["notes[*]"], ("notes[0]", "notes[1]")),
            (["nothing"], False),
        ],
    )
    @pytest.mark.parametrize("embed", [True, False])
    def test_what_is_indexed(self, open_store: OpenStore, embed: bool, index: Any, told: Any) -> None:
        """The paths of its texts are told, by their hashes or by their words."""
        settings = index_of(HashEmbeddings()) if embed else {"fields": ["text"]}
        store = open_store(index=settings)
        value = {"text": "green tea", "n": 7, "notes": ["old trains", "red roses"], "o": {"deep": "the sea"}}
        store.put(("r",), "k", value, index=index)
        assert store.record(("r",), "k").index == told

    @needs("records", "keywords", "reopening")
    def test_a_store_without_index_tells_what_others_indexed(self, open_store: OpenStore) -> None:
        """Paths and vectors are there for whoever opens the place, also without the settings."""
        open_store(index=index_of(HashEmbeddings())).put(("r",), "k", {"text": "green tea", "n": 1})
        record = open_store().record(("r",), "k", vectors=True)
        assert (record.index, record.vectors.shape) == (("text",), (1, 64))
        stats = open_store().stats()
        assert (stats.vectors, stats.dims, stats.language) == (1, 64, "english")

    @needs("records", "clock", "ttl", "semantic")
    def test_stats(self, open_store: OpenStore, clock: ManualClock) -> None:
        """Items, bytes and vectors by namespace and in all, of what lives; what is over is counted apart."""
        store = open_store(index=index_of(HashEmbeddings()), clock=clock)
        empty = store.stats()
        assert (empty.items, empty.namespaces, empty.value_bytes, empty.vectors, empty.expired) == (0, (), 0, 0, 0)
        assert (empty.model, empty.dims, empty.language) == (None, None, "english")
        store.put(("s", "a"), "k", {"text": "ü"})
        store.put(("s", "a"), "two", {"text": "tea", "n": 1}, ttl=1)
        store.put(("s", "a", "b"), "k", {"n": 1}, ttl=9)
        store.put(("sa",), "k", {"text": "tea"}, index=False)
        stats = store.stats()
        sizes = [len('{"text":"ü"}'.encode()) + len('{"text":"tea","n":1}'), 7, len('{"text":"tea"}')]
        times = [store.get(*at).updated_at for at in ((("s", "a"), "two"), (("s", "a", "b"), "k"), (("sa",), "k"))]
        assert stats.namespaces == (
            NamespaceStats(("s", "a"), 2, sizes[0], 1, times[0]),
            NamespaceStats(("s", "a", "b"), 1, sizes[1], 1, times[1]),
            NamespaceStats(("sa",), 1, sizes[2], 0, times[2]),
        )
        assert (stats.items, stats.value_bytes, stats.vectors, stats.dims) == (4, sum(sizes), 2, 64)
        assert stats.place == store.store.place
        assert stats.file_bytes is None or stats.file_bytes > stats.value_bytes
        assert [one.namespace for one in store.stats(("s",)).namespaces] == [("s", "a"), ("s", "a", "b")]
        clock.advance(minutes=1)
        assert (store.stats().items, store.stats().expired, store.stats().vectors) == (3, 1, 1)
        assert (store.stats(("sa",)).items, store.stats(("sa",)).expired) == (1, 0)
        assert store.sweep_ttl() == 1
        assert store.stats().expired == 0

    @needs("records", "clock", "ttl")
    def test_expired_items_that_are_not_omitted(self, open_store: OpenStore, clock: ManualClock) -> None:
        """With omit_expired=False they are there until they are swept, in records and numbers."""
        store = open_store(ttl={"omit_expired": False, "refresh_on_read": False}, clock=clock)
        store.put(("s",), "k", {"n": 1}, ttl=1)
        clock.advance(minutes=5)
        assert (store.stats().items, store.stats().expired) == (1, 1)
        assert keys(store.records()) == ["k"]
        assert store.record(("s",), "k").value == {"n": 1}

    @needs("records")
    def test_wrong_arguments(self, store: Caller) -> None:
        """They are refused like those of any other call."""
        store.put(("r",), "k", {"n": 1})
        for name, *arguments in (("records", ("a.b",)), ("record", (), "k"), ("stats", ("",))):
            with pytest.raises(InvalidNamespaceError):
                getattr(store, name)(*arguments)
        for wrong in ({"limit": -1}, {"limit": "3"}, {"after": "nonsense"}, {"after": 3}, {"after": "[1,2,3]"}):
            with pytest.raises(InvalidArgumentError):
                store.records((), **wrong)
        assert store.records((), limit=0) == []

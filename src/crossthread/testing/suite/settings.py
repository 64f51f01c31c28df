"""Contract section 7, concluded: what the index settings of a store may be, and that they are kept."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from crossthread.errors import ConfigurationError, EmbeddingError, IndexMismatchError
from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import OpenRaw, OpenStore, SuiteBase, index_of, keys, needs
from crossthread.testing.suite.indexing import Lying


class IndexSettings(SuiteBase):
    """The settings in ``index=``."""

    @needs("semantic", "strict_settings")
    def test_dims_may_be_learnt(self, open_store: OpenStore) -> None:
        """Without dims the first vector decides; a later one of another size is an EmbeddingError."""
        embeddings = Lying()
        store = open_store(index={"embed": embeddings, "fields": ["text"]})
        assert store.search(("s",), query="tea") == []
        store.put(("s",), "k", {"text": "green tea"})
        embeddings.lie = "long"
        with pytest.raises(EmbeddingError, match=r"65.*64|64.*65"):
            store.put(("s",), "l", {"text": "old trains"})
        embeddings.lie = ""
        assert keys(store.search(("s",), query="tea")) == ["k"]

    @needs("semantic", "strict_settings", "reopening", "closing")
    def test_dims_are_kept(self, open_store: OpenStore) -> None:
        """Other dims, or another model where both are named, are refused with the way out, and nothing is lost."""
        first = open_store(index={"embed": HashEmbeddings(), "fields": ["text"], "model": "hash-1"})
        first.put(("s",), "k", {"text": "green tea"})
        first.close()
        for settings, named in [
            (index_of(HashEmbeddings(32), dims=32), "32"),
            (index_of(HashEmbeddings(), model="hash-2"), "hash-2"),
        ]:
            with pytest.raises(IndexMismatchError, match=named):
                open_store(index=settings).search(("s",), query="green tea")
        without_dims = open_store(index={"embed": HashEmbeddings(32), "fields": ["text"]})
        with pytest.raises((EmbeddingError, IndexMismatchError), match=r"32.*64|64.*32"):
            without_dims.put(("s",), "l", {"text": "old trains"})
        without_dims.close()
        again = open_store(index=index_of(HashEmbeddings(), model="hash-1"))
        assert keys(again.search(("s",), query="green tea")) == ["k"]

    @needs("semantic", "strict_settings")
    def test_settings_are_readable(self, open_raw: OpenRaw, embeddings: HashEmbeddings) -> None:
        """The attributes index_config, embeddings and ttl_config are as on LangGraph's stores."""
        plain = open_raw()
        assert plain.index_config is None
        assert plain.embeddings is None
        settings = index_of(embeddings)
        store = open_raw(index=settings, ttl={"default_ttl": 5})
        assert store.index_config["dims"] == 64
        assert store.index_config["fields"] == ["text"]
        assert store.embeddings is embeddings
        assert store.ttl_config["default_ttl"] == 5
        assert settings == index_of(embeddings)

    @needs("semantic", "strict_settings")
    def test_settings_of_other_stores_are_accepted(
        self, open_raw: OpenRaw, embeddings: HashEmbeddings, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Keys that LangGraph's stores take are accepted, and what has no effect is logged once."""
        with caplog.at_level(logging.INFO):
            store = open_raw(index=index_of(embeddings, distance_type="l2", ann_index_config={"kind": "hnsw"}))
            store.put(("s",), "k", {"text": "green tea"})
            store.search(("s",), query="tea")
        for key in ("distance_type", "ann_index_config"):
            assert len([record for record in caplog.records if key in record.getMessage()]) == 1
        assert store.search(("s",), query="green tea")[0].score == pytest.approx(1.0, abs=1e-5)

    @needs("semantic", "strict_settings")
    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"feilds": ["text"]}, "feilds"),
            ({"dims": 0}, "dims"),
            ({"dims": -3}, "dims"),
            ({"dims": "64"}, "dims"),
            ({"embed": "nobody:no-such-model"}, "nobody:no-such-model|embed"),
            ({"embed": 7}, "embed"),
            ({"fields": "text"}, "fields"),
            ({"fields": [1]}, "fields"),
            ({"mode": "telepathic"}, "telepathic"),
        ],
        ids=repr,
    )
    def test_index_settings_that_cannot_be_used(self, open_raw: OpenRaw, change: dict[str, Any], named: str) -> None:
        """An unknown key or a value of no use is a ConfigurationError that names it, when the store is opened."""
        with pytest.raises(ConfigurationError, match=named):
            open_raw(index={**index_of(HashEmbeddings()), **change})

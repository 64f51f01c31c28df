"""Contract section 7: no stale words. What is found follows every write, of whomever."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.store.base import PutOp

from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import Caller, OpenStore, SuiteBase, index_of, keys, needs
from crossthread.testing.suite.modes import fill, words_only


def follow_words(reader: Caller, writer: Caller) -> None:
    """Write step by step, and compare what a reader finds by words with what was written."""
    expected: dict[tuple[tuple[str, ...], str], set[str]] = {}
    words = ["tea", "coffee", "trains"]

    def check() -> None:
        for prefix in [(), ("a",), ("a", "b")]:
            for mode in ("keyword", "hybrid"):
                for word in words:
                    hits = reader.search(prefix, query=word, mode=mode, limit=100, explain=True)
                    found = {(hit.namespace, hit.key) for hit in hits if hit.keyword}
                    assert found == {
                        at for at, own in expected.items() if at[0][: len(prefix)] == prefix and word in own
                    }

    def put(namespace: tuple[str, ...], key: str, *texts: str, **more: Any) -> None:
        writer.put(namespace, key, {"text": texts[0] if texts else None, "texts": list(texts)}, **more)
        expected[namespace, key] = set() if more.get("index") is False else set(" ".join(texts).split())
        check()

    for namespace in [("a",), ("a", "b"), ("a", "bc")]:
        put(namespace, "k", "tea")
        put(namespace, "k", "coffee tea")
        put(namespace, "k", "trains")
        put(namespace, "list", "tea", "coffee", "trains", index=["texts[*]"])
        put(namespace, "list", "tea", index=["texts[*]"])
        put(namespace, "off", "tea")
        put(namespace, "off", "tea", index=False)
        put(namespace, "blank", "coffee")
        put(namespace, "blank", "")
        put(namespace, "gone", "tea coffee")
        writer.delete(namespace, "gone")
        del expected[namespace, "gone"]
        check()
        put(namespace, "gone", "trains")
    writer.forget(("a", "b"))
    for address in [at for at in expected if at[0] == ("a", "b")]:
        del expected[address]
    check()
    put(("a", "b"), "k", "coffee")


class FreshWords(SuiteBase):
    """Words follow every write."""

    @needs("keywords", "extras")
    def test_no_stale_words(self, memories: Caller) -> None:
        """Replaced, erased, shrunken and unindexed items are found by what they hold now."""
        follow_words(memories, memories)

    @needs("keywords", "extras", "reopening")
    def test_words_of_other_writers(self, open_store: OpenStore) -> None:
        """So they are where another store object writes, also through one that has no embedder."""
        settings = {"index": index_of(HashEmbeddings())}
        follow_words(open_store(**settings), open_store(**settings))
        reader = open_store(**settings)
        reader.forget(())
        follow_words(reader, open_store(index={"fields": ["text"]}))

    @needs("keywords", "ttl", "clock")
    def test_swept_items_leave_no_words(self, open_store: OpenStore, clock: Any) -> None:
        """Expired and swept, a key is free for another text."""
        store = words_only(open_store, clock=clock)
        store.put(("s",), "k", {"text": "green tea"}, ttl=1)
        clock.advance(minutes=1)
        assert store.search(("s",), query="tea") == []
        store.put(("s",), "l", {"text": "green tea"}, ttl=1)
        store.put(("s",), "k", {"text": "old trains"})
        clock.advance(minutes=1)
        assert store.sweep_ttl() == 1
        store.put(("s",), "l", {"text": "red roses"})
        assert store.search(("s",), query="tea green") == []
        assert keys(store.search(("s",), query="trains roses")) == ["l", "k"]

    @needs("keywords", "reopening", "closing")
    def test_words_survive_a_restart(self, open_store: OpenStore) -> None:
        """A store opened again finds the same, with the same scores; what one without an index wrote has no words."""
        first = words_only(open_store, language="english")
        fill(first, {"a": "green tea", "b": "tea and trains", "c": "tea"})
        before = first.search((), query="tea")
        first.close()
        second = words_only(open_store, language="english")
        assert second.search((), query="tea") == before
        assert [hit.score for hit in second.search((), query="tea")] == [hit.score for hit in before]
        plain = open_store()
        plain.put(("s",), "a", {"text": "green tea"})
        plain.put(("s",), "new", {"text": "green tea"})
        plain.delete(("s",), "b")
        assert keys(second.search((), query="tea green trains")) == ["c"]
        second.put(("s",), "a", {"text": "old trains"})
        assert keys(second.search((), query="tea green")) == ["c"]

    @needs("keywords", "reopening", "closing", "frugal")
    def test_words_without_vectors(self, open_store: OpenStore, embeddings: HashEmbeddings) -> None:
        """What was put before there was a model is found by its words, also beside what has vectors."""
        first = open_store(index={"fields": ["text"]})
        fill(first, {"a": "green tea", "b": "old trains"})
        first.close()
        store = open_store(index=index_of(embeddings))
        assert store.search(("s",), query="tea") == []
        assert keys(store.search(("s",), query="tea", mode="hybrid")) == ["a"]
        fill(store, {"c": "red roses", "d": "tea"})
        hits = store.search(("s",), query="green tea", mode="hybrid", explain=True)
        assert set(keys(hits)) == {"a", "c", "d"}
        assert [hit.semantic for hit in hits if hit.key == "a"] == [None]
        assert embeddings.calls == [["red roses", "tea"]]

    @needs("keywords", "transactions")
    def test_a_failed_batch_leaves_no_words(self, memories: Caller) -> None:
        """Nothing of it is found, and what it would have replaced still is."""
        memories.put(("s",), "k", {"text": "green tea"})
        with pytest.raises(ValueError, match="JSON"):
            memories.batch([PutOp(("s",), "k", {"text": "old trains"}), PutOp(("s",), "l", {"bad": object()})])
        assert keys(memories.search((), query="tea", mode="keyword")) == ["k"]
        assert memories.search((), query="trains", mode="keyword") == []

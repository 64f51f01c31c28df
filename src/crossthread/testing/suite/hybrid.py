"""Contract section 7: hybrid search at its edges, among many items, and all modes side by side."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.store.base import PutOp, SearchOp

from crossthread.operations.plan import ModalSearchOp
from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import Caller, OpenStore, SuiteBase, index_of, needs
from crossthread.testing.suite.modes import DOCUMENTS, approx, bm25, fill, fused
from crossthread.testing.suite.semantic import TableEmbeddings


class Hybrid(SuiteBase):
    """Hybrid search at its edges, and all modes side by side."""

    @needs("keywords")
    def test_a_zero_query_vector(self, open_store: OpenStore) -> None:
        """A query that means nothing is answered by its words; all vectors are as good."""
        table = {"green tea": [1.0, 0.0], "old trains": [0.0, 1.0], "roses": [0.0, 0.0], "tea ?": [0.0, 0.0]}
        store = open_store(index=index_of(TableEmbeddings(table), dims=2, language="simple"))
        fill(store, {text: text for text in list(table)[:3]})
        hits = store.search(("s",), query="tea ?", mode="hybrid")
        assert [(hit.key, hit.score) for hit in hits] == [("green tea", 1.0), ("roses", 0.5), ("old trains", 0.5)]

    @needs("keywords")
    def test_vectors_that_all_look_away(self, open_store: OpenStore) -> None:
        """Scores stay in [0, 1] where the best cosine is negative, or the worst there is."""
        table = {"a": [-1.0, 0.0], "b": [-1.0, -1.0], "c": [-1.0, 0.0], "tea a": [1.0, 0.0]}
        store = open_store(index=index_of(TableEmbeddings(table), dims=2, language="simple"))
        store.put(("s",), "a", {"text": "a"})
        assert [hit.score for hit in store.search(("s",), query="tea a", mode="hybrid")] == [0.5]
        fill(store, {"b": "b", "c": "c"})
        hits = store.search(("s",), query="tea a", mode="hybrid")
        assert [(hit.key, hit.score) for hit in hits] == [("b", 0.5), ("a", 0.5), ("c", 0.0)]

    @needs("keywords")
    def test_an_item_of_many_texts(self, open_store: OpenStore, embeddings: HashEmbeddings) -> None:
        """Counts with its best vector and all of its words, once."""
        store = open_store(index=index_of(embeddings, language="simple", mode="hybrid"))
        notes = ["old trains", "green tea", "red roses"]
        store.put(("s",), "many", {"notes": notes}, index=["notes[*]"])
        fill(store, {"one": "green coffee"})
        documents = {"many": " ".join(notes), "one": "green coffee"}
        query = embeddings.vector("green tea")
        cosines = {"many": 1.0, "one": float(embeddings.vector("green coffee") @ query)}
        hits = store.search(("s",), query="green tea")
        assert {hit.key: hit.score for hit in hits} == approx(fused(cosines, bm25(documents, "green tea"), 0.5))

    @needs("keywords")
    def test_all_modes_in_one_batch(self, memories: Caller) -> None:
        """Each search of a batch is answered in its mode, from the state before the batch."""
        fill(memories, DOCUMENTS)
        expected = [memories.search(("s",), query="green tea", mode=mode) for mode in ("keyword", "hybrid", None)]
        search = SearchOp(("s",), query="green tea")
        ops: list[Any] = [ModalSearchOp(search, "keyword"), ModalSearchOp(search, "hybrid"), search]
        *found, _ = memories.batch([*ops, PutOp(("s",), "new", {"text": "green tea"})])
        assert found == expected
        assert [[hit.score for hit in hits] for hits in found] == [[hit.score for hit in hits] for hits in expected]

    @needs("keywords")
    def test_hybrid_among_many(self, open_store: OpenStore) -> None:
        """The first hits of many are those of a plain computation over all of them."""
        embeddings = HashEmbeddings(32)
        store = open_store(index=index_of(embeddings, dims=32, fields=["texts[*]"], language="simple", mode="hybrid"))
        words = ["tea", "green", "trains", "roses", "winter", "river", "bread"]
        texts: dict[str, list[str]] = {}
        for n in range(700):
            own = " ".join(["tea"] * (n % 2) + [words[n * k % 7] for k in range(1, 2 + n % 5)] + [f"w{n}"])
            texts[str(n)] = [own, *(f"far away {m}" for m in range(n % 3))]
        store.batch([PutOp(("s",), key, {"texts": own}) for key, own in texts.items()])
        joined = {key: " ".join(own) for key, own in texts.items()}
        for query in ("green tea by the river w77", "w76 w66"):
            vector = embeddings.vector(query)
            cosines = {key: max(float(embeddings.vector(one) @ vector) for one in own) for key, own in texts.items()}
            for weight in (0.0, 0.1, 0.5, 0.95, 1.0):
                expected = fused(cosines, bm25(joined, query), weight)
                for offset in (0, 40):
                    hits = store.search(("s",), query=query, hybrid_weight=weight, limit=20, offset=offset)
                    best = sorted(expected.values(), reverse=True)[offset : offset + 20]
                    assert [hit.score for hit in hits] == pytest.approx(best, abs=1e-5)
                    assert {hit.key: hit.score for hit in hits} == approx({hit.key: expected[hit.key] for hit in hits})
        hits = store.search(("s",), query="w76 w66", hybrid_weight=0, limit=20)
        assert {hit.key for hit in hits[:2]} == {"76", "66"}
        assert [int(hit.key) for hit in hits[2:]] == list(range(699, 681, -1))

    @needs("keywords")
    def test_hybrid_counts_the_best_vector(self, open_store: OpenStore) -> None:
        """Also where all vectors of many items are near the query, and the farther ones are met later."""
        embeddings = HashEmbeddings(4)
        store = open_store(index=index_of(embeddings, dims=4, fields=["texts[*]"], language="simple", mode="hybrid"))
        words = ["tea", "green", "trains", "roses", "winter", "river", "bread"]
        texts = {str(n): [f"{words[n * k % 7]} {words[(n + k) % 7]} {n}" for k in range(1, 5)] for n in range(60)}
        store.batch([PutOp(("s",), key, {"texts": own}) for key, own in texts.items()])
        for query in ("bread in winter", "w7 roses", "none of them"):
            vector = embeddings.vector(query)
            cosines = {key: max(float(embeddings.vector(one) @ vector) for one in own) for key, own in texts.items()}
            expected = fused(cosines, bm25({key: " ".join(own) for key, own in texts.items()}, query), 0.9)
            for offset in (0, 3, 10):
                hits = store.search(("s",), query=query, hybrid_weight=0.9, limit=5, offset=offset)
                best = sorted(expected.values(), reverse=True)[offset : offset + 5]
                assert [hit.score for hit in hits] == pytest.approx(best, abs=1e-5)

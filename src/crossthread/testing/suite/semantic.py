"""Contract section 7: search by meaning. Scores, their order, pages, and who is a hit at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langgraph.store.base import PutOp, SearchOp

from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import Caller, OpenStore, SuiteBase, index_of, keys, needs

WORDS = ["tea", "coffee", "trains", "roses", "red", "green", "old", "new", "river", "letter", "bread", "winter"]


def texts(count: int) -> list[str]:
    """Return different texts that share words."""
    return [f"{WORDS[n % 12]} {WORDS[n // 3 % 12]} {WORDS[n // 7 % 12]} {n}" for n in range(count)]


class TableEmbeddings(Embeddings):
    """Embeddings from a table of vectors; queries look in their own table first."""

    def __init__(self, table: dict[str, list[float]], queries: dict[str, list[float]] | None = None) -> None:
        self.table = table
        self.queries = queries or {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of the table."""
        return [self.table[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Return the query's own vector, or the document's."""
        return self.queries.get(text) or self.table[text]


def follow_writes(reader: Caller, writer: Caller) -> None:
    """Write step by step, and compare one reader's repeated searches with what was written."""
    prefixes: list[tuple[str, ...]] = [(), ("a",), ("a", "b"), ("b",)]
    expected: dict[tuple[tuple[str, ...], str], bool] = {}

    def check() -> None:
        for prefix in prefixes:
            hits = reader.search(prefix, query="green tea", limit=100)
            below = {address: score for address, score in expected.items() if address[0][: len(prefix)] == prefix}
            assert {(hit.namespace, hit.key): hit.score > 0.99 for hit in hits} == below

    for namespace in [("a",), ("a", "b"), ("a", "b", "c"), ("b",), ("a", "bc")]:
        for key, text in [("tea", "green tea"), ("trains", "old trains"), ("tea", "red roses"), ("x", "green tea")]:
            writer.put(namespace, key, {"text": text})
            expected[namespace, key] = text == "green tea"
            check()
        writer.delete(namespace, "trains")
        del expected[namespace, "trains"]
        check()
    writer.put(("a", "b"), "x", {"text": "green tea"}, index=False)
    del expected[("a", "b"), "x"]
    check()
    writer.put(("b",), "tea", {"text": "green tea"})
    expected[("b",), "tea"] = True
    check()


class Semantic(SuiteBase):
    """Search with a query in the semantic mode."""

    @needs("semantic")
    def test_the_closest_comes_first(self, memories: Caller) -> None:
        """The item whose text is most like the query leads, with a score."""
        for key in ("bob likes green tea", "the train leaves at nine", "roses are red"):
            memories.put(("s",), key, {"text": key})
        hits = memories.search(("s",), query="who likes tea?")
        assert hits[0].key == "bob likes green tea"
        assert hits[0].score > max(hit.score for hit in hits[1:])
        assert memories.search(("s",), query="train")[0].key == "the train leaves at nine"

    @needs("semantic", "complete_search")
    def test_scores_are_cosines(self, memories: Caller, embeddings: HashEmbeddings) -> None:
        """Scores are true to 1e-5, lie in [-1, 1], and fall from hit to hit; every item with a vector is a hit."""
        documents = texts(60)
        memories.batch([PutOp(("s",), text, {"text": text}) for text in documents])
        hits = memories.search(("s",), query="green tea in winter", limit=100)
        query = embeddings.vector("green tea in winter")
        assert len(hits) == 60
        for hit in hits:
            assert type(hit.score) is float
            assert -1.0 <= hit.score <= 1.0
            assert hit.score == pytest.approx(float(embeddings.vector(hit.key) @ query), abs=1e-5)
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)

    @needs("semantic", "complete_search")
    def test_scores_do_not_depend_on_length(self, open_store: OpenStore) -> None:
        """Vectors of any length are compared by their angle; huge and tiny ones, and those that look away, too."""
        generator = np.random.default_rng(7)
        vectors = {
            f"v{n}": (generator.normal(size=16) * 10.0**power) for n, power in enumerate([-15, -8, -3, 0, 3, 8, 15])
        }
        query = generator.normal(size=16)
        vectors["opposite"] = -query
        vectors["same"] = query * 1e6
        table = {name: vector.tolist() for name, vector in vectors.items()}
        store = open_store(index=index_of(TableEmbeddings(table, {"?": query.tolist()}), dims=16))
        store.batch([PutOp(("s",), name, {"text": name}) for name in table])
        scores = {hit.key: hit.score for hit in store.search(("s",), query="?")}
        for name, vector in vectors.items():
            expected = vector @ query / np.linalg.norm(vector) / np.linalg.norm(query)
            assert scores[name] == pytest.approx(float(expected), abs=1e-5)
            assert -1.0 <= scores[name] <= 1.0
        assert scores["same"] == pytest.approx(1.0, abs=1e-5)
        assert scores["opposite"] == pytest.approx(-1.0, abs=1e-5)

    @needs("semantic", "complete_search")
    def test_equal_vectors_score_exactly_equal(self, open_store: OpenStore) -> None:
        """Items with the same text have the same score to the last bit, wherever they stand, ties by newest first."""
        embeddings = HashEmbeddings(48)
        store = open_store(index=index_of(embeddings, dims=48))
        others = texts(90)
        for n in range(30):
            ops = [PutOp(("s", str(n % 4)), f"other {m}", {"text": others[m]}) for m in range(3 * n, 3 * n + n % 4)]
            store.batch([*ops, PutOp(("s", str(n % 7)), f"same {n}", {"text": "green tea in winter"})])
        for query in ("winter tea", "something else"):
            hits = [hit for hit in store.search(("s",), query=query, limit=200) if hit.key.startswith("same")]
            assert len({hit.score for hit in hits}) == 1
            assert keys(hits) == [f"same {n}" for n in range(29, -1, -1)]

    @needs("semantic", "complete_search", "clock")
    def test_ties_go_to_the_newest(self, open_store: OpenStore, embeddings: HashEmbeddings, clock: Any) -> None:
        """Equal scores are ordered by the later write, also when the clock stands still."""
        store = open_store(index=index_of(embeddings), clock=clock)
        for key in ["m", "z", "a"]:
            store.put(("s",), key, {"text": "green tea"})
        store.batch([PutOp(("s",), key, {"text": "green tea"}) for key in ["c", "b"]])
        store.put(("s",), "z", {"text": "green tea", "again": True})
        assert keys(store.search(("s",), query="tea")) == ["z", "b", "c", "a", "m"]
        assert keys(store.search(("s",), query="tea", limit=2, offset=1)) == ["b", "c"]

    @needs("semantic", "complete_search")
    def test_an_item_scores_by_its_best_vector(self, memories: Caller, embeddings: HashEmbeddings) -> None:
        """An item with many texts is one hit, with the score of its best."""
        notes = ["old trains", "green tea", "red roses"]
        memories.put(("s",), "many", {"notes": notes}, index=["notes[*]"])
        memories.put(("s",), "one", {"text": "green coffee"})
        hits = memories.search(("s",), query="green tea")
        assert keys(hits) == ["many", "one"]
        query = embeddings.vector("green tea")
        assert hits[0].score == pytest.approx(max(float(embeddings.vector(note) @ query) for note in notes), abs=1e-5)

    @needs("semantic", "complete_search")
    @pytest.mark.parametrize("page", [1, 4, 9])
    def test_pages_lose_and_repeat_nothing(self, memories: Caller, page: int) -> None:
        """Pages join to the whole answer, although some items have many close vectors and others none."""
        ops = [PutOp(("s",), f"one {n}", {"text": f"green tea {n}"}) for n in range(8)]
        ops += [
            PutOp(("s",), f"many {n}", {"notes": [f"green tea {n} {m}" for m in range(12)]}, index=["notes[*]"])
            for n in range(8)
        ]
        ops += [PutOp(("s",), f"none {n}", {"other": "green tea"}) for n in range(8)]
        memories.batch(ops)
        everything = memories.search(("s",), query="green tea", limit=100)
        assert len(everything) == len(set(keys(everything))) == 16
        found: list[Any] = []
        while hits := memories.search(("s",), query="green tea", limit=page, offset=len(found)):
            assert len(hits) == min(page, 16 - len(found))
            found += hits
        assert found == everything
        assert [hit.score for hit in found] == [hit.score for hit in everything]

    @needs("semantic", "complete_search")
    def test_items_without_a_vector_are_no_hits(self, memories: Caller, embeddings: HashEmbeddings) -> None:
        """A missing field, null, blank text and index=False leave an item out, on every page."""
        memories.put(("s",), "hit", {"text": "green tea"})
        memories.put(("s",), "off", {"text": "green tea"}, index=False)
        for n, text in enumerate([None, "", " \t\n"]):
            memories.put(("s",), f"blank {n}", {"text": text})
        memories.put(("s",), "missing", {"other": "green tea"})
        memories.put(("s",), "empty", {"text": []}, index=["text[*]"])
        assert keys(memories.search(("s",), query="green tea")) == ["hit"]
        assert memories.search(("s",), query="green tea", offset=1) == []
        assert len(memories.search(("s",))) == 7
        assert embeddings.calls == [["green tea"]]

    @needs("semantic", "complete_search")
    def test_answers_are_complete_under_prefix_and_filter(self, memories: Caller, embeddings: HashEmbeddings) -> None:
        """If as many items match as the limit asks for, that many come, however few they are among closer ones."""
        ops = [PutOp(("s", "near"), str(n), {"text": f"green tea {n}", "rare": False}) for n in range(300)]
        ops += [PutOp(("s", "z far"), f"far {n}", {"text": texts(20)[n], "rare": n % 2 == 0}) for n in range(20)]
        memories.batch(ops)
        assert len(memories.search(("s",), query="green tea", limit=1_000)) == 320
        hits = memories.search(("s",), query="green tea", filter={"rare": True}, limit=10)
        assert set(keys(hits)) == {f"far {n}" for n in range(0, 20, 2)}
        assert len(memories.search(("s", "z far"), query="green tea", limit=20)) == 20
        assert memories.search(("s", "z fa"), query="green tea") == []
        assert memories.search(("s",), query="green tea", filter={"rare": None}) == []
        query = embeddings.vector("green tea")
        best = sorted(range(20), key=lambda n: -float(embeddings.vector(texts(20)[n]) @ query))
        assert keys(memories.search(("s", "z far"), query="green tea", limit=3)) == [f"far {n}" for n in best[:3]]

    @needs("semantic")
    def test_limits_hold_for_queries(self, memories: Caller) -> None:
        """Ten hits by default; none for a limit of 0 or an offset past the end."""
        memories.batch([PutOp(("s",), text, {"text": text}) for text in texts(15)])
        assert len(memories.search(("s",), query="tea")) == 10
        assert memories.search(("s",), query="tea", limit=0) == []
        assert memories.search(("s",), query="tea", offset=15) == []
        assert len(memories.search(("s",), query="tea", limit=10**30)) == 15

    @needs("semantic", "newest_first")
    def test_an_empty_query_is_no_query(self, memories: Caller, embeddings: HashEmbeddings) -> None:
        """An empty query, or None, answers newest first, without scores, without asking the model."""
        for key in ("tea", "trains"):
            memories.put(("s",), key, {"text": key})
        memories.put(("s",), "off", {"text": "x"}, index=False)
        for query in ("", None):
            hits = memories.search(("s",), query=query)
            assert [(hit.key, hit.score) for hit in hits] == [("off", None), ("trains", None), ("tea", None)]
        assert embeddings.queries == []

    @needs("semantic")
    def test_embed_query_is_used_for_queries(self, open_store: OpenStore) -> None:
        """Models that embed queries in another way than documents are asked through embed_query."""
        table = {"left": [1.0, 0.0], "right": [0.0, 1.0]}
        store = open_store(index=index_of(TableEmbeddings(table, {"left": [0.0, 1.0]}), dims=2))
        store.batch([PutOp(("s",), key, {"text": key}) for key in table])
        assert keys(store.search(("s",), query="left")) == ["right", "left"]

    @needs("semantic", "strict_embeddings", "complete_search")
    def test_a_zero_vector_scores_zero(self, open_store: OpenStore) -> None:
        """A zero vector is a hit with score 0.0, between the similar and the opposite; a zero query scores all 0.0."""
        table = {"zero": [0.0, 0.0], "same": [1.0, 0.0], "opposite": [-1.0, 0.0], "other": [0.0, 2.0]}
        store = open_store(index=index_of(TableEmbeddings(table), dims=2))
        store.batch([PutOp(("s",), key, {"text": key}) for key in table])
        hits = store.search(("s",), query="same")
        assert [(hit.key, hit.score) for hit in hits] == [
            ("same", pytest.approx(1.0)),
            ("other", 0.0),
            ("zero", 0.0),
            ("opposite", pytest.approx(-1.0)),
        ]
        hits = store.search(("s",), query="zero")
        assert [(hit.key, hit.score) for hit in hits] == [
            ("other", 0.0),
            ("opposite", 0.0),
            ("same", 0.0),
            ("zero", 0.0),
        ]

    @needs("semantic", "modes")
    def test_min_score_drops_weaker_hits(self, open_store: OpenStore) -> None:
        """Hits with a score below min_score are left out, those at it stay; pages count what is left."""
        table = {"a": [1.0, 0.0], "b": [1.0, 1.0], "c": [0.0, 1.0], "d": [-1.0, 0.0]}
        store = open_store(index=index_of(TableEmbeddings(table), dims=2))
        store.batch([PutOp(("s",), key, {"text": key}) for key in table])
        scores = {hit.key: hit.score for hit in store.search(("s",), query="a")}
        for threshold, expected in [(0.9, "a"), (0.5, "ab"), (0.0, "abc"), (-1.0, "abcd"), (None, "abcd"), (1.1, "")]:
            assert "".join(keys(store.search(("s",), query="a", min_score=threshold))) == expected
        assert "".join(keys(store.search(("s",), query="a", min_score=scores["b"]))) == "ab"
        assert "".join(keys(store.search(("s",), query="a", min_score=0.0, offset=1, limit=1))) == "b"
        assert store.search(("s",), query="a", min_score=0.0, offset=3) == []

    @needs("semantic", "modes")
    def test_the_mode_can_be_given(self, open_store: OpenStore, embeddings: HashEmbeddings) -> None:
        """Semantic is the default where there is a model, and can be named; unknown modes are refused."""
        store = open_store(index=index_of(embeddings, mode="semantic"))
        store.put(("s",), "k", {"text": "green tea"})
        assert store.search(("s",), query="tea", mode="semantic") == store.search(("s",), query="tea")
        with pytest.raises(ValueError, match="telepathic"):
            store.search(("s",), query="tea", mode="telepathic")

    @needs("semantic")
    def test_several_searches_in_one_batch(self, memories: Caller) -> None:
        """Searches with and without queries in one batch each get their own answer."""
        memories.batch([PutOp(("s",), key, {"text": key}) for key in ("green tea", "old trains", "red roses")])
        ops = [
            SearchOp(("s",), query="tea", limit=1),
            SearchOp(("s",)),
            SearchOp(("s",), query="roses", limit=1),
            SearchOp(("s",), query="tea", filter={"text": {"$ne": "green tea"}}),
        ]
        tea, plain, roses, others = memories.batch(ops)
        assert keys(tea) == ["green tea"]
        assert [hit.score for hit in plain] == [None] * 3
        assert keys(roses) == ["red roses"]
        assert set(keys(others)) == {"old trains", "red roses"}

    @needs("semantic", "complete_search", "fresh_vectors")
    def test_a_repeated_search_follows_every_write(self, memories: Caller) -> None:
        """The same query, asked before and after each write anywhere below its prefix, sees the present state."""
        follow_writes(memories, memories)

    @needs("semantic", "complete_search", "fresh_vectors", "reopening")
    def test_a_repeated_search_follows_the_writes_of_others(self, open_store: OpenStore) -> None:
        """That holds as well where another store object on the same place writes."""
        settings = {"index": index_of(HashEmbeddings())}
        follow_writes(open_store(**settings), open_store(**settings))

    @needs("semantic", "complete_search", "reopening", "closing")
    def test_vectors_survive_a_restart(self, open_store: OpenStore) -> None:
        """A store opened again answers as before, scores included."""
        first = open_store(index=index_of(HashEmbeddings()))
        first.batch([PutOp(("s",), text, {"text": text}) for text in texts(20)])
        before = first.search(("s",), query="green tea", limit=20)
        first.close()
        after = open_store(index=index_of(HashEmbeddings())).search(("s",), query="green tea", limit=20)
        assert after == before
        assert [hit.score for hit in after] == [hit.score for hit in before]

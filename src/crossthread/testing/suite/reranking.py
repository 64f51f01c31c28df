"""Contract section 7: why a hit was found, and a reranker's order for the first of them."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.documents import BaseDocumentCompressor, Document
from langgraph.store.base import PutOp, SearchItem, SearchOp

from crossthread.batch import ExplainedItem
from crossthread.errors import ConfigurationError, RerankError
from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import Caller, OpenRaw, OpenStore, SuiteBase, index_of, keys, needs
from crossthread.testing.suite.modes import DOCUMENTS, fill

MODES = pytest.mark.parametrize("mode", ["semantic", "keyword", "hybrid"])


class Explaining(SuiteBase):
    """explain=True."""

    @needs("keywords")
    @MODES
    def test_parts_of_scores(self, memories: Caller, embeddings: HashEmbeddings, mode: str) -> None:
        """Hits tell their cosine, their BM25 score and what each term adds to it; the hits are the same."""
        fill(memories, DOCUMENTS)
        plain = memories.search(("s",), query="Greens and the teas", mode=mode)
        hits = memories.search(("s",), query="Greens and the teas", mode=mode, explain=True)
        assert [(hit.key, hit.score) for hit in hits] == [(hit.key, hit.score) for hit in plain]
        assert {type(hit) for hit in plain} == {SearchItem}
        semantic = {hit.key: hit.score for hit in memories.search(("s",), query="Greens and the teas")}
        words = {hit.key: hit.score for hit in memories.search(("s",), query="Greens and the teas", mode="keyword")}
        for hit in hits:
            assert type(hit) is ExplainedItem
            assert hit.semantic == (None if mode == "keyword" else pytest.approx(semantic[hit.key], abs=1e-5))
            assert hit.keyword == (None if mode == "semantic" else pytest.approx(words.get(hit.key, 0.0)))
            assert sum(hit.terms.values()) == pytest.approx(hit.keyword or 0.0)
            assert set(hit.terms) <= {"green", "tea"}
            assert all(type(part) is float and part > 0 for part in hit.terms.values())

    @needs("keywords")
    def test_nothing_to_explain(self, memories: Caller, open_store: OpenStore) -> None:
        """Without a query hits are LangGraph's, with a score of None."""
        fill(memories, DOCUMENTS)
        for query in (None, ""):
            hits = memories.search(("s",), query=query, explain=True)
            assert {(type(hit), hit.score) for hit in hits} == {(SearchItem, None)}
        assert memories.search(("none",), query="tea", mode="hybrid", explain=True) == []

    @needs("keywords")
    def test_explained_hits_are_search_items(self, memories: Caller) -> None:
        """They compare, hash, print, copy and pickle as LangGraph's hits do, and keep their parts."""
        fill(memories, DOCUMENTS)
        (hit,) = memories.search(("s",), query="green tea", mode="hybrid", explain=True, limit=1)
        (plain,) = memories.search(("s",), query="green tea", mode="hybrid", limit=1)
        assert issubclass(type(hit), SearchItem)
        assert hit == plain
        assert hash(hit) == hash(plain)
        for twin in (copy.copy(hit), copy.deepcopy(hit), pickle.loads(pickle.dumps(hit))):
            assert type(twin) is type(hit)
            assert twin == hit
            assert (twin.score, twin.semantic, twin.keyword, twin.terms) == (
                hit.score, hit.semantic, hit.keyword, hit.terms,
            )  # fmt: skip
        as_dict = hit.dict()
        assert {key: as_dict[key] for key in plain.dict()} == plain.dict()
        assert (as_dict["semantic"], as_dict["keyword"], as_dict["terms"]) == (hit.semantic, hit.keyword, hit.terms)
        for part in ("ExplainedItem(", "'1'", "terms={"):
            assert part in repr(hit)


class Longest(BaseDocumentCompressor):
    """A document compressor that keeps the three longest texts, the longest first."""

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> Sequence[Document]:
        """Return the longest documents, as copies with a score, as rerankers do."""
        chosen = sorted(documents, key=lambda one: -len(one.page_content))[:3]
        return [
            Document(one.page_content, metadata={**one.metadata, "relevance_score": 0.5, "query": query})
            for one in chosen
        ]


def by_key(query: str, hits: list[SearchItem]) -> list[SearchItem]:
    """Return hits ordered by their keys."""
    return sorted(hits, key=lambda hit: hit.key)


async def by_key_async(query: str, hits: list[SearchItem]) -> list[SearchItem]:
    """Do the same without blocking."""
    return by_key(query, hits)


class CallableObject:
    """An object that is a reranker."""

    async def __call__(self, query: str, hits: list[SearchItem]) -> list[SearchItem]:
        return by_key(query, hits)


class Reranking(SuiteBase):
    """rerank= in the settings of the index."""

    @needs("keywords")
    @MODES
    @pytest.mark.parametrize(
        "rerank",
        [
            by_key,
            by_key_async,
            lambda query, hits: by_key_async(query, hits),
            CallableObject(),
            lambda query, hits: (hit for hit in by_key(query, hits)),
            lambda query, hits: [-int(hit.key) for hit in hits],
            lambda query, hits: tuple(1.0 / int(hit.key) for hit in hits),
        ],
        ids=["function", "async function", "awaitable", "async object", "generator", "scores", "float scores"],
    )
    def test_the_order_is_the_rerankers(self, open_store: OpenStore, mode: str, rerank: Any) -> None:
        """It returns hits in order or a score for each, sync or async; the scores of hits stay those of the search."""
        plain = open_store(index=index_of(HashEmbeddings(), mode=mode))
        store = open_store(index=index_of(HashEmbeddings(), mode=mode, rerank=rerank))
        for one in {id(plain.store): plain, id(store.store): store}.values():
            one.batch([PutOp(("s",), key, {"text": text}) for key, text in DOCUMENTS.items()])
        scores = {hit.key: hit.score for hit in plain.search(("s",), query="green tea")}
        hits = store.search(("s",), query="green tea")
        assert keys(hits) == sorted(scores)
        assert {hit.key: hit.score for hit in hits} == scores
        assert keys(store.search(("s",), query="green tea", limit=2, offset=1)) == sorted(scores)[1:3]

    @needs("keywords")
    def test_what_it_is_asked(self, open_store: OpenStore) -> None:
        """Once for each search with a query and hits, with the first hits as the search returns them; never else."""
        asked: list[tuple[str, list[str], list[type]]] = []

        def rerank(query: str, hits: list[SearchItem]) -> list[SearchItem]:
            asked.append((query, keys(hits), [type(hit) for hit in hits]))
            hits.reverse()
            return hits

        store = open_store(index={"fields": ["text"], "language": "simple", "rerank": rerank, "rerank_first": 3})
        fill(store, {str(n): "tea " * n for n in range(1, 8)})
        ranked = ["7", "6", "5", "4", "3", "2", "1"]
        assert keys(store.search(("s",), query="tea")) == ["5", "6", "7", *ranked[3:]]
        assert asked.pop() == ("tea", ranked[:3], [SearchItem] * 3)
        assert keys(store.search(("s",), query="tea", limit=2, offset=2)) == ["7", "4"]
        assert keys(store.search(("s",), query="tea", limit=2, offset=5)) == ["2", "1"]
        assert keys(store.search(("s",), query="tea", limit=1, explain=True)) == ["5"]
        assert [names for _, names, _ in asked] == [ranked[:3]] * 3
        assert asked.pop()[2] == [ExplainedItem] * 3
        asked.clear()
        assert keys(store.search(("s",), query="tea", filter={"key": {"$in": ["2", "3"]}})) == ["2", "3"]
        assert asked == [("tea", ["3", "2"], [SearchItem] * 2)]
        asked.clear()
        for more in (
            {"query": ""},
            {},
            {"query": "nothing"},
            {"query": "tea", "limit": 0},
            {"query": "tea", "min_score": 99},
        ):
            store.search(("s",), **more)
        assert asked == []
        first, _, third = store.batch([SearchOp(("s",), query="tea", limit=1), SearchOp(()), SearchOp((), query="tea")])
        assert keys(first) == ["5"]
        assert len(third) == 7
        assert len(asked) == 2

    @needs("keywords")
    def test_hits_it_does_not_name(self, open_store: OpenStore) -> None:
        """They come after those it names, once each, in the order they had."""
        answers: dict[str, Any] = {
            "last": lambda hits: hits[-1:],
            "none": lambda hits: [],
            "twice": lambda hits: [hits[2], hits[2], hits[0]],
            "copies": lambda hits: [copy.deepcopy(hits[3])],
        }
        store = open_store(
            index={
                "language": "simple",
                "fields": ["text"],
                "rerank": lambda query, hits: answers[query.split()[1]](hits),
            }
        )
        fill(store, {str(n): "tea " * n for n in range(1, 6)})
        for name, expected in [("last", "15432"), ("none", "54321"), ("twice", "35421"), ("copies", "25431")]:
            assert "".join(keys(store.search(("s",), query=f"tea {name}"))) == expected

    @needs("keywords")
    @pytest.mark.parametrize("fields", [["text"], ["$"], ["nothing"]])
    def test_document_compressors(self, open_store: OpenStore, fields: list[str]) -> None:
        """LangChain's document compressors are rerankers, over the texts that are indexed."""
        store = open_store(index={"fields": fields, "language": "simple", "rerank": Longest()})
        for n in (3, 1, 5, 2, 4):
            store.put(("s",), str(n), {"text": "tea" + " roses" * n}, index=["text"])
        assert "".join(keys(store.search(("s",), query="tea"))) == "54312"
        assert "".join(keys(store.search(("s",), query="tea", limit=2, offset=2))) == "31"

    @needs("keywords")
    def test_compressors_by_their_method(self, open_store: OpenStore) -> None:
        """What has compress_documents() is one, also without an async twin."""

        class Backwards:
            def compress_documents(self, documents: Any, query: str) -> Any:
                return list(documents)[::-1]

        store = open_store(index={"fields": ["text"], "rerank": Backwards()})
        fill(store, {"1": "tea", "2": "tea roses"})
        assert keys(store.search(("s",), query="tea")) == ["2", "1"]

    @needs("keywords")
    @pytest.mark.parametrize(
        ("answer", "named"),
        [
            (lambda hits: None, "NoneType"),
            (lambda hits: 3, "int"),
            (lambda hits: "ab", "str"),
            (lambda hits: [1.0], "1 scores for 2 hits"),
            (lambda hits: [1.0, 2.0, 3.0], "3 scores for 2 hits"),
            (lambda hits: [1.0, math.nan], "NaN"),
            (lambda hits: [1.0, hits[0]], "none of the hits"),
            (lambda hits: [None, None], "none of the hits"),
            (lambda hits: {"a": 1}, "none of the hits"),
            (lambda hits: [SearchItem(("x",), "a", {}, hits[0].created_at, hits[0].updated_at)], "none of the hits"),
        ],
    )
    def test_answers_that_are_no_order(self, open_store: OpenStore, answer: Any, named: str) -> None:
        """They are a RerankError that says what is wrong."""
        store = open_store(index={"fields": ["text"], "rerank": lambda query, hits: answer(hits)})
        fill(store, {"a": "tea", "b": "green tea"})
        with pytest.raises(RerankError, match=named):
            store.search(("s",), query="tea")
        assert len(store.search(("s",))) == 2

    @needs("keywords")
    @pytest.mark.parametrize(
        "documents", [None, [Document("tea")], [Document("tea", metadata={"crossthread_hit": 9})], ["tea"]]
    )
    def test_compressors_that_lose_documents(self, open_store: OpenStore, documents: Any) -> None:
        """Documents that it was not given are a RerankError."""

        class Losing(Longest):
            def compress_documents(self, *args: Any, **more: Any) -> Any:
                return documents

        store = open_store(index={"fields": ["text"], "rerank": Losing()})
        fill(store, {"a": "tea", "b": "green tea"})
        with pytest.raises(RerankError, match="document"):
            store.search(("s",), query="tea")

    @needs("keywords", "transactions")
    def test_errors_of_a_reranker_come_through(self, open_store: OpenStore) -> None:
        """They reach the caller unchanged, nothing of the batch is written, and the store stays usable."""

        def rerank(query: str, hits: Any) -> Any:
            raise ZeroDivisionError("no order today")

        store = open_store(index={"fields": ["text"], "rerank": rerank})
        fill(store, {"a": "tea"})
        with pytest.raises(ZeroDivisionError, match="no order today"):
            store.search(("s",), query="tea")
        with pytest.raises(ZeroDivisionError):
            store.batch(
                [SearchOp(("s",), query="tea"), PutOp(("s",), "b", {"text": "trains"}), PutOp(("s",), "a", None)]
            )
        assert keys(store.search(("s",))) == ["a"]

    @needs("keywords")
    def test_a_batch_that_searches_and_writes(self, open_store: OpenStore) -> None:
        """What is reranked is the state before the batch; its writes happen."""
        store = open_store(index={"fields": ["text"], "rerank": by_key})
        fill(store, {"b": "green tea", "a": "tea"})
        ops = [SearchOp(("s",), query="tea"), PutOp(("s",), "c", {"text": "tea"}), PutOp(("s",), "a", None)]
        hits, *rest = store.batch(ops)
        assert keys(hits) == ["a", "b"]
        assert rest == [None, None]
        assert keys(store.search(("s",), query="tea")) == ["b", "c"]

    @needs("keywords", "ttl", "clock")
    def test_only_the_returned_page_is_refreshed(self, open_store: OpenStore, clock: Any) -> None:
        """Of the hits that were reranked, those that were not returned live no longer for it."""
        store = open_store(index={"fields": ["text"], "rerank": by_key}, clock=clock)
        for key in "cabed":
            store.put(("s",), key, {"text": "tea"}, ttl=10)
        clock.advance(minutes=6)
        assert keys(store.search(("s",), query="tea", limit=2, offset=1)) == ["b", "c"]
        assert keys(store.search(("s",), query="tea", limit=1, refresh_ttl=False)) == ["a"]
        clock.advance(minutes=6)
        assert sorted(keys(store.search(("s",)))) == ["b", "c"]

    @needs("keywords", "strict_settings")
    @pytest.mark.parametrize(
        "change",
        [{"rerank": "cohere"}, {"rerank": 3}, {"rerank_first": 0}, {"rerank_first": 2.5}, {"rerank_first": True}],
    )
    def test_rerank_settings_that_cannot_be_used(self, open_raw: OpenRaw, change: dict[str, Any]) -> None:
        """They are a ConfigurationError that names them; None is no reranker."""
        with pytest.raises(ConfigurationError, match=next(iter(change))):
            open_raw(index=change)
        open_raw(index={"rerank": None})

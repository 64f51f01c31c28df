"""Contract section 7: the three modes of a search with a query. Which answers, what it scores, and in what order."""

from __future__ import annotations

import math
from typing import Any

import pytest
from langgraph.store.base import PutOp

from crossthread.errors import ConfigurationError
from crossthread.testing.clock import ManualClock
from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import Caller, OpenRaw, OpenStore, SuiteBase, index_of, keys, needs

K1, B = 0.9, 0.4  # as Anserini has them

DOCUMENTS = {
    "1": "tea green tea",
    "2": "coffee black hot strong bitter",
    "3": "green trains and green roses and a river in winter",
    "4": "tea",
    "5": "winter winter winter coffee",
    "6": "old letters",
    "7": "hot green tea with bread in winter and more bread and more tea",
}


def words_only(open_store: OpenStore, *, language: str = "simple", **more: Any) -> Caller:
    """Open a store that has no embedder and indexes the field ``text``."""
    return open_store(index={"fields": ["text"], "language": language}, **more)


def fill(store: Caller, texts: dict[str, str], namespace: tuple[str, ...] = ("s",), **more: Any) -> None:
    """Put a text for each key."""
    store.batch([PutOp(namespace, key, {"text": text, "key": key, **more}) for key, text in texts.items()])


def bm25(texts: dict[str, str], query: str) -> dict[str, float]:
    """Return the score of each text in which a word of the query occurs, by the textbook."""
    words = {key: text.split() for key, text in texts.items()}
    average = sum(map(len, words.values())) / len(words)
    scores: dict[str, float] = {}
    for term in dict.fromkeys(query.split()):
        holding = [key for key, own in words.items() if term in own]
        idf = math.log(1 + (len(words) - len(holding) + 0.5) / (len(holding) + 0.5))
        for key in holding:
            count = words[key].count(term)
            norm = K1 * (1 - B + B * len(words[key]) / average)
            scores[key] = scores.get(key, 0.0) + idf * count * (K1 + 1) / (count + norm)
    return scores


def fused(cosines: dict[str, float], scores: dict[str, float], weight: float) -> dict[str, float]:
    """Return the hybrid scores of items: each side from its least value on, divided by its best."""
    best = max(cosines.values(), default=0.0) + 1.0
    most = max(scores.values(), default=1.0)
    return {
        key: weight * (cosines.get(key, -1.0) + 1.0) / best + (1.0 - weight) * scores.get(key, 0.0) / most
        for key in {**cosines, **scores}
    }


def scores_of(hits: list[Any]) -> dict[str, float]:
    """Return the scores of hits by key."""
    return {hit.key: hit.score for hit in hits}


def approx(scores: dict[str, float]) -> Any:
    """Return what equals scores but for the last digits."""
    return pytest.approx(scores, abs=1e-5)


class Modes(SuiteBase):
    """Search by words, by meaning, by both: which of them, their scores, their order."""

    @needs("keywords")
    @pytest.mark.parametrize(
        "index", [{}, {"fields": ["text"]}, {"dims": 64}, {"mode": "keyword"}, {"embed": None}], ids=repr
    )
    def test_an_index_without_a_model(self, open_store: OpenStore, index: dict[str, Any]) -> None:
        """Without embed a query is answered by keywords; without a query all is as ever."""
        store = open_store(index=index)
        assert store.store.embeddings is None
        fill(store, {"tea": "Bob likes green tea", "trains": "the train leaves at nine"})
        hits = store.search(("s",), query="Who likes tea?")
        assert keys(hits) == ["tea"]
        assert type(hits[0].score) is float
        assert hits[0].score > 0
        assert store.search(("s",), query="Who likes tea?", mode="keyword") == hits
        assert keys(store.search(("s",), query="coffee")) == []
        assert keys(store.search(("s",))) == keys(store.search(("s",), query="")) == ["trains", "tea"]

    @needs("keywords", "frugal")
    def test_keywords_ask_no_model(self, open_store: OpenStore, embeddings: HashEmbeddings) -> None:
        """The mode is set on the store or given per call; a query is embedded only where vectors are compared."""
        store = open_store(index=index_of(embeddings, mode="keyword"))
        fill(store, {"tea": "green tea", "trains": "old trains"})
        assert keys(store.search(("s",), query="tea")) == ["tea"]
        assert embeddings.queries == []
        assert keys(store.search(("s",), query="tea", mode="semantic")) == ["tea", "trains"]
        assert keys(store.search(("s",), query="trains", mode="hybrid")) == ["trains", "tea"]
        assert embeddings.queries == ["tea", "trains"]
        if "reopening" not in self.lacks:
            other = open_store(index=index_of(embeddings, mode="hybrid"))
            assert keys(other.search(("s",), query="tea")) == ["tea", "trains"]
            assert keys(other.search(("s",), query="tea", mode="keyword")) == ["tea"]

    @needs("keywords", "strict_settings")
    @pytest.mark.parametrize("mode", ["semantic", "hybrid"])
    def test_vectors_need_a_model(self, open_raw: OpenRaw, open_store: OpenStore, mode: str) -> None:
        """A mode that compares vectors is refused without embed, and the error names the way out."""
        with pytest.raises(ConfigurationError, match="embed"):
            open_raw(index={"mode": mode})
        store = words_only(open_store)
        fill(store, {"tea": "green tea"})
        with pytest.raises(ConfigurationError, match=f"{mode}.*embed"):
            store.search(("s",), query="tea", mode=mode)

    @needs("keywords", "strict_settings")
    @pytest.mark.parametrize("mode", ["telepathic", "", "KEYWORD", 3, ["keyword"], {"keyword": 1}])
    def test_there_are_three_modes(self, open_raw: OpenRaw, memories: Caller, mode: Any) -> None:
        """Anything else is a ConfigurationError that names them, on the store and per call."""
        with pytest.raises(ConfigurationError, match="keyword.*hybrid"):
            open_raw(index=index_of(HashEmbeddings(), mode=mode))
        with pytest.raises(ConfigurationError, match="keyword.*hybrid"):
            memories.search(("s",), query="tea", mode=mode)

    @needs("keywords", "strict_settings")
    @pytest.mark.parametrize("weight", [-0.1, 1.0001, math.nan, math.inf, "0.5", True, [0.5]])
    def test_weights_are_from_0_to_1(self, open_raw: OpenRaw, memories: Caller, weight: Any) -> None:
        """A hybrid_weight that is none is a ConfigurationError, on the store and per call, in any mode."""
        with pytest.raises(ConfigurationError, match="hybrid_weight"):
            open_raw(index=index_of(HashEmbeddings(), hybrid_weight=weight))
        for mode in (None, "hybrid"):
            with pytest.raises(ConfigurationError, match="hybrid_weight"):
                memories.search(("s",), query="tea", mode=mode, hybrid_weight=weight)

    @needs("keywords")
    def test_a_store_without_an_index_ignores_the_mode(self, store: Caller) -> None:
        """As it ignores the query."""
        fill(store, {"a": "green tea", "b": "old trains"})
        for mode in ("keyword", "semantic", "hybrid"):
            hits = store.search(("s",), query="tea", mode=mode, explain=True)
            assert [(hit.key, hit.score) for hit in hits] == [("b", None), ("a", None)]

    @needs("keywords")
    @pytest.mark.parametrize("query", ["tea", "green winter", "hot bread tea coffee", "bread bread tea", "tea nothing"])
    def test_keyword_scores_are_bm25(self, open_store: OpenStore, query: str) -> None:
        """Items with a term of the query are hits, and no others; a term that is asked twice counts once."""
        store = words_only(open_store)
        fill(store, DOCUMENTS)
        hits = store.search(("s",), query=query)
        expected = bm25(DOCUMENTS, query)
        assert scores_of(hits) == approx(expected)
        assert keys(hits) == sorted(expected, key=lambda key: -expected[key])
        assert min(expected.values()) > 0

    @needs("keywords")
    def test_statistics_are_those_below_the_prefix(self, open_store: OpenStore) -> None:
        """Scores depend on the live items with a text below the prefix, whatever the filter; on no others."""
        store = words_only(open_store)
        fill(store, DOCUMENTS, ("a", "b"))
        fill(store, {"8": "tea and tea and trains"}, ("a",))
        fill(store, {"9": "tea tea tea tea"}, ("a", "bc"))
        fill(store, {"9": "tea tea"}, ("ab",))
        store.put(("a", "b"), "off", {"text": "tea"}, index=False)
        store.put(("a", "b"), "blank", {"text": " "})
        below_b = bm25(DOCUMENTS, "tea winter")
        assert scores_of(store.search(("a", "b"), query="tea winter")) == approx(below_b)
        hits = store.search(("a", "b"), query="tea winter", filter={"key": {"$in": ["1", "5", "6"]}})
        assert scores_of(hits) == approx({key: below_b[key] for key in ("1", "5")})
        below_a = bm25({**DOCUMENTS, "8": "tea and tea and trains", "9": "tea tea tea tea"}, "tea winter")
        assert scores_of(store.search(("a",), query="tea winter")) == approx(below_a)
        assert len(store.search((), query="tea winter")) == len(below_a) + 1
        assert store.search(("a", "b", "c"), query="tea") == store.search(("b",), query="tea") == []

    @needs("keywords", "ttl", "clock")
    def test_what_expired_does_not_count(self, open_store: OpenStore, clock: ManualClock) -> None:
        """Expired items are neither hits nor in the statistics, swept or not."""
        store = words_only(open_store, clock=clock)
        fill(store, DOCUMENTS)
        store.batch([PutOp(("s",), f"gone {n}", {"text": "tea green tea"}, ttl=1) for n in range(3)])
        assert len(store.search(("s",), query="tea", refresh_ttl=False)) == 6
        clock.advance(minutes=1)
        for _ in range(2):
            assert scores_of(store.search(("s",), query="tea")) == approx(bm25(DOCUMENTS, "tea"))
            store.sweep_ttl()

    @needs("keywords", "ttl", "clock")
    @pytest.mark.parametrize("mode", ["keyword", "hybrid"])
    def test_only_the_page_is_refreshed(self, open_store: OpenStore, clock: ManualClock, mode: str) -> None:
        """A search prolongs the lives of the items it returned, and of no others."""
        store = open_store(index=index_of(HashEmbeddings()), clock=clock)
        for key in "abcde":
            store.put(("t",), key, {"text": "green tea"}, ttl=10)
        clock.advance(minutes=6)
        assert keys(store.search(("t",), query="tea", mode=mode, limit=2, offset=1)) == ["d", "c"]
        assert keys(store.search(("t",), query="tea", mode=mode, limit=1, refresh_ttl=False)) == ["e"]
        clock.advance(minutes=6)
        assert keys(store.search(("t",))) == ["d", "c"]

    @needs("keywords")
    @pytest.mark.parametrize("mode", ["keyword", "hybrid"])
    def test_pages_join_to_the_whole(self, open_store: OpenStore, mode: str) -> None:
        """Pages neither repeat nor lose an item, and asking for one changes no other; equal scores by newest."""
        store = open_store(index=index_of(HashEmbeddings()))
        texts = [f"green tea {'winter ' * (n % 3)}{'tea ' * (n % 4)}" if n % 5 else f"old train {n}" for n in range(40)]
        fill(store, {str(n): text for n, text in enumerate(texts)})
        whole = store.search(("s",), query="tea in winter", mode=mode, limit=100)
        assert len(whole) == len(set(keys(whole))) == (32 if mode == "keyword" else 40)
        ranked = [(hit.score, int(hit.key)) for hit in whole]
        assert ranked == sorted(ranked, reverse=True)
        for page in (1, 3, 7):
            found: list[Any] = []
            while hits := store.search(("s",), query="tea in winter", mode=mode, limit=page, offset=len(found)):
                assert len(hits) == min(page, len(whole) - len(found))
                found += hits
            assert [(hit.key, hit.score) for hit in found] == [(hit.key, hit.score) for hit in whole]
        assert store.search(("s",), query="tea in winter", mode=mode, limit=0) == []
        assert store.search(("s",), query="tea in winter", mode=mode, limit=10**30) == whole
        assert store.search(("s",), query="tea in winter", mode=mode, offset=10**30) == []

    @needs("keywords", "clock")
    @pytest.mark.parametrize("mode", ["keyword", "hybrid"])
    def test_ties_by_words_go_to_the_newest(self, open_store: OpenStore, clock: ManualClock, mode: str) -> None:
        """Equal scores are exactly equal and ordered by the later write, also when the clock stands still."""
        store = open_store(index=index_of(HashEmbeddings()), clock=clock)
        for key in ["m", "z", "a"]:
            store.put(("s", key), key, {"text": "green tea and trains"})
        store.put(("s",), "z", {"text": "trains and green tea"}, index=False)
        store.batch([PutOp(("s",), key, {"text": "green tea and trains"}) for key in ["c", "b"]])
        store.put(("s", "z"), "z", {"text": "green tea and trains", "again": True})
        hits = store.search(("s",), query="trains with tea", mode=mode)
        assert keys(hits) == ["z", "b", "c", "a", "m"]
        assert len({hit.score for hit in hits}) == 1
        assert keys(store.search(("s",), query="trains with tea", mode=mode, limit=2, offset=1)) == ["b", "c"]

    @needs("keywords")
    @pytest.mark.parametrize("mode", ["keyword", "hybrid"])
    def test_min_score_in_every_mode(self, open_store: OpenStore, mode: str) -> None:
        """Hits with a score below min_score are left out, those at it stay; pages count what is left."""
        store = open_store(index=index_of(HashEmbeddings(), mode=mode))
        fill(store, DOCUMENTS)
        whole = store.search(("s",), query="green tea")
        for n, hit in enumerate(whole):
            assert store.search(("s",), query="green tea", min_score=hit.score) == whole[: n + 1]
            assert (
                store.search(("s",), query="green tea", min_score=hit.score, limit=2, offset=1) == whole[1 : n + 1][:2]
            )
        assert store.search(("s",), query="green tea", min_score=100) == []
        assert store.search(("s",), query="green tea", min_score=-1) == whole

    @needs("keywords")
    @pytest.mark.parametrize("weight", [None, 0.0, 0.2, 0.9, 1.0])
    def test_hybrid_scores_are_as_published(self, open_store: OpenStore, weight: float | None) -> None:
        """A convex combination of both scores, each divided by the best of what prefix and filter leave, in [0, 1]."""
        embeddings = HashEmbeddings()
        given = {} if weight is None else {"hybrid_weight": weight}
        store = open_store(index={**index_of(embeddings, language="simple", mode="hybrid")})
        fill(store, DOCUMENTS)
        fill(store, {"tea": "tea"}, ("other",))
        cosines = {
            key: float(embeddings.vector(text) @ embeddings.vector("green tea")) for key, text in DOCUMENTS.items()
        }
        scores = bm25(DOCUMENTS, "green tea")
        hits = store.search(("s",), query="green tea", **given)
        assert scores_of(hits) == approx(fused(cosines, scores, 0.5 if weight is None else weight))
        assert all(0.0 <= hit.score <= 1.0 for hit in hits)
        left = ["2", "3", "4", "6"]
        hits = store.search(("s",), query="green tea", filter={"key": {"$in": left}}, **given)
        expected = fused(
            {key: cosines[key] for key in left},
            {key: scores[key] for key in left if key in scores},
            0.5 if weight is None else weight,
        )
        assert scores_of(hits) == approx(expected)
        if weight is not None and "reopening" not in self.lacks:
            other = open_store(index=index_of(embeddings, language="simple", hybrid_weight=weight))
            assert other.search(("s",), query="green tea", mode="hybrid", limit=3) == store.search(
                ("s",), query="green tea", limit=3, **given
            )

    @needs("keywords")
    def test_the_ends_of_the_weight(self, open_store: OpenStore) -> None:
        """With weight 1 the order is that of vectors; with 0 that of words, items without a term after them."""
        store = open_store(index=index_of(HashEmbeddings()))
        fill(store, DOCUMENTS)
        semantic = store.search(("s",), query="green tea")
        assert keys(store.search(("s",), query="green tea", mode="hybrid", hybrid_weight=1)) == keys(semantic)
        words = keys(store.search(("s",), query="green tea", mode="keyword"))
        rest = [key for key in reversed(DOCUMENTS) if key not in words]
        hits = store.search(("s",), query="green tea", mode="hybrid", hybrid_weight=0)
        assert keys(hits) == words + rest
        assert [hit.score for hit in hits[len(words) :]] == [0.0] * len(rest)

"""Contract section 7, continued: which texts of an item are embedded, by whom, and how often."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from langgraph.store.base import PutOp, SearchOp

from crossthread.errors import EmbeddingError
from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import Caller, OpenStore, SuiteBase, index_of, keys, needs

DOCUMENT: dict[str, Any] = {
    "text": "top",
    "a": {"b": "nested", "c": ["c0", "c1", "c2"]},
    "list": [{"t": "l0", "u": ["x"]}, {"t": "l1"}, {"v": "no t"}],
    "number": 7,
    "yes": True,
    "none": None,
    "blank": " ",
}

PATHS: dict[str, list[str]] = {
    "text": ["top"],
    "a.b": ["nested"],
    "a.c[0]": ["c0"],
    "a.c[-1]": ["c2"],
    "a.c[*]": ["c0", "c1", "c2"],
    "a.c[7]": [],
    "a.c[-7]": [],
    "list[*].t": ["l0", "l1"],
    "list[1].t": ["l1"],
    "list[*].u[*]": ["x"],
    "a.*": ["nested", '["c0", "c1", "c2"]'],
    "{text,a.b}": ["top", "nested"],
    "number": ["7"],
    "yes": ["True"],
    "none": [],
    "missing": [],
    "text.deeper": [],
    "text[0]": [],
    "a.c": ['["c0", "c1", "c2"]'],
    "list[0]": ['{"t": "l0", "u": ["x"]}'],
}


class Lying(HashEmbeddings):
    """Embeddings that spoil the vectors of a call: wrong numbers, or wrong many."""

    def __init__(self, lie: str = "") -> None:
        super().__init__()
        self.lie = lie

    def _spoil(self, vectors: list[list[float]]) -> Any:
        match self.lie:
            case "short":
                return [*vectors[:-1], vectors[-1][:-1]]
            case "long":
                return [[*vector, 1.0] for vector in vectors]
            case "nan" | "inf" | "-inf":
                vectors[-1][3] = float(self.lie)
            case "missing":
                return vectors[:-1]
            case "one more":
                return [*vectors, vectors[0]]
            case "nothing":
                return None
            case "text":
                return [["x"] * 64 for _ in vectors]
        return vectors

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return spoilt vectors."""
        return self._spoil(super().embed_documents(texts))  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        """Return a spoilt vector."""
        vectors = self._spoil([super().embed_query(text)])
        return vectors[0] if vectors else []


class Indexing(SuiteBase):
    """What is embedded, when, and what a model may answer."""

    @needs("semantic")
    @pytest.mark.parametrize("path", PATHS)
    def test_paths_of_an_item(self, memories: Caller, embeddings: HashEmbeddings, path: str) -> None:
        """index=[...] takes LangGraph's path syntax; what is missing or null is not embedded."""
        memories.put(("s",), "k", DOCUMENT, index=[path])
        assert sorted(text for call in embeddings.calls for text in call) == sorted(PATHS[path])
        scored = [hit for hit in memories.search(("s",), query="top") if hit.score is not None]
        assert len(scored) == (1 if PATHS[path] else 0)

    @needs("semantic")
    def test_fields_of_the_store(self, open_store: OpenStore, embeddings: HashEmbeddings) -> None:
        """Fields are taken from every item, unless a put names its own."""
        store = open_store(index=index_of(embeddings, fields=["text", "list[*].t"]))
        store.put(("s",), "fields", DOCUMENT)
        store.put(("s",), "own", DOCUMENT, index=["a.b"])
        store.put(("s",), "off", DOCUMENT, index=False)
        assert [sorted(call) for call in embeddings.calls] == [["l0", "l1", "top"], ["nested"]]
        assert keys(store.search(("s",), query="nested", limit=1)) == ["own"]

    @needs("semantic")
    @pytest.mark.parametrize("fields", [None, ["$"], "left out"], ids=str)
    def test_the_whole_item_by_default(self, open_store: OpenStore, embeddings: HashEmbeddings, fields: Any) -> None:
        """Without fields, with None, or with "$", the item as JSON is one text."""
        settings = {"embed": embeddings, "dims": 64, **({} if fields == "left out" else {"fields": fields})}
        store = open_store(index=settings)
        store.put(("s",), "k", {"b": ["é", 1], "a": None})
        ((text,),) = embeddings.calls
        assert json.loads(text) == {"b": ["é", 1], "a": None}
        assert "é" in text

    @needs("semantic", "frugal")
    def test_no_fields_index_nothing(self, open_store: OpenStore, embeddings: HashEmbeddings) -> None:
        """fields=[] indexes nothing but what a put names itself; an empty index=[] indexes nothing."""
        store = open_store(index=index_of(embeddings, fields=[]))
        store.put(("s",), "k", DOCUMENT)
        assert store.search(("s",), query="top") == []
        store.put(("s",), "k", DOCUMENT, index=[])
        assert embeddings.calls == []
        store.put(("s",), "k", DOCUMENT, index=["text"])
        assert keys(store.search(("s",), query="top")) == ["k"]

    @needs("semantic", "strict_settings")
    def test_text_fields_is_another_name(self, open_store: OpenStore, embeddings: HashEmbeddings) -> None:
        """text_fields, which LangGraph's SQLite store reads, means fields."""
        store = open_store(index={"embed": embeddings, "dims": 64, "text_fields": ["a.b"]})
        store.put(("s",), "k", DOCUMENT)
        assert embeddings.calls == [["nested"]]

    @needs("semantic", "frugal")
    def test_one_call_for_a_batch(self, memories: Caller, embeddings: HashEmbeddings) -> None:
        """The texts of a batch are embedded in one call, each distinct text once; overwritten puts are not embedded."""
        memories.batch(
            [
                PutOp(("s",), "a", {"text": "one"}),
                PutOp(("s",), "b", {"text": "two"}),
                PutOp(("s",), "c", {"text": "one"}),
                PutOp(("s",), "d", {"notes": ["two", "three", "three"]}, index=["notes[*]"]),
                PutOp(("s",), "e", {"text": "overwritten"}),
                PutOp(("s",), "e", {"text": "last"}),
                PutOp(("s",), "f", {"text": "deleted"}),
                PutOp(("s",), "f", None),
            ]
        )
        assert [sorted(call) for call in embeddings.calls] == [["last", "one", "three", "two"]]

    @needs("semantic", "frugal")
    def test_a_known_text_is_not_embedded_again(self, memories: Caller, embeddings: HashEmbeddings) -> None:
        """An unchanged memory costs no call, nor does a text that another item has; a changed one costs one."""
        memories.put(("s",), "k", {"text": "green tea", "n": 1})
        memories.put(("s",), "k", {"text": "green tea", "n": 2})
        memories.put(("elsewhere",), "other", {"title": "green tea"}, index=["title"])
        assert embeddings.calls == [["green tea"]]
        memories.batch([PutOp(("s",), "k", {"text": "old trains"}), PutOp(("s",), "l", {"text": "green tea"})])
        assert embeddings.calls == [["green tea"], ["old trains"]]
        assert keys(memories.search((), query="green tea", limit=2)) == ["l", "other"]

    @needs("semantic", "frugal", "reopening", "closing")
    def test_a_text_stays_known_after_a_restart(self, open_store: OpenStore) -> None:
        """A store opened again does not ask the model for what it holds."""
        first = open_store(index=index_of(HashEmbeddings()))
        first.put(("s",), "k", {"text": "green tea"})
        first.close()
        embeddings = HashEmbeddings()
        store = open_store(index=index_of(embeddings))
        store.put(("s",), "k", {"text": "green tea", "n": 2})
        store.put(("s",), "l", {"text": "green tea"})
        assert embeddings.calls == []
        assert keys(store.search(("s",), query="green tea")) == ["l", "k"]

    @needs("semantic", "frugal")
    def test_queries_are_embedded_once_a_batch(self, memories: Caller, embeddings: HashEmbeddings) -> None:
        """A search asks for its query and for nothing else, and a batch once for each distinct query."""
        memories.put(("s",), "k", {"text": "green tea"})
        memories.search(("s",), query="tea")
        assert embeddings.queries == ["tea"]
        memories.batch([SearchOp(("s",), query=query) for query in ("milk", "tea", "milk")])
        assert sorted(embeddings.queries) == ["milk", "tea", "tea"]
        assert embeddings.calls == [["green tea"]]

    @needs("semantic", "strict_embeddings", "transactions")
    @pytest.mark.parametrize(
        ("lie", "named"),
        [
            ("short", ["63", "64"]),
            ("long", ["65", "64"]),
            ("missing", ["2", "3"]),
            ("one more", ["4", "3"]),
            ("nan", ["nan"]),
            ("inf", ["inf"]),
            ("-inf", ["inf"]),
            ("nothing", []),
            ("text", []),
        ],
    )
    def test_vectors_that_are_none(self, open_store: OpenStore, lie: str, named: list[str]) -> None:
        """Wrong dimensions, numbers that are none, or a wrong count raise EmbeddingError naming the numbers."""
        embeddings = Lying()
        store = open_store(index=index_of(embeddings))
        store.put(("s",), "old", {"text": "green tea"})
        embeddings.lie = lie
        with pytest.raises(EmbeddingError) as caught:
            store.batch([PutOp(("s",), str(n), {"text": f"text {n}"}) for n in range(3)] + [PutOp(("s",), "old", None)])
        assert all(number in str(caught.value).lower() for number in named), str(caught.value)
        if lie not in ("missing", "one more"):
            with pytest.raises(EmbeddingError):
                store.search(("s",), query="tea")
        embeddings.lie = ""
        assert keys(store.search(())) == keys(store.search(("s",), query="green tea")) == ["old"]
        store.put(("s",), "0", {"text": "text 0"})
        assert store.search(("s",), query="text 0")[0].score > 0.99

    @needs("semantic")
    def test_results_may_be_arrays(self, open_store: OpenStore) -> None:
        """A model may return numpy arrays, of any float type, as rows or as one matrix."""

        class Arrays(HashEmbeddings):
            def embed_documents(self, texts: list[str]) -> Any:
                matrix = np.array(super().embed_documents(texts), dtype=np.float32)
                return matrix if len(texts) > 1 else list(matrix)

            def embed_query(self, text: str) -> Any:
                return np.array(super().embed_query(text), dtype=np.float64)

        store = open_store(index=index_of(Arrays()))
        store.batch([PutOp(("s",), text, {"text": text}) for text in ("green tea", "old trains")])
        store.put(("s",), "red roses", {"text": "red roses"})
        assert store.search(("s",), query="red roses")[0].key == "red roses"

    @needs("semantic")
    def test_embed_may_be_a_function(self, open_store: OpenStore) -> None:
        """A plain function from texts to vectors is an embedder."""
        embeddings = HashEmbeddings()
        store = open_store(index=index_of(lambda texts: embeddings.embed_documents(texts)))
        store.batch([PutOp(("s",), text, {"text": text}) for text in ("green tea", "old trains")])
        hits = store.search(("s",), query="old trains")
        assert hits[0].key == "old trains"
        assert hits[0].score == pytest.approx(1.0, abs=1e-5)

    @needs("semantic", "any_loop")
    def test_embed_may_be_an_async_function(self, open_store: OpenStore) -> None:
        """An async function works from async and from sync calls, also from a sync call inside a running loop."""

        async def embed(texts: list[str]) -> list[list[float]]:
            return HashEmbeddings().embed_documents(texts)

        store = open_store(index=index_of(embed))
        store.batch([PutOp(("s",), text, {"text": text}) for text in ("green tea", "old trains")])
        assert store.search(("s",), query="old trains")[0].key == "old trains"

        async def sync_inside() -> Any:
            store.store.put(("s",), "roses", {"text": "red roses"})
            return store.store.search(("s",), query="red roses")

        assert store.runner.run(sync_inside())[0].key == "roses"

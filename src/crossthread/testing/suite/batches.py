"""Contract section 3: the order of a batch, and that it happens whole or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.store.base import GetOp, InvalidNamespaceError, ListNamespacesOp, PutOp, SearchOp

from crossthread.errors import InvalidFilterError, InvalidValueError
from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import Caller, OpenStore, SuiteBase, index_of, keys, needs


class FailingEmbeddings(HashEmbeddings):
    """Embeddings that raise at the calls whose numbers stand in ``fail_at``, counted from 0 over both kinds of call."""

    def __init__(self, *fail_at: int) -> None:
        super().__init__()
        self.fail_at = set(fail_at)
        self.error = ConnectionError("the model is away")

    def _count(self) -> None:
        if len(self.calls) + len(self.queries) - 1 in self.fail_at:
            raise self.error

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors, or raise."""
        vectors = super().embed_documents(texts)
        self._count()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Return the vector, or raise."""
        vector = super().embed_query(text)
        self._count()
        return vector


class Batches(SuiteBase):
    """Many ops in one call."""

    def test_results_come_in_the_order_of_the_ops(self, store: Caller) -> None:
        """Every op's result stands at the op's place; a put's result is None."""
        store.put(("a",), "k", {"n": 1})
        store.put(("b",), "k", {"n": 2})
        results = store.batch(
            [
                PutOp(("c",), "k", {"n": 3}),
                GetOp(("b",), "k"),
                SearchOp(("a",)),
                GetOp(("a",), "none"),
                ListNamespacesOp(),
                PutOp(("a",), "k", None),
                GetOp(("a",), "k"),
            ]
        )
        assert results[0] is None
        assert results[1].value == {"n": 2}
        assert [hit.value for hit in results[2]] == [{"n": 1}]
        assert results[3] is None
        assert results[4] == [("a",), ("b",)]
        assert results[5] is None
        assert results[6].value == {"n": 1}

    def test_reads_see_the_state_before_the_batch(self, store: Caller) -> None:
        """Get, search and list answer as if the writes of their batch had not happened, wherever they stand."""
        store.put(("a",), "old", {"n": 1})
        got, _, hits, _, gone, listed = store.batch(
            [
                GetOp(("a",), "new"),
                PutOp(("a",), "new", {"n": 2}),
                SearchOp(("a",)),
                PutOp(("a",), "old", None),
                GetOp(("a",), "old"),
                ListNamespacesOp(),
            ]
        )
        assert got is None
        assert keys(hits) == ["old"]
        assert gone.value == {"n": 1}
        assert listed == [("a",)]
        assert keys(store.search(("a",))) == ["new"]

    def test_the_last_write_wins(self, store: Caller) -> None:
        """Of several writes to one address in a batch, the last one counts, deletes included."""
        store.put(("a",), "was", {"n": 0})
        store.batch(
            [
                PutOp(("a",), "two", {"n": 1}),
                PutOp(("a",), "two", {"n": 2}),
                PutOp(("a",), "gone", {"n": 1}),
                PutOp(("a",), "gone", None),
                PutOp(("a",), "back", None),
                PutOp(("a",), "back", {"n": 3}),
                PutOp(("a",), "was", None),
                PutOp(("a",), "was", {"n": 4}),
            ]
        )
        found = {hit.key: hit.value["n"] for hit in store.search(("a",))}
        assert found == {"two": 2, "back": 3, "was": 4}

    @needs("strict_addresses")
    def test_a_list_and_a_tuple_name_one_address(self, store: Caller) -> None:
        """The last write wins also where the namespaces of the two are written in two ways."""
        store.batch([PutOp(["a"], "k", {"n": 1}), PutOp(("a",), "k", {"n": 2}), PutOp(["b"], "k", {"n": 3})])  # type: ignore[arg-type]
        assert [hit.value for hit in store.search(["a"])] == [{"n": 2}]
        assert store.batch([GetOp(["b"], "k")])[0].namespace == ("b",)  # type: ignore[arg-type]

    @needs("newest_first")
    def test_within_a_batch_the_later_write_is_newer(self, store: Caller) -> None:
        """The items of one batch are ordered as they stand in it, each where it was written last."""
        store.batch([PutOp(("a",), key, {"n": 1}) for key in ["x", "b", "z", "a", "x"]])
        assert keys(store.search(("a",))) == ["x", "a", "z", "b"]

    def test_an_empty_batch_is_fine(self, store: Caller) -> None:
        """No ops, no results."""
        assert store.batch([]) == []

    def test_ops_may_come_from_a_generator(self, store: Caller) -> None:
        """A batch takes any iterable of ops."""
        assert store.batch(PutOp(("a",), str(n), {"n": n}) for n in range(3)) == [None] * 3
        assert len(store.search(("a",))) == 3

    def test_a_large_batch(self, store: Caller) -> None:
        """Thousands of writes and reads go through in one batch."""
        count = 3_000
        store.batch([PutOp(("big", str(n % 50)), str(n), {"n": n}) for n in range(count)])
        items = store.batch([GetOp(("big", str(n % 50)), str(n)) for n in range(count)])
        assert [item.value["n"] for item in items] == list(range(count))
        assert len(store.search(("big",), limit=count + 1)) == count
        store.batch([PutOp(("big", str(n % 50)), str(n), None) for n in range(count)])
        assert store.search(("big",)) == []

    @needs("transactions")
    @pytest.mark.parametrize(
        ("bad", "error"),
        [
            (PutOp(("a",), "bad", {"when": {1, 2}}), InvalidValueError),
            (PutOp(("a.b",), "bad", {"n": 1}), InvalidNamespaceError),
            (PutOp((), "bad", None), InvalidNamespaceError),
            (SearchOp(("a",), filter={"n": {"$unknown": 1}}), InvalidFilterError),
            (SearchOp(("a",), limit=-1), ValueError),
            (SearchOp(("a",), offset=-1), ValueError),
            (ListNamespacesOp(max_depth=0), ValueError),
            (GetOp(("a", ""), "k"), InvalidNamespaceError),
        ],
        ids=repr,
    )
    def test_one_bad_op_stops_the_whole_batch(
        self, memories: Caller, embeddings: HashEmbeddings, bad: Any, error: Any
    ) -> None:
        """An op that is refused leaves nothing of its batch behind, asks no model, and the store goes on."""
        memories.put(("a",), "old", {"n": 1})
        good = [PutOp(("a",), "new", {"text": "tea"}), PutOp(("a",), "old", None)]
        for ops in ([*good, bad], [bad, *good], [good[0], bad, good[1]]):
            with pytest.raises(error):
                memories.batch(ops)
        assert keys(memories.search(("a",))) == ["old"]
        assert embeddings.calls == []
        memories.batch(good)
        assert keys(memories.search(("a",))) == ["new"]

    @needs("semantic", "transactions")
    def test_a_failing_model_leaves_the_store_as_it_was(self, open_store: OpenStore) -> None:
        """Whichever call to the model fails, its error surfaces unchanged and nothing is written."""
        embeddings = FailingEmbeddings()
        store = open_store(index=index_of(embeddings))
        store.batch([PutOp(("a",), key, {"text": key, "n": 1}) for key in ("tea", "coffee")])
        before = store.search(("a",))
        for call in range(2):
            embeddings.fail_at = {len(embeddings.calls) + len(embeddings.queries) + call}
            with pytest.raises(ConnectionError, match="the model is away"):
                store.batch(
                    [
                        SearchOp(("a",), query=f"drink {call}"),
                        PutOp(("a",), "tea", {"text": f"green tea {call}"}),
                        PutOp(("a",), "coffee", None),
                        PutOp(("a",), "milk", {"text": f"milk {call}"}),
                        PutOp(("b",), "plain", {"n": 1}),
                    ]
                )
            assert store.search(()) == before
            assert store.list_namespaces() == [("a",)]
        embeddings.fail_at = set()
        assert set(keys(store.search(("a",), query="coffee"))) == {"tea", "coffee"}
        store.put(("a",), "milk", {"text": "milk"})
        assert store.search(("a",), query="milk")[0].key == "milk"

    @needs("semantic", "transactions")
    def test_a_failing_model_fails_only_its_own_calls(self, open_store: OpenStore) -> None:
        """Calls made at once stay apart: one text that the model refuses, one bad value, and the others succeed."""

        class Picky(HashEmbeddings):
            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                if any("poison" in text for text in texts):
                    raise ConnectionError("not this one")
                return super().embed_documents(texts)

        store = open_store(index=index_of(Picky()))
        values: list[dict[str, Any]] = [{"text": f"text {n}"} for n in range(40)]
        values[7] = {"text": "poison"}
        values[23] = {"text": {1, 2}}
        results = store.together([("put", ("a",), str(n), value) for n, value in enumerate(values)])
        assert isinstance(results[7], ConnectionError)
        assert isinstance(results[23], ValueError)
        assert [result for n, result in enumerate(results) if n not in (7, 23)] == [None] * 38
        assert len(store.search(("a",), query="text", limit=100)) == 38

    @needs("semantic", "frugal")
    def test_equal_texts_in_one_batch(self, memories: Caller, embeddings: HashEmbeddings) -> None:
        """Two puts with the same text embed it once, and both are found."""
        memories.batch([PutOp(("a",), key, {"text": "green tea"}) for key in ("one", "two")])
        assert embeddings.calls == [["green tea"]]
        hits = memories.search(("a",), query="green tea")
        assert keys(hits) == ["two", "one"]
        assert hits[0].score == hits[1].score == pytest.approx(1.0, abs=1e-5)

"""Contract section 5: a search without a query answers newest first, page by page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langgraph.store.base import PutOp, SearchOp

from crossthread.testing.suite.harness import Caller, SuiteBase, keys, needs

BAD_LIMITS = [-1, -(10**30), 1.5, "3", None, float("nan")]


class Search(SuiteBase):
    """Order and paging."""

    @needs("newest_first")
    def test_newest_first(self, store: Caller) -> None:
        """Items come by their last update, the latest first, whatever their namespaces and keys."""
        for key in ["m", "z", "a"]:
            store.put(("s", key), key, {"n": 1})
        assert keys(store.search(("s",))) == ["a", "z", "m"]
        store.put(("s", "m"), "m", {"n": 2})
        assert keys(store.search(("s",))) == ["m", "a", "z"]

    @needs("newest_first", "clock")
    def test_ties_go_to_the_later_write(self, timed: Caller) -> None:
        """With a clock that stands still, the later write is still the newer one."""
        for key in ["m", "z", "a", "q"]:
            timed.put(("s",), key, {"n": 1})
        timed.batch([PutOp(("s",), key, {"n": 1}) for key in ["c", "b", "d"]])
        timed.put(("s",), "z", {"n": 2})
        hits = timed.search(("s",))
        assert keys(hits) == ["z", "d", "b", "c", "q", "a", "m"]
        assert [hit.updated_at for hit in hits] == sorted((hit.updated_at for hit in hits), reverse=True)

    @needs("newest_first")
    def test_ten_by_default(self, store: Caller) -> None:
        """The limit is ten unless it is given."""
        store.batch([PutOp(("s",), str(n), {"n": n}) for n in range(15)])
        assert keys(store.search(("s",))) == [str(n) for n in range(14, 4, -1)]
        assert len(store.search(("s",), limit=1_000)) == 15

    @needs("newest_first")
    @pytest.mark.parametrize("page", [1, 3, 7, 40])
    def test_pages_have_no_gaps_and_no_repeats(self, store: Caller, page: int) -> None:
        """Limit and offset cut the one ordered list, with and without a filter."""
        store.batch([PutOp(("s", str(n % 3)), str(n), {"even": n % 2 == 0}) for n in range(30)])
        for filter_, expected in [
            (None, [str(n) for n in range(29, -1, -1)]),
            ({"even": True}, [str(n) for n in range(28, -1, -2)]),
        ]:
            found: list[str] = []
            while hits := store.search(("s",), filter=filter_, limit=page, offset=len(found)):
                assert len(hits) <= page
                found += keys(hits)
            assert found == expected

    def test_at_the_edges_of_the_list(self, store: Caller) -> None:
        """A limit of 0 is an empty page; an offset past the end too; huge numbers are only numbers."""
        store.batch([PutOp(("s",), str(n), {"n": n}) for n in range(3)])
        assert store.search(("s",), limit=0) == []
        assert store.search(("s",), limit=0, offset=1) == []
        assert store.search(("s",), offset=3) == []
        assert store.search(("s",), offset=10**30) == []
        assert len(store.search(("s",), limit=10**30)) == 3
        assert len(store.search(("s",), limit=2**63 - 1, offset=1)) == 2

    @needs("strict_limits")
    @pytest.mark.parametrize("number", BAD_LIMITS)
    def test_limits_that_make_no_sense(self, store: Caller, number: Any) -> None:
        """A limit or an offset that is no whole number from 0 upwards raises ValueError, in batch too."""
        store.put(("s",), "k", {"n": 1})
        calls: list[Callable[[], Any]] = [
            lambda: store.search(("s",), limit=number),
            lambda: store.search(("s",), offset=number),
            lambda: store.search(("s",), query="x", limit=number),
            lambda: store.batch([SearchOp(("s",), limit=number)]),
            lambda: store.batch([SearchOp(("s",), offset=number)]),
        ]
        for call in calls:
            with pytest.raises(ValueError, match=r"limit|offset"):
                call()

    def test_search_through_batch(self, store: Caller) -> None:
        """LangGraph's SearchOp does in a batch what search() does."""
        store.batch([PutOp(("s",), str(n), {"n": n}) for n in range(5)])
        (hits,) = store.batch([SearchOp(("s",), filter={"n": {"$gte": 1}}, limit=2, offset=1)])
        assert hits == store.search(("s",), filter={"n": {"$gte": 1}}, limit=2, offset=1)
        assert len(hits) == 2

    def test_a_query_without_an_index_is_ignored(self, store: Caller) -> None:
        """A store opened without index answers a query like a search without one, without scores."""
        store.batch([PutOp(("s",), key, {"text": key}) for key in ["tea", "trains", "roses"]])
        hits = store.search(("s",), query="tea", filter={"text": {"$ne": "roses"}})
        assert hits == store.search(("s",), filter={"text": {"$ne": "roses"}})
        assert [hit.score for hit in hits] == [None, None]

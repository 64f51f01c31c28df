"""Contract section 6: what every filter matches, what is refused, and that keys are nothing but data."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.store.base import PutOp, SearchOp

from crossthread.errors import InvalidFilterError
from crossthread.testing.suite.filter_cases import (
    EDGE_CASES,
    EDGES,
    HOSTILE_KEYS,
    KIND_CASES,
    KINDS,
    NESTED,
    NESTED_CASES,
    REFUSED,
)
from crossthread.testing.suite.harness import Caller, SuiteBase, needs


class Filters(SuiteBase):
    """The filter language."""

    @needs("filters")
    @pytest.mark.parametrize(("filter_", "expected"), KIND_CASES, ids=lambda part: repr(part)[:60])
    def test_operators_on_every_kind_of_value(self, store: Caller, filter_: dict[str, Any], expected: str) -> None:
        """Every operator matches exactly its documents among fields of all types, and raises on none."""
        _check(store, KINDS, filter_, expected)

    @needs("filters")
    @pytest.mark.parametrize(("filter_", "expected"), NESTED_CASES, ids=lambda part: repr(part)[:60])
    def test_nested_fields_dotted_paths_and_lists(self, store: Caller, filter_: dict[str, Any], expected: str) -> None:
        """Objects match by the given sub-keys, lists exactly, dotted paths the longest literal key first."""
        _check(store, NESTED, filter_, expected)

    @needs("filters")
    @pytest.mark.parametrize(("filter_", "expected"), EDGE_CASES, ids=lambda part: repr(part)[:60])
    def test_strings_and_numbers_at_their_edges(self, store: Caller, filter_: dict[str, Any], expected: str) -> None:
        """Strings compare by code points, numbers exactly, substrings literally."""
        _check(store, EDGES, filter_, expected)

    @needs("filters")
    @pytest.mark.parametrize(("filter_", "named"), REFUSED, ids=lambda part: repr(part)[:60])
    def test_wrong_filters_are_refused(self, store: Caller, filter_: Any, named: str) -> None:
        """Unknown operators, wrong operands and empty steps raise InvalidFilterError naming them; nothing runs."""
        for ops in (
            [SearchOp(("f",), filter=filter_)],
            [PutOp(("f",), "k", {"n": 1}), SearchOp(("f",), filter=filter_)],
        ):
            with pytest.raises(InvalidFilterError) as caught:
                store.batch(ops)
            assert named in str(caught.value)
            assert isinstance(caught.value, ValueError)
        with pytest.raises(InvalidFilterError):
            store.search(("f",), filter=filter_)
        assert store.search(()) == []

    @needs("filters")
    def test_keys_are_data(self, store: Caller) -> None:
        """Whatever characters a key holds, it is matched literally, at the top, in a path and in a nested object."""
        ops = [PutOp(("f",), f"top {key}", {key: 1, "n": 1}) for key in HOSTILE_KEYS]
        ops += [PutOp(("f",), f"path {key}", {"o": {key: 1}}) for key in HOSTILE_KEYS]
        store.batch(ops)
        reads: dict[str, list[dict[str, Any]]] = {}
        for key in HOSTILE_KEYS:
            reads[f"top {key}"] = [{key: 1}, {key: {"$exists": True}}, {key: {"$gt": 0}}, {key: {"$in": [1]}}]
            reads[f"path {key}"] = [{f"o.{key}": 1}, {"o": {key: 1}}, {f"o.{key}": {"$exists": True}}]
        filters = [(name, filter_) for name, filters in reads.items() for filter_ in filters]
        # "value", "key" and the like are fields of the value, never columns of a table.
        for (name, filter_), hits in zip(
            filters, store.batch([SearchOp(("f",), filter=filter_) for _, filter_ in filters]), strict=True
        ):
            assert [hit.key for hit in hits] == [name], filter_
        assert len(store.search(("f",), limit=1_000)) == 2 * len(HOSTILE_KEYS)

    @needs("filters")
    @pytest.mark.parametrize("key", ["a\0", "\ud800", "o.\0", "o.\udfff"])
    def test_keys_that_no_value_has(self, store: Caller, key: str) -> None:
        """A key that no value can have is a missing field."""
        store.put(("f",), "k", {"a": 1, "o": {"x": 1}})
        for filter_, found in [({key: 1}, 0), ({key: None}, 1), ({key: {"$exists": False}}, 1), ({key: {"$ne": 1}}, 1)]:
            assert len(store.search(("f",), filter=filter_)) == found
        assert store.search(("f",), filter={"o": {key.removeprefix("o."): 1}}) == []

    @needs("filters")
    def test_a_filter_is_not_changed(self, store: Caller) -> None:
        """The filter stays as its owner wrote it."""
        filter_ = {"$or": [{"x": {"$in": [1, 2]}}, {"y.z": {"a": None}}], "x": 1}
        store.put(("f",), "k", {"x": 1})
        assert len(store.search(("f",), filter=filter_)) == 1
        assert filter_ == {"$or": [{"x": {"$in": [1, 2]}}, {"y.z": {"a": None}}], "x": 1}

    @needs("filters")
    def test_a_filter_follows_updates(self, store: Caller) -> None:
        """A filter sees the present value only."""
        store.put(("f",), "k", {"x": 1})
        store.put(("f",), "k", {"x": 2})
        assert store.search(("f",), filter={"x": 1}) == []
        assert len(store.search(("f",), filter={"x": 2})) == 1

    @needs("filters")
    def test_many_conditions(self, store: Caller) -> None:
        """Long lists of operands and deeply nested combinators work."""
        store.batch([PutOp(("f",), str(n), {"n": n}) for n in range(10)])
        assert len(store.search(("f",), filter={"n": {"$in": list(range(5, 2_000))}})) == 5
        assert len(store.search(("f",), filter={"$or": [{"n": n} for n in range(200)]}, limit=20)) == 10
        deep: dict[str, Any] = {"n": 3}
        for _ in range(12):
            deep = {"$not": {"$and": [{"$not": deep}]}}
        assert len(store.search(("f",), filter=deep)) == 1

    @needs("filters")
    def test_endless_filters_are_refused(self, store: Caller) -> None:
        """A filter nested without end is refused, not crashed on."""
        endless: dict[str, Any] = {}
        endless["$not"] = endless
        deep: dict[str, Any] = {"x": 1}
        operand: Any = 1
        for _ in range(50_000):
            deep, operand = {"$and": [deep]}, [operand]
        for filter_ in (endless, deep, {"x": operand}, {"x": {"$contains": operand}}):
            with pytest.raises(InvalidFilterError):
                store.search(("f",), filter=filter_)


def _check(store: Caller, documents: dict[str, dict[str, Any]], filter_: dict[str, Any], expected: str) -> None:
    store.batch([PutOp(("f",), name, value) for name, value in documents.items()])
    assert {hit.key for hit in store.search(("f",), filter=filter_, limit=100)} == set(expected.split())

"""Random filters on random values: every engine finds what a second, plain reading of the contract says.

The oracle below shares no code with the package.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from langgraph.store.base import PutOp

from crossthread import MemoryStore
from crossthread.testing import strategies
from servers import store_url

LONG = bool(os.environ.get("CROSSTHREAD_LONG"))
MISSING = object()


def matches(value: dict[str, Any], filter_: dict[str, Any]) -> bool:
    return all(_entry(value, key, condition) for key, condition in filter_.items())


def _entry(value: dict[str, Any], key: str, condition: Any) -> bool:
    match key:
        case "$and":
            return all(matches(value, one) for one in condition)
        case "$or":
            return any(matches(value, one) for one in condition)
        case "$not":
            return not matches(value, condition)
    return _holds(_at(value, key.split(".")), condition)


def _at(value: Any, steps: list[str]) -> Any:
    if not steps:
        return value
    if isinstance(value, dict):
        for length in range(len(steps), 0, -1):
            key = ".".join(steps[:length])
            if key in value and (found := _at(value[key], steps[length:])) is not MISSING:
                return found
    return MISSING


def _holds(found: Any, condition: Any) -> bool:
    if isinstance(condition, dict) and any(key.startswith("$") for key in condition):
        return all(_operator(found, word, operand) for word, operand in condition.items())
    return _equals(found, condition)


def _equals(found: Any, operand: Any) -> bool:
    found = None if found is MISSING else found
    if isinstance(operand, dict):
        return isinstance(found, dict) and all(_holds(found.get(key, MISSING), operand[key]) for key in operand)
    return _same(found, operand)


def _same(left: Any, right: Any) -> bool:
    if _kind(left) != _kind(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    return bool(left == right)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else type(value).__name__


def _operator(found: Any, word: str, operand: Any) -> bool:
    match word:
        case "$eq":
            return _equals(found, operand)
        case "$ne":
            return not _equals(found, operand)
        case "$in":
            return any(_equals(found, one) for one in operand)
        case "$nin":
            return not any(_equals(found, one) for one in operand)
        case "$exists":
            return (found is not MISSING) == operand
        case "$not":
            return not _holds(found, operand)
        case "$contains":
            if isinstance(found, list):
                return any(_same(one, operand) for one in found)
            return isinstance(found, str) and isinstance(operand, str) and operand in found
    if _kind(found) != _kind(operand) or _kind(found) not in ("number", "str"):
        return False
    return {
        "$gt": lambda: found > operand,
        "$gte": lambda: found >= operand,
        "$lt": lambda: found < operand,
        "$lte": lambda: found <= operand,
    }[word]()


URLS: dict[str, Callable[[Path], str]] = {
    "memory": lambda folder: ":memory:",
    "sqlite": lambda folder: str(folder / "agent.db"),
    "postgres": store_url,
}


@pytest.fixture(params=URLS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MemoryStore]:
    with MemoryStore(URLS[request.param](tmp_path)) as store:
        yield store


def _find(store: MemoryStore, documents: list[dict[str, Any]], filter_: dict[str, Any]) -> list[int]:
    store.forget(())
    store.batch([PutOp(("f",), str(n), value) for n, value in enumerate(documents)])
    found = sorted(int(hit.key) for hit in store.search(("f",), filter=filter_, limit=100))
    assert store.count(("f",), filter=filter_) == len(found)
    return found


def _walk(max_examples: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=max_examples * (20 if LONG else 1),
        deadline=None,
        derandomize=not LONG,
        suppress_health_check=list(HealthCheck),
    )


@_walk(250)
@given(st.lists(strategies.values(), min_size=1, max_size=8), strategies.filters())
@example([{"o": {"a": 1}, "o.a": None}], {"o.a": None})
@example([{"a": 2**53 + 1}, {"a": 2**53}], {"a": 2.0**53})
def test_random_filters(opened: MemoryStore, documents: list[dict[str, Any]], filter_: dict[str, Any]):
    """Filters of all shapes find exactly their documents."""
    assert _find(opened, documents, filter_) == [n for n, value in enumerate(documents) if matches(value, filter_)]


@_walk(250)
@given(st.data())
def test_filters_close_to_the_values(opened: MemoryStore, data: st.DataObject):
    """Comparisons with values that are there, or nearly, find exactly their documents."""
    documents = data.draw(
        st.lists(st.fixed_dictionaries({"a": strategies.json_values(max_leaves=3)}), min_size=2, max_size=6)
    )
    operand = data.draw(st.sampled_from([value["a"] for value in documents]))
    if isinstance(operand, int | float) and not isinstance(operand, bool) and data.draw(st.booleans()):
        operand = math.nextafter(operand, data.draw(st.sampled_from([math.inf, -math.inf])))
    word = data.draw(st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$contains"]))
    filter_ = {"a": {word: operand}}
    assert _find(opened, documents, filter_) == [n for n, value in enumerate(documents) if matches(value, filter_)]


@_walk(100)
@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0."), min_size=1), st.just(1))
)
def test_random_keys(opened: MemoryStore, value: dict[str, Any]):
    """Any text is a key of a filter, unless it is empty, has an empty step, or begins like an operator."""
    value = {key: one for key, one in value.items() if not key.startswith("$")}
    others = [{f"{key}x": 1} for key in value]
    for key in value:
        assert _find(opened, [value, *others], {key: 1}) == [
            n for n, one in enumerate([value, *others]) if matches(one, {key: 1})
        ]

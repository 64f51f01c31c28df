"""Hostile input: whatever a store is given, it answers as the contract says, or refuses, soon, and goes on.

Answers are compared with the reference in memory, and a guard in a namespace of its own must never be found or hurt.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.store.base import GetOp, InvalidNamespaceError, ListNamespacesOp, MatchCondition, PutOp, SearchOp

from crossthread.errors import InvalidArgumentError, InvalidFilterError, InvalidValueError
from crossthread.store import MemoryStore
from crossthread.testing import strategies
from crossthread.testing.clock import ManualClock
from crossthread.testing.suite.harness import Caller, OpenStore, SuiteBase, needs

_GUARD = ("guard", "house"), "k", {"text": "the guard of the tea house", "secret": True}
_HUGE = 10_000_000
_SECONDS = 20  # a slow machine takes two; what grows with the square takes minutes


def _nested(levels: int, wrap: Callable[[Any], Any], inner: Any) -> Any:
    for _ in range(levels):
        inner = wrap(inner)
    return inner


def _huge_filters() -> dict[str, dict[str, Any]]:
    return {
        "100,000 branches": {"$or": [{"n": n} for n in range(100_000)]},
        "100,000 conditions": {"$and": [{"n": {"$gte": -n}} for n in range(100_000)]},
        "100,000 fields": {f"f{n}": None for n in range(100_000)},
        "a million values": {"n": {"$in": list(range(1_000_000))}},
        "100,000 steps": {".".join(["a"] * 100_000): None},
        "a key of 10 MB": {"a" * _HUGE: None},
        "a value of 10 MB": {"a": {"$ne": "x" * _HUGE}},
        "a number of 10,000 digits": {"n": {"$lt": 10**10_000}},
    }


REFUSED: dict[str, Callable[[], Any]] = {
    "$not 10,000 deep": lambda: _nested(10_000, lambda inner: {"$not": inner}, {"a": 1}),
    "$or 10,000 deep": lambda: _nested(10_000, lambda inner: {"$or": [inner]}, {"a": 1}),
    "objects 10,000 deep": lambda: _nested(10_000, lambda inner: {"a": inner}, 1),
    "lists 10,000 deep": lambda: {"a": _nested(10_000, lambda inner: [inner], 1)},
    "an operator of 10 MB": lambda: {"a": {"$" + "x" * _HUGE: 1}},
    "a combinator of 10 MB": lambda: {"$" + "x" * _HUGE: 1},
    "a path of 10 MB": lambda: {"a" * _HUGE + ".": 1},
    "an operand of 10 MB": lambda: {"a": {"$in": "x" * _HUGE}},
    "a number as key": lambda: {10**10_000: 1},
}


def _calls(store: Caller, namespace: Any) -> list[Callable[[], Any]]:
    """Return calls in which a namespace stands."""
    return [
        lambda: store.batch(
            [PutOp(("a",), "k", {}), PutOp(namespace, "k", {"n": 1})]
        ),  # put() and aget() are LangGraph's
        lambda: store.batch([GetOp(namespace, "k")]),
        lambda: store.search(namespace),
        lambda: store.batch([ListNamespacesOp((MatchCondition("suffix", namespace),))]),
    ]


class Hostile(SuiteBase):
    """Input that is made to hurt."""

    hostile_examples = 60
    """How many random calls are compared with the reference, of each kind."""

    @needs("filters", "extras", "keywords", "clock", "strict_values", "strict_limits", "any_loop")
    def test_any_call_is_answered_as_the_reference_does(self, open_store: OpenStore, clock: ManualClock) -> None:
        """Random addresses, values, filters and queries, valid or not: equal answers, or errors of the same kind."""
        store = open_store(index={"fields": ["text"]}, clock=clock)
        reference = MemoryStore(index={"fields": ["text"]}, clock=clock)
        store.put(*_GUARD)

        @settings(
            max_examples=self.hostile_examples,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(strategies.hostile_calls(), min_size=1, max_size=6))
        def check(calls: list[tuple[Any, ...]]) -> None:
            for name, *args, kwargs in calls:
                told = [_outcome(on, name, args, kwargs) for on in (store, reference)]
                assert told[0] == told[1], (name, args, kwargs)
            found = store.search((), limit=10_000)
            assert _GUARD[0] in {one.namespace for one in found}
            assert _said([one for one in found if one.namespace != _GUARD[0]]) == _said(
                reference.search((), limit=10_000)
            )
            for one in store.search(("a",), query="the guard of the tea house", limit=10_000):
                assert one.namespace[0] == "a"

        check()
        item = store.get(_GUARD[0], _GUARD[1])
        assert item is not None
        assert item.value == _GUARD[2]

    @needs("filters")
    @pytest.mark.parametrize("kind", _huge_filters())
    def test_a_huge_filter_is_answered_in_time(self, store: Caller, kind: str) -> None:
        """A filter may be large in every way; the work grows with its size and no faster."""
        store.batch([PutOp(("f",), str(n), {"n": n}) for n in range(3)])
        filter_ = _huge_filters()[kind]
        since = time.perf_counter()
        assert len(store.search(("f",), filter=filter_)) == 3
        assert time.perf_counter() - since < _SECONDS

    @needs("filters")
    @pytest.mark.parametrize("kind", REFUSED)
    def test_a_filter_beyond_measure_is_refused(self, store: Caller, kind: str) -> None:
        """With an error that can be read: no message grows with what it is about."""
        store.put(("f",), "k", {"n": 1})
        filter_ = REFUSED[kind]()
        calls: list[Callable[[], Any]] = [
            lambda: store.search(("f",), filter=filter_),
            lambda: store.batch([SearchOp((), filter_)]),
        ]
        for call in calls:
            with pytest.raises(InvalidFilterError) as caught:
                call()
            assert len(str(caught.value)) < 1_000
        assert len(store.search(("f",))) == 1

    @needs("strict_addresses")
    @pytest.mark.parametrize(
        "namespace",
        [
            ("a",) * 100_000,
            ["a"] * 101,
            ("a", 10**10_000),
            ("x" * _HUGE + ".",),
            "x" * _HUGE,
            (b"x" * _HUGE,),
            ("x" * _HUGE,) * 9,
            ("é" * 50,) * 18,
            ("x" * 17,) * 100 + ("y",),
        ],
        ids=[
            "100,000 labels",
            "101 labels",
            "a huge number",
            "a label of 10 MB",
            "text of 10 MB",
            "bytes of 10 MB",
            "nine labels of 10 MB",
            "1,818 bytes",
            "101 long labels",
        ],
    )
    def test_a_namespace_beyond_measure_is_refused(self, store: Caller, namespace: Any) -> None:
        """In every operation, and with an error that can be read."""
        for call in _calls(store, namespace):
            with pytest.raises(InvalidNamespaceError) as caught:
                call()
            assert len(str(caught.value)) < 1_000
        assert store.search(()) == []

    @needs("strict_addresses")
    def test_a_namespace_of_1800_bytes_is_one_and_a_longer_one_is_refused(self, store: Caller) -> None:
        """Each label counts its bytes in UTF-8 and one more, and 200 and one at the most."""
        longest = [
            ("x" * 17,) * 100,
            ("x" * 199,) * 9,
            ("x" * 199,) * 8 + ("é" * 99 + "x",),
            ("x" * 10_000,) * 8 + ("y" * 191,),
            ("\x1a" * 39,) * 9 + ("z" * 35,),
        ]
        for n, namespace in enumerate(longest):
            store.put(namespace, "k" * 10_000, {"n": n})
            too_long = (*namespace[:-1], namespace[-1] + "yyyyyyyyyy"[: 1 if n else 10])
            for call in _calls(store, too_long):
                with pytest.raises(InvalidNamespaceError, match="1,800 bytes"):
                    call()
        for n, namespace in enumerate(longest):
            assert store.get(namespace, "k" * 10_000).value == {"n": n}
            assert [item.value for item in store.search(namespace)] == [{"n": n}]
            assert [item.value["n"] for item in store.search(namespace[:-1])].count(n) == 1
        assert sorted(store.list_namespaces()) == sorted(longest)

    @needs("strict_addresses", "strict_values")
    def test_a_hundred_labels_and_large_items(self, store: Caller) -> None:
        """A hundred labels, a key, a label and a text of 10 MB: all are kept, found, and erased."""
        deep = tuple(str(n) for n in range(100))
        store.put(deep, "k", {"n": 1})
        store.put(("x" * _HUGE,), "k", {"n": 2})
        store.put(("long",), "k" * _HUGE, {"text": "tea " * (_HUGE // 4)})
        assert store.get(deep, "k").value == {"n": 1}
        assert [item.key for item in store.search(deep[:50])] == ["k"]
        assert store.get(("x" * _HUGE,), "k").value == {"n": 2}
        assert store.get(("x" * (_HUGE - 1),), "k") is None
        (item,) = store.search(("long",))
        assert (len(item.key), len(item.value["text"])) == (_HUGE, _HUGE)
        for one in store.search(()):
            store.delete(one.namespace, one.key)
        assert store.list_namespaces() == []

    @needs("strict_values")
    @pytest.mark.parametrize("levels", [201, 10_000, 200_000])
    def test_values_nested_beyond_measure_are_refused(self, store: Caller, levels: int) -> None:
        """Objects and lists alike, without an end to Python's own stack."""
        for value in (
            {"a": _nested(levels, lambda inner: [inner], 1)},
            _nested(levels, lambda inner: {"a": inner}, {}),
        ):
            with pytest.raises(InvalidValueError, match="200 levels"):
                store.put(("v",), "k", value)
        assert store.search(()) == []

    @needs("strict_limits", "modes", "keywords")
    def test_numbers_beyond_measure(self, open_store: OpenStore) -> None:
        """Numbers of ten thousand digits, and such as are none, are refused or mean what they say."""
        store = open_store(index={"fields": ["text"]})
        store.put(("n",), "k", {"text": "tea"})
        huge = 10**10_000
        for settings_ in ({"limit": -huge}, {"offset": -huge}, {"limit": float("nan")}):
            with pytest.raises(InvalidArgumentError) as caught:
                store.search(("n",), **settings_)
            assert len(str(caught.value)) < 1_000
        with pytest.raises(InvalidArgumentError, match="min_score"):
            store.search(("n",), query="tea", min_score=float("nan"))
        assert len(store.search(("n",), query="tea", limit=huge)) == 1
        assert store.search(("n",), query="tea", offset=huge) == []
        assert store.search(("n",), query="tea", min_score=huge) == []
        assert len(store.search(("n",), query="tea", min_score=-huge)) == 1
        with pytest.raises(InvalidValueError):
            store.put(("n",), "k", {"n": huge})


def _outcome(store: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Return what a call returns, as text, or the kind of error it raises."""
    try:
        found = getattr(store, name)(*args, **kwargs)
    except Exception as error:
        return type(error).__name__
    return _said(found)


def _said(found: Any) -> Any:
    if isinstance(found, list):
        return [_said(one) for one in found if one != _GUARD[0] and getattr(one, "namespace", None) != _GUARD[0]]
    if hasattr(found, "updated_at"):
        return [repr(found.namespace), repr(found.key), sorted(map(repr, found.value.items()))]
    return repr(found)

"""Isolation: whatever namespaces are called, no operation on one reaches another's items. A property, not examples.

What is expected comes from tuples of labels alone, compared label by label; no form in which an engine keeps them.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.store.base import GetOp, PutOp, SearchOp

from crossthread.testing import strategies
from crossthread.testing.clock import ManualClock
from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import Caller, OpenStore, SuiteBase, index_of, needs

Namespace = tuple[str, ...]

_DIMS = 16
_TTL_MINUTES = 10
_TEXT = "green tea"  # the same everywhere: an engine that looks for words or vectors finds all of them
_KEYS = ["k", "", "a", "b.k", ".", "a.k", "%"]
_MODES: list[str | None] = [None, "semantic", "keyword", "hybrid"]
_ACTIONS = ["put", "delete", "forget", "update", "batch", "refresh by get", "refresh by search", "expire and sweep"]

Actions = list[tuple[str, int, str]]


def _actions() -> st.SearchStrategy[Actions]:
    """What happens, to which of the namespaces or of those above them, and to which key."""
    one = st.tuples(st.sampled_from(_ACTIONS), st.integers(0, 50), st.sampled_from(_KEYS))
    return st.lists(one, min_size=1, max_size=5)


class Isolation(SuiteBase):
    """Nobody is given, counted, renewed or erased what is another's."""

    isolation_examples = 15
    """How many sets of namespaces are tried."""

    @needs("extras", "keywords", "ttl", "clock", "strict_addresses", "filters", "any_loop")
    def test_no_operation_on_one_namespace_reaches_another(self, open_store: OpenStore, clock: ManualClock) -> None:
        """Random sets of namespaces that are easily taken for each other, and random operations on them."""
        store = open_store(index=index_of(HashEmbeddings(_DIMS), dims=_DIMS), clock=clock)

        @settings(
            max_examples=self.isolation_examples,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(strategies.lookalikes(), _actions())
        def check(namespaces: list[Namespace], actions: Actions) -> None:
            store.forget(())
            _Watched(store, clock, namespaces).run(actions)

        check()


class _Watched:
    """A store with the same items in each namespace, and a record of what has to be there."""

    def __init__(self, store: Caller, clock: ManualClock, namespaces: list[Namespace]) -> None:
        self.store = store
        self.clock = clock
        self.namespaces = namespaces
        # Those above them, which hold nothing, are looked at and erased as well.
        self.places = sorted({name[:end] for name in namespaces for end in range(1, len(name) + 1)})
        self.expiry: dict[tuple[Namespace, str], int] = {}
        keys = _KEYS[:3]
        store.batch([self._op(namespace, key) for namespace in namespaces for key in keys])
        for namespace in namespaces:
            for key in keys:
                self._lives(namespace, key)

    def run(self, actions: Actions) -> None:
        """Look, and after each action look again."""
        for place in self.places:
            self.look(place)
        for name, number, key in actions:
            place = self.places[number % len(self.places)]
            before = self.everything()
            self.act(name, place, key)
            after = self.everything()
            for address in before.keys() | after.keys():
                if address[0][: len(place)] != place and name != "expire and sweep":
                    assert after.get(address) == before.get(address), f"{name} in {place!r} changed {address!r}"
            assert set(after) == set(self.expiry), f"after {name} in {place!r}"
            self.look(place)
        self.outlive()

    def _op(self, namespace: Namespace, key: str) -> PutOp:
        return PutOp(namespace, key, self.value(namespace, key), ttl=_TTL_MINUTES)

    def _lives(self, namespace: Namespace, key: str) -> None:
        self.expiry[namespace, key] = self.clock.now_us + _TTL_MINUTES * 60_000_000

    @staticmethod
    def value(namespace: Namespace, key: str) -> dict[str, Any]:
        """Return the value of an item, which says whose it is."""
        return {"text": _TEXT, "owner": [label.encode("utf-8", "backslashreplace").hex() for label in namespace]}

    def everything(self) -> dict[tuple[Namespace, str], Any]:
        """Return all that can be seen of all items, without renewing any."""
        found = self.store.search((), limit=10_000, refresh_ttl=False)
        return {(one.namespace, one.key): (one.value, one.created_at, one.updated_at) for one in found}

    def look(self, place: Namespace) -> None:
        """Read below a place in every way, and find what belongs there, all of it and nothing else."""
        store = self.store
        expected = {address for address in self.expiry if address[0][: len(place)] == place}
        for mode in _MODES:
            query = None if mode is None else _TEXT
            for filter_ in (None, {"text": _TEXT}):
                found = store.search(place, query=query, mode=mode, filter=filter_, limit=10_000, refresh_ttl=False)
                assert {(one.namespace, one.key) for one in found} == expected, (place, mode, filter_)
                assert len(found) == len(expected)
                for one in found:
                    assert one.value == self.value(one.namespace, one.key)
            assert len(store.search(place, query=query, mode=mode, limit=2, refresh_ttl=False)) == min(2, len(expected))
        assert store.count(place) == store.count(place, filter={"text": _TEXT}) == len(expected)
        homes = {namespace for namespace, _ in expected}
        listed = store.list_namespaces(prefix=place, limit=10_000)
        if "*" in place:  # special here alone: exactly one label, and any
            assert homes <= set(listed)
            assert all(
                len(name) >= len(place) and all(want in ("*", label) for want, label in zip(place, name, strict=False))
                for name in listed
            )
        else:
            assert listed == sorted(homes)
        got = store.batch([GetOp(place, key, refresh_ttl=False) for key in _KEYS])
        assert [one is not None for one in got] == [(place, key) in expected for key in _KEYS]
        assert all(one is None or one.namespace == place for one in got)

    def act(self, name: str, place: Namespace, key: str) -> None:
        """Do something to a place, and write down what has to come of it."""
        store, clock = self.store, self.clock
        clock.advance(minutes=1)
        self._bury()
        mine = [address for address in self.expiry if address[0][: len(place)] == place]
        match name:
            case "put":
                store.put(place, key, self.value(place, key), ttl=_TTL_MINUTES)
                self._lives(place, key)
            case "delete":
                store.delete(place, key)
                self.expiry.pop((place, key), None)
            case "forget":
                assert store.forget(place) == len(mine)
                for address in mine:
                    del self.expiry[address]
            case "update":
                store.update(place, key, lambda value: value, default=self.value(place, key), ttl=_TTL_MINUTES)
                self._lives(place, key)
            case "batch":
                store.batch(
                    [
                        SearchOp(place, query=_TEXT, limit=10_000, refresh_ttl=True),
                        self._op(place, key),
                        GetOp(place, key),
                    ]
                )
                for address in mine:
                    self._lives(*address)
                self._lives(place, key)
            case "refresh by get":
                store.get(place, key, refresh_ttl=True)
                if (place, key) in self.expiry:
                    self._lives(place, key)
            case "refresh by search":
                mode = _MODES[len(key) % len(_MODES)]
                store.search(place, query=_TEXT, mode=mode, limit=10_000, refresh_ttl=True)
                for address in mine:
                    self._lives(*address)
            case "expire and sweep":
                clock.advance(minutes=4)
                store.sweep_ttl()
                self._bury()
        if not self.expiry:  # somebody has to be left whom the next action could hurt
            for namespace in self.namespaces:
                store.put(namespace, "k", self.value(namespace, "k"), ttl=_TTL_MINUTES)
                self._lives(namespace, "k")

    def _bury(self) -> None:
        self.expiry = {address: end for address, end in self.expiry.items() if end > self.clock.now_us}

    def outlive(self) -> None:
        """See each item go at its own time: nobody's was renewed by what happened to another."""
        for end in sorted(set(self.expiry.values())):
            self.clock.now_us = end - 1
            assert set(self.everything()) == set(self.expiry)
            self.clock.now_us = end
            self._bury()
            assert set(self.everything()) == set(self.expiry)
        self.store.sweep_ttl()
        assert self.store.count() == 0

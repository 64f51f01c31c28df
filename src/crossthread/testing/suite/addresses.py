"""Contract section 1: what a namespace and a key may be, and that they are compared exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    SearchItem,
    SearchOp,
)

from crossthread.testing.suite.harness import Caller, SuiteBase, keys, needs

BAD_NAMESPACES: dict[str, Any] = {
    "empty label": ("a", ""),
    "dot": ("a.b",),
    "NUL": ("a\0b",),
    "number": ("a", 1),
    "None": (None,),
    "bytes": (b"a",),
    "nested": (("a",),),
    "text": "abc",
}
# One more than BAD_NAMESPACES: () is a search prefix, and nothing else.
BAD_HOMES = {**BAD_NAMESPACES, "none at all": ()}

WILD = [
    "%",
    "_",
    "*",
    "?",
    "[",
    "]",
    "[a]",
    "a%",
    "a*",
    "a_",
    "a?",
    "**",
    "%%",
    "\\",
    "\\%",
    "'",
    '"',
    "a'b",
    "--",
    ";",
]
ODD_LABELS = [
    *WILD, " ", " a", "a ", "A", "a/b", "a:b", "a|b", "a,b", "a\nb", "\t", "\x01", "\x1f", "\x7f", "é", "e\u0301", "ß",
    "SS", "日本", "😀", "\u202eab", "\ud800", "\udfff", "null", "None", "true", "0", "-1", "()", "{}", "[]", "a" * 1000,
]  # fmt: skip
ODD_KEYS = [*ODD_LABELS, "", ".", "a.b", "..", "\0", "a\0", "a\0b", "a" * 10_000]


def _ops_in(namespace: Any) -> dict[str, Op]:
    return {
        "get": GetOp(namespace, "k"),
        "put": PutOp(namespace, "k", {"n": 1}),
        "delete": PutOp(namespace, "k", None),
        "search": SearchOp(namespace),
        "list prefix": ListNamespacesOp((MatchCondition("prefix", namespace),)),
        "list suffix": ListNamespacesOp((MatchCondition("suffix", namespace),)),
    }


class Addresses(SuiteBase):
    """Namespaces and keys."""

    def test_an_item_is_found_at_its_address_and_nowhere_else(self, store: Caller) -> None:
        """An item carries its address and its value, and is found under exactly its namespace and key."""
        store.put(("users", "ada"), "k", {"n": 1})
        item = store.get(("users", "ada"), "k")
        assert (item.namespace, item.key, item.value) == (("users", "ada"), "k", {"n": 1})
        for namespace, key in [
            (("users",), "k"),
            (("users", "ada"), "K"),
            (("ada", "users"), "k"),
            (("users", "ada", "x"), "k"),
        ]:
            assert store.get(namespace, key) is None

    @needs("strict_addresses")
    def test_a_list_is_a_namespace_too(self, store: Caller) -> None:
        """A namespace given as a list names the same place as the tuple, and comes back as a tuple."""
        store.put(["users", "ada"], "k", {"n": 1})
        assert store.get(("users", "ada"), "k").namespace == ("users", "ada")
        assert store.get(["users", "ada"], "k").value == {"n": 1}
        (hit,) = store.search(["users"])
        assert hit.namespace == ("users", "ada")
        assert store.list_namespaces(prefix=["users"]) == [("users", "ada")]
        store.delete(["users", "ada"], "k")
        assert store.get(("users", "ada"), "k") is None

    @needs("isolation")
    def test_a_namespace_list_may_change_after_the_call(self, store: Caller) -> None:
        """A namespace list that its owner changes later does not move the item."""
        namespace = ["users", "ada"]
        store.put(namespace, "k", {"n": 1})
        namespace[1] = "bob"
        assert store.search(("users",))[0].namespace == ("users", "ada")

    @needs("strict_addresses")
    @pytest.mark.parametrize("kind", BAD_HOMES)
    def test_a_bad_namespace_is_refused(self, store: Caller, kind: str) -> None:
        """put, get and delete refuse a namespace that is empty, or has a label that is no plain text."""
        calls: list[Callable[[], Any]] = [
            lambda: store.put(BAD_HOMES[kind], "k", {"n": 1}),
            lambda: store.get(BAD_HOMES[kind], "k"),
            lambda: store.delete(BAD_HOMES[kind], "k"),
        ]
        for call in calls:
            with pytest.raises(InvalidNamespaceError):
                call()
        assert store.search(()) == []

    @needs("strict_addresses")
    @pytest.mark.parametrize("kind", BAD_NAMESPACES)
    def test_a_bad_prefix_is_refused(self, store: Caller, kind: str) -> None:
        """Search and list_namespaces refuse the same labels; an empty prefix is the whole store."""
        calls: list[Callable[[], Any]] = [
            lambda: store.search(BAD_NAMESPACES[kind]),
            lambda: store.list_namespaces(prefix=BAD_NAMESPACES[kind]),
            lambda: store.list_namespaces(suffix=BAD_NAMESPACES[kind]),
        ]
        for call in calls:
            with pytest.raises(InvalidNamespaceError):
                call()

    @needs("strict_addresses")
    @pytest.mark.parametrize("kind", BAD_HOMES)
    def test_a_batch_is_validated_before_anything_runs(self, store: Caller, kind: str) -> None:
        """Ops that come through batch are validated as well, before any of them runs."""
        good = PutOp(("good",), "k", {"n": 1})
        for name, op in _ops_in(BAD_HOMES[kind]).items():
            if kind == "none at all" and name in ("search", "list prefix", "list suffix"):
                continue
            with pytest.raises(InvalidNamespaceError):
                store.batch([good, op])
            with pytest.raises(InvalidNamespaceError):
                store.batch([op, good])
        assert store.search(()) == []

    @needs("strict_addresses")
    @pytest.mark.parametrize("op", ["put", GetOp, None, ("users",), 7])
    def test_what_is_no_op_is_refused(self, store: Caller, op: Any) -> None:
        """A batch that holds something else than ops is refused as a whole."""
        with pytest.raises(ValueError, match=r"\w"):
            store.batch([PutOp(("good",), "k", {"n": 1}), op])
        assert store.search(()) == []

    def test_langgraph_keeps_its_own_root(self, store: Caller) -> None:
        """Put refuses the root label "langgraph"; batch, search, get and delete reach it; deeper it is any label."""
        with pytest.raises(InvalidNamespaceError):
            store.put(("langgraph", "x"), "k", {"n": 1})
        store.batch([PutOp(("langgraph", "x"), "k", {"n": 1})])
        assert store.get(("langgraph", "x"), "k").value == {"n": 1}
        assert keys(store.search(("langgraph",))) == ["k"]
        store.delete(("langgraph", "x"), "k")
        assert store.search(("langgraph",)) == []
        store.put(("x", "langgraph"), "k", {"n": 1})
        assert store.get(("x", "langgraph"), "k").value == {"n": 1}

    def test_a_prefix_matches_whole_labels(self, store: Caller) -> None:
        """``("foo",)`` covers itself and what is below, never ``("foobar",)``."""
        for namespace in [
            ("foo",),
            ("foo", "bar"),
            ("foo", "bar", "baz"),
            ("foobar",),
            ("fo",),
            ("bar", "foo"),
            ("Foo",),
        ]:
            store.put(namespace, "/".join(namespace), {"n": 1})
        assert set(keys(store.search(("foo",)))) == {"foo", "foo/bar", "foo/bar/baz"}
        assert set(keys(store.search(("foo", "bar")))) == {"foo/bar", "foo/bar/baz"}
        assert store.search(("foo", "ba")) == []
        assert len(store.search(())) == 7

    @needs("strict_addresses")
    def test_labels_are_compared_exactly(self, store: Caller) -> None:
        """Every label names its own place: no wildcard, no case folding, no separator hidden inside."""
        labels = [*ODD_LABELS, "a", "b", "ab"]
        ops = [PutOp((label,), "k", {"n": n}) for n, label in enumerate(labels)]
        ops += [PutOp(("a", label), "k", {"n": -n}) for n, label in enumerate(labels)]
        store.batch(ops)
        for n, label in enumerate(labels):
            assert store.get((label,), "k").value == {"n": n}
            assert store.get(("a", label), "k").value == {"n": -n}
            found = {hit.namespace for hit in store.search((label,), limit=1000)}
            assert found == {(label,)} | ({("a", below) for below in labels} if label == "a" else set())
            assert [hit.namespace for hit in store.search(("a", label))] == [("a", label)]
        for label in labels:
            store.delete(("a", label), "k")
        assert len(store.search((), limit=1000)) == len(labels)

    @needs("strict_addresses")
    def test_any_string_is_a_key(self, store: Caller) -> None:
        """Every string is a key of its own: the empty one, long ones, with NUL, dots, wildcards or lone surrogates."""
        store.batch([PutOp(("keys",), key, {"n": n}) for n, key in enumerate(ODD_KEYS)])
        for n, key in enumerate(ODD_KEYS):
            item = store.get(("keys",), key)
            assert (item.key, item.value) == (key, {"n": n})
        assert sorted(keys(store.search(("keys",), limit=1000))) == sorted(ODD_KEYS)
        for key in ODD_KEYS[::2]:
            store.delete(("keys",), key)
        assert sorted(keys(store.search(("keys",), limit=1000))) == sorted(ODD_KEYS[1::2])

    def test_other_keys_become_text(self, store: Caller) -> None:
        """BaseStore turns keys that are no strings into strings."""
        store.put(("keys",), 1, {"n": 1})
        assert store.get(("keys",), "1").key == "1"
        assert store.get(("keys",), 1).value == {"n": 1}
        store.delete(("keys",), 1)
        assert store.get(("keys",), "1") is None

    def test_one_key_in_many_namespaces(self, store: Caller) -> None:
        """The same key in two namespaces names two items."""
        store.put(("a",), "k", {"n": 1})
        store.put(("b",), "k", {"n": 2})
        store.delete(("a",), "k")
        assert store.get(("a",), "k") is None
        assert store.get(("b",), "k").value == {"n": 2}

    def test_hits_are_search_items(self, store: Caller) -> None:
        """A search returns SearchItem objects with the item's address, value and times."""
        store.put(("a",), "k", {"n": 1})
        (hit,) = store.search(("a",))
        item = store.get(("a",), "k")
        assert isinstance(hit, SearchItem)
        assert hit.score is None
        assert (hit.namespace, hit.key, hit.value) == (item.namespace, item.key, item.value)
        assert (hit.created_at, hit.updated_at) == (item.created_at, item.updated_at)

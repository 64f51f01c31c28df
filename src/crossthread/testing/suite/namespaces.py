"""Contract section 9: list_namespaces."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.store.base import ListNamespacesOp, MatchCondition, PutOp

from crossthread.testing.suite.harness import Caller, SuiteBase, needs

TREE = [
    ("a",), ("a", "b"), ("a", "b", "c"), ("a", "b", "d", "e"), ("a", "b", "d", "i"), ("a", "c", "f"), ("ab",),
    ("b", "a"), ("users", "ada", "notes"), ("users", "bob", "notes"), ("users", "bob", "prefs"), ("z", "*", "notes"),
]  # fmt: skip


class Namespaces(SuiteBase):
    """Listing namespaces."""

    @pytest.fixture
    def tree(self, store: Caller) -> Caller:
        """A store with an item or two in each namespace of the tree, put in no order."""
        ordered = sorted(TREE, key=lambda namespace: (namespace[-1], len(namespace)))
        store.batch([PutOp(namespace, key, {"n": 1}) for namespace in ordered for key in ("x", "y")])
        return store

    def test_sorted_and_distinct(self, tree: Caller) -> None:
        """Every namespace that holds an item is listed once, in order; those above it are not."""
        assert tree.list_namespaces() == sorted(TREE)

    @pytest.mark.parametrize(
        ("prefix", "suffix", "expected"),
        [
            (("a",), None, [n for n in sorted(TREE) if n[0] == "a"]),
            (("a", "b"), None, [n for n in sorted(TREE) if n[:2] == ("a", "b")]),
            (("a", "b", "d"), None, [("a", "b", "d", "e"), ("a", "b", "d", "i")]),
            (("users", "*", "notes"), None, [("users", "ada", "notes"), ("users", "bob", "notes")]),
            (("*", "b"), None, [n for n in sorted(TREE) if n[1:2] == ("b",)]),
            (("*",), None, sorted(TREE)),
            (("*", "*"), None, [n for n in sorted(TREE) if len(n) >= 2]),
            (("*", "*", "*", "*", "*"), None, []),
            (None, ("notes",), [n for n in sorted(TREE) if n[-1] == "notes"]),
            (None, ("bob", "*"), [("users", "bob", "notes"), ("users", "bob", "prefs")]),
            (None, ("*", "notes"), [n for n in sorted(TREE) if n[-1] == "notes"]),
            (None, ("a",), [("a",), ("b", "a")]),
            (("a",), ("a",), [("a",)]),
            (("users",), ("notes",), [("users", "ada", "notes"), ("users", "bob", "notes")]),
            (("users", "bob"), ("bob", "prefs"), [("users", "bob", "prefs")]),
            (("nowhere",), None, []),
            (("A",), None, []),
            (("us",), None, []),
            ((), (), sorted(TREE)),
        ],
    )
    def test_prefix_and_suffix(self, tree: Caller, prefix: Any, suffix: Any, expected: Any) -> None:
        """Prefix and suffix match whole labels; ``*`` is exactly one label, whatever it holds."""
        assert tree.list_namespaces(prefix=prefix, suffix=suffix) == expected

    def test_other_wildcards_are_ordinary(self, store: Caller) -> None:
        """``*`` alone is special: %, _, ? and brackets are labels, and so is ``*`` inside a longer one."""
        labels = ["%", "_", "?", "[a]", "a*", "**", "a", "ab"]
        store.batch([PutOp(("w", label), "k", {"n": 1}) for label in labels])
        for label in labels:
            assert store.list_namespaces(prefix=("w", label)) == [("w", label)]
            assert store.list_namespaces(suffix=(label,)) == [("w", label)]
        assert store.list_namespaces(prefix=("w", "*")) == sorted(("w", label) for label in labels)

    def test_depth_cuts_before_pages(self, tree: Caller) -> None:
        """max_depth shortens namespaces and removes duplicates before limit and offset count."""
        for depth in range(1, 6):
            cut = sorted({namespace[:depth] for namespace in TREE})
            assert tree.list_namespaces(max_depth=depth) == cut
            assert tree.list_namespaces(max_depth=depth, limit=2, offset=1) == cut[1:3]
        assert tree.list_namespaces(prefix=("a", "b"), max_depth=3) == [("a", "b"), ("a", "b", "c"), ("a", "b", "d")]
        assert tree.list_namespaces(suffix=("notes",), max_depth=1) == [("users",), ("z",)]

    def test_pages(self, tree: Caller) -> None:
        """Limit and offset cut the sorted list; a hundred is the default limit."""
        assert tree.list_namespaces(limit=0) == []
        assert tree.list_namespaces(limit=3, offset=2) == sorted(TREE)[2:5]
        assert tree.list_namespaces(offset=len(TREE)) == []
        assert tree.list_namespaces(limit=10**30, offset=1) == sorted(TREE)[1:]
        tree.batch([PutOp(("many", f"{n:03}"), "k", {"n": n}) for n in range(120)])
        assert tree.list_namespaces(prefix=("many",)) == [("many", f"{n:03}") for n in range(100)]

    @needs("isolation")
    def test_only_namespaces_with_items(self, tree: Caller) -> None:
        """A namespace is gone with its last item."""
        tree.delete(("ab",), "x")
        assert ("ab",) in tree.list_namespaces()
        tree.delete(("ab",), "y")
        tree.delete(("a", "b"), "x")
        tree.delete(("a", "b"), "y")
        assert tree.list_namespaces() == sorted(set(TREE) - {("ab",), ("a", "b")})

    @needs("strict_addresses")
    def test_labels_are_sorted_as_code_points(self, store: Caller) -> None:
        """The order is that of Python's tuples of strings, also where a separator or UTF-16 would give another."""
        names = [
            ("a",), ("a", "b"), ("a ",), ("a!",), ("a\x01",), ("a-b",), ("a/b",), ("B",), ("é",), ("e\u0301",),
            ("\uffff",), ("😀",), ("a", "\x01"), ("aa",), ("\x01",), ("a", "😀"), ("a", "\uffff"), ("\ud800",),
            ("1", "2"), ("10",), ("9",),
        ]  # fmt: skip
        store.batch([PutOp(name, "k", {"n": 1}) for name in names])
        assert store.list_namespaces() == sorted(names)

    @needs("strict_limits")
    @pytest.mark.parametrize(
        "settings",
        [
            {"limit": -1},
            {"offset": -1},
            {"limit": 1.5},
            {"limit": None},
            {"offset": "1"},
            {"max_depth": 0},
            {"max_depth": -1},
        ],
        ids=repr,
    )
    def test_numbers_that_make_no_sense(self, store: Caller, settings: dict[str, Any]) -> None:
        """Limits and offsets below 0, depths below 1 and what is no whole number raise ValueError."""
        with pytest.raises(ValueError, match=next(iter(settings))):
            store.list_namespaces(**settings)
        with pytest.raises(ValueError, match=next(iter(settings))):
            store.batch([ListNamespacesOp(**settings)])

    def test_several_conditions_through_batch(self, tree: Caller) -> None:
        """All match conditions of an op must hold."""
        conditions = (
            MatchCondition("prefix", ("users",)),
            MatchCondition("prefix", ("*", "bob")),
            MatchCondition("suffix", ("prefs",)),
        )
        assert tree.batch([ListNamespacesOp(conditions)]) == [[("users", "bob", "prefs")]]
        assert tree.batch([ListNamespacesOp(None)]) == [sorted(TREE)]

    @needs("strict_limits")
    def test_an_unknown_kind_of_match_is_refused(self, store: Caller) -> None:
        """A match condition is a prefix or a suffix."""
        with pytest.raises(ValueError, match="infix"):
            store.batch([ListNamespacesOp((MatchCondition("infix", ("a",)),))])  # type: ignore[arg-type]

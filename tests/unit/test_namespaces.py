"""Namespaces: text form, prefixes, patterns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.store.base import InvalidNamespaceError

from crossthread import namespaces
from crossthread.errors import InvalidArgumentError
from crossthread.namespaces import Pattern

labels = st.text(min_size=1, max_size=5).filter(lambda text: "." not in text and "\x00" not in text)
surrogates = st.text(st.characters(categories=("Cs", "Lu", "Cc")), min_size=1, max_size=4).filter(
    lambda text: "\x00" not in text
)
paths = st.lists(labels | surrogates, min_size=1, max_size=4).map(tuple)


@given(paths)
def test_the_text_form_gives_the_namespace_back(namespace):
    text = namespaces.to_text(namespace)
    assert namespaces.from_text(text) == namespace
    text.encode("utf-8")  # any database can hold it


@given(paths, paths)
def test_a_prefix_covers_exactly_what_begins_with_its_labels(prefix, namespace):
    low, high = namespaces.text_range(namespaces.to_text(prefix))
    inside = low.encode() <= namespaces.to_text(namespace).encode() < high.encode()
    assert inside == (namespace[: len(prefix)] == prefix)


@pytest.mark.parametrize("bad", [(), ("",), ("a.b",), ("a\x00",), (1,), "abc", None, ("a", None), ["x", ""], ("a", [])])
def test_what_is_no_namespace_is_refused(bad):
    with pytest.raises(InvalidNamespaceError):
        namespaces.to_text(bad)


def test_a_list_is_a_namespace_and_the_empty_one_only_where_it_is_allowed():
    assert namespaces.to_text(["a", "b"]) == "a.b."
    assert namespaces.to_text((), empty_allowed=True) == ""


@pytest.mark.parametrize(
    ("labels_", "at_end", "namespace", "expected"),
    [
        (("a",), False, ("a", "b"), True),
        (("a",), False, ("ab",), False),
        (("a", "*"), False, ("a",), False),
        (("a", "*"), False, ("a", "b", "c"), True),
        (("*", "c"), True, ("a", "b", "c"), True),
        (("*", "c"), True, ("c",), False),
        (("c",), True, ("c", "d"), False),
        ((), True, ("c",), True),
    ],
)
def test_patterns_match_whole_labels(labels_, at_end, namespace, expected):
    assert Pattern(labels_, at_end).matches(namespace) is expected


def test_the_literal_prefix_stops_at_the_first_wildcard():
    patterns = [Pattern(("a", "b", "*", "d"), False), Pattern(("x",), True), Pattern(("a",), False)]
    assert namespaces.literal_prefix(patterns) == "a.b."
    assert namespaces.literal_prefix([Pattern(("*",), False)]) == ""


def test_listing_cuts_then_removes_duplicates_then_pages():
    names = [("a", "b", "c"), ("a", "b", "d"), ("a", "e"), ("f",)]
    assert namespaces.listed(names, [], 2, 2, 1) == [("a", "e"), ("f",)]


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2", True])
def test_a_depth_that_makes_no_sense_is_refused(bad):
    with pytest.raises(InvalidArgumentError, match="max_depth"):
        namespaces.checked_depth(bad)

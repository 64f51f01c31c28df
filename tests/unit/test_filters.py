"""Filters: how they are parsed, what they mean, and that the SQL of the embedded engine never narrows too much."""

import datetime
import json
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossthread.engines.narrowing import ANY, narrowing
from crossthread.engines.sqlite.queries import DIALECT
from crossthread.errors import InvalidFilterError
from crossthread.filters.match import matches
from crossthread.filters.parse import parse_filter

ITEM = {
    "color": "red",
    "n": 3,
    "x": 1.0,
    "flag": True,
    "none": None,
    "tags": ["a", "b"],
    "user": {"plan": "pro", "age": 40, "tags": [1, {"k": 2}]},
    "user.name": "literal",
    "a": {"b": {"c": 1}},
    "a.b": {"d": 2},
}


def found(filter_, item=ITEM):
    node = parse_filter(filter_)
    return node is None or matches(node, item)


@pytest.mark.parametrize(
    "filter_",
    [
        {},
        None,
        {"color": "red"},
        {"n": 3.0},
        {"x": 1},
        {"flag": True},
        {"none": None},
        {"missing": None},
        {"user": {"plan": "pro"}},
        {"user": {}},
        {"user": {"other": None}},
        {"user": {"age": {"$gt": 39, "$lt": 41}}},
        {"tags": ["a", "b"]},
        {"user.plan": "pro"},
        {"user.name": "literal"},
        {"a.b.c": 1},
        {"a.b.d": 2},
        {"user.tags": [1, {"k": 2}]},
        {"n": {"$ne": True}},
        {"flag": {"$ne": 1}},
        {"missing": {"$ne": 3}},
        {"n": {"$gte": 3, "$lte": 3}},
        {"color": {"$gt": "r", "$lt": "s"}},
        {"color": {"$in": ["blue", "red"]}},
        {"missing": {"$in": [None]}},
        {"color": {"$nin": ["blue"]}},
        {"color": {"$nin": []}},
        {"none": {"$exists": True}},
        {"missing": {"$exists": False}},
        {"tags": {"$contains": "a"}},
        {"color": {"$contains": "ed"}},
        {"user.tags": {"$contains": {"k": 2}}},
        {"$or": [{"n": 9}, {"n": 3}]},
        {"$and": []},
        {"$not": {"n": 9}},
        {"n": {"$not": {"$gt": 5}}},
        {"user": {"$not": {"plan": "free"}}},
        {"user": {"$eq": {"plan": "pro"}}},
        {"n": {"$lt": float("inf")}},
        {"n": {"$gt": float("-inf")}},
        {"n": {"$ne": float("nan")}},
        {"n": {"$ne": 2**70}},
        {"n": {"$lt": 2**70}},
        {"color": {"$ne": "a\x00"}},
    ],
)
def test_matches(filter_):
    assert found(filter_)


@pytest.mark.parametrize(
    "filter_",
    [
        {"color": "RED"},
        {"n": True},
        {"flag": 1},
        {"n": "3"},
        {"none": 0},
        {"user": {"plan": "free"}},
        {"color": {}},
        {"missing": {}},
        {"tags": ["b", "a"]},
        {"tags": ["a"]},
        {"user.tags": [1, {}]},
        {"user.name": "Ada"},
        {"n": {"$ne": 3}},
        {"none": {"$ne": None}},
        {"n": {"$gt": "a"}},
        {"n": {"$gt": None}},
        {"missing": {"$gt": 0}},
        {"missing": {"$lte": 0}},
        {"flag": {"$gt": 0}},
        {"color": {"$gt": "red"}},
        {"color": {"$in": []}},
        {"missing": {"$nin": [None]}},
        {"none": {"$exists": False}},
        {"tags": {"$contains": ["a"]}},
        {"user.tags": {"$contains": {}}},
        {"n": {"$contains": 3}},
        {"$or": []},
        {"$not": {}},
        {"n": float("nan")},
        {"n": {"$gt": float("nan")}},
        {"n": {"$gt": float("inf")}},
        {"tags.0": "a"},
    ],
)
def test_does_not_match(filter_):
    assert not found(filter_)


@pytest.mark.parametrize(
    ("filter_", "message"),
    [
        ({"n": {"$foo": 1}}, r"\$foo"),
        ({"$foo": []}, r"\$foo"),
        ({"n": {"$and": [{"x": 1}]}}, r"\$and"),
        ({"$and": {"a": 1}}, r"\$and takes a list"),
        ({"$or": "x"}, r"\$or takes a list"),
        ({"$and": [1]}, "A filter is a dict"),
        ({"$not": [1]}, "A filter is a dict"),
        ({"n": {"$in": 3}}, r"\$in takes a list"),
        ({"n": {"$in": "abc"}}, r"\$in takes a list"),
        ({"n": {"$exists": 1}}, r"\$exists"),
        ({"n": {"$not": 3}}, r"\$not"),
        ({"n": {"$gt": 1, "x": 2}}, "mixed"),
        ({"": 1}, "Invalid filter key: ''"),
        ({"a.": 1}, "Invalid filter key: 'a.'"),
        ({".a": 1}, "Invalid filter key"),
        ({"a..b": 1}, "Invalid filter key"),
        ({"u": {"a..b": 1}}, "Invalid filter key"),
        ({3: 1}, "Invalid filter key: 3"),
        ({"n": datetime.datetime.min}, "not a JSON value"),
        ({"n": {"$in": [{1}]}}, "not a JSON value"),
        ([("n", 1)], "A filter is a dict"),
        ("n", "A filter is a dict"),
    ],
)
def test_what_makes_no_sense_is_refused(filter_, message):
    with pytest.raises(InvalidFilterError, match=message):
        parse_filter(filter_)


@pytest.mark.parametrize("word", ["$not", "deep"])
def test_a_filter_nested_without_end_is_refused(word):
    filter_ = {"n": 1}
    for _ in range(10_000):
        filter_ = {word: filter_}
    with pytest.raises(InvalidFilterError, match="nested deeper"):
        parse_filter(filter_)


def test_what_the_caller_does_to_a_filter_afterwards_changes_nothing():
    tags = ["a", "b"]
    node = parse_filter({"tags": tags})
    tags.append("c")
    assert matches(node, ITEM)


numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-2, 2)
scalars = st.none() | st.booleans() | numbers | st.sampled_from(["", "a", "b", "é", "'", '"', "[1]", "\U0001f600"])
keys = st.sampled_from(["a", "b", "a.b", 'q"', "it's", "back\\slash", "é", "$dollar"])
items = st.dictionaries(
    keys, st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=2))
)
field_names = st.sampled_from(["a", "b", "a.b", "a.b.a", 'q"', "it's", "back\\slash", "é"])
operators = st.one_of(
    scalars,
    st.dictionaries(st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), scalars, min_size=1, max_size=2),
    st.builds(lambda values: {"$in": values}, st.lists(scalars, max_size=3)),
    st.builds(lambda operand: {"$not": {"$eq": operand}}, scalars),
)
filters = st.recursive(
    st.dictionaries(field_names, operators, max_size=2),
    lambda inner: (
        st.builds(lambda word, parts: {word: parts}, st.sampled_from(["$and", "$or"]), st.lists(inner))
        | st.builds(lambda part: {"$not": part}, inner)
    ),
    max_leaves=4,
)


@given(items, filters)
def test_sql_never_hides_an_item_that_matches(item, filter_):
    node = parse_filter(filter_)
    sql, parameters = narrowing(node, DIALECT)
    if node is None or matches(node, item):
        with_item = sqlite3.connect(":memory:")
        query = f"SELECT {sql} FROM (SELECT ? AS value)"
        value = json.dumps(item, ensure_ascii=False)
        # The placeholders of the condition stand before that of the value.
        assert with_item.execute(query, (*parameters, value)).fetchone()[0] == 1
        with_item.close()


def test_sql_narrows_where_it_can():
    for filter_ in (
        {"kind": "note"},
        {"a.b": {"$gt": 3}},
        {"$or": [{"a": 1}, {"b": True}]},
        {"k": {"$in": ["x", "y"]}},
    ):
        assert narrowing(parse_filter(filter_), DIALECT) != ANY

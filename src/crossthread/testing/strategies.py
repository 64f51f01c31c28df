"""Hypothesis strategies for what a store is given: addresses, values, filters and texts, ordinary and hostile.

The alphabets are small on purpose: random steps must often meet the same item, and random filters often match.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

FIELDS = ["a", "b", "a.b", "o", "text"]
"""The keys of generated objects; a literal dotted one is among them."""

PATHS = [*FIELDS, "o.a", "o.b", "o.a.b", "o.o.a", "a.b.a", "missing", "o.missing"]
"""The keys of generated filters."""

HOSTILE = [
    "%",
    "_",
    "*",
    "?",
    "[a]",
    "'",
    '"',
    "\\",
    "--",
    "a b",
    "é",
    "e\u0301",
    "😀",
    "\uffff",
    "A",
    "ab",
    "\x01",
    "-1",
    "0",
]
"""Strings that a careless engine takes for something else."""

_WORDS = ["green", "tea", "old", "trains", "red", "roses", "Bob", "likes", "winter"]


def labels() -> st.SearchStrategy[str]:
    """Labels of namespaces, few of them."""
    return st.one_of(st.sampled_from(["a", "b", "users"]), st.sampled_from(["a", "b", *HOSTILE, "\ud800"]))


def namespaces(*, min_size: int = 1) -> st.SearchStrategy[tuple[str, ...]]:
    """Namespaces of up to three labels; with ``min_size=0`` prefixes for a search."""
    return st.lists(labels(), min_size=min_size, max_size=3).map(tuple)


def keys() -> st.SearchStrategy[str]:
    """Keys, few of them."""
    return st.one_of(st.sampled_from(["k", "l", "m"]), st.sampled_from(["", ".", "a.b", "\0", "\ud800", *HOSTILE]))


def scalars() -> st.SearchStrategy[Any]:
    """Values of JSON that hold no other, often equal, or equal but for their type."""
    return st.one_of(
        st.sampled_from([0, 1, 2, -1, 1.0, 0.5, -0.0, True, False, None, "", "a", "1", "ab", "A", 10, "10", 9, "9"]),
        st.sampled_from([2**53, 2**53 + 1, 2.0**53, 2**63 - 1, -(2**63), 2.0**63, 1e300, 5e-324]),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(HOSTILE),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
    )


def json_values(*, max_leaves: int = 6) -> st.SearchStrategy[Any]:
    """Values of JSON: scalars, lists and objects of them."""
    return st.recursive(
        scalars(),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3)
        ),
        max_leaves=max_leaves,
    )


def texts() -> st.SearchStrategy[str]:
    """Short texts of few words, so that equal and similar ones are common."""
    return st.lists(st.sampled_from(_WORDS), min_size=1, max_size=3).map(" ".join)


def values() -> st.SearchStrategy[dict[str, Any]]:
    """Values of items, many of them with a field ``text``, and some with a list ``notes`` of texts."""
    plain = st.dictionaries(st.sampled_from(FIELDS), json_values(), max_size=3)
    told = st.fixed_dictionaries({"text": st.one_of(texts(), texts(), st.sampled_from(["", " ", None]))})
    noted = st.fixed_dictionaries({"notes": st.lists(texts(), max_size=3)})
    return st.tuples(plain, st.one_of(told, told, noted, st.just({}))).map(lambda parts: {**parts[0], **parts[1]})


def operands() -> st.SearchStrategy[Any]:
    """What a field can be compared with, such as no value can equal among it."""
    odd = [float("inf"), float("-inf"), float("nan"), 2**64, -(2**70), "a\0", "\ud800"]
    return st.one_of(scalars(), scalars(), st.lists(scalars(), max_size=2), st.sampled_from(odd))


def _conditions() -> st.SearchStrategy[Any]:
    simple = st.one_of(
        operands(),
        st.builds(lambda word, operand: {word: operand}, st.sampled_from(["$eq", "$ne", "$contains"]), operands()),
        st.builds(lambda word, operand: {word: operand}, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), scalars()),
        st.builds(lambda low, high: {"$gte": low, "$lt": high}, scalars(), scalars()),
        st.builds(
            lambda word, listed: {word: listed}, st.sampled_from(["$in", "$nin"]), st.lists(operands(), max_size=3)
        ),
        st.booleans().map(lambda present: {"$exists": present}),
    )
    return st.recursive(
        simple,
        lambda inner: st.one_of(
            st.dictionaries(st.sampled_from(["a", "b", "o"]), inner, min_size=1, max_size=2),
            inner.filter(_is_operators).map(lambda operators: {"$not": operators}),
        ),
        max_leaves=3,
    )


def _is_operators(condition: Any) -> bool:
    return isinstance(condition, dict) and all(key.startswith("$") for key in condition)


def filters() -> st.SearchStrategy[dict[str, Any]]:
    """Valid filters over the fields of `values`."""
    fields = st.dictionaries(st.sampled_from(PATHS), _conditions(), min_size=1, max_size=2)
    return st.recursive(
        fields,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda all_: {"$and": all_}),
            st.lists(inner, min_size=1, max_size=3).map(lambda any_: {"$or": any_}),
            inner.map(lambda one: {"$not": one}),
        ),
        max_leaves=3,
    )


LOOKALIKES = [
    ["a", "ab", "abc", "a ", " a", "a-", "a+", "a/", "a!", "a0"],
    ["ada", "Ada", "ADA", "ad\u00e1", "ada\u0301", "\uff41da", "\u0430da", "ada\u200b", "\u202eada"],
    ["%", "_", "*", "**", "?", "[a]", "[", "]", "a%", "a_", "a*", "a?", "\\", "\\%", "\\_", "/", "-", "a\\"],
    ["'", '"', "''", '"" OR 1', "--", ";", "a'b", "$1", ":a", "?1", "%s", "{0}", "NULL", "null"],
    ["\x1a", "\x1a0000", "\x1a001a", "\ud800", "\x1ad800", "\udfff", "\uffff", "\U0010ffff", "\x01", "\x7f"],
    [
        "\u00df",
        "ss",
        "SS",
        "\u1e9e",
        "\u0131",
        "i",
        "I",
        "\u0130",
        "\ufb01",
        "fi",
        "\u00e9",
        "e\u0301",
        "\u00ea",
        "\u00e8",
    ],
    ["1", "01", "1e0", "+1", "-1", "\uff11", "\u0661", "true", "True", "None"],
]
"""Families of labels that are easily taken for each other: by their beginning, their case, as patterns or as code."""


def lookalikes() -> st.SearchStrategy[list[tuple[str, ...]]]:
    """Sets of two to six namespaces, most of whose labels are of one family."""
    return st.sampled_from(LOOKALIKES).flatmap(
        lambda family: st.lists(
            st.lists(st.one_of(st.sampled_from(family), st.sampled_from(family), labels()), min_size=1, max_size=3).map(
                tuple
            ),
            min_size=2,
            max_size=6,
            unique=True,
        )
    )


def ttls() -> st.SearchStrategy[float | None]:
    """Times to live, in minutes, that the clock of a random walk passes."""
    return st.sampled_from([None, None, 0, 0.5, 1, 3, 10])


_SYNTAX = [
    "'; DROP TABLE crossthread_items; --",
    "' OR '1'='1",
    '" OR ""="',
    "\\' OR 1=1 --",
    ") UNION SELECT * FROM items --",
    "tea*",
    '"tea',
    "tea OR NOT (",
    "NEAR(tea guard)",
    "terms:tea",
    "tea:*",
    "tea <-> guard",
    "!tea & |",
    "%s %(a)s {0}",
    "$1 ?1 :a",
    "$",
    "$..*",
    "$[*]",
    '$."a"',
    "a[0]",
    "\x00",
    "tea\x00",
    "\ud800",
    "\udfff\ud800",
    "\u202eaet",
    "\u2066tea\u2069",
    "\ufeff",
    "\U0010ffff",
    "\x1a0000",
    "NaN",
    "Infinity",
    "-0",
    "1e999",
    "null",
    "__proto__",
    "\r\n",
    "\x1b[2J",
    "tea" * 2_000,
]
"""Texts in which somebody may find syntax: of SQL, FTS5, tsquery, LIKE, JSON paths, formats."""


def hostile_texts() -> st.SearchStrategy[str]:
    """Any text, with surrogates and NUL, and texts that look like syntax."""
    return st.one_of(st.sampled_from(_SYNTAX), st.sampled_from(_SYNTAX), st.text(max_size=8), texts())


def hostile_values() -> st.SearchStrategy[Any]:
    """What somebody may put, JSON or not."""
    odd = st.sampled_from([float("nan"), float("inf"), 2**63, -(2**63) - 1, b"x", (1,), {1}, 1j, object, {1: 2}])
    inner = st.one_of(scalars(), hostile_texts(), hostile_texts(), odd)
    some = st.recursive(
        inner,
        lambda one: st.one_of(st.lists(one, max_size=2), st.dictionaries(hostile_texts(), one, max_size=2)),
        max_leaves=4,
    )
    told = st.dictionaries(hostile_texts(), st.one_of(scalars(), hostile_texts()), max_size=3)
    text = st.fixed_dictionaries({"text": st.one_of(hostile_texts(), texts())})
    return st.one_of(text, text, told, st.dictionaries(st.one_of(st.sampled_from(FIELDS), hostile_texts()), some), some)


def hostile_filters() -> st.SearchStrategy[Any]:
    """What somebody may filter by, mostly of the right shape, with any keys and operands."""
    words = [
        "$eq",
        "$ne",
        "$gt",
        "$lte",
        "$in",
        "$nin",
        "$exists",
        "$contains",
        "$not",
        "$and",
        "$or",
        "$where",
        "$",
        "$regex",
    ]
    keys_ = st.one_of(
        st.sampled_from(PATHS), hostile_texts(), st.sampled_from(words), st.sampled_from(["", ".", "a..b", 1])
    )
    leaf: st.SearchStrategy[Any] = st.one_of(
        operands(), hostile_texts(), st.sampled_from([{}, [], (), b"x", {1}, object, None])
    )
    return st.recursive(
        st.one_of(filters(), st.dictionaries(keys_, leaf, min_size=1, max_size=2), leaf),
        lambda inner: st.one_of(
            st.dictionaries(keys_, inner, min_size=1, max_size=2),
            st.lists(inner, max_size=2),
            st.builds(lambda word, all_: {word: all_}, st.sampled_from(["$and", "$or"]), st.lists(inner, max_size=2)),
        ),
        max_leaves=4,
    )


def hostile_namespaces() -> st.SearchStrategy[Any]:
    """Namespaces of any labels below ``a``, and what is none."""
    some = st.lists(st.one_of(hostile_texts(), labels()), max_size=3).map(lambda more: ("a", *more))
    return st.one_of(
        some, some, some, st.sampled_from([(), "a", ("",), ("a.b",), (1,), (None,), None, ("a",) * 101, ["a"]])
    )


def hostile_calls() -> st.SearchStrategy[tuple[Any, ...]]:
    """Calls of a store: a method, its positional arguments, and a dict of the others."""
    where, key, value, filter_ = hostile_namespaces(), hostile_texts(), hostile_values(), hostile_filters()
    query = st.one_of(st.none(), hostile_texts(), hostile_texts(), st.sampled_from([1, b"tea"]))
    count = st.sampled_from([0, 1, 5, 10, 100, 2**70, -1, None, 1.5, True, "1"])
    paths = st.one_of(st.none(), st.lists(hostile_texts(), max_size=2), st.sampled_from([False, [], "text", [1]]))
    nothing: st.SearchStrategy[Any] = st.just({})
    return st.one_of(
        st.tuples(st.just("put"), where, key, value, st.builds(lambda paths: {"index": paths}, paths)),
        st.tuples(st.just("put"), where, key, value, nothing),
        st.tuples(st.just("get"), where, key, nothing),
        st.tuples(st.just("delete"), where, key, nothing),
        st.tuples(
            st.just("count"), where.filter(lambda name: name != ()), st.builds(lambda one: {"filter": one}, filter_)
        ),
        st.tuples(
            st.just("search"),
            where.filter(lambda name: name != ()),
            st.fixed_dictionaries({}, optional={"query": query, "filter": filter_, "limit": count, "offset": count}),
        ),
        st.tuples(
            st.just("list_namespaces"),
            st.fixed_dictionaries({}, optional={"prefix": where, "suffix": where, "limit": count, "max_depth": count}),
        ),
        st.tuples(
            st.just("update"),
            where,
            key,
            value.map(lambda new: lambda _: new),
            st.just({"default": {}}),
        ),
    )

"""How texts, values and times are written: every character shows, nothing acts."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossthread.records import Record
from crossthread.testing.strategies import values
from crossthread.ui import shown
from crossthread.ui.picture import projected
from crossthread.ui.tree import PAGE, Tree

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@given(st.text(max_size=200))
def test_a_text_becomes_html_that_has_all_of_it(text):
    html = str(shown.visible(text))
    assert html.startswith("<bdi>")
    assert html.endswith("</bdi>")
    inside = re.sub(
        r'<span class="odd" title="[^"<>]*">U\+([0-9A-F]+)</span>', lambda m: chr(int(m[1], 16)), html[5:-6]
    )
    assert "<" not in inside
    assert ">" not in inside
    assert re.sub(r"&(amp|lt|gt|#34|#39);", lambda m: unescape(m[0]), inside) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u202eb", "U+202E"),
        ("\u2066x\u2069", "U+2066"),
        ("a\u200bb", "U+200B"),
        ("\U000e0041", "U+E0041"),
        ("\x1b[31m", "U+001B"),
        ("\u00a0", "U+00A0"),
        ("a\u200db", "U+200D"),
        ("x\ufe0f\ufe0e", "U+FE0E"),
        ("\ufeff", "U+FEFF"),
        ("\u3164", "U+3164"),
    ],
)
def test_what_cannot_be_seen_is_named(text, expected):
    assert expected in shown.visible(text)
    assert not set(shown.plain(text)) & set("\u202e\u2066\u200b\U000e0041\x1b\ufeff")


@pytest.mark.parametrize(
    "text", ["👨\u200d👩\u200d👧", "می\u200cخو", "❤\ufe0f", "naïve 日本語 עברית", "a\n\tb", "1\ufe0f\u20e3"]
)
def test_what_belongs_to_writing_stays(text):
    assert shown.visible(text) == f"<bdi>{text}</bdi>"


def test_a_long_text_is_cut_and_says_so():
    assert "990 more characters" in shown.visible("x" * 1000, 10)
    assert len(shown.visible("<" * 10_000_000, 100)) < 1000


@given(values())
def test_an_outline_has_a_line_for_each_part(value):
    def parts(node):
        if isinstance(node, dict):
            return sum(1 + parts(child) for child in node.values())
        return sum(1 + parts(child) for child in node) if isinstance(node, list) else 0

    lines = shown.outline(value, most=10_000)
    assert len(lines) == parts(value)
    main, others = shown.summary(value)
    assert len(others) == len(value) - bool(main)


def test_an_outline_of_a_deep_value_needs_no_recursion():
    value = {"a": 1}
    for _ in range(5000):
        value = {"a": value}
    assert len(shown.outline(value, most=100)) == 101
    assert shown.outline(value, most=6000)[-1].depth == 5000


@pytest.mark.parametrize(
    ("value", "main"),
    [
        ({"kind": "a longer text than the other", "text": "x"}, "x"),
        ({"a": "short", "b": "the longest text"}, "the longest text"),
        ({"n": 1}, ""),
        ({"text": "", "note": "n"}, "n"),
        ({"text": {"no": "text"}, "content": "c"}, "c"),
    ],
)
def test_the_main_text_is_the_one_that_says_most(value, main):
    assert shown.summary(value)[0] == main


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "just now"),
        (1, "1 second ago"),
        (59.9, "59 seconds ago"),
        (60, "1 minute ago"),
        (7200, "2 hours ago"),
        (86_400 * 12, "12 days ago"),
        (86_400 * 90, "90 days ago"),
        (86_400 * 200, "6 months ago"),
        (86_400 * 400, "1 year ago"),
        (-90, "in 1 minute"),
        (-86_400 * 3, "in 3 days"),
    ],
)
def test_times_in_words(seconds, words):
    assert shown.ago(NOW - timedelta(seconds=seconds), NOW) == words


def test_exact_times():
    assert shown.exact(NOW) == "2026-03-02 09:30:00 UTC"
    assert shown.exact(NOW.replace(microsecond=1200)) == "2026-03-02 09:30:00.0012 UTC"


# The picture


def record_of(vectors):
    return Record(namespace=("a",), key="k", value={}, created_at=NOW, updated_at=NOW, vectors=vectors)


@pytest.mark.parametrize(("number", "dims"), [(3, 2), (40, 300), (400, 64), (5, 1), (3, 700)])
def test_places_are_the_principal_components(number, dims):
    rng = np.random.default_rng(number)
    # A cloud that is longer in two directions than in the others, as such clouds are.
    cloud = rng.standard_normal((number, dims)) * np.linspace(1, 2, dims) ** 0.5
    cloud[:, 0] *= 6
    cloud[:, -1] *= 3
    cloud = cloud.astype(np.float32)
    records = [record_of(row.reshape(1, -1)) for row in cloud]
    places, share = projected(records)
    centred = cloud.astype(np.float64) - cloud.mean(axis=0, dtype=np.float64)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    assert share == pytest.approx((sizes[:2] ** 2).sum() / (sizes**2).sum(), rel=0.01)
    exact = centred @ directions[:2].T
    for axis in range(min(2, dims)):
        assert abs(np.corrcoef(places[:, axis], exact[:, axis])[0, 1]) > 0.999
    assert places.min() >= 0
    assert (places <= [1000, 560]).all()


def test_an_item_of_several_texts_lies_at_their_mean():
    vectors = [[[0.0, 0.0]], [[10.0, 0.0]], [[0.0, 4.0]], [[10.0, 4.0]], [[0.0, 0.0], [10.0, 4.0]]]
    records = [record_of(np.array(rows)) for rows in vectors]
    places, share = projected(records)
    assert places[4] == pytest.approx([500, 280], abs=0.01)
    assert share == pytest.approx(1.0)


# The tree


def test_a_tree_adds_up():
    tree = Tree([(("a",), 2, 0), (("a", "b"), 3, 1), (("c", "d", "e"), 4, 0)])
    assert tree.root.total == 9
    assert tree.root.namespaces == 3
    assert [(row.kind, row.node.namespace, row.node.total) for row in tree.rows(("a",))] == [
        ("node", ("a",), 5),
        ("down", ("a",), 5),
        ("node", ("a", "b"), 3),
        ("up", ("a",), 5),
        ("node", ("c",), 4),
    ]
    assert tree.find(("c", "d")).items == 0
    assert tree.find(("x", "y")) is None
    assert [node.namespace for node in tree.with_labels({"b", "d"}, 5)] == [("a", "b"), ("c", "d")]


def test_a_tree_of_a_hundred_labels_opens():
    deep = tuple("x" * 100)
    rows = Tree([(deep, 1, 0)]).rows(deep)
    assert sum(row.kind == "node" for row in rows) == 100
    assert sum(row.kind == "down" for row in rows) == sum(row.kind == "up" for row in rows) == 100


def test_a_wide_level_comes_in_parts_and_always_shows_the_way():
    tree = Tree([((f"n{number:04}",), 1, 0) for number in range(1000)])
    rows = tree.rows(("n0900",))
    assert [row.node.namespace[0] for row in rows[PAGE:-1] if row.kind == "node"] == ["n0900"]
    seen, offset = [], 0
    while True:
        level = tree.level((), offset)
        seen += [row.node.namespace[0] for row in level if row.kind == "node"]
        if level[-1].kind != "more":
            break
        offset = level[-1].offset
    assert seen == [f"n{number:04}" for number in range(1000)]

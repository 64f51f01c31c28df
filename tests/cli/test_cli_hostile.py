"""What a store holds may be hostile: a terminal is never driven by it, and machines get it exactly."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossthread import MemoryStore
from crossthread.cli import showing

HOSTILE = (
    "\x1b[2J\x1b]0;title\x07\x1b]8;;http://evil\x1b\\click\x9b31m\r\n\tline\x00\x7f\x85\u2028\u2029"
    "\u202eevil\u202c\u2066x\u2069\u200f\u061c\ufeff\u200b\U000e0041[bold red]markup[/] :smile: \\x1b"
)
LABEL = HOSTILE.replace("\x00", "").replace(".", "")
VALUE = HOSTILE.replace("\x00", "")


def is_harmless(text):
    return all(unicodedata.category(letter) not in ("Cc", "Zl", "Zp", "Cs") for letter in text.replace("\t", "")) and (
        not set(text) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u200b\ufeff")
    )


@pytest.fixture
def hostile(tmp_path):
    path = tmp_path / "hostile.db"
    with MemoryStore(path, index={"fields": ["text"]}) as store:
        store.put((LABEL, "x"), HOSTILE, {"text": VALUE, VALUE: [VALUE]})
    return path


@pytest.mark.parametrize(
    "arguments",
    [["ls"], ["search"], ["search", "--query", "markup", "--explain"], ["stats"], ["verify"]],
    ids=" ".join,
)
def test_what_people_see_is_harmless_and_keeps_its_lines(arguments, ct, hostile):
    printed = ct(arguments[0], hostile, *arguments[1:])
    assert is_harmless(printed.replace("\n", ""))
    if arguments[0] in ("ls", "search"):
        assert len(printed.splitlines()) == 1
        assert "[bold red]markup[/] :smile:" in printed


def test_get_and_errors_and_plans_are_harmless(ct, hostile):
    printed = ct("get", hostile, f"{LABEL}.x", HOSTILE)
    assert is_harmless(printed.replace("\n", ""))
    assert json.loads(printed) == {"text": VALUE, VALUE: [VALUE]}
    for told in (
        ct("get", hostile, f"{LABEL}.x", HOSTILE + "!", code=3),
        ct("rm", hostile, f"{LABEL}.x", HOSTILE, code=2),
        ct("rm", hostile, f"{LABEL}.x", HOSTILE, answers="no\n", code=1),
        ct("forget", hostile, LABEL, answers="no\n", code=1),
        ct(HOSTILE.replace("\x00", ""), code=2),
    ):
        assert is_harmless(told.replace("\n", ""))


def test_machines_get_it_exactly(ctj, hostile):
    (found,) = ctj("search", hostile)
    assert (found["namespace"], found["key"], found["value"]) == (
        [LABEL, "x"],
        HOSTILE,
        {"text": VALUE, VALUE: [VALUE]},
    )
    assert ctj("get", hostile, f"{LABEL}.x", HOSTILE)[0]["key"] == HOSTILE
    assert ctj("ls", hostile)[0]["namespace"] == [LABEL, "x"]


@given(st.text())
def test_what_is_shown_never_holds_a_control_character(text):
    assert is_harmless(showing.plain(text))
    assert "\n" not in showing.plain(text)


@given(
    st.recursive(
        st.text() | st.integers() | st.none() | st.booleans(), lambda e: st.lists(e) | st.dictionaries(st.text(), e)
    )
)
def test_json_that_is_shown_reads_back(value):
    for indent in (None, 2):
        shown = showing.as_json(value, indent=indent)
        assert is_harmless(shown.replace("\n", ""))
        assert json.loads(shown) == value


@given(st.text(), st.integers(2, 80))
def test_a_cut_text_fits(text, width):
    text = showing.plain(text)
    shown = showing.cut(text, width)
    assert showing.columns(shown) <= width
    assert shown == text or (shown.endswith("…") and text.startswith(shown[:-1]))


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1234, "1.2 kB"),
        (999_940, "1.0 MB"),
        (45_100, "45.1 kB"),
        (5e15, "5000 TB"),
    ],
)
def test_sizes_are_told_in_their_unit(number, told):
    assert showing.size(number) == told

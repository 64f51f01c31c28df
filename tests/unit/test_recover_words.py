"""Finding out by words alone which texts of a value are indexed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossthread.embedding.extract import texts_of
from crossthread.embedding.recover_words import recover_by_words
from crossthread.search.words import Language
from crossthread.testing import strategies

ENGLISH = Language("english")
VALUE = {"text": "green tea", "title": "tea", "n": 7, "notes": ["old trains", {"deep": "red roses"}], "none": "..."}


def found(value, paths, fields=("text",)):
    return recover_by_words(value, ENGLISH.words(texts_of(value, tuple(paths))), tuple(fields), ENGLISH)


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        (["text"], ("text",)),
        (["title"], ("title",)),
        (["notes[0]"], ("notes[0]",)),
        (["notes[1].deep", "n"], ("n", "notes[1].deep")),
        (["$"], ("$",)),
    ],
)
def test_paths_with_these_words(paths, told):
    assert found(VALUE, paths) == told


def test_the_fields_of_the_store_come_first():
    assert found(VALUE, ["notes[*]", "text"], fields=["text", "notes[*]"]) == ("text", "notes[*]")
    assert found({"a": "tea", "b": "tea"}, ["b"], fields=["b"]) == ("b",)


def test_words_that_no_part_has_are_not_guessed():
    assert recover_by_words(VALUE, ENGLISH.words(["something else"]), ("text",), ENGLISH) is None


@settings(deadline=None, max_examples=200)
@given(
    value=strategies.values(), paths=st.lists(st.sampled_from(["text", "a", "b", "o.a", "notes[*]", "$"]), max_size=3)
)
def test_what_is_found_has_the_same_words(value, paths):
    words = ENGLISH.words(texts_of(value, tuple(paths)))
    told = recover_by_words(value, words, ("text",), ENGLISH)
    assert told is None or ENGLISH.words(texts_of(value, told)) == words

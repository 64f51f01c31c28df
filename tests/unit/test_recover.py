"""Finding the indexed texts of a value again by their hashes."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossthread import values
from crossthread.embedding.extract import text_hash, texts_of
from crossthread.embedding.recover import recover
from crossthread.testing import strategies

PATHS = [
    "$",
    "text",
    "a",
    "b",
    "o",
    "o.a",
    "a.b",
    "*",
    "o.*",
    "notes[*]",
    "notes[0]",
    "notes[-1]",
    "{a,b}",
    "{o.a,text}",
]


def hashes_of(value, paths):
    return [text_hash(text) for text in texts_of(value, tuple(paths))]


def found(value, hashes, fields=("text",)):
    return recover(value, hashes, tuple(fields))


VALUE = {
    "text": "green tea",
    "n": 3,
    "yes": True,
    "none": None,
    "notes": ["old trains", {"deep": "roses"}],
    "o": {"a.b": "dotted", "*": "star", "[0]": "bracket", "": "empty", "plain": 1.5},
}


@pytest.mark.parametrize(
    ("index", "paths"),
    [
        (["text"], ("text",)),
        (["notes[0]"], ("notes[0]",)),
        (["notes[-1].deep"], ("notes[1].deep",)),
        (["n", "yes"], ("n", "yes")),
        (["none"], ()),
        (["notes"], ("notes",)),
        (["$"], ("$",)),
        ([""], ("$",)),
        (["o"], ("o",)),
        (["{n,text}"], ("n", "text")),
        (["o.plain"], ("o.plain",)),
        (["o.*"], None),  # no list of paths names those keys and no others
    ],
)
def test_texts_are_found_with_the_paths_that_lead_there(index, paths):
    texts = texts_of(VALUE, tuple(index))
    result = found(VALUE, hashes_of(VALUE, index))
    assert [one.text for one in result.texts] == texts
    assert result.paths == paths
    assert result.missing == ()
    assert result.is_default == (index == ["text"])


def test_a_field_of_several_texts_is_named_as_a_field():
    value = {"notes": ["a", "b"], "other": "c"}
    assert found(value, hashes_of(value, ["notes[*]"]), ["notes[*]"]).paths == ("notes[*]",)
    half = found(value, hashes_of(value, ["notes[1]", "other"]), ["notes[*]"])
    assert (half.paths, half.is_default) == (("notes[1]", "other"), False)


def test_what_is_not_in_the_value_is_told_and_not_guessed():
    alien = text_hash("somebody else's")
    result = found(VALUE, [alien, text_hash("green tea")])
    assert [one.text for one in result.texts] == ["green tea"]
    assert (result.missing, result.paths) == ((alien,), None)
    assert found(VALUE, []).texts == ()
    assert not found(VALUE, []).is_default
    assert found({"n": 1}, []).is_default  # nothing at the fields, and nothing indexed


@settings(suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(
    strategies.values(),
    st.lists(st.sampled_from(PATHS), max_size=3),
    st.lists(st.sampled_from(PATHS), min_size=1, max_size=2),
    st.lists(strategies.texts(), max_size=2),
)
def test_whatever_was_indexed_is_found_again(value, index, fields, others):
    stored = values.decode(values.encode(value))
    texts = texts_of(stored, tuple(index))
    aliens = [text_hash(f"not in it: {text}") for text in dict.fromkeys(others)]
    result = found(stored, [*map(text_hash, texts), *aliens], fields)
    assert [(one.hash, one.text) for one in result.texts] == [(text_hash(text), text) for text in texts]
    assert result.missing == tuple(aliens)
    assert result.is_default == ({*texts_of(stored, tuple(fields))} == {*texts} and not aliens)
    if result.paths is not None:
        assert {*texts_of(stored, result.paths)} == {*texts}
    for one in result.texts:
        if one.path is not None:
            assert {text_hash(text) for text in texts_of(stored, (one.path,))} <= {*map(text_hash, texts)}

"""Fuzzing of the two parsers, filters and paths: a fixed count of hostile inputs; more with CROSSTHREAD_LONG=1."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossthread.embedding.extract import texts_of
from crossthread.engines.narrowing import narrowing
from crossthread.engines.sqlite import queries
from crossthread.errors import InvalidFilterError
from crossthread.filters.match import MISSING, matches, resolve
from crossthread.filters.parse import parse_filter
from crossthread.testing import strategies

LONG = bool(os.environ.get("CROSSTHREAD_LONG"))
FUZZ = settings(
    max_examples=50_000 if LONG else 1_000, deadline=None, derandomize=not LONG, suppress_health_check=list(HealthCheck)
)


@FUZZ
@given(strategies.hostile_filters(), strategies.values())
def test_any_filter_is_refused_or_decides(filter_, value):
    try:
        node = parse_filter(filter_)
    except InvalidFilterError as error:
        assert len(str(error)) < 1_000  # noqa: PT017 - most filters are no error
        return
    if node is not None:
        assert matches(node, value) in (True, False)
        sql, parameters = narrowing(node, queries.DIALECT)
        assert sql.count("?") == len(parameters)
        assert set(sql) <= set("ABCDEGHIJLNOPRSTUVWabcdefghijklmnopqrstuvwxyz_()?,<>= "), sql


PATHS = st.one_of(
    st.text(st.sampled_from("a.b[]*{},$0-1 9x"), max_size=12),
    strategies.hostile_texts(),
    st.sampled_from(strategies.PATHS),
)


@FUZZ
@given(st.lists(PATHS, max_size=3), strategies.values())
def test_any_path_finds_texts_or_none(paths, value):
    assert all(type(text) is str and text.strip() for text in texts_of(value, tuple(paths)))


@FUZZ
@given(
    st.lists(st.sampled_from(["a", "b", "a.a", "a.b"]), min_size=1, max_size=6), strategies.json_values(max_leaves=12)
)
def test_a_path_of_many_steps_is_read_as_one_of_few(steps, value):
    from crossthread.filters import match

    path = ".".join(steps)
    expected = resolve(value, path)
    before, match._MANY_STEPS = match._MANY_STEPS, -1
    try:
        found = resolve(value, path)
    finally:
        match._MANY_STEPS = before
    assert found is expected or found == expected


@pytest.mark.parametrize(
    "path", ["[" * 50_000, "{" * 50_000, "a[" + "9" * 10_000 + "]", "a[x]", "[*]" * 10_000, "a.." * 9]
)
def test_a_path_beyond_measure_finds_nothing(path):
    assert texts_of({"a": ["x"]}, (path,)) == []
    assert resolve({"a": 1}, path.replace("[", ".")) is MISSING

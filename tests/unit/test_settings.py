"""The index= and ttl= arguments: what they may hold, and what the error says."""

import logging
import math

import pytest

from crossthread import MemoryStore
from crossthread.errors import ConfigurationError, InvalidArgumentError
from crossthread.settings import checked_paths, parse_index
from crossthread.ttl import checked_ttl, expiry, parse_ttl


def embed(texts):
    return [[1.0, 0.0] for _ in texts]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"embed": embed, "dim": 3}, "'dim'; known: embed, dims"),
        ({"embed": embed, "dims": 0}, "dims"),
        ({"embed": embed, "dims": True}, "dims"),
        ({"embed": embed, "dims": "3"}, "dims"),
        ({"embed": embed, "fields": "text"}, "fields"),
        ({"embed": embed, "fields": [1]}, "fields"),
        ({"embed": embed, "fields": ["a"], "text_fields": ["b"]}, "differ"),
        ({"embed": embed, "mode": "psychic"}, "psychic"),
        ({"embed": embed, "model": 3}, "model"),
        ({"embed": 3}, "embed"),
        ({"mode": "semantic"}, "mode='semantic' needs embeddings"),
        ({"mode": "hybrid", "embed": None}, "mode='hybrid' needs embeddings.*embed"),
        ({"embed": embed, "mode": ["keyword"]}, "there are 'semantic', 'keyword', 'hybrid'"),
        ({"language": "klingon"}, "klingon"),
        ({"language": None}, "language"),
        ({"language": ["english"]}, "language"),
        ({"hybrid_weight": 1.1}, "hybrid_weight"),
        ({"hybrid_weight": math.nan}, "hybrid_weight"),
        ({"hybrid_weight": True}, "hybrid_weight"),
        ({"hybrid_weight": None}, "hybrid_weight"),
        ({"rerank": "cohere"}, "rerank"),
        ({"rerank_first": 0}, "rerank_first"),
        ({"rerank_first": 1.0}, "rerank_first"),
        ([1], "dict"),
        ({"embed": "nobody:model"}, "nobody:model"),
    ],
)
def test_an_index_that_cannot_be_used_is_refused(config, message):
    with pytest.raises(ConfigurationError, match=message):
        MemoryStore(index=config)


def test_fields_and_their_other_name():
    assert parse_index({"embed": embed}).fields == ("$",)
    assert parse_index({"embed": embed, "fields": None}).fields == ("$",)
    assert parse_index({"embed": embed, "fields": []}).fields == ()
    assert parse_index({"embed": embed, "text_fields": ["a"]}).fields == ("a",)
    assert parse_index({"embed": embed, "fields": ["a"], "text_fields": ["a"]}).fields == ("a",)


def test_words_need_no_model():
    settings = parse_index({})
    assert (settings.mode, settings.embed, settings.fields) == ("keyword", None, ("$",))
    assert (settings.language.name, settings.hybrid_weight) == ("english", 0.5)
    assert (settings.rerank, settings.rerank_first) == (None, 50)
    assert parse_index({"embed": embed}).mode == "semantic"
    assert parse_index({"embed": embed, "mode": None}).mode == "semantic"
    assert parse_index({"embed": embed, "hybrid_weight": 1}).hybrid_weight == 1.0


def test_memory_for_vectors_is_counted_in_mebibytes():
    assert parse_index({}).vector_bytes is None
    assert parse_index({"vector_memory_mb": 0.5}).vector_bytes == 2**19
    assert parse_index({"vector_memory_mb": 0}).vector_bytes == 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"vector_memory_mb": -1}, "number of MiB, not -1"),
        ({"vector_memory_mb": "512"}, "number of MiB, not '512'"),
        ({"vector_memory_mb": math.nan}, "number of MiB, not nan"),
        ({"filter_fields": "kind"}, "list of paths"),
        ({"filter_fields": [3]}, "list of paths"),
    ],
)
def test_settings_of_files_that_make_no_sense_are_refused(config, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_index(config)


def test_langgraphs_other_keys_are_accepted_and_said_to_do_nothing(caplog):
    with caplog.at_level(logging.WARNING, "crossthread"):
        parse_index({"embed": embed, "distance_type": "l2", "ann_index_config": {"kind": "flat"}})
    assert sorted(record.args[0] for record in caplog.records) == ["ann_index_config", "distance_type"]


@pytest.mark.parametrize("bad", ["text", [1], {"a"}, True, 0])
def test_an_index_of_a_put_that_makes_no_sense_is_refused(bad):
    with pytest.raises(InvalidArgumentError, match="index must be"):
        checked_paths(bad)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"default": 3}, "'default'; known: default_ttl"),
        ({"default_ttl": -1}, "default_ttl"),
        ({"default_ttl": "1"}, "default_ttl"),
        ({"refresh_on_read": 1}, "refresh_on_read"),
        ({"omit_expired": None}, "omit_expired"),
        ({"sweep_interval_minutes": 0}, "sweep_interval_minutes"),
        ({"sweep_interval_minutes": math.inf}, "sweep_interval_minutes"),
        (60, "dict"),
    ],
)
def test_a_ttl_that_cannot_be_used_is_refused(config, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_ttl(config)


@pytest.mark.parametrize("bad", [-1, math.nan, math.inf, True, "3", [1]])
def test_a_duration_that_makes_no_sense_is_refused(bad):
    with pytest.raises(InvalidArgumentError, match="ttl must be"):
        checked_ttl(bad)


def test_expiry_counts_minutes_to_the_microsecond():
    assert expiry(0, 1.5) == 90_000_000
    assert expiry(0, 1 / 60_000_000) == 1
    assert expiry(5, 0) == 5
    assert expiry(0, None) is None
    assert expiry(0, 1e300) == 2**62

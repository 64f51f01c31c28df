"""The fake embeddings that ship with the package: what tests of users may rely on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import numpy as np
import pytest

from crossthread.testing import HashEmbeddings, ManualClock

TEXTS = ["Bob likes green tea", "", " ", "!", "tea green likes Bob", "a" * 5000, "žluťoučký kůň", "\ud800", "日本語"]


def test_vectors_have_the_asked_dimensions_and_length_one():
    """Every text, the empty one too, has a vector of length 1."""
    for dims in (1, 2, 8, 64, 384):
        for vector in HashEmbeddings(dims).embed_documents(TEXTS):
            assert len(vector) == dims
            assert all(isinstance(number, float) for number in vector)
            assert np.linalg.norm(vector) == pytest.approx(1.0)


def test_different_texts_have_different_vectors():
    """No two texts share a vector, not even those of the same words."""
    vectors = HashEmbeddings().embed_documents(TEXTS)
    assert len({tuple(vector) for vector in vectors}) == len(TEXTS)


def test_similar_words_give_similar_vectors():
    """Common words come closest, then words with common parts, then all the others."""
    embeddings = HashEmbeddings(256)
    query, same, alike, other = (
        embeddings.vector(text)
        for text in ("favourite colour", "her favourite colour is red", "favorite colors", "the train leaves at nine")
    )
    assert query @ same > query @ alike > query @ other
    assert query @ same > 0.5
    assert abs(query @ other) < 0.3


def test_case_does_not_matter_to_words():
    """Words are lower-cased before they are hashed."""
    embeddings = HashEmbeddings()
    assert embeddings.vector("BOB") @ embeddings.vector("bob") > 0.95


def test_queries_and_documents_share_one_space():
    """The same text has the same vector as a query and as a document, sync and async."""
    embeddings = HashEmbeddings()
    expected = embeddings.embed_documents(["green tea"])[0]
    assert embeddings.embed_query("green tea") == expected
    assert asyncio.run(embeddings.aembed_query("green tea")) == expected
    assert asyncio.run(embeddings.aembed_documents(["green tea"])) == [expected]


def test_calls_are_recorded():
    """Users can assert how often the model was asked, and for what."""
    embeddings = HashEmbeddings()
    embeddings.embed_documents(["a", "b"])
    asyncio.run(embeddings.aembed_documents(["c"]))
    embeddings.embed_query("d")
    asyncio.run(embeddings.aembed_query("e"))
    embeddings.vector("f")
    assert embeddings.calls == [["a", "b"], ["c"]]
    assert embeddings.queries == ["d", "e"]


def test_vectors_are_the_same_in_every_process():
    """The vectors do not depend on the process's hash seed."""
    program = "from crossthread.testing import HashEmbeddings as H; print(H(8).embed_query('Bob likes tea'))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {f"{HashEmbeddings(8).embed_query('Bob likes tea')}\n"}


def test_importing_the_kit_needs_no_test_tools():
    """The embeddings and the clock import without pytest and hypothesis; the suites are loaded when asked for."""
    program = (
        "import sys; import crossthread.testing as kit; kit.HashEmbeddings, kit.ManualClock;"
        "assert not {'pytest', 'hypothesis'} & set(sys.modules); kit.StoreSuite; kit.EngineSuite; kit.StoreComparison;"
        "assert not hasattr(kit, 'Nothing')"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_dims_must_be_positive():
    """Zero dimensions are refused."""
    with pytest.raises(ValueError, match="dims must be at least 1, got 0"):
        HashEmbeddings(0)


def test_the_clock_moves_only_when_told():
    """A clock stands still until it is moved, in either direction, or set."""
    clock = ManualClock(1_000)
    assert clock() == clock() == 1_000
    assert clock.advance(minutes=1, seconds=2, microseconds=3) == 1_000 + 62_000_003
    clock.advance(seconds=-2)
    assert clock() == 1_000 + 60_000_003
    clock.now_us = 5
    assert clock() == 5

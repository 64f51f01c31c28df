"""``reembed``: shows what it costs, asks, and goes on where it ended."""

from __future__ import annotations

import sys

import pytest

from crossthread import MemoryStore
from crossthread.testing import HashEmbeddings

NEW = """
from crossthread.testing import HashEmbeddings

def embed(texts):
    return HashEmbeddings(24).embed_documents(texts)

calls = []

def fails(texts):
    calls.append(len(texts))
    if len(calls) > 2:
        raise RuntimeError("no credit left")
    return embed(texts)
"""


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A store with vectors of one model, and a module with another."""

    def hashes(texts):
        return HashEmbeddings(16).embed_documents(texts)

    tmp_path.joinpath("new_model.py").write_text(NEW)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with MemoryStore("agent.db", index={"embed": hashes, "model": "acme:old", "fields": ["text"]}) as store:
        for number in range(10):
            store.put(("a",), str(number), {"text": f"text number {number}"})
    yield "agent.db"
    sys.modules.pop("new_model", None)


TO = ["--embed", "new_model:embed", "--model", "acme:new"]


def test_it_shows_the_cost_and_asks(ct, ctj, old):
    (plan,) = ctj("reembed", old, *TO, "--dry-run")
    assert plan == {
        "model_before": "acme:old",
        "items": 10,
        "texts": 10,
        "characters": 10 * len("text number 0"),
        "staged": 0,
        "lost": 0,
        "dry_run": True,
    }
    assert "--yes" in ct("reembed", old, *TO, code=2)
    ct("reembed", old, *TO, answers="n\n", code=1)
    assert "10 texts of 10 items, 130 characters" in ct.told
    assert "with acme:new instead of acme:old? [y/N]" in ct.told
    assert ctj("stats", old)[0]["model"] == "acme:old"


def test_then_the_vectors_are_of_the_new_model(ct, ctj, old):
    (done,) = ctj("reembed", old, *TO, "--yes")
    assert {name: done[name] for name in ("model_before", "model", "dims", "texts")} == {
        "model_before": "acme:old",
        "model": "acme:new",
        "dims": 24,
        "texts": 10,
    }
    (stats,) = ctj("stats", old)
    assert (stats["model"], stats["dims"], stats["vectors"]) == ("acme:new", 24, 10)
    assert ctj("verify", old)[0]["ok"]
    assert ctj("search", old, "-q", "text number 7", "--mode", "semantic", *TO)[0]["key"] == "7"


def test_a_model_that_fails_loses_nothing(ct, ctj, old):
    failing = ["--embed", "new_model:fails", "--model", "acme:new", "--batch-size", "2", "--concurrency", "1"]
    told = ct("reembed", old, *failing, "--retries", "0", "--yes", code=1)
    assert "no credit left" in told
    assert "run it again" in told
    assert ctj("stats", old)[0]["model"] == "acme:old"
    assert ctj("reembed", old, *TO, "--dry-run")[0]["staged"] > 0
    (done,) = ctj("reembed", old, *TO, "--yes")
    assert done["kept"] > 0
    assert done["texts"] + done["kept"] == 10


def test_a_model_that_serves_already(ct, ctj, old):
    ct("reembed", old, *TO, "--yes")
    assert "--anew" in ct("reembed", old, *TO, "--yes", code=1)
    assert ctj("reembed", old, *TO, "--yes", "--anew")[0]["texts"] == 10


def test_what_is_missing_is_told(ct, old):
    assert "--embed" in ct("reembed", old, code=2)
    assert "no file" in ct("reembed", "nowhere.db", *TO, code=3)

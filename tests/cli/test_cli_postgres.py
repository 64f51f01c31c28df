"""The command line on a server: the same commands by a URL, and nothing is created by looking."""

from __future__ import annotations

import pytest

from crossthread import Memory, MemoryStore
from crossthread.testing import HashEmbeddings
from servers import run_sql, schema_for, store_url


@pytest.fixture
def url(tmp_path):
    return store_url(tmp_path)


def test_looking_creates_nothing(ct, url, tmp_path):
    for arguments in (["ls"], ["search"], ["stats"], ["rm", "a", "b", "--yes"]):
        told = ct(arguments[0], url, *arguments[1:], code=1)
        assert "schema" in told
    assert ct("threads", "list", url) == ""
    schemas = run_sql("SELECT count(*) FROM pg_namespace WHERE nspname = %s", schema_for(tmp_path))
    assert schemas == [(0,)]


def test_put_makes_a_store_that_is_found_by_words(ct, ctj, url):
    ct("put", url, "memories.ada", "note", '{"text": "likes pizza"}')
    assert "is a new store" in ct.told
    assert [hit["key"] for hit in ctj("search", url, "memories.ada", "--query", "pizza", "--mode", "hybrid")] == [
        "note"
    ]


def test_put_leaves_a_store_without_an_index_without_one(ct, url):
    MemoryStore(url).close()
    ct("put", url, "memories.ada", "note", '{"text": "likes pizza"}')
    assert "nothing to search by" in ct("search", url, "--query", "pizza", code=1)


def test_the_same_commands(ct, ctj, url, monkeypatch):
    ct("put", url, "memories.ada", "note", '{"text": "likes pizza"}', "--language", "english")
    ct("put", url, "memories.ada", "other", '{"text": "likes soup"}')
    assert [hit["key"] for hit in ctj("search", url, "memories", "--query", "pizzas")] == ["note"]
    assert ctj("stats", url)[0]["language"] == "english"
    assert "password" not in ctj("stats", url)[0]["place"]
    with Memory(url, store=None) as memory:
        memory.entrypoint(lambda text: text).invoke("hi", {"configurable": {"thread_id": "monday", "user_id": "ada"}})
    monkeypatch.setenv("CROSSTHREAD_URL", url)
    assert [thread["thread_id"] for thread in ctj("threads", "list")] == ["monday"]
    assert ctj("verify")[0] == {"items": 2, "ok": True, "problems": []}
    (gone,) = ctj("forget", "memories.ada", "--threads", "user_id=ada", "--yes")
    assert (gone["items"], gone["threads"]) == (2, ["monday"])
    assert len(gone["remains"]) >= 1  # a server keeps logs and backups of its own
    assert ctj("ls") == []
    assert "pg_dump" in ct("backup", "copy.db", code=1)


def test_copy_to_a_server_and_back(ct, ctj, url, agent):
    assert ctj("copy", agent, url)[0]["written"] == 4
    assert ctj("verify", url) == [{"items": 4, "ok": True, "problems": []}]
    assert [hit["key"] for hit in ctj("search", url, "--query", "pizza")] == ["food"]
    assert ctj("copy", url, "back.db")[0]["written"] == 4
    assert ct("export", "back.db").splitlines()[1:] == ct("export", agent).splitlines()[1:]


def test_vectors_come_over_to_a_server(ctj, url):
    with MemoryStore("vectors.db", index={"embed": HashEmbeddings(16), "model": "acme:small"}) as store:
        for number in range(3):
            store.put(("a",), str(number), {"text": f"text {number}"}, index=["text", "$"])
        store.put(("a",), "plain", {"n": 1}, index=False)
    assert ctj("copy", "vectors.db", url)[0]["written"] == 4
    assert ctj("copy", "vectors.db", url, "--replace", "--yes")[0]["items"] == 4
    assert ctj("stats", url)[0]["vectors"] == 6
    assert ctj("verify", url) == [{"items": 4, "ok": True, "problems": []}]

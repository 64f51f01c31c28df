"""Files of earlier releases: opening one brings it up to date, and everything that was in it is found as before."""

import contextlib
import sqlite3

import pytest

from crossthread import MemoryStore
from crossthread.embedding.extract import text_hash
from crossthread.engines.migrations import load_migrations
from crossthread.engines.sqlite import queries, words
from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.engines.sqlite.limits import LIMITS
from crossthread.search.vectors import to_bytes, unit_vectors
from crossthread.testing import HashEmbeddings

EMBED = HashEmbeddings(dims=8)
TEXTS = {"1": "likes tea", "2": "likes coffee", "3": "hates tea"}


def old_file(path, *, release, texts=TEXTS):
    """Make a file as release 0.1 (schema 1) or 0.2 (schema 2, with words) left it."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for step in load_migrations("crossthread.engines.sqlite")[:release]:
            for statement in step.statements:
                connection.execute(statement)
        connection.execute("UPDATE crossthread_state SET schema_version = ?, dims = 8", (release,))
        if release == 2:
            connection.execute(queries.CREATE_WORDS)
            connection.execute("UPDATE crossthread_state SET language = 'english'")
        for id_, (key, text) in enumerate(texts.items(), start=10):
            vector = to_bytes(unit_vectors(EMBED.embed_documents([text]), 1, None))
            # The last item written has not the last id: an update kept it.
            stamp = 1_700_000_000_000_000 - id_
            row = (id_, "u.ada.", key, f'{{"text":"{text}"}}', stamp - 5, stamp, None, None, text_hash(text), vector)
            connection.execute(
                "INSERT INTO crossthread_items (id, namespace, key, value, created_at, updated_at, ttl_minutes, "
                "expires_at, texts, vectors) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            connection.execute("INSERT INTO crossthread_texts (hash, item_id) VALUES (?, ?)", (text_hash(text), id_))
            if release == 2:
                verb, noun = text.split()
                column = f"{verb.rstrip('s')}:1 {noun}:1"
                connection.execute("UPDATE crossthread_items SET words = ?, length = 2 WHERE id = ?", (column, id_))
                connection.execute(queries.PUT_WORDS, (id_, words.document("u.ada.", column)))


@pytest.mark.parametrize("release", [1, 2])
def test_everything_in_an_older_file_is_found_as_before(tmp_path, release):
    path = tmp_path / "agent.db"
    old_file(path, release=release)
    asked = []

    def embed(texts):
        asked.extend(texts)
        return EMBED.embed_documents(texts)

    with MemoryStore(path, index={"embed": embed, "fields": ["text"]}) as store:
        assert [item.key for item in store.search(("u",))] == ["1", "2", "3"]
        item = store.get(("u", "ada"), "2")
        assert (item.value, (item.updated_at - item.created_at).microseconds) == ({"text": "likes coffee"}, 5)
        assert [hit.key for hit in store.search(("u",), query="likes coffee", limit=1)] == ["2"]
        if release == 2:
            assert {hit.key for hit in store.search(("u",), query="tea", mode="keyword")} == {"1", "3"}
        del asked[:]
        store.put(("u", "bob"), "same", {"text": "hates tea"})
        assert asked == []  # its text was embedded by the older release
        store.put(("u", "ada"), "1", {"text": "likes milk"})
        assert [hit.key for hit in store.search((), query="tea", mode="keyword")] == (
            ["same", "3"] if release == 2 else ["same"]
        )
        assert [hit.key for hit in store.search((), query="milk", mode="keyword")] == ["1"]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_older_file_that_is_empty_gets_its_words_back(tmp_path):
    path = tmp_path / "agent.db"
    old_file(path, release=2, texts={})
    engine = SQLiteEngine(path, limits=LIMITS._replace(unindexed=2, few_words=0))
    with MemoryStore(engine, index={"fields": ["text"]}) as store:
        for i in range(5):
            store.put(("u",), str(i), {"text": "likes tea"})
        assert len(store.search((), query="tea")) == 5


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "agent.db"
    old_file(path, release=2)

    failing = load_migrations("crossthread.engines.sqlite")
    failing[2] = failing[2]._replace(statements=(*failing[2].statements[:5], "SELECT no_such_function()"))
    monkeypatch.setattr("crossthread.engines.sqlite.engine.load_migrations", lambda package: failing)
    with pytest.raises(Exception, match="no such function"):
        MemoryStore(path, index={"embed": EMBED, "fields": ["text"]})
    monkeypatch.undo()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT schema_version FROM crossthread_state").fetchone() == (2,)
        assert connection.execute("SELECT count(*) FROM crossthread_items").fetchone() == (3,)

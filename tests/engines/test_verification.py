"""verify() on every engine: nothing to tell of a store in order, and each kind of damage is found and named."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sqlite3
import threading
from typing import Any

import pytest
from langgraph.store.base import PutOp

from crossthread import IndexMismatchError, MemoryStore, StoreClosedError, StoreCorruptError, StoreError
from crossthread.engines.base import Engine
from crossthread.engines.sqlite import queries, words
from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.engines.sqlite.limits import LIMITS
from crossthread.testing import HashEmbeddings
from servers import run_sql, schema_for, store_url

ADA, BOB = ("memories", "ada"), ("memories", "bob", "work")
INDEX: Any = {"embed": HashEmbeddings(dims=8), "dims": 8, "fields": ["text", "more[*]"]}


def fill(store: MemoryStore) -> None:
    store.batch([PutOp(ADA, str(n), {"text": f"tea number {n}", "more": ["Häuser", "東京"]}) for n in range(20)])
    store.batch([PutOp(BOB, f"k\x00{n}", {"text": "likes tea"}) for n in range(5)])
    store.put(ADA, "3", {"text": "replaced", "more": []})
    store.put(ADA, "4", {"text": "not searched"}, index=False)
    store.put(ADA, "zero", {"text": "tea", "n": 1}, ttl=5)
    store.update(ADA, "5", lambda value: {**value, "n": 2})
    store.delete(ADA, "6")
    store.put(BOB, "gone", {"text": "tea"})
    store.forget(("memories", "bob"))
    store.put(BOB, "again", {"text": "coffee"})


def open_store(tmp_path: Any, where: str) -> MemoryStore:
    if where == "memory":
        return MemoryStore(index=INDEX)
    if where == "postgresql":
        return MemoryStore(store_url(tmp_path), index=INDEX)
    unindexed = 7 if where == "settled file" else LIMITS.unindexed
    return MemoryStore(SQLiteEngine(tmp_path / "agent.db", limits=LIMITS._replace(unindexed=unindexed)), index=INDEX)


@pytest.mark.parametrize("where", ["memory", "file", "settled file", "postgresql"])
def test_a_store_in_order_has_no_problems(tmp_path, where):
    with open_store(tmp_path, where) as store:
        assert store.verify() == (empty := asyncio.run(store.averify()))
        assert (empty.items, empty.problems, empty.ok) == (0, (), True)
        fill(store)
        found = store.verify()
        assert (found.items, found.problems) == (21, ())
        found.raise_if_damaged()
        assert asyncio.run(store.averify()) == found
    with pytest.raises(StoreClosedError):
        store.verify()
    with pytest.raises(StoreClosedError):
        asyncio.run(store.averify())


def test_writers_are_neither_kept_waiting_nor_taken_for_damage(tmp_path):
    stop = threading.Event()

    def write() -> None:
        for n in range(1_000_000):
            if stop.is_set():
                return
            store.batch([PutOp(ADA, str(n % 50 + m), {"text": f"tea {n}"}) for m in range(5)])
            if n % 10 == 0:
                store.forget(ADA)

    with open_store(tmp_path, "settled file") as store:
        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert [store.verify().problems for _ in range(30)] == [()] * 30
        finally:
            stop.set()
            writer.join()


_ITEM = "(SELECT updated_at FROM crossthread_items WHERE key = '1')"
FILE_DAMAGE = {
    "value": ("UPDATE crossthread_items SET value = value || ' ' WHERE key = '1'", "'1': its value is not a JSON"),
    "list": ("UPDATE crossthread_items SET value = '[1]' WHERE key = '1'", "'1': its value is not a JSON"),
    "created": ("UPDATE crossthread_items SET created_at = updated_at + 1 WHERE key = '1'", "'1': it was created at"),
    "expiry": ("UPDATE crossthread_items SET expires_at = 5 WHERE key = '1'", "'1': it lives None minutes"),
    "namespace": ("UPDATE crossthread_items SET namespace = 'ada' WHERE key = '1'", "its namespace is kept as 'ada'"),
    "vector missing": ("UPDATE crossthread_items SET vectors = x'' WHERE key = '1'", "'1': it has 0 bytes of vectors"),
    "vectors gone": ("UPDATE crossthread_items SET vectors = NULL WHERE key = '1'", "'1': it has texts without"),
    "texts gone": ("UPDATE crossthread_items SET texts = NULL WHERE key = '1'", "'1': it has texts without"),
    "length": (
        "UPDATE crossthread_items SET vectors = CAST(x'0000c03f' || substr(vectors, 5) AS BLOB) WHERE key = '1'",
        "'1': a vector of it has the length",
    ),
    "nan": (
        "UPDATE crossthread_items SET vectors = CAST(x'0000c07f' || substr(vectors, 5) AS BLOB) WHERE key = '1'",
        "'1': a vector of it has the length nan",
    ),
    "dims": ("UPDATE crossthread_state SET dims = 9", "texts of 9 dimensions"),
    "no dims": ("UPDATE crossthread_state SET dims = NULL", "does not know their dimensions"),
    "word lost": ("UPDATE crossthread_items SET words = 'tea:1' WHERE key = '1'", "the index of words does not hold"),
    "word count": ("UPDATE crossthread_items SET words = 'tea:99' WHERE key = '1'", "'1': its 1 terms are not those"),
    "word garbled": ("UPDATE crossthread_items SET words = 'tea' WHERE key = '1'", "'1': its words cannot be read"),
    "length gone": ("UPDATE crossthread_items SET length = NULL WHERE key = '1'", "'1': it has words without a number"),
    "text lost": (f"DELETE FROM crossthread_texts WHERE updated_at = {_ITEM}", "index of texts does not hold"),
    "text orphan": ("INSERT INTO crossthread_texts VALUES (x'00', 7)", "index of texts has an entry of an item writ"),
    "item lost": ("DELETE FROM crossthread_items WHERE key = '1'", "index of words has an entry of an item"),
    "erased twice": (
        f"INSERT INTO crossthread_erased SELECT max(number) + 1, {_ITEM}, '', NULL, NULL FROM crossthread_erased",
        "and still there",
    ),
    "erased gap": (
        "INSERT INTO crossthread_erased SELECT max(number) + 9, 1, '', NULL, NULL FROM crossthread_erased",
        "The log of erased items goes from number",
    ),
    "erased text": (
        "UPDATE crossthread_erased SET texts = x'00' WHERE number = (SELECT min(number) FROM crossthread_erased)",
        "still has words or texts",
    ),
    "erased late": (
        "UPDATE crossthread_erased SET updated_at = 9e15 WHERE number = (SELECT min(number) FROM crossthread_erased)",
        "after the last write",
    ),
    "indexed": ("UPDATE crossthread_state SET indexed_items = 9e15", "The indexes claim items up to"),
    "erasures": ("UPDATE crossthread_state SET indexed_erasures = 999", "The indexes claim erasures up to"),
}


@pytest.mark.parametrize("damage", FILE_DAMAGE)
def test_damage_to_a_file_is_found_and_named(tmp_path, damage):
    statement, told = FILE_DAMAGE[damage]
    with open_store(tmp_path, "settled file") as store:
        fill(store)
    with contextlib.closing(sqlite3.connect(tmp_path / "agent.db")) as connection, connection:
        assert connection.execute(statement).rowcount > 0
    with open_store(tmp_path, "settled file") if damage != "dims" else MemoryStore(tmp_path / "agent.db") as store:
        found = store.verify()
        assert not found.ok
        assert any(told in problem for problem in found.problems), found.problems
        with pytest.raises(StoreCorruptError, match="of the checks of 2"):
            found.raise_if_damaged()


@pytest.mark.parametrize("term", ["stea", "xyz"])
def test_a_posting_too_many_is_found(tmp_path, term):
    with open_store(tmp_path, "settled file") as store:
        fill(store)
    with contextlib.closing(sqlite3.connect(tmp_path / "agent.db")) as connection, connection:
        (time,) = connection.execute(f"SELECT {_ITEM}").fetchone()
        connection.execute(queries.PUT_WORDS, (time if term == "stea" else time - 10**12, words.document("", term)))
    with open_store(tmp_path, "settled file") as store:
        assert len(store.verify().problems) == 1


def test_a_file_with_a_damaged_page_is_told_of(tmp_path):
    path = tmp_path / "agent.db"
    with open_store(tmp_path, "file") as store:
        store.batch([PutOp(ADA, str(n), {"text": "tea " * 200}) for n in range(300)])
    pages = bytearray(path.read_bytes())
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'crossthread_items_by_address'"
        ).fetchone()
    pages[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(pages)
    with MemoryStore(path) as store:
        found = store.verify()
        assert any("SQLite finds" in problem for problem in found.problems), found


def test_damage_in_memory_is_found_and_named():
    with MemoryStore(index=INDEX) as store:
        fill(store)
        engine: Any = store._engine
        record = engine._records["memories.ada."]["1"]
        row = record.row
        for changed, told in (
            ({"vectors": record.vectors[4:]}, "bytes of vectors"),
            ({"row": row._replace(value="[]")}, "not a JSON object"),
            ({"row": row._replace(created_at=row.updated_at + 1)}, "it was created at"),
            ({"row": row._replace(key="2")}, "it says that it is"),
            ({"hashes": record.hashes[:-1]}, "index of texts does not hold exactly"),
        ):
            engine._records["memories.ada."]["1"] = dataclasses.replace(record, **changed)
            assert any(told in problem for problem in store.verify().problems), told
        engine._records["memories.ada."]["1"] = record
        assert store.verify().ok


SCHEMA_DAMAGE = {
    "list": ("UPDATE {s}.items SET value = '[1]' WHERE key = '1'", "'1': its value is not a JSON"),
    "created": ("UPDATE {s}.items SET created_at = updated_at + 1 WHERE key = '1'", "'1': it was updated before"),
    "expiry": ("UPDATE {s}.items SET expires_at = 5 WHERE key = '1'", "'1': it has a life"),
    "item lost": ("DELETE FROM {s}.items WHERE key = '1'", "'1': there are vectors of it"),
    "item lost, words": ("DELETE FROM {s}.items WHERE key = '1'", "'1': there are words of it"),
    "no words": ("DELETE FROM {s}.words WHERE key = '1'", "'1': its words are missing"),
    "no vector": ("DELETE FROM {s}.vectors WHERE key = '1'", "'1': it has not as many vectors as texts"),
    "a vector": ("DELETE FROM {s}.vectors WHERE key = '1' AND hash = (SELECT min(hash) FROM {s}.vectors "
                 "WHERE key = '1')", "'1': it has not as many vectors as texts"),
    "words": ("UPDATE {s}.words SET updated_at = 5 WHERE key = '1'", "'1': its words are of another write"),
    "count": ("UPDATE {s}.words SET length = 1 WHERE key = '1'", "'1': its terms are not those"),
    "later": ("UPDATE {s}.vectors SET updated_at = updated_at + 1 WHERE key = '1'", "a vector of it is of a later"),
    "dims": ("UPDATE {s}.state SET dims = 9", "other dimensions"),
    "length": ("UPDATE {s}.vectors SET embedding = embedding + embedding WHERE key = '1'", "'1': a vector of it has a"),
    "hash": ("UPDATE {s}.vectors SET hash = '\\x00' WHERE key = '1' AND hash = (SELECT min(hash) FROM {s}.vectors "
             "WHERE key = '1')", "hash of another size"),
    "namespace": ("UPDATE {s}.items SET namespace = 'ada' WHERE key = '1'", "its namespace is kept in another form"),
}  # fmt: skip


def test_damage_to_a_schema_is_found_and_named(tmp_path):
    schema = schema_for(tmp_path)
    with open_store(tmp_path, "postgresql") as store:
        for damage, (statement, told) in SCHEMA_DAMAGE.items():
            store.forget(())
            fill(store)
            assert store.verify().ok, damage
            run_sql(statement.format(s=schema))
            found = store.verify()
            assert any(told in problem for problem in found.problems), (damage, found.problems)
            run_sql(f"UPDATE {schema}.state SET dims = 8")
            for table in ("items", "words", "vectors"):
                run_sql(f"DELETE FROM {schema}.{table} WHERE key = '1'")


def test_the_dimensions_that_index_names_are_those_of_the_schema_from_the_first_vector_on(tmp_path):
    """Other stores find what a store with dims= wrote, and cannot write vectors of another size beside it."""
    with open_store(tmp_path, "postgresql") as store:
        store.put(ADA, "1", {"text": "likes tea"})
        with MemoryStore(store_url(tmp_path), index={**INDEX, "dims": None}) as other:
            assert [hit.key for hit in other.search(ADA, query="tea")] == ["1"]
        with pytest.raises(IndexMismatchError):
            MemoryStore(store_url(tmp_path), index={**INDEX, "embed": HashEmbeddings(dims=4), "dims": 4})
        assert store.verify().ok


def test_an_engine_of_others_says_that_it_has_no_check(tmp_path):
    class Bare(SQLiteEngine):
        verify = Engine.verify
        backup = Engine.backup

    with MemoryStore(Bare(tmp_path / "agent.db")) as store:
        with pytest.raises(StoreError, match="Bare cannot check what it keeps"):
            store.verify()
        with pytest.raises(StoreError, match="Bare keeps no file"):
            store.backup(tmp_path / "copy.db")

"""Many writers on one server: nothing is lost, no vector is left behind or taken away, times go forward."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langgraph.store.base import GetOp, PutOp

from crossthread import MemoryStore
from crossthread.testing import HashEmbeddings
from servers import at_once, run_sql, schema_for, server_url, store_url, wait_until

ADA = ("memories", "ada")
INDEX: Any = {"embed": HashEmbeddings(dims=8), "dims": 8, "fields": ["text", "notes[*]"]}


def stray_vectors(tmp_path: Path) -> list[Any]:
    """Return the vectors that belong to no item, and those of another write than the item's."""
    return run_sql(
        "SELECT v.namespace, v.key, v.updated_at, i.updated_at FROM {0}.vectors AS v LEFT JOIN {0}.items AS i "
        "USING (namespace, subspace, key) WHERE i.updated_at IS DISTINCT FROM v.updated_at".format(schema_for(tmp_path))
    )


def test_writers_of_the_same_keys_in_any_order_lose_nothing_and_see_no_error(tmp_path):
    """Two stores and eight threads put, delete, update, forget and batch the same few items."""
    one, two = (MemoryStore(store_url(tmp_path), index=INDEX) for _ in range(2))
    counted = [0] * 8

    def work(n: int) -> None:
        store, chance = (one, two)[n % 2], random.Random(n)
        for i in range(40):
            keys = chance.sample("abcdef", 4)
            text = f"likes tea {chance.randrange(5)}"
            match chance.randrange(7):
                case 0:
                    store.put(ADA, keys[0], {"text": text, "notes": keys[:2]})
                case 1:
                    store.delete(ADA, keys[0])
                case 2:
                    store.update(("c",), "n", lambda value: {"n": value["n"] + 1}, default={"n": 0})
                    counted[n] += 1
                case 3:
                    store.batch([PutOp(ADA, key, {"text": text, "i": i} if key < "d" else None) for key in keys])
                case 4:
                    store.batch(
                        [*(GetOp(ADA, key) for key in keys), *(PutOp(ADA, key, {"text": text}) for key in keys)]
                    )
                case 5:
                    asyncio.run(store.aput(ADA, keys[0], {"text": text}, index=False if i % 3 else None))
                case 6 if i % 3 == 0:
                    store.forget(ADA)
                case _:
                    store.search(ADA, query=text, limit=3)

    with one, two:
        assert at_once([lambda n=n: work(n) for n in range(8)]) == [None] * 8
        assert stray_vectors(tmp_path) == []
        assert one.get(("c",), "n").value == {"n": sum(counted)}
        with_vectors = {row[0] for row in run_sql(f"SELECT key FROM {schema_for(tmp_path)}.vectors")}
        for store in (one, two):
            hits = store.search(ADA, query="likes tea", limit=100)
            assert {hit.key for hit in hits} == with_vectors - {"n"}
            for hit in hits:
                item = store.get(ADA, hit.key)
                assert (item.value, item.updated_at) == (hit.value, hit.updated_at)
                assert item.created_at <= item.updated_at


@pytest.mark.parametrize("way", ["delete", "forget"])
def test_erasing_takes_no_vectors_from_an_item_that_is_put_meanwhile(tmp_path, way):
    """The item appears after its row was looked for, and before its vectors are."""
    s = schema_for(tmp_path)
    with (
        MemoryStore(store_url(tmp_path), index=INDEX) as store,
        psycopg.connect(server_url()) as putting,
        psycopg.connect(server_url()) as holding,
        ThreadPoolExecutor() as pool,
    ):
        store.put(("template", "x"), "a", {"text": "likes pizza"})
        store.put(ADA, "z", {"text": "likes tea"})
        for table in ("items", "vectors"):
            copy = f"""
                INSERT INTO {s}.{table} SELECT (json_populate_record(i, '{{"namespace": "memories.ada."}}')).*
                FROM {s}.{table} AS i WHERE i.namespace = 'template.x.'
            """
            putting.execute(copy.encode())
        holding.execute(f"SELECT FROM {s}.items WHERE key = 'z' FOR UPDATE".encode())
        if way == "delete":
            erasing = pool.submit(store.batch, [PutOp(ADA, "a", None), PutOp(ADA, "z", None)])
        else:
            erasing = pool.submit(store.forget, ADA)
        wait_until(lambda: run_sql("SELECT FROM pg_locks WHERE NOT granted"))
        putting.commit()
        holding.rollback()
        erasing.result(20)
        assert [hit.key for hit in store.search(ADA, query="likes pizza")] == [item.key for item in store.search(ADA)]
        assert stray_vectors(tmp_path) == []


@pytest.mark.parametrize("way", ["delete", "forget", "put", "sweep"])
def test_a_store_that_knows_of_no_vectors_leaves_none_behind(tmp_path, way):
    """It was opened before another one, with an embedder, made a place for them."""
    with MemoryStore(store_url(tmp_path)) as plain, MemoryStore(store_url(tmp_path), index=INDEX) as store:
        store.put(ADA, "k", {"text": "likes pizza"}, ttl=0 if way == "sweep" else None)
        if way == "delete":
            plain.delete(ADA, "k")
        elif way == "forget":
            assert plain.forget(()) == 1
        elif way == "sweep":
            assert plain.sweep_ttl() == 1
        else:
            plain.put(ADA, "k", {"text": "likes tea"})
        assert store.search(ADA, query="pizza") == []
        assert run_sql(f"SELECT FROM {schema_for(tmp_path)}.vectors") == []


def test_updates_with_a_default_from_two_stores_create_once_and_lose_nothing(tmp_path):
    one, two = (MemoryStore(store_url(tmp_path)) for _ in range(2))
    started = []

    def add(store: MemoryStore, mark: int) -> None:
        def change(value: dict[str, Any]) -> dict[str, Any]:
            return {"marks": [*value["marks"], mark]}

        started.append(store.update(ADA, "k", change, default={"marks": []}).created_at)

    with one, two:
        calls = [lambda n=n: add((one, two)[n % 2], n) for n in range(24)]
        assert at_once(calls) == [None] * 24
        assert sorted(one.get(ADA, "k").value["marks"]) == list(range(24))
        assert len(set(started)) == 1


def test_times_go_forward_between_stores(tmp_path):
    with MemoryStore(store_url(tmp_path)) as one, MemoryStore(store_url(tmp_path)) as two:
        times = []
        for n in range(40):
            store = (one, two)[n % 2]
            if n % 5 == 0:
                store.batch([PutOp(ADA, f"{n}-{i}", {"n": n}) for i in range(30)])
                items = sorted(store.search(ADA, filter={"n": n}, limit=50), key=lambda item: item.updated_at)
                assert [item.key for item in items] == [f"{n}-{i}" for i in range(30)]
                times += [item.updated_at for item in items]
            else:
                store.put(ADA, "k", {"n": n})
                times.append(two.get(ADA, "k").updated_at)
        assert times == sorted(set(times))
        created = one.get(ADA, "k").created_at
        assert created == two.search(ADA, filter={"n": 39})[0].created_at == times[30]
        one.delete(ADA, "k")
        two.put(ADA, "k", {"n": 0})
        assert one.get(ADA, "k").created_at == one.get(ADA, "k").updated_at > times[-1]


def test_writers_that_learn_the_dimensions_at_once_agree(tmp_path):
    def learn(dims: int, n: int) -> Any:
        with MemoryStore(store_url(tmp_path), index={"embed": HashEmbeddings(dims=dims)}) as store:
            store.put(ADA, f"{dims}-{n}", {"text": f"likes tea {dims} times"})
            return dims

    MemoryStore(store_url(tmp_path), index={"embed": HashEmbeddings(dims=8)}).close()
    outcomes = at_once([lambda n=n: learn(8 if n % 2 else 16, n) for n in range(8)])
    won = {one for one in outcomes if isinstance(one, int)}
    assert len(won) == 1
    assert sum(isinstance(one, int) for one in outcomes) == 4
    assert run_sql(f"SELECT DISTINCT public.vector_dims(embedding) FROM {schema_for(tmp_path)}.vectors") == [(*won,)]

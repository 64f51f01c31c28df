"""Search on a server is exact: the order, the scores and every page are those of the reference."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langgraph.store.base import PutOp

from crossthread import MemoryStore
from crossthread.testing import HashEmbeddings, ManualClock
from servers import run_sql, schema_for, server_url, store_url

DIMS = 24


def embed(texts: list[str]) -> list[list[float]]:
    """Return the numbers that a text consists of."""
    return [[float(number) for number in text.split()] for text in texts]


def text_of(vector: Any) -> str:
    return " ".join(repr(float(number)) for number in vector)


def vectors(chance: np.random.Generator, query: Any, count: int) -> list[Any]:
    """Return vectors of which many are equal, many nearly so, and many no nearer to the query than others."""
    base = [chance.normal(size=DIMS) for _ in range(12)]
    base.append(query + 0.01 * chance.normal(size=DIMS))
    base.append(np.zeros(DIMS))
    made = []
    for n in range(count):
        vector = base[n % len(base)].astype(np.float32)
        if n % 3 == 1:  # the next number that there is, somewhere
            place = int(chance.integers(DIMS))
            vector[place] = np.nextafter(vector[place], np.float32(math.copysign(np.inf, chance.normal())))
        elif n % 3 == 2:  # as long, in the order of addition that rounds otherwise
            vector = vector + np.float32(1e-7) * chance.normal(size=DIMS).astype(np.float32)
        made.append(vector)
    return made


@pytest.fixture
def both(tmp_path: Path) -> Any:
    """The store on the server and the reference, filled alike with 1600 items."""
    clock = ManualClock()
    index: Any = {"embed": embed, "dims": DIMS, "fields": ["v[*]"]}
    chance = np.random.default_rng(5)
    query = chance.normal(size=DIMS)
    made = vectors(chance, query, 2400)
    puts = []
    for n in range(1600):
        own = made[n : n + 1] if n % 4 else [made[n], made[1600 + n // 2]]
        value = {"v": [text_of(one) for one in own], "n": n, "rare": n % 97 == 0, "kind": f"k{n % 5}"}
        puts.append(PutOp(("u", f"user{n % 3}"), str(n), value, None, 1 if n % 7 == 0 else None))
    stores = [MemoryStore(url, index=index, clock=clock) for url in (store_url(tmp_path), ":memory:")]
    for store in stores:
        for start in range(0, len(puts), 1000):
            store.batch(puts[start : start + 1000])
    clock.advance(minutes=2)
    yield (*stores, text_of(query))
    for store in stores:
        store.close()


def plain(hits: list[Any]) -> list[Any]:
    return [(hit.namespace, hit.key, hit.score, hit.updated_at) for hit in hits]


SEARCHES: list[dict[str, Any]] = [
    {"limit": 10},
    {"limit": 1},
    {"limit": 7, "offset": 100},
    {"limit": 500},
    {"limit": 10, "filter": {"rare": True}},
    {"limit": 40, "filter": {"rare": True, "kind": {"$ne": "k1"}}},
    {"limit": 10, "filter": {"n": {"$not": {"$lt": 1590}}}},
    {"limit": 10, "filter": {"n": -1}},
    {"limit": 20, "min_score": 0.999},
    {"limit": 5000, "min_score": 0.0},
    {"limit": 30, "filter": {"kind": "k3"}, "min_score": 0.1, "offset": 5},
    {"limit": 10_000},
]


def test_hits_scores_and_order_are_those_of_the_reference(both):
    store, reference, query = both
    queries = [query, " ".join(["0"] * DIMS), text_of(np.eye(DIMS)[3])]
    for asked, prefix, search in product(queries, [(), ("u",), ("u", "user1")], SEARCHES):
        found = [plain(one.search(prefix, query=asked, refresh_ttl=False, **search)) for one in (store, reference)]
        assert found[0] == found[1], (prefix, search)


def test_pages_neither_repeat_nor_lose_an_item(both):
    store, reference, query = both
    for filter_ in (None, {"kind": "k2"}):
        whole = plain(reference.search(("u", "user2"), query=query, limit=10_000, filter=filter_))
        paged: list[Any] = []
        while page := plain(
            store.search(("u", "user2"), query=query, limit=37, offset=len(paged), filter=filter_, refresh_ttl=False)
        ):
            paged += page
        assert paged == whole
        newest = plain(reference.search(("u",), limit=10_000, filter=filter_))
        paged = []
        while page := plain(store.search(("u",), limit=211, offset=len(paged), filter=filter_, refresh_ttl=False)):
            paged += page
        assert paged == newest


def test_a_page_is_full_where_langgraphs_store_returns_fewer(tmp_path):
    """Its index yields the nearest few of all users, of which the filter leaves hardly any."""
    from langgraph.store.postgres import PostgresStore

    chance = np.random.default_rng(1)
    schema = schema_for(tmp_path)
    embeddings = HashEmbeddings(dims=DIMS)
    embeddings.embed_documents = embed  # type: ignore[method-assign]
    embeddings.embed_query = lambda text: embed([text])[0]  # type: ignore[method-assign]
    puts = [
        PutOp(("u", f"user{n % 50}"), str(n), {"text": text_of(chance.normal(size=DIMS) + (n % 50 != 7))})
        for n in range(3000)
    ]
    query = text_of(np.ones(DIMS))
    index: Any = {"embed": embeddings, "dims": DIMS, "fields": ["text"]}
    run_sql(f"CREATE SCHEMA {schema}")
    with PostgresStore.from_conn_string(
        f"{server_url()}&options=-c%20search_path%3D{schema},public%20-c%20enable_seqscan%3Doff%20-c%20enable_sort%3Doff",
        index=index,
    ) as theirs:
        theirs.setup()
        for start in range(0, len(puts), 500):
            theirs.batch(puts[start : start + 500])
        run_sql(f"ANALYZE {schema}.store_vectors")
        few = theirs.search(("u", "user7"), query=query, limit=10)
    with MemoryStore(store_url(tmp_path), index=index) as ours:
        ours.batch(puts)
        assert len(ours.search(("u", "user7"), query=query, limit=10)) == 10
        assert len(ours.search((), query=query, limit=10, filter={"text": {"$exists": True}})) == 10
    assert len(few) < 10


# Addresses


X, Y, K = "x" * 40, "y" * 300, "k" * 40
LABELS = ["a", "ab", "x" * 199, "x" * 200, "x" * 201, X + Y, X + "z" * 300, "\N{SNOWMAN}" * 100, "\x1a#"]
KEYS = ["", "k", "k" * 500, "k" * 501, "k" * 502, K + "a" * 900, K + "b" * 900, "\0\ud800", "\0" * 300, "é" * 251]


class Both:
    """Makes each call on two stores, which must answer alike."""

    def __init__(self, one: MemoryStore, two: MemoryStore) -> None:
        self.stores = (one, two)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            answers = [getattr(store, name)(*args, **kwargs) for store in self.stores]
            mine, theirs = map(plain, answers) if name == "search" else answers
            assert mine == theirs, (name, args)
            return mine

        return call


def test_long_labels_and_keys_are_as_good_as_short_ones(tmp_path):
    chance = random.Random(3)
    spaces = [tuple(chance.choices(LABELS, k=depth)) for depth in range(1, 7) for _ in range(12)]
    spaces += [(*rest, label) for rest in ((), ("u",), ("u", "v")) for label in LABELS]
    puts = [PutOp(space, key, {"text": f"{n} tea"}) for n, space in enumerate(spaces) for key in chance.sample(KEYS, 3)]
    index: Any = {"embed": HashEmbeddings(dims=8), "dims": 8, "fields": ["text"]}
    clock = ManualClock()
    prefixes = sorted({space[:depth] for space in spaces for depth in range(len(space) + 1)})
    with (
        MemoryStore(store_url(tmp_path), index=index, clock=clock) as store,
        MemoryStore(index=index, clock=clock) as reference,
    ):
        both = Both(store, reference)
        both.batch(puts)
        for prefix in prefixes:
            both.search(prefix, limit=1000)
            both.search(prefix, query="3 tea", limit=5)
            both.count(prefix)
            both.list_namespaces(prefix=prefix or None, max_depth=len(prefix) + 1, limit=1000)
        for put in puts:
            assert both.get(put.namespace, put.key).key == put.key
        both.list_namespaces(limit=10_000)
        both.list_namespaces(suffix=("x" * 201,), limit=10_000)
        for prefix in chance.sample(prefixes[1:], 25):
            both.forget(prefix)
            both.search((), limit=1000)
        for put in puts[::2]:
            both.delete(put.namespace, put.key)
        assert both.search((), limit=1000)
        assert both.forget(()) > 0
    assert run_sql(f"SELECT FROM {schema_for(tmp_path)}.vectors") == []

"""What ``compare.py`` measures of one store, in the process that it starts for it."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sqlite3
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from report import peak_memory
from stores import OURS, STORES, Table, opened

MEASURES = {
    "bulk put, batches of 500": "items/s",
    "put": "us",
    "put, no wait for the disk": "us",
    "put, 32 threads at once": "items/s",
    "get": "us",
    "semantic search, one user": "us",
    "semantic search with a filter, one user": "us",
    "filter search, one user": "us",
    "newest, one user": "us",
    "semantic search, everything": "us",
    "recall@10, everything": "part",
    "list_namespaces": "us",
    "opening what is there": "us",
    "first search of one user after it": "us",
}
"""Their units. Not every store has every one."""

CHARTED = ("semantic search, one user", "semantic search, everything", "get", "put")
"""What is measured at every size."""

_CHUNK = 500
_THREADS = 32


class Measuring:
    """One store, filled, and what is found out about it.

    Args:
        name: In STORES.
        items: How many it holds.
        users: Over how many namespaces.
        dims: Of the vectors.
        folder: Where it may write.
        database: The URL of a database of its own, for those on a server.
    """

    def __init__(self, name: str, items: int, users: int, dims: int, folder: Path, database: str) -> None:
        self.name = name
        self.items = items
        self.users = users
        self.folder = folder
        self.table = Table(items, dims)
        self.opened = functools.partial(opened, name, self.table, folder, database)
        self.found: dict[str, Any] = {}

    def all(self) -> dict[str, Any]:
        """Return the figures of all MEASURES that the store has."""
        with self.opened() as store:
            self._fill(store)
            self._search(store)
            self._search_more(store)
            # Last, since it changes the store.
            self._put(store)
            self._put_at_once(store)
        if STORES[self.name].lasting:
            self._reopen()
        if self.name == OURS:
            self._put_without_waiting()
        return self.found

    def charted(self) -> dict[str, Any]:
        """Return the figures of CHARTED, what a file costs to open, and how long and how much memory all of it took."""
        start = time.perf_counter()
        with self.opened() as store:
            self._fill(store)
            self._search(store)
            self._put(store)
        if STORES[self.name].lasting:
            self._reopen()
        self.found["seconds"] = time.perf_counter() - start
        self.found["megabytes"] = peak_memory()
        return self.found

    def _user(self, number: int) -> tuple[str, str]:
        return ("users", f"user{number % self.users}")

    def _value(self, number: int, text: int) -> dict[str, Any]:
        return {"text": f"text {text}", "kind": "note" if (number // self.users) % 2 else "fact", "n": number}

    def _new(self, number: int) -> tuple[tuple[str, str], str, dict[str, Any]]:
        return self._user(number), f"new{number}", self._value(number, self.items + number % 1500)

    def _median(self, action: Callable[[int], Any], seconds: float = 1.5, most: int = 2000) -> float:
        """Return the median duration of an action in microseconds."""
        action(0)
        taken: list[float] = []
        end = time.perf_counter() + seconds
        while len(taken) < most and (time.perf_counter() < end or len(taken) < 5):
            taken.append(self.table.timed(functools.partial(action, len(taken))))
        return statistics.median(taken) * 1e6

    def _fill(self, store: Any) -> None:
        from langgraph.store.base import PutOp

        taken = 0.0
        for start in range(0, self.items, _CHUNK):
            numbers = range(start, min(start + _CHUNK, self.items))
            ops = [PutOp(self._user(n), f"key{n}", self._value(n, n)) for n in numbers]
            taken += self.table.timed(functools.partial(store.batch, ops))
        self.found["bulk put, batches of 500"] = self.items / taken

    def _search(self, store: Any) -> None:
        query = self.table.query
        self.found["get"] = self._median(lambda i: store.get(self._user(i), f"key{i % self.items}"))
        # A hundred users, asked again and again: what they own is in memory where a store has any.
        self.found["semantic search, one user"] = self._median(
            lambda i: store.search(self._user(i % 100), query=query(i))
        )
        everything = functools.partial(store.search, ())
        if self.name != OURS:
            self.found["semantic search, everything"] = self._median(lambda i: everything(query=query(i)), most=50)
            return
        # By turns with numpy's bare product, so that both see the same moods of the machine.
        searches, products = [], []
        matrix = self.table.matrix[: self.items]
        everything(query=query(0))
        for i in range(40):
            asked = self.table.matrix[self.items + 1500 + i]
            searches.append(self.table.timed(functools.partial(everything, query=query(i))))
            products.append(self.table.timed(functools.partial(np.matmul, matrix, asked)))
        self.found["semantic search, everything"] = statistics.median(searches) * 1e6
        self.found["bare product"] = statistics.median(products) * 1e6

    def _search_more(self, store: Any) -> None:
        query = self.table.query
        self.found["semantic search with a filter, one user"] = self._median(
            lambda i: store.search(self._user(i), query=query(i), filter={"kind": "note"})
        )
        self.found["filter search, one user"] = self._median(
            lambda i: store.search(self._user(i), filter={"kind": "note"})
        )
        self.found["newest, one user"] = self._median(lambda i: store.search(self._user(i)))
        self.found["recall@10, everything"] = self._recall(store)
        self.found["list_namespaces"] = self._median(lambda _: store.list_namespaces(), most=300)

    def _recall(self, store: Any) -> float:
        """Return which part of the ten best of all items a search over everything finds, on average over 20 queries."""
        matrix = self.table.matrix[: self.items]
        found = 0
        for n in range(20):
            best = np.argsort(-(matrix @ self.table.matrix[self.items + 1500 + n]), kind="stable")[:10]
            hits = store.search((), query=self.table.query(n), limit=10)
            found += len({hit.value["n"] for hit in hits} & set(best.tolist()))
        return found / 200

    def _put(self, store: Any) -> None:
        """Measure puts of new items, and for our file bare commits of the same bytes.

        They take turns, a hundred at a time, so that both see the same moods of the disk.
        """
        bare = Bare(self.folder, self.table.matrix.shape[1]) if self.name == OURS else None
        puts: list[float] = []
        commits: list[float] = []
        for start in range(0, 1500, 100):
            for i in range(start, start + 100):
                puts.append(self.table.timed(functools.partial(store.put, *self._new(i))))
            for i in range(start, start + 100) if bare else ():
                namespace, key, value = self._new(i)
                commits.append(self.table.timed(functools.partial(bare.put, ".".join(namespace), key, value)))
        self.found["put"] = statistics.median(puts) * 1e6
        if bare:
            self.found["bare commit"] = statistics.median(commits) * 1e6
            bare.connection.close()

    def _put_at_once(self, store: Any) -> None:
        """Measure puts by many threads; here embeddings count, since they are handed out beside other work."""
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(lambda i: store.put(*self._new(i)), range(2000, 2000 + _THREADS)))
            done, start = 0, time.perf_counter()
            while done < 3200 and (not done or time.perf_counter() - start < 2):
                numbers = range(2100 + done, 2100 + done + 10 * _THREADS)
                list(pool.map(lambda i: store.put(*self._new(i)), numbers))
                done += len(numbers)
            self.found["put, 32 threads at once"] = done / (time.perf_counter() - start)

    def _reopen(self) -> None:
        opening, first = [], []
        for n in range(7):
            start = time.perf_counter()
            with self.opened() as store:
                opening.append(time.perf_counter() - start)
                user, query = self._user(n), self.table.query(n)
                first.append(self.table.timed(functools.partial(store.search, user, query=query)))
        self.found["opening what is there"] = statistics.median(opening) * 1e6
        self.found["first search of one user after it"] = statistics.median(first) * 1e6

    def _put_without_waiting(self) -> None:
        from crossthread import MemoryStore

        if "durability" not in inspect.signature(MemoryStore).parameters:
            reason = "this release of crossthread has no argument durability"
            self.found["left out"] = {"put, no wait for the disk": reason}
            return
        with self.opened(durability="process") as store:
            put = functools.partial(self._median, lambda i: store.put(*self._new(9000 + i)))
            self.found["put, no wait for the disk"] = put()


class Bare:
    """A durable SQLite table with the bytes of a put and nothing else: the least that a put can cost."""

    def __init__(self, folder: Path, dims: int) -> None:
        self.connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute("CREATE TABLE t (namespace TEXT, key TEXT, value TEXT, vector BLOB)")
        self.connection.execute("CREATE UNIQUE INDEX address ON t (namespace, key)")
        self.vector = os.urandom(4 * dims)

    def put(self, namespace: str, key: str, value: dict[str, Any]) -> None:
        """Insert a row and wait for the disk."""
        row = (namespace, key, json.dumps(value), self.vector)
        self.connection.execute("INSERT INTO t VALUES (?, ?, ?, ?)", row)

"""The stores that ``compare.py`` measures, each opened as its users open it, with embeddings from a prepared table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Kind(NamedTuple):
    """What a store is: what is told of it, whether it keeps memories, whether on a server."""

    about: str
    lasting: bool = True
    on_server: bool = False


OURS = "crossthread, file"
OURS_ON_A_SERVER = "crossthread, PostgreSQL"
STORES = {
    OURS: Kind("one SQLite file, every put on the disk when it returns"),
    "crossthread, memory": Kind("the in-memory reference", lasting=False),
    "LangGraph InMemoryStore": Kind("forgets on exit", lasting=False),
    "LangGraph SqliteStore": Kind("one SQLite file, needs the sqlite-vec extension"),
    OURS_ON_A_SERVER: Kind("exact search", on_server=True),
    "LangGraph PostgresStore": Kind("its default: an HNSW index", on_server=True),
    "LangGraph PostgresStore, flat": Kind("no index on vectors", on_server=True),
}

SPARE = 1600  # texts beside those of the items: 1500 to put, the others to ask


class Table:
    """Embeddings from a prepared table: a fixed unit vector for each text, as the list of floats LangChain asks for.

    ``spent`` adds up the seconds it takes to hand them out, which are taken off every figure.
    """

    def __init__(self, count: int, dims: int) -> None:
        rng = np.random.default_rng(7)
        self.matrix = rng.standard_normal((count + SPARE, dims), dtype=np.float32)
        for start in range(0, len(self.matrix), 10_000):
            part = self.matrix[start : start + 10_000]
            part /= np.linalg.norm(part, axis=1, keepdims=True)
        self.items = count
        self.spent = 0.0

    def __call__(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts such as "text 12"."""
        start = time.perf_counter()
        found = [self.matrix[int(text[5:])].tolist() for text in texts]
        self.spent += time.perf_counter() - start
        return found

    def query(self, number: int) -> str:
        """Return one of the texts that are no item's."""
        return f"text {self.items + 1500 + number % 100}"

    def timed(self, action: Callable[[], Any]) -> float:
        """Return how many seconds an action takes, without what its embeddings took."""
        spent = self.spent
        start = time.perf_counter()
        action()
        return time.perf_counter() - start - (self.spent - spent)


def index_of(table: Table) -> Any:
    """Return the settings that all stores get."""
    return {"embed": table, "dims": table.matrix.shape[1], "fields": ["text"]}


@contextmanager
def opened(name: str, table: Table, folder: Path, database: str, **settings: Any) -> Iterator[Any]:
    """Open a store by its name in STORES.

    Args:
        name: Of the store.
        table: Its embeddings.
        folder: Where a file goes.
        database: The URL of a database of its own, for those on a server.
        settings: More arguments for crossthread's.
    """
    index = index_of(table)
    if name.startswith("crossthread"):
        from crossthread import MemoryStore

        where = {OURS: folder / "ours.db", OURS_ON_A_SERVER: database}
        with MemoryStore(where.get(name, ":memory:"), index=index, **settings) as store:
            yield store
    elif STORES[name].on_server:
        from langgraph.store.postgres import PostgresStore

        if name.endswith("flat"):
            index["ann_index_config"] = {"kind": "flat"}
        with PostgresStore.from_conn_string(database, index=index) as store:
            store.setup()
            yield store
    elif name == "LangGraph InMemoryStore":
        from langgraph.store.memory import InMemoryStore

        yield InMemoryStore(index=index)
    else:
        from langgraph.store.sqlite import SqliteStore

        # This store reads the paths of texts under another name than the one it documents.
        with SqliteStore.from_conn_string(str(folder / "theirs.db"), index={**index, "text_fields": ["text"]}) as store:
            store.setup()
            yield store

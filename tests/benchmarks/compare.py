"""Measures crossthread beside LangGraph's own stores: a process a store, medians and ratios as a Markdown table.

    python tests/benchmarks/compare.py [--items 10000] [--users 100] [--dims 384] [--only NAME ...] [--write PAGE]
    python tests/benchmarks/compare.py --postgres [URL] ...

The second form measures the stores that keep memories on a PostgreSQL server: the one at URL, or one that is started
for it with PostgreSQL's own settings. Each store gets a database of its own.

Embeddings are looked up in a prepared table, so that only the stores are measured. Durable stores write to a temporary
folder; name another disk with --folder. What cannot be measured is left out with its reason.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

OURS = "crossthread, file"
FILE_STORES = {
    OURS: "one SQLite file, every put on the disk when it returns",
    "crossthread, memory": "the in-memory reference",
    "LangGraph InMemoryStore": "forgets on exit",
    "LangGraph SqliteStore": "one SQLite file, needs the sqlite-vec extension",
}

OURS_ON_A_SERVER = "crossthread, PostgreSQL"
SERVER_STORES = {
    OURS_ON_A_SERVER: "exact search",
    "LangGraph PostgresStore": "its default: an HNSW index",
    "LangGraph PostgresStore, flat": "no index on vectors",
}
STORES = FILE_STORES | SERVER_STORES

MEASURES = {
    "bulk put, batches of 500": "items/s",
    "put": "us",
    "get": "us",
    "semantic search, one user": "us",
    "semantic search with a filter, one user": "us",
    "filter search, one user": "us",
    "newest, one user": "us",
    "semantic search, everything": "us",
    "recall@10, everything": "part",
    "list_namespaces": "us",
}


class Table:
    """Embeddings from a prepared table: a fixed unit vector for each text, as the list of floats LangChain asks for.

    ``spent`` adds up the seconds it takes to hand them out, which are taken off every figure.
    """

    def __init__(self, count: int, dims: int) -> None:
        rng = np.random.default_rng(7)
        matrix = rng.standard_normal((count + 1600, dims)).astype(np.float32)
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        self.vectors = {f"text {i}": matrix[i] for i in range(count + 1600)}
        self.spent = 0.0

    def __call__(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts."""
        start = time.perf_counter()
        found = [self.vectors[text].tolist() for text in texts]
        self.spent += time.perf_counter() - start
        return found


def database_of_its_own(server: str) -> str:
    """Create a database on a server and return its URL; "" without a server."""
    if not server:
        return ""
    import psycopg

    name = f"benchmark_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return urlsplit(server)._replace(path=f"/{name}").geturl()


@contextmanager
def opened(name: str, table: Table, dims: int, folder: Path, server: str) -> Iterator[Any]:
    """Open a store by its name in STORES."""
    index: Any = {"embed": table, "dims": dims, "fields": ["text"]}
    if name.startswith("crossthread"):
        from crossthread import MemoryStore

        where = {OURS: folder / "ours.db", OURS_ON_A_SERVER: database_of_its_own(server)}
        with MemoryStore(where.get(name, ":memory:"), index=index) as store:
            yield store
    elif name in SERVER_STORES:
        from langgraph.store.postgres import PostgresStore

        if name.endswith("flat"):
            index["ann_index_config"] = {"kind": "flat"}
        with PostgresStore.from_conn_string(database_of_its_own(server), index=index) as store:
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


def timed(action: Callable[[], Any], table: Table) -> float:
    """Return how many seconds an action takes, without what its embeddings took."""
    spent = table.spent
    start = time.perf_counter()
    action()
    return time.perf_counter() - start - (table.spent - spent)


def median(action: Callable[[int], Any], table: Table, seconds: float = 1.5, most: int = 2000) -> float:
    """Return the median duration of an action in microseconds."""
    action(0)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < most and (time.perf_counter() < end or len(taken) < 5):
        taken.append(timed(functools.partial(action, len(taken)), table))
    return statistics.median(taken) * 1e6


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


def puts_and_commits(
    store: Any, bare: Bare | None, put: Callable[[int], tuple[Any, str, Any]], table: Table
) -> tuple[float, float]:
    """Return the medians, in microseconds, of puts of new items and of bare commits of the same bytes.

    They take turns, a hundred at a time, so that both see the same moods of the disk.
    """
    puts: list[float] = []
    commits: list[float] = []
    for at in range(0, 1500, 100):
        for i in range(at, at + 100):
            puts.append(timed(functools.partial(store.put, *put(i)), table))
        for i in range(at, at + 100) if bare else ():
            namespace, key, value = put(i)
            commits.append(timed(functools.partial(bare.put, ".".join(namespace), key, value), table))
    return statistics.median(puts) * 1e6, statistics.median(commits or [0.0]) * 1e6


def measure(name: str, items: int, users: int, dims: int, folder: Path, server: str) -> dict[str, float]:
    """Fill a store and return its figures."""
    from langgraph.store.base import PutOp

    table = Table(items, dims)

    def user(i: int) -> tuple[str, str]:
        return ("users", f"user{i % users}")

    def value(i: int, text: int) -> dict[str, Any]:
        return {"text": f"text {text}", "kind": "note" if (i // users) % 2 else "fact", "n": i}

    found: dict[str, float] = {}
    with opened(name, table, dims, folder, server) as store:
        ops = [PutOp(user(i), f"key{i}", value(i, i)) for i in range(items)]
        chunks = [ops[at : at + 500] for at in range(0, items, 500)]
        found["bulk put, batches of 500"] = items / sum(timed(functools.partial(store.batch, c), table) for c in chunks)
        found["get"] = median(lambda i: store.get(user(i), f"key{i % items}"), table)
        query = f"text {items + 1550}"
        found["semantic search, one user"] = median(lambda i: store.search(user(i), query=query), table)
        found["semantic search with a filter, one user"] = median(
            lambda i: store.search(user(i), query=query, filter={"kind": "note"}), table
        )
        found["filter search, one user"] = median(lambda i: store.search(user(i), filter={"kind": "note"}), table)
        found["newest, one user"] = median(lambda i: store.search(user(i)), table)
        found["semantic search, everything"] = median(lambda _: store.search((), query=query), table, most=50)
        found["recall@10, everything"] = recall(store, table, items)
        found["list_namespaces"] = median(lambda _: store.list_namespaces(), table, most=300)
        # Last, since it changes the store.
        bare = Bare(folder, dims) if name == OURS else None
        found["put"], found["bare commit"] = puts_and_commits(
            store, bare, lambda i: (user(i), f"new{i}", value(i, items + i % 1500)), table
        )
    return found


def recall(store: Any, table: Table, items: int) -> float:
    """Return which part of the ten best of all items a search over everything finds, on average over 20 queries."""
    matrix = np.stack([table.vectors[f"text {i}"] for i in range(items)])
    found = 0
    for n in range(20):
        query = f"text {items + 1500 + n}"
        best = np.argsort(-(matrix @ table.vectors[query]), kind="stable")[:10]
        hits = store.search((), query=query, limit=10)
        found += len({hit.value["n"] for hit in hits} & set(best.tolist()))
    return found / 200


def in_own_process(name: str, options: argparse.Namespace) -> dict[str, float] | str:
    """Measure one store in a process of its own; return its figures, or why there are none."""
    command = [sys.executable, __file__, "--child", name]
    for option in ("items", "users", "dims", "folder", "server"):
        command += [f"--{option}", str(getattr(options, option))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def shown(figure: float, unit: str) -> str:
    """Return a figure with its unit, as a person would write it."""
    if unit == "part":
        return f"{figure:.2f}"
    if unit == "items/s":
        return f"{figure:,.0f}/s"
    return (
        f"{figure:,.1f} µs" if figure < 100 else f"{figure:,.0f} µs" if figure < 10_000 else f"{figure / 1000:,.0f} ms"
    )


def as_markdown(found: dict[str, dict[str, float] | str], options: argparse.Namespace) -> str:
    """Return the figures of all stores as a table; in brackets how many times slower than ours they are."""
    measured = {name: figures for name, figures in found.items() if isinstance(figures, dict)}
    lines = [f"| | {' | '.join(measured)} |", f"| --- |{' ---: |' * len(measured)}"]
    base = OURS if OURS in measured else OURS_ON_A_SERVER
    ours = measured.get(base, {})
    for measure_, unit in MEASURES.items():
        cells = []
        for figures in measured.values():
            cell = shown(figures[measure_], unit)
            if ours and figures is not ours and unit != "part":
                ratio = figures[measure_] / ours[measure_]
                slower = 1 / ratio if unit == "items/s" else ratio
                cell += f" ({slower:.0f}x)" if slower >= 10 else f" ({slower:.2g}x)"
            cells.append(cell)
        lines.append(f"| {measure_} | {' | '.join(cells)} |")
    if OURS in measured:
        ratio = ours["put"] / ours["bare commit"]
        bare = shown(ours["bare commit"], "us")
        lines += [
            "",
            f"One durable insert of the bytes of a put into a bare SQLite table: {bare}; a put: {ratio:.2f}x that.",
        ]
    lines += [
        "",
        f"{options.items:,} items over {options.users} users, {options.dims} dimensions, "
        f"Python {platform.python_version()}, {options.engine}, numpy {np.__version__}, "
        f"{os.cpu_count()} cores ({platform.machine()}). Medians; in brackets: how many times slower than "
        f"{base}.",
    ]
    lines += [f"Left out: {name} ({reason})." for name, reason in found.items() if isinstance(reason, str)]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write into a page where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--only", nargs="*", choices=STORES)
    parser.add_argument("--folder", type=Path, help="where durable stores write (default: a temporary folder)")
    parser.add_argument("--write", type=Path, help="a page whose marked part is replaced by the table")
    parser.add_argument(
        "--postgres", nargs="?", const="own", metavar="URL", help="measure stores on a PostgreSQL server"
    )
    parser.add_argument("--child", choices=STORES, help=argparse.SUPPRESS)
    parser.add_argument("--server", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        figures = measure(options.child, options.items, options.users, options.dims, options.folder, options.server)
        print(json.dumps(figures))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, server_of(options, Path(folder)) as server:
        found: dict[str, dict[str, float] | str] = {}
        for name in options.only or (SERVER_STORES if server else FILE_STORES):
            print(f"measuring {name} ...", file=sys.stderr)
            own = Path(folder) / str(len(found))
            own.mkdir()
            changed = {**vars(options), "folder": own, "server": server}
            found[name] = in_own_process(name, argparse.Namespace(**changed))
        options.engine = engine(server)
        table = as_markdown(found, options)
    print(table)
    if options.write:
        topic = "postgres" if server else "file"
        marks = [f"<!-- benchmark {topic}: {end} -->" for end in ("begin", "end")]
        page = options.write.read_text("utf-8")
        head, rest = page.split(marks[0])
        _, tail = rest.split(marks[1])
        options.write.write_text(f"{head}{marks[0]}\n{table}\n{marks[1]}{tail}", "utf-8")


@contextmanager
def server_of(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    """Yield the URL of the server to measure on, "" for none."""
    if options.postgres != "own":
        yield options.postgres or ""
        return
    sys.path.append(str(Path(__file__).parents[1]))
    from servers import start_server

    server = start_server(folder / "server")
    yield server.get_uri()
    server.cleanup()


def engine(server: str) -> str:
    """Return the name and version of the database that was measured."""
    if not server:
        return f"SQLite {sqlite3.sqlite_version}"
    import psycopg

    with psycopg.connect(server) as connection:
        version = connection.execute("SHOW server_version").fetchone()[0].split()[0]
        pgvector = connection.execute("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")
        return f"PostgreSQL {version}, pgvector {pgvector.fetchone()[0]}"


if __name__ == "__main__":
    main()

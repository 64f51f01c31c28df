"""Measures search over a million real sentences in one file: time, recall against exact search, and memory.

    python tests/benchmarks/million.py [--items 1000000] [--queries 300] [--budgets MB ...] [--folder F] [--write PAGE]

The sentences are what Python packages and documentation on this machine say (``texts.py``; --texts names more folders),
embedded by the offline model of ``crossthread[local]``. Queries are sentences that are not in the store. A hit is right
if its cosine is at least that of the tenth best of all items, computed by numpy; so equal sentences stand for each
other. The time to embed a query is taken off. Each budget of memory is measured in a process of its own.

Takes some five minutes, 5 GB of disk and 3 GB of memory. With --folder what was filled is kept there and used again.
"""

from __future__ import annotations

import argparse
import json
import logging
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from million_file import BEST, Local, exact, fill, index_of, recall, user
from report import checked_page, in_own_process, machine, peak_memory, time_shown, write_part

from crossthread import MemoryStore
from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.engines.sqlite.limits import LIMITS

TOPIC = "million"
DEFAULT_MB = LIMITS.vector_bytes // 2**20


# Searching


def search(folder: Path, users: int, budget: int) -> dict[str, Any]:
    """Open the store with a budget in MB, and return its figures."""
    logged: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("crossthread").addHandler(handler)
    logging.getLogger("crossthread").setLevel(logging.INFO)
    asked: list[str] = json.loads((folder / "queries.json").read_text("utf-8"))
    model = Local()
    model.embed_query(asked[0])
    found: dict[str, Any] = {"memory before, MB": peak_memory()}

    def opened() -> MemoryStore:
        path = folder / "million.db"
        if budget == DEFAULT_MB:
            return MemoryStore(path, index=index_of(model))
        limits = LIMITS._replace(vector_bytes=budget * 2**20)
        return MemoryStore(SQLiteEngine(path, limits=limits), index=index_of(model))

    opening, first = [], []
    for n in range(7):
        start = time.perf_counter()
        store = opened()
        opening.append((time.perf_counter() - start) * 1e6)
        one = user(1000 * n, users)
        first.append(model.timed(lambda store=store, one=one: store.search(one, query=asked[0])))  # type: ignore[misc]
        store.close()
    found["open"] = statistics.median(opening)
    found["one user, first search after opening"] = statistics.median(first)

    with opened() as store:

        def one_user(numbers: range) -> float:
            taken = [
                model.timed(lambda n=n: store.search(user(n, users), query=asked[n % len(asked)]))  # type: ignore[misc]
                for n in numbers
            ]
            return statistics.median(taken)

        found["one user, a first time"] = one_user(range(2, 302))
        one_user(range(1, 2))
        found["one user, again"] = one_user(range(1, 1 + 500 * users, users))
        found["everything, first search after opening"] = model.timed(lambda: store.search((), query=asked[0]))
        found["memory after it, MB"] = peak_memory()
        found["progress messages"] = len(logged)
        taken, hits = [], []
        for query in asked:
            answer: list[Any] = []
            taken.append(model.timed(lambda q=query, a=answer: a.extend(store.search((), query=q, limit=BEST))))  # type: ignore[misc]
            hits.append([int(hit.key) for hit in answer])
        found["everything"] = statistics.median(taken)
        found["everything, 95 of 100 within"] = float(np.percentile(taken, 95))
        found["one user, again, afterwards"] = one_user(range(1, 1 + 500 * users, users))
        taken = []
        for n, query in enumerate(asked[:20]):
            # Rewritten as it was, so that the next budget meets the same file.
            item = store.get(user(n, users), str(n))
            assert item is not None
            store.put(user(n, users), str(n), item.value)
            taken.append(model.timed(lambda q=query: store.search((), query=q)))  # type: ignore[misc]
        found["everything, after a put"] = statistics.median(taken)
        found["everything, after a put, the slowest of 20"] = max(taken)
        found["most memory, MB"] = peak_memory()
    found["recall"], found["recall of the worst query"] = recall(folder, hits)
    return found


# The page

TIMES = (
    "open",
    "one user, first search after opening",
    "one user, a first time",
    "one user, again",
    "one user, again, afterwards",
    "everything, first search after opening",
    "everything",
    "everything, 95 of 100 within",
    "everything, after a put",
    "everything, after a put, the slowest of 20",
)


def as_markdown(filled: dict[str, Any], bare: float, found: dict[int, dict[str, Any] | str], queries: int) -> str:
    """Return the figures of all budgets as a table."""
    measured = {budget: figures for budget, figures in found.items() if isinstance(figures, dict)}
    heads = [f"{budget:,} MB{' (default)' if budget == DEFAULT_MB else ''}" for budget in measured]
    lines = [f"| budget for vectors | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(measured)}"]

    def row(name: str, cells: list[str]) -> None:
        lines.append(f"| {name} | {' | '.join(cells)} |")

    for name in TIMES:
        row(name, [time_shown(figures[name]) for figures in measured.values()])
    row("recall@10 against exact search", [f"{figures['recall']:.3f}" for figures in measured.values()])
    row(
        "recall@10 of the worst query", [f"{figures['recall of the worst query']:.1f}" for figures in measured.values()]
    )
    row("messages that tell how far the first search is", [f"{f['progress messages']}" for f in measured.values()])
    row("memory of the process at the most", [f"{figures['most memory, MB']:,.0f} MB" for figures in measured.values()])
    base = next(iter(measured.values()), {}).get("memory before, MB", 0.0)
    items, taken = filled["items"], filled["put in s"]
    lines += [
        "",
        f"{items:,} sentences of packages and documentation, {filled['users']:,} users, {filled['dims']} dimensions "
        f"(the offline model), {queries} queries that are not among them, medians; numpy's bare product over the same "
        f"vectors: {time_shown(bare)}. With Python, LangGraph and the model loaded a process has {base:,.0f} MB before "
        f"it opens the store. The file has {filled['file in MB']:,.0f} MB and was filled in {taken:,.0f} s "
        f"({items / taken:,.0f} items/s), without the {filled['embedded in s']:,.0f} s that embedding took. "
        f"{machine()}, SQLite {sqlite3.sqlite_version}.",
    ]
    lines += [f"Left out: {budget:,} MB ({why})." for budget, why in found.items() if isinstance(why, str)]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write into a page where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000, help="fewer where there is less text")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--budgets", type=int, nargs="+", default=[DEFAULT_MB, 64, 2048], metavar="MB")
    parser.add_argument("--texts", type=Path, nargs="*", default=[], metavar="FOLDER", help="more folders with text")
    parser.add_argument("--folder", type=Path, help="keep what was filled here, and use it again")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page whose marked part is replaced")
    parser.add_argument("--child", choices=("fill", "exact", "search"), help=argparse.SUPPRESS)
    parser.add_argument("--users", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child == "fill":
        print(json.dumps(fill(options.folder, options.items, options.queries, options.texts)))
    elif options.child == "exact":
        print(json.dumps(exact(options.folder)))
    elif options.child == "search":
        print(json.dumps(search(options.folder, options.users, options.budgets[0])))
    else:
        run(options)


def run(options: argparse.Namespace) -> None:
    """Fill, search with every budget, print and write, each in a process of its own."""
    page = None if options.write is None else checked_page(options.write, TOPIC)
    with tempfile.TemporaryDirectory(prefix="crossthread-million-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        size = ["--items", str(options.items), "--queries", str(options.queries)]
        done = folder / f"filled-{options.items}-{options.queries}.json"
        if not done.exists():
            for old in folder.glob("million.db*"):
                old.unlink()
            for old in folder.glob("filled-*.json"):
                old.unlink()
            texts_ = ["--texts", *map(str, options.texts)] if options.texts else []
            filled = child("fill", folder, [*size, *texts_], "gathering, embedding and putting")
            done.write_text(json.dumps(filled), "utf-8")
        filled = json.loads(done.read_text("utf-8"))
        bare = child("exact", folder, [], "exact search by numpy")["bare product"]
        found: dict[int, dict[str, Any] | str] = {}
        for budget in options.budgets:
            print(f"searching with {budget:,} MB ...", file=sys.stderr)
            more = ["--users", str(filled["users"]), "--budgets", str(budget)]
            found[budget] = in_own_process([__file__, "--child", "search", "--folder", str(folder), *more])
    text = as_markdown(filled, bare, found, options.queries)
    print(text)
    print(json.dumps(found, indent=1), file=sys.stderr)
    if page is not None:
        write_part(page, TOPIC, text)
    if any(isinstance(figures, str) for figures in found.values()):
        sys.exit("Not everything could be measured.")


def child(name: str, folder: Path, more: list[str], label: str) -> dict[str, Any]:
    """Do one part of the work in a process of its own; end the program with the reason where it fails."""
    print(f"{label} ...", file=sys.stderr)
    found = in_own_process([__file__, "--child", name, "--folder", str(folder), *more])
    if isinstance(found, str):
        sys.exit(f"{label}: {found}")
    return found


if __name__ == "__main__":
    main()

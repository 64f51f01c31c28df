"""Measures crossthread beside LangGraph's own stores: a process a store, medians and ratios as Markdown tables.

    python tests/benchmarks/compare.py [--items 10000] [--users 100] [--dims 384] [--only NAME ...] [--write PAGE]
    python tests/benchmarks/compare.py --sizes 1000 10000 100000 1000000 [--limit 600] [--write PAGE]

The first form measures everything that is there in less than five minutes: stores in files, in memory, and on a
PostgreSQL server, which is the one that --postgres URL names, or one that is started for it with PostgreSQL's own
settings. Each store on it gets a database of its own. The second form takes an hour or more; it draws the latency of
the most common calls against the number of items, and leaves out what would take longer than --limit seconds at a size.

Embeddings are looked up in a prepared table, so that only the stores are measured. Durable stores write to a temporary
folder; name another disk with --folder. What cannot be measured is left out with its reason.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import summary
from charts import Style, lines
from measures import CHARTED, MEASURES, Measuring
from report import (
    checked_page,
    free_memory,
    in_own_process,
    machine,
    own_database,
    reason,
    server_at,
    time_shown,
    write_part,
)
from stores import OURS, OURS_ON_A_SERVER, STORES

Found = dict[str, dict[str, Any] | str]
"""The figures of stores, or why there are none."""

ITEMS_OF_A_USER = 100  # when sizes are compared
STYLES = {
    OURS: Style(0, width=3),
    "crossthread, memory": Style(0, "2 3"),
    OURS_ON_A_SERVER: Style(0, "7 4"),
    "LangGraph InMemoryStore": Style(1, "2 3"),
    "LangGraph SqliteStore": Style(2),
    "LangGraph PostgresStore": Style(3, "7 4"),
    "LangGraph PostgresStore, flat": Style(3, "2 3"),
}


class Runner:
    """Runs stores, each in a process and a place of its own.

    Args:
        stack: Ends the server.
        options: Of the program.
        folder: Where durable stores write.
    """

    def __init__(self, stack: ExitStack, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.server = ""
        self.lacking = ""
        self.names: list[str] = options.only or list(STORES)
        if any(STORES[name].on_server for name in self.names):
            print("starting PostgreSQL ..." if not options.postgres else "measuring on a server ...", file=sys.stderr)
            try:
                self.server = stack.enter_context(server_at(options.postgres, folder / "server"))
                self.engine = server_named(self.server)
            except Exception as error:  # whatever its package or the driver raises
                self.lacking = f"{reason(error)}; --postgres URL names a server"

    def run(self, name: str, what: str, items: int, users: int, seconds: float | None = None) -> dict[str, Any] | str:
        """Measure one store; return its figures, or why there are none."""
        print(f"measuring {name}, {items:,} items ...", file=sys.stderr)
        sizes = ["--items", str(items), "--users", str(users), "--dims", str(self.options.dims)]
        with ExitStack() as stack:
            database = ""
            if STORES[name].on_server:
                if not self.server:
                    return self.lacking
                database = stack.enter_context(own_database(self.server, "benchmark"))
            own = stack.enter_context(tempfile.TemporaryDirectory(dir=self.folder))
            place = ["--folder", own, "--database", database]
            return in_own_process([__file__, "--child", name, "--what", what, *sizes, *place], seconds)


def server_named(server: str) -> str:
    """Return the name and version of a server."""
    import psycopg

    with psycopg.connect(server) as connection:
        version = connection.execute("SHOW server_version").fetchone()
        pgvector = connection.execute(
            "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
        ).fetchone()
    return f"PostgreSQL {version[0].split()[0] if version else ''}, pgvector {pgvector[0] if pgvector else 'lacking'}"


# Stores beside each other


def shown(figure: float, unit: str) -> str:
    """Return a figure with its unit, as a person would write it."""
    if unit == "part":
        return f"{figure:.2f}"
    return f"{figure:,.0f}/s" if unit == "items/s" else time_shown(figure)


def as_table(found: Found, base: str) -> list[str]:
    """Return the figures of stores as a table; in brackets how many times slower than the base they are."""
    measured = {name: figures for name, figures in found.items() if isinstance(figures, dict)}
    if not measured:
        return []
    rows = [f"| | {' | '.join(measured)} |", f"| --- |{' ---: |' * len(measured)}"]
    ours = measured.get(base, {})
    for name, unit in MEASURES.items():
        cells = []
        for figures in measured.values():
            cell = shown(figures[name], unit) if name in figures else ""
            if cell and name in ours and figures is not ours and unit != "part":
                ratio = figures[name] / ours[name]
                slower = 1 / ratio if unit == "items/s" else ratio
                cell += f" ({slower:.0f}x)" if slower >= 10 else f" ({slower:.2g}x)"
            cells.append(cell)
        if any(cells):
            rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def left_out(found: Found) -> list[str]:
    """Return what was not measured, with reasons, as a list."""
    lacking = [f"- Left out: {name} ({why})." for name, why in found.items() if isinstance(why, str)]
    for name, figures in found.items():
        if isinstance(figures, dict):
            parts = figures.get("left out", {})
            lacking += [f'- Left out: "{part}" of {name} ({why}).' for part, why in parts.items()]
    return ["", *lacking] if lacking else []


def whole(figures: dict[str, Any], items: int) -> str:
    """Return what a file of more items shows: how far a search over everything is from numpy's bare product."""
    everything, product = figures["semantic search, everything"], figures["bare product"]
    names = ("semantic search, one user", "opening what is there", "first search of one user after it")
    one_user, opening, first = (time_shown(figures[name]) for name in names)
    return (
        f"{items:,} vectors in one file: a search over everything takes {time_shown(everything)}, numpy's bare "
        f"`matrix @ query` over the same vectors {time_shown(product)} ({everything / product:.2f}x); a search of one "
        f"user {one_user}; opening it {opening}, and the first search of one user then {first}."
    )


def compare(runner: Runner, options: argparse.Namespace) -> dict[str, str]:
    """Return the parts of the page that show the stores beside each other."""
    found = {name: runner.run(name, "all", options.items, options.users) for name in runner.names}
    about = f"{options.items:,} items over {options.users:,} users, {options.dims} dimensions, {machine()}"
    local = {name: result for name, result in found.items() if not STORES[name].on_server}
    parts = {}
    if local:
        text = as_table(local, OURS)
        ours = local.get(OURS)
        if isinstance(ours, dict):
            commit, product = ours["bare commit"], ours["bare product"]
            ratios = [ours["put"] / commit, ours["semantic search, everything"] / product]
            text += [
                "",
                f"One durable insert of the bytes of a put into a bare SQLite table: {time_shown(commit)}; a put: "
                f"{ratios[0]:.2f}x that. Numpy's bare `matrix @ query`: {time_shown(product)}; a search over "
                f"everything: {ratios[1]:.2f}x that.",
            ]
            if options.whole > options.items:
                users = options.whole // ITEMS_OF_A_USER
                larger = runner.run(OURS, "charted", options.whole, users)
                if isinstance(larger, dict):
                    text += ["", whole(larger, options.whole)]
                else:
                    local[f"{OURS}, {options.whole:,} items"] = larger
        base = f"in brackets: how many times slower than {OURS}"
        text += ["", f"{about}, SQLite {sqlite3.sqlite_version}. Medians; {base}.", *left_out(local)]
        parts["file"] = "\n".join(text)
    served = {name: result for name, result in found.items() if STORES[name].on_server}
    if served:
        text = as_table(served, OURS_ON_A_SERVER)
        if text:
            base = f"in brackets: how many times slower than {OURS_ON_A_SERVER}"
            text += ["", f"{about}, {runner.engine}. Medians; {base}."]
        parts["postgres"] = "\n".join([*text, *left_out(served)]).strip()
    return parts


# Latency against size


def expected(before: list[tuple[int, float]], size: int) -> float:
    """Return what a figure would be at a size: on the line through the last two smaller sizes; 0.0 without two."""
    if len(before) < 2:
        return 0.0  # most of what a small store takes has nothing to do with its size
    (first, least), (last, figure) = before[-2:]
    return figure + (figure - least) * (size - last) / (last - first)


def compare_sizes(runner: Runner, options: argparse.Namespace, picture: Path | None) -> dict[str, str]:
    """Draw the latency of stores against their size; return the part of the page that shows it."""
    by_store: dict[str, dict[int, dict[str, Any]]] = {}
    lacking: list[str] = []
    for name in runner.names:
        done = by_store.setdefault(name, {})
        for size in sorted(options.sizes):
            time, memory = (
                expected([(n, f[what]) for n, f in done.items()], size) for what in ("seconds", "megabytes")
            )
            if time > options.limit:
                why: Any = f"would take some {time:,.0f} s; the limit is {options.limit:,.0f} s"
            elif memory > 0.9 * free_memory():
                why = f"would take some {memory / 1024:,.0f} GB of memory"
            else:
                users = max(1, size // ITEMS_OF_A_USER)
                why = runner.run(name, "charted", size, users, options.limit)
            if isinstance(why, str):
                lacking.append(f"- Left out: {name} from {size:,} items on ({why}).")
                break
            done[size] = why
    panels = {
        measure: {
            name: {size: figures[measure] for size, figures in done.items()} for name, done in by_store.items() if done
        }
        for measure in CHARTED
    }
    text = [
        f"{ITEMS_OF_A_USER} items a user, {options.dims} dimensions, {machine()}, SQLite {sqlite3.sqlite_version}"
        f"{', ' + runner.engine if runner.server else ''}. Medians.",
        *(["", *lacking] if lacking else []),
    ]
    sizes = sorted(options.sizes)
    text += ["", f"| | {' | '.join(f'{size:,}' for size in sizes)} |", f"| --- |{' ---: |' * len(sizes)}"]
    for measure, panel in panels.items():
        text.append(f"| **{measure}** |{'  |' * len(sizes)}")
        for name, line in panel.items():
            cells = [time_shown(line[size]) if size in line else "" for size in sizes]
            text.append(f"| {name} | {' | '.join(cells)} |")
    if picture is not None:
        ours = {measure: panel.get(OURS, {}) for measure, panel in panels.items()}
        alt = "Latency against size. " + "; ".join(
            f"{measure}: {OURS} {', '.join(f'{time_shown(t)} at {size:,}' for size, t in line.items())}"
            for measure, line in ours.items()
            if line
        )
        picture.write_text(lines("Latency against size", "items in the store", panels, STYLES, alt), "utf-8")
        text = [f"![{alt}]({picture.name})", "", *text]
    return {"sizes": "\n".join(text)}


def main() -> None:
    """Measure, print, and write into a page where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--whole", type=int, default=100_000, help="a larger file, searched beside numpy; 0: none")
    parser.add_argument("--only", nargs="+", choices=STORES)
    parser.add_argument("--postgres", metavar="URL", help="a server to measure on (default: one that is started)")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="ITEMS", help="draw latency against these sizes")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds that a store may take at a size")
    parser.add_argument("--folder", type=Path, help="where durable stores write (default: a temporary folder)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page whose marked parts are replaced")
    parser.add_argument("--child", choices=STORES, help=argparse.SUPPRESS)
    parser.add_argument("--what", choices=("all", "charted"), help=argparse.SUPPRESS)
    parser.add_argument("--database", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        place = (options.folder, options.database)
        measuring = Measuring(options.child, options.items, options.users, options.dims, *place)
        print(json.dumps(measuring.all() if options.what == "all" else measuring.charted()))
        return
    topics = ("sizes",) if options.sizes else ("file", "postgres")
    page = None if options.write is None else checked_page(options.write, *topics)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, ExitStack() as stack:
        runner = Runner(stack, options, Path(folder))
        if options.sizes:
            picture = None if page is None else page.with_name(f"{page.stem}-sizes.svg")
            parts = compare_sizes(runner, options, picture)
        else:
            parts = compare(runner, options)
    for topic, text in parts.items():
        print(text, end="\n\n")
        if page is not None:
            write_part(page, topic, text)
    if page is not None and page.resolve() == summary.SOURCE:
        summary.main()


if __name__ == "__main__":
    main()

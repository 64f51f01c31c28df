"""Takes the figures of the README and of the start page from docs/benchmarks.md, so that each has one source.

    python tests/benchmarks/summary.py

`compare.py --write docs/benchmarks.md` does it by itself; a test finds pages that were not brought up to date.
"""

from __future__ import annotations

import re
from pathlib import Path

from report import checked_page, marks, write_part

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "docs" / "benchmarks.md"
PAGES = [ROOT / "README.md", ROOT / "docs" / "index.md"]
TOPIC = "summary"

COLUMNS = {
    "crossthread, file": "crossthread, file",
    "LangGraph SqliteStore": "SqliteStore",
    "LangGraph InMemoryStore": "InMemoryStore",
    "crossthread, PostgreSQL": "crossthread, PostgreSQL",
    "LangGraph PostgresStore": "PostgresStore",
}
ROWS = {
    "put": "put",
    "put, 32 threads at once": "put, 32 threads at once",
    "bulk put, batches of 500": "put, batches of 500",
    "get": "get",
    "semantic search, one user": "semantic search, one user",
    "filter search, one user": "filter search, one user",
    "semantic search, everything": "semantic search, all users",
    "recall@10, everything": "of the right ten hits it finds",
}

Table = dict[str, dict[str, str]]
"""Figures by store and measure, as they are written."""


def part(page: str, topic: str) -> str:
    """Return the marked part of a page."""
    begin, end = marks(topic)
    return page.partition(begin)[2].partition(end)[0]


def tables(text: str) -> Table:
    """Return the figures of the tables in a text, without ratios."""
    found: Table = {}
    stores: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            stores = []
            continue
        first, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if not stores:
            stores = cells
        elif not set(first) <= set("-: "):
            for store, cell in zip(stores, cells, strict=True):
                figure = re.sub(r" \([\d.,]+x\)$", "", cell)
                if figure:
                    found.setdefault(store, {})[first] = figure
    return found


def summary(source: str) -> str:
    """Return the figures that the README shows, of the page of all benchmarks."""
    local, server = part(source, "file"), part(source, "postgres")
    found = tables(local) | tables(server)
    stores = [store for store in COLUMNS if store in found]
    rows = [
        f"| | {' | '.join(COLUMNS[store] for store in stores)} |",
        f"| --- |{' ---: |' * len(stores)}",
        *(
            f"| {title} | {' | '.join(found[store].get(row, '-') for store in stores)} |"
            for row, title in ROWS.items()
            if any(row in found[store] for store in stores)
        ),
    ]
    about = [
        found[1] for text in (local, server) if (found := re.search(r"^(\d[^\n]*)\. Medians;", text, re.MULTILINE))
    ]
    return "\n".join([*rows, "", f"Medians: {about[0]}{_server(about)}."])


def _server(about: list[str]) -> str:
    """Return the server of the second part, which is that of the first in all else."""
    return "".join(
        f", {name}" for text in about[1:] for name in re.findall(r"PostgreSQL [\d.]+|pgvector [\d.]+\d", text)
    )


def main() -> None:
    """Write the figures into the pages."""
    text = summary(SOURCE.read_text("utf-8"))
    for page in PAGES:
        write_part(checked_page(page, TOPIC), TOPIC, text)


if __name__ == "__main__":
    main()

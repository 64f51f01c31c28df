"""Measures what a scope costs: a scoped workflow beside LangGraph's bare ``@entrypoint``, as a Markdown table.

    python tests/benchmarks/scopes.py [--runs 400] [--write PAGE]

Both do the same with the same store, by turns, so that a busy moment of the machine is theirs alike. The bare one puts
the user's id into each namespace itself. ``--check`` fails where a scope costs more than 5 % and more than 0.2 ms of
processor time, which other programs on the machine disturb less than the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langgraph.func import entrypoint, task

from crossthread import Memory

Row = tuple[str, float, float, float, float]
SCOPE = ("memories", "{user_id}")
MOST_PART, MOST_SECONDS = 0.05, 0.000_2


def nothing(memory: Memory) -> tuple[Any, Any]:
    """Workflows that do nothing: what is left is the run itself."""

    @entrypoint(store=memory.store, checkpointer=memory.checkpointer)
    def bare(n, *, store, previous, config):
        return n

    @memory.entrypoint(scope=SCOPE)
    def scoped(n, *, store, previous, config):
        return n

    return bare, scoped


def memories(memory: Memory) -> tuple[Any, Any]:
    """Workflows that write, read, search, and run a task that does so as well."""

    @task
    def bare_task(n, user, *, store):
        store.put((*user, "notes"), str(n % 50), {"n": n})
        return len(store.search((*user, "notes")))

    @entrypoint(store=memory.store, checkpointer=memory.checkpointer)
    def bare(n, *, store, previous, config):
        user = ("memories", config["configurable"]["user_id"])
        store.put(user, str(n % 50), {"n": n})
        store.get(user, str(n % 50))
        return len(store.search(user)) + bare_task(n, user).result()

    @task
    def scoped_task(n, *, store):
        store.put(("notes",), str(n % 50), {"n": n})
        return len(store.search(("notes",)))

    @memory.entrypoint(scope=SCOPE)
    def scoped(n, *, store, previous, config):
        store.put((), str(n % 50), {"n": n})
        store.get((), str(n % 50))
        return len(store.search(())) + scoped_task(n).result()

    return bare, scoped


def medians(workflows: tuple[Any, Any], runs: int, asynchronous: bool) -> list[float]:
    """Return the median seconds of a bare run and what a scoped one takes more: of the clock, then of the processor."""
    taken: dict[Any, tuple[list[float], list[float]]] = {time.perf_counter: ([], []), time.process_time: ([], [])}
    loop = asyncio.new_event_loop() if asynchronous else None
    for n in range(runs + 20):
        for which in (0, 1) if n % 2 else (1, 0):
            config = {"configurable": {"thread_id": f"{which}-{n // 20}", "user_id": "ada"}}
            start = {clock: clock() for clock in taken}
            if loop is not None:
                loop.run_until_complete(workflows[which].ainvoke(n, config))
            else:
                workflows[which].invoke(n, config)
            if n >= 20:  # the first warm up
                for clock, seconds in taken.items():
                    seconds[which].append(clock() - start[clock])
    if loop is not None:
        loop.close()
    found = []
    for bare, scoped in taken.values():
        found += [statistics.median(bare), statistics.median(map(float.__sub__, scoped, bare))]
    return found


def measure(runs: int) -> list[Row]:
    """Return the name of each case, and what `medians` found."""
    cases: list[tuple[str, Callable[[Memory], tuple[Any, Any]]]] = [
        ("an empty workflow", nothing),
        ("put, get, search, and a task with put and search", memories),
    ]
    found: list[Row] = []
    gc.disable()
    for place in ("memory", "file"):
        for name, make in cases:
            for asynchronous in (False, True):
                with tempfile.TemporaryDirectory() as folder:
                    memory = Memory(":memory:" if place == "memory" else Path(folder, "agent.db"))
                    seconds = medians(make(memory), runs, asynchronous)
                    memory.close()
                gc.collect()
                where = "a file" if place == "file" else place
                found.append((f"{name}, in {where}, {'async' if asynchronous else 'sync'}", *seconds))
    gc.enable()
    return found


def table(rows: list[Row], runs: int) -> str:
    """Return the rows as Markdown."""
    lines = ["| | bare `@entrypoint` | a scope costs | of processor time |", "| --- | ---: | ---: | ---: |"]
    for name, bare, more, cpu, more_cpu in rows:
        costs = [f"{more * 1e3:+.3f} ms ({more / bare:+.1%})", f"{more_cpu * 1e3:+.3f} ms ({more_cpu / cpu:+.1%})"]
        lines.append(f"| {name} | {bare * 1e3:.2f} ms | {costs[0]} | {costs[1]} |")
    python = platform.python_version()
    made = f"Medians of {runs} pairs of runs, one after the other; Python {python}, LangGraph {version()}."
    return "\n".join([*lines, "", made])


def version() -> str:
    """Return LangGraph's version."""
    from importlib.metadata import version

    return version("langgraph")


def write(page: Path, text: str) -> None:
    """Put a text between the marks on a page."""
    before, begin, rest = page.read_text("utf-8").partition("<!-- benchmark scopes: begin -->\n")
    _, end, after = rest.partition("<!-- benchmark scopes: end -->")
    if not begin or not end:
        raise SystemExit(f"{page} has no place for this table.")
    page.write_text(f"{before}{begin}{text}\n{end}{after}", "utf-8")


def main() -> None:
    """Measure and print, write or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--write", type=Path, metavar="PAGE")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    rows = measure(given.runs)
    print(table(rows, given.runs))
    if given.write:
        write(given.write, table(rows, given.runs))
    over = [name for name, _, _, cpu, more in rows if more > max(cpu * MOST_PART, MOST_SECONDS)]
    if given.check and over:
        sys.exit(f"A scope costs too much: {'; '.join(over)}.")


if __name__ == "__main__":
    main()

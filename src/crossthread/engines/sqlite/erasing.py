"""Takes out of a file what deleted rows have left in it. Works on a connection that it is lent.

SQLite only marks deleted bytes as free: in pages that are no longer used, in gaps of pages that are, in older versions
of a value, and in the write-ahead log. The indexes hear of it later, and FTS5 keeps the words of what was deleted until
it merges its segments; SQLite before 3.42 has no option against that.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from crossthread.engines.sqlite import indexes, queries
from crossthread.engines.sqlite.connection import mapped_errors
from crossthread.engines.sqlite.state import read_state
from crossthread.errors import StoreBusyError, StoreFullError

# One segment is left, in which nothing that was deleted has a place.
_MERGE = "INSERT INTO crossthread_words (crossthread_words) VALUES ('optimize')"

# All rows are written to new pages, and the old ones go.
_REWRITE = "VACUUM"

# The log goes into the file and becomes empty, as soon as nobody reads an older state from it.
_EMPTY_LOG = "PRAGMA wal_checkpoint(TRUNCATE)"


def erase_traces(connection: sqlite3.Connection, path: Path) -> list[str]:
    """Rewrite a file, so that nothing that was deleted can be found in it, and return what may remain, in sentences.

    All of the file is written twice, beside it and into its log, for which there must be room. Readers go on; writers
    wait.

    Args:
        connection: A connection to the file, outside of any transaction.
        path: The file, with the tables of a store, of a checkpointer or of both.

    Raises:
        StoreError: The file cannot be written, or is damaged.
    """
    try:
        with mapped_errors(path):
            if connection.execute(queries.HAS_STATE).fetchone()[0]:
                _settle_indexes(connection)
            connection.execute(_REWRITE)
            is_busy, *_ = connection.execute(_EMPTY_LOG).fetchone()
    except (StoreBusyError, StoreFullError) as error:
        return [f"{path} still has the bytes of what was deleted, since it could not be rewritten: {error}"]
    if is_busy:
        return [
            f"{path} and its log still have the bytes of what was deleted, since somebody reads an older state of it "
            "(a transaction that was left open?); call erase_traces() again when that has ended."
        ]
    return []


def _settle_indexes(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        state = read_state(connection)
        indexes.settle(connection, state, state.latest, state.erasures)
        if state.language is not None:  # there is an index of words
            connection.execute(_MERGE)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")

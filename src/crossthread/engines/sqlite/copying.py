"""Copies a live database to another file, by SQLite's online backup. Knows no tables.

The copy is made under a temporary name and gets its own when it is whole and on disk, so that what carries the name is
always a whole one. A copy that was killed leaves ``<name>.*.partial``.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from crossthread.engines.base import Progress
from crossthread.engines.sqlite.connection import mapped_errors
from crossthread.errors import InvalidArgumentError, StoreUnavailableError

_PAGES = 256  # a megabyte at a time
_PAUSE_SECONDS = 0.002  # in which others have the disk


def backup(source: sqlite3.Connection, path: Path, progress: Progress | None) -> None:
    """Copy a database to a new file, in the state of one moment.

    Raises:
        InvalidArgumentError: There is something at ``path``.
        StoreError: The file cannot be made, or there is no room for it; nothing is left of it.
    """
    if os.path.lexists(path):
        raise _exists(path)
    _copy(source, path, progress, _give_new_name)


def copy_over(source: sqlite3.Connection, path: Path) -> None:
    """Copy a database to a file, in the place of what is there; that goes when the copy is whole."""
    _copy(source, path, None, os.replace)


def _copy(
    source: sqlite3.Connection, path: Path, progress: Progress | None, give_name: Callable[[Path, Path], None]
) -> None:
    partial = _new_file(path)
    try:
        with mapped_errors(path), closing(sqlite3.connect(partial, isolation_level=None)) as target:
            _copy_pages(source, target, progress)
        # After SQLite has closed it: closing a file drops all locks of this process on it.
        _sync(partial)
        give_name(partial, path)
        _sync(path.parent)
    finally:
        for left in (partial, partial.with_name(partial.name + "-journal")):
            with suppress(FileNotFoundError):
                left.unlink()


def _new_file(path: Path) -> Path:
    try:
        handle, name = tempfile.mkstemp(".partial", path.name + ".", path.parent)  # readable for its owner only
    except OSError as error:
        raise StoreUnavailableError(f"{path} cannot be created: {error.strerror} ({path.parent}).") from error
    os.close(handle)
    return Path(name)


def _copy_pages(source: sqlite3.Connection, target: sqlite3.Connection, progress: Progress | None) -> None:
    (page_bytes,) = source.execute("PRAGMA page_size").fetchone()

    def pause(status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress((total - remaining) * page_bytes, total * page_bytes)
        if remaining:
            time.sleep(_PAUSE_SECONDS)

    # Within one read transaction: otherwise the copy would begin anew whenever somebody has written between two steps.
    source.execute("BEGIN")
    try:
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(target, pages=_PAGES, progress=pause)
    finally:
        source.execute("ROLLBACK")


def _give_new_name(partial: Path, path: Path) -> None:
    try:
        os.link(partial, path)  # which never replaces a file
    except FileExistsError:
        raise _exists(path) from None
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise _exists(path) from None
        partial.rename(path)


def _exists(path: Path) -> InvalidArgumentError:
    return InvalidArgumentError(f"{path} exists already, and backup() overwrites nothing; choose another name.")


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # folders cannot be opened on Windows
        return
    try:
        with suppress(OSError):  # nor synced everywhere
            os.fsync(handle)
    finally:
        os.close(handle)

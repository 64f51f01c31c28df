"""Opens SQLite files and turns sqlite3's errors into ours: the only place that knows its settings and codes."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import clear_frames

from crossthread.engines.sqlite.presence import INDEX_OF_LOG, LOG, Files, Identity, Looks
from crossthread.errors import (
    StoreBusyError,
    StoreClosedError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from crossthread.settings import Durability

OLDEST = (3, 38, 0)  # the first release with JSON functions in every build; RETURNING came with 3.35
BUSY_SECONDS = 30.0

_SMALLEST = 512  # bytes of the smallest page, https://www.sqlite.org/fileformat.html, section 1.3
_creating = threading.Lock()


class Connection(sqlite3.Connection):
    """A connection that can be referred to weakly, and knows which files it has open."""

    files: Files

    def check_files(self, looks: Looks | None = None) -> None:
        """Check that the files at the path are still those that are open; with ``looks``, now and then.

        Raises:
            StoreError: They are not.
        """
        if looks is not None and not looks.is_time():
            return
        self.files.check()
        if self.files.log is None:  # a new file has none before its first transaction
            self.files = Files.at(Path(self.files.path)) or self.files
        if looks is not None:
            looks.done()


def create_private(path: Path) -> None:
    """Create an empty file that only its owner can read, where there is none: memories are personal data.

    Raises:
        StoreUnavailableError: The folder does not exist or refuses, or the path is a folder.
    """
    place = Path(os.path.realpath(path))  # a link may point to a file that is not there yet
    if place.is_dir():
        raise StoreUnavailableError(f"{path} is a folder; a store is a file, such as {path / 'agent.db'}.")
    if not place.parent.is_dir():
        raise StoreUnavailableError(
            f"{path} cannot be created: the folder {place.parent} does not exist; create it first."
        )
    try:
        # No other thread may connect between the two calls: closing a file drops this process's locks on it.
        with _creating:
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise StoreUnavailableError(f"{path} cannot be created: {error.strerror}.") from error


def check_size(path: Path) -> None:
    """Refuse a file that is too short for a database: SQLite takes it for an empty one, and writes over it.

    Whether a longer file is a database, SQLite finds out itself. The file is not opened here: closing it again would
    drop every lock that this process holds on it (https://www.sqlite.org/howtocorrupt.html, section 2.2).

    Raises:
        StoreCorruptError: It holds something, and is no SQLite database.
        StoreUnavailableError: There is no such file.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise StoreUnavailableError(f"{path} cannot be read: {error.strerror}.") from error
    if 0 < size < _SMALLEST:
        raise StoreCorruptError(f"{path} is not a crossthread store (not a SQLite database). It was left as it was.")


def is_read_only(path: Path) -> bool:
    """Whether this process may read the file but not write it, or not what has to stand beside it.

    Raises:
        StoreUnavailableError: Nobody can tell, as of a name that is too long, or in a folder that is closed.
    """
    place = os.path.realpath(path)
    try:
        os.stat(place)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreUnavailableError(f"{path} cannot be opened: {error.strerror}.") from error
    if not os.access(place, os.W_OK):
        return True
    beside = [place + end for end in (LOG, INDEX_OF_LOG)]
    return not os.access(os.path.dirname(place), os.W_OK) and not all(os.access(name, os.W_OK) for name in beside)


def connect(
    path: Path, *, read_only: bool = False, durability: Durability = "disk", database: Identity | None = None
) -> Connection:
    """Open a connection with every setting of the engine; transactions are begun and ended by hand.

    Args:
        path: The file.
        read_only: Whether it is opened for reading only.
        durability: What a commit outlives.
        database: Which file it must be, where the caller has had it open before.

    Raises:
        StoreError: SQLite is too old, or cannot open the file, or it is another one.
    """
    if sqlite3.sqlite_version_info < OLDEST:
        raise StoreError(
            f"Python was built with SQLite {sqlite3.sqlite_version}; crossthread needs 3.38 or newer. "
            "A newer Python release, or one from another source, brings it."
        )
    with mapped_errors(path):
        before = Files.at(path)
        connection: Connection = sqlite3.connect(
            _read_only_uri(path) if read_only else f"{path.absolute().as_uri()}?mode=rw",
            uri=True,  # mode=rw: a file that was removed is an error, not a new and empty database
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # one thread at a time, but not always the same
            cached_statements=256,
            factory=Connection,
        )
        try:
            for setting in (_SYNCS[durability], _keep_pages, _bound_the_log):
                setting(connection)
            _open_the_log(connection)
            connection.files = _found(path, before, database)
        except BaseException:
            connection.close()
            raise
    return connection


def _found(path: Path, before: Files | None, database: Identity | None) -> Files:
    now = Files.at(path)
    if now is None or before is None or now.database != before.database:
        raise StoreUnavailableError(f"{path} was removed or replaced while it was being opened; open it again.")
    if database not in (None, now.database):
        before._replace(database=database).check_database()
    return now


def _open_the_log(connection: sqlite3.Connection) -> None:
    """Read something, so that the log is open too: it is there from now on until the connection is closed."""
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _read_only_uri(path: Path) -> str:
    # A database in write-ahead mode needs its two side files even to be read. Where they can neither be found nor made,
    # nobody writes to the file, and SQLite may be told so.
    place = Path(os.path.realpath(path))  # the side files stand beside the file itself, not beside a link to it
    log = place.with_name(place.name + LOG)
    stands_still = not os.access(place.parent, os.W_OK) and not (log.exists() and log.stat().st_size)
    return f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if stands_still else ''}"


def _sync_every_commit(connection: sqlite3.Connection) -> None:
    """Wait for the disk at every commit: what put() has returned from survives a power cut."""
    connection.execute("PRAGMA synchronous = FULL")


def _sync_now_and_then(connection: sqlite3.Connection) -> None:
    """Wait for the disk when the log is copied into the file: a power cut may cost the last commits, not half a one."""
    connection.execute("PRAGMA synchronous = NORMAL")


_SYNCS: dict[Durability, Callable[[sqlite3.Connection], None]] = {
    "disk": _sync_every_commit,
    "process": _sync_now_and_then,
}


def _keep_pages(connection: sqlite3.Connection) -> None:
    """Keep up to 16 MiB of pages a connection; negative numbers are KiB."""
    connection.execute("PRAGMA cache_size = -16384")


def _bound_the_log(connection: sqlite3.Connection) -> None:
    """Copy the log into the file every 16 MiB, and let it shrink back after a large transaction."""
    connection.execute("PRAGMA wal_autocheckpoint = 4096")
    connection.execute("PRAGMA journal_size_limit = 67108864")


def use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Let readers go on while somebody writes. The setting stays in the file."""
    connection.execute("PRAGMA journal_mode = WAL")


@contextmanager
def mapped_errors(path: Path) -> Iterator[None]:
    """Raise ours for any error of sqlite3, with the cause kept."""
    try:
        yield
    except BaseException as error:
        let_go(error)
        if isinstance(error, sqlite3.Error):
            raise as_store_error(error, path) from error
        raise


def let_go(error: BaseException | None) -> None:
    """Close what statements an error left unfinished, before its connection is used again.

    A statement ends with its cursor, and the cursors of frames that an error went through live as long as the error
    does. Until then the connection would keep to the state it was reading, and be told that the file is locked when it
    writes; even a closed one would hold its locks.
    """
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__context__


def as_store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Return our error for one of sqlite3's; the message says what happened to which file and what to do."""
    # Extended codes keep the plain one in the lowest byte.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusyError(
            f"{path} was locked by another program for more than {BUSY_SECONDS:.0f} seconds ({error})."
        )
    if code == sqlite3.SQLITE_FULL:
        return StoreFullError(
            f"{path} cannot grow: the disk is full. Nothing was written; free some space and try again."
        )
    if code == sqlite3.SQLITE_READONLY:
        return StoreReadOnlyError(f"{path} cannot be written ({error}); memories can only be read from it.")
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return StoreCorruptError(f"{path} is not a crossthread store, or is damaged ({error}). It was left as it was.")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return StoreUnavailableError(f"{path} cannot be opened, read or written ({error}).")
    if "closed database" in str(error):
        return StoreClosedError("This store is closed; open a new one to go on.")
    return StoreError(f"SQLite refused an operation on {path}: {error}")

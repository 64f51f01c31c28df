"""Whether the files that a connection works on are still those at its path. Asks the file system; knows no SQL.

A file that was renamed, replaced or removed stays open for whoever has it: SQLite would go on writing into what nobody
can open any more, or into a log that belongs to another file (https://www.sqlite.org/howtocorrupt.html, section 4).
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import NamedTuple

from crossthread.errors import StoreCorruptError, StoreUnavailableError

LOG, INDEX_OF_LOG = "-wal", "-shm"

_LOOKS_SECONDS = 0.1  # how often a reader looks; who writes looks each time

Identity = tuple[int, int]
"""What a file is, whatever its name: its device and its number there."""


class Files(NamedTuple):
    """The files that a connection has open: a database, its log, and the index of that, where there are such."""

    path: str
    place: str
    """The path with its links followed, which the names of the other two begin with."""
    database: Identity
    log: Identity | None
    index_of_log: Identity | None

    @classmethod
    def at(cls, path: Path) -> Files | None:
        """Return what is at a path; None where there is nothing."""
        place = os.path.realpath(path)
        database = _identity(path)
        if database is None:
            return None
        return cls(str(path), place, database, _identity(place + LOG), _identity(place + INDEX_OF_LOG))

    def check(self) -> None:
        """Check that all three are still at their places, and that the database has not been emptied.

        Raises:
            StoreUnavailableError: One of them is not.
            StoreCorruptError: It was emptied.
        """
        self.check_database()
        for name, known in ((LOG, self.log), (INDEX_OF_LOG, self.index_of_log)):
            if known is not None and _identity(self.place + name) != known:
                raise StoreUnavailableError(
                    f"{self.place}{name}, which belongs to {self.path}, was removed or replaced while this store had "
                    "it open. Nothing was written. Close every store on the file, which brings what was in the log "
                    "into it, and open it again."
                )

    def check_database(self) -> None:
        """Check the same of the database alone."""
        try:
            now = os.stat(self.path)
        except OSError:
            now = None
        if now is None or (now.st_dev, now.st_ino) != self.database:
            raise StoreUnavailableError(
                f"{self.path} was {'removed' if now is None else 'replaced by another file'} while this store had it "
                "open, and what is written to the earlier one would be lost. Close every store on it; then put it "
                f"back, or open what is there now, after its {LOG} and {INDEX_OF_LOG}, which are of the earlier "
                "file, were removed."
            )
        if now.st_size == 0 and self.log is not None and stat.S_ISREG(now.st_mode):
            raise StoreCorruptError(f"{self.path} was emptied by another program while this store had it open.")


class Looks:
    """When those who read look whether their file is still there: every now and then, as it costs some microseconds."""

    def __init__(self) -> None:
        self._next = 0.0

    def is_time(self) -> bool:
        """Whether it is time to look again."""
        return time.monotonic() >= self._next

    def done(self) -> None:
        """Wait a while with the next look: all was in order."""
        self._next = time.monotonic() + _LOOKS_SECONDS


def _identity(path: str | Path) -> Identity | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino

"""Connections to a PostgreSQL server: the pool, what travels how, and psycopg's errors as ours. Knows no table."""

from __future__ import annotations

import logging
import math
import select
import struct
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import psycopg
from psycopg import capabilities, errors, pq
from psycopg.adapt import Buffer, Dumper, Loader
from psycopg.conninfo import conninfo_to_dict, timeout_from_conninfo
from psycopg.types import TypeInfo
from psycopg.types.array import ListBinaryDumper
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrBinaryDumper

from crossthread.errors import (
    ConfigurationError,
    StoreBusyError,
    StoreClosedError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)

logger = logging.getLogger("crossthread.postgres")

_R = TypeVar("_R")

SETUP_HINT = "Call setup() on the store once, with a role that may create the schema."
_FIRST_PAUSE_SECONDS = 0.02  # between two attempts to reach a server that is restarting
_LONGEST_PAUSE_SECONDS = 0.5
_LIFETIME_SECONDS = 3600.0  # then a connection is replaced, so that a server gets its memory back

_CANCEL_SECONDS = 2.0  # how long a server that does not answer is asked to stop

# A peer that is gone without a word is noticed within two minutes, not within the two hours of most systems.
_KEEPALIVES = {"keepalives_idle": 60, "keepalives_interval": 15, "keepalives_count": 4}

NUMBERS = np.dtype(">f4")
"""The numbers of a vector as they travel, see vector_send in https://github.com/pgvector/pgvector (src/vector.c)."""


class SlowServerError(psycopg.OperationalError):
    """The server did not answer in time; the connection was closed."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits for an answer for a limited time only."""

    answer_seconds: float | None = None
    """How long each statement may take; None: as long as it takes."""

    def wait(self, gen: Generator[Any, Any, _R], *arguments: Any, **options: Any) -> _R:
        """Wait for the server; see psycopg.

        Raises:
            SlowServerError: It did not answer in time.
        """
        if self.answer_seconds is None:
            return super().wait(gen, *arguments, **options)
        try:
            return super().wait(_within(gen, self.answer_seconds), *arguments, **options)
        except SlowServerError:
            with suppress(psycopg.Error):
                if capabilities.has_cancel_safe():  # another way would have no time limit itself
                    self.cancel_safe(timeout=_CANCEL_SECONDS)
            self.close()
            raise


def _within(gen: Generator[Any, Any, _R], seconds: float) -> Generator[Any, Any, _R]:
    """Do what a generator of psycopg does, which is resumed with 0 now and then as long as nothing comes."""
    deadline = time.monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline:
                raise SlowServerError(f"no answer within {seconds:g} seconds")
            wanted = gen.send(ready)
    except StopIteration as done:
        return cast(_R, done.value)


class Pool:
    """Lends connections to one database, at most ``size`` at a time, in the order in which they are asked for.

    They are opened when they are needed, and kept. One that broke while nobody used it is replaced before it is lent,
    and one that comes back in the middle of something is closed.

    Args:
        conninfo: A libpq connection string or URL.
        size: How many connections at the most.
        timeout_seconds: How long a call waits for a free connection, or for a server that is restarting.
        answer_seconds: How long a statement may take.
    """

    def __init__(self, conninfo: str, size: int, timeout_seconds: float, answer_seconds: float) -> None:
        self.conninfo = conninfo
        self.where = describe(conninfo)
        self._size = size
        self._timeout_seconds = timeout_seconds
        self._answer_seconds = answer_seconds
        self._settings = ""
        self._vector_type: TypeInfo | None = None
        self._suited = 0  # how often the two changed
        self._closed = False
        self._down: _Down | None = None
        self._begin()

    def _begin(self) -> None:
        self._kept: list[_Held] = []
        self._lent = 0
        self._waiting: deque[threading.Event] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def lend(self, *, is_patient: bool = False) -> Iterator[Connection]:
        """Lend a connection, in autocommit, for the length of a ``with`` block.

        Args:
            is_patient: Whether its statements may take as long as they take.

        Raises:
            StoreUnavailableError: The server cannot be reached.
            StoreBusyError: All connections are in use for too long.
            StoreClosedError: The pool was closed.
        """
        deadline = time.monotonic() + self._timeout_seconds
        self._enter()
        try:
            held = self._held(deadline)
            held.connection.answer_seconds = None if is_patient else self._answer_seconds
            try:
                yield held.connection
            finally:
                self._put_back(held)
        finally:
            self._leave()

    def _enter(self) -> None:
        """Wait for a place among those who may have a connection."""
        with self._changed:
            if self._closed:
                raise StoreClosedError("This store is closed; open a new one to go on.")
            if self._lent < self._size:
                self._lent += 1
                return
            turn = threading.Event()
            self._waiting.append(turn)
        try:
            turn.wait(self._timeout_seconds)
        except BaseException:
            if not self._withdraw(turn):
                self._leave()
            raise
        if self._withdraw(turn):
            raise StoreBusyError(
                f"All {self._size} connections to {self.where} were in use for {self._timeout_seconds:g} seconds."
            )

    def _withdraw(self, turn: threading.Event) -> bool:
        """Leave the queue; return whether there was still time to."""
        with self._changed:
            waits = not turn.is_set()
            if waits:
                self._waiting.remove(turn)
            return waits

    def _leave(self) -> None:
        """Give the place to the next who waits."""
        with self._changed:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._lent -= 1
                self._changed.notify_all()

    def _held(self, deadline: float) -> _Held:
        """Return a connection that works as far as anybody can tell without asking the server."""
        while True:
            with self._changed:
                if not self._kept:
                    break
                held = self._kept.pop()
            if held.suited == self._suited and _is_open(held.connection):
                return held
            held.connection.close()
        return self._open(deadline)

    def _open(self, deadline: float) -> _Held:
        """Open a connection, and wait for a server that is restarting; one that is known to be down is tried once."""
        down = self._down
        if down is not None and time.monotonic() < down.rests_until:
            raise StoreUnavailableError(down.message)
        pause = _FIRST_PAUSE_SECONDS
        while True:
            with self._changed:
                suited, settings, vector_type = self._suited, self._settings, self._vector_type
            began = time.monotonic()
            try:
                connection = connect(self.conninfo, deadline - began)
                try:
                    _configure(connection, settings, vector_type)
                except psycopg.OperationalError as error:
                    connection.close()
                    raise StoreUnavailableError(f"{self.where} cannot be opened: {str(error).strip()}") from error
                except BaseException:
                    connection.close()
                    raise
            except StoreUnavailableError as error:
                now = time.monotonic()
                if down is not None or now + pause >= deadline:
                    # Who does not even refuse would keep every call waiting as long as this one.
                    self._down = _Down(str(error), now + (now - began) / 10)
                    raise
                if pause == _FIRST_PAUSE_SECONDS:
                    logger.warning("%s cannot be reached; trying again for %.1f s", self.where, deadline - now)
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            else:
                if down is not None or pause != _FIRST_PAUSE_SECONDS:
                    logger.info("%s can be reached again", self.where)
                self._down = None
                return _Held(connection, suited, time.monotonic())

    def _put_back(self, held: _Held) -> None:
        is_idle = held.connection.pgconn.transaction_status == pq.TransactionStatus.IDLE
        if is_idle and time.monotonic() - held.since < _LIFETIME_SECONDS:
            with self._changed:
                if held.suited == self._suited:
                    self._kept.append(held)
                    return
        held.connection.close()

    def close(self) -> None:
        """Lend no more, and return when every connection is closed, those that are lent too."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self._lent == 0)
            self._drop_kept()

    def abandon(self) -> None:
        """Begin anew in a forked child, which shares the sockets of its parent and must not say good-bye on them."""
        _abandoned.append(self._kept)
        self._begin()

    def suit(self, settings: str, vector_type: TypeInfo | None) -> None:
        """Let the connections lent from now on have settings (a statement, or "") and know pgvector's type."""
        with self._changed:
            known = self._vector_type is not None or vector_type is None
            if known and settings == self._settings:
                return
            self._settings, self._vector_type = settings, vector_type
            self._suited += 1
            self._drop_kept()

    def _drop_kept(self) -> None:
        while self._kept:
            self._kept.pop().connection.close()


class _Held(NamedTuple):
    """A connection, the settings that it has, by their number, and when it was opened."""

    connection: Connection
    suited: int
    since: float


class _Down(NamedTuple):
    """A server that could not be reached: what was said, and until when it is not even tried."""

    message: str
    rests_until: float


def _configure(connection: Connection, settings: str, vector_type: TypeInfo | None) -> None:
    connection.prepare_threshold = 0
    if settings:
        connection.execute(cast(Any, settings))
    adapters = connection.adapters
    # Lists travel in binary, as their elements do, and every number as one type: a statement is prepared for types.
    for kind, dumper in ((int, Int8BinaryDumper), (str, StrBinaryDumper), (list, ListBinaryDumper)):
        adapters.register_dumper(kind, dumper)
    if vector_type is not None:
        vector_type.register(connection)
        adapters.register_dumper(np.ndarray, type("VectorDumper", (_VectorDumper,), {"oid": vector_type.oid}))
        adapters.register_loader(vector_type.oid, _VectorLoader)


def _is_open(connection: Connection) -> bool:
    """Whether an idle connection still works; the server is asked only where it has said something by itself."""
    if is_broken(connection):
        return False
    if _has_news(connection.pgconn.socket):
        try:
            connection.execute("")  # it may have been a changed setting, or good-bye
        except psycopg.Error:
            return False
    return True


def _has_news(descriptor: int) -> bool:
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()  # select() takes descriptors below 1024 only
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


_abandoned: list[Any] = []


_HEADER = struct.Struct(">HH")


class _VectorDumper(Dumper):
    format = pq.Format.BINARY

    def dump(self, obj: Any) -> Buffer:
        return _HEADER.pack(obj.size, 0) + cast(bytes, obj.astype(NUMBERS).tobytes())


class _VectorLoader(Loader):
    format = pq.Format.BINARY

    def load(self, data: Buffer) -> bytes:
        return bytes(data[4:])


def connect(conninfo: str, timeout_seconds: float | None = None) -> Connection:
    """Open a connection of its own, in autocommit.

    Args:
        conninfo: A libpq connection string or URL; its ``connect_timeout`` counts too.
        timeout_seconds: How long that may take; two seconds are always allowed.

    Raises:
        StoreUnavailableError: The server cannot be reached, or refuses.
        ConfigurationError: A parameter cannot be used.
    """
    options: dict[str, Any] = {"client_encoding": "utf8", "fallback_application_name": "crossthread"}
    try:
        given = conninfo_to_dict(conninfo)
        if timeout_seconds is not None:
            theirs = timeout_from_conninfo(given)
            options["connect_timeout"] = max(1, math.ceil(min(timeout_seconds, theirs)))
        options |= {name: value for name, value in _KEEPALIVES.items() if name not in given}
        connection = Connection.connect(conninfo, autocommit=True, cursor_factory=psycopg.RawCursor, **options)
        connection.answer_seconds = timeout_seconds
        try:
            _keep_own_names(connection)
        except BaseException:
            connection.close()
            raise
        return connection
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(f"{describe(conninfo)} cannot be opened: {str(error).strip()}") from error
    except psycopg.Error as error:
        raise StoreUnavailableError(f"{describe(conninfo)} cannot be opened: {str(error).strip()}") from error


def _keep_own_names(connection: Connection) -> None:
    """Let nobody's functions and operators take the place of PostgreSQL's own, where a role's search_path does that.

    Elsewhere the path stays as it is: behind a pooler it is that of others too.
    """
    ((path,),) = connection.execute("SELECT pg_catalog.current_schemas(true)")
    if next(name for name in path if not name.startswith("pg_temp")) != "pg_catalog":
        connection.execute("SET search_path TO pg_catalog, pg_temp")


def describe(conninfo: str) -> str:
    """Return how messages name a database: without its password.

    Raises:
        ConfigurationError: It is no connection string.
    """
    try:
        parts = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError as error:
        said = str(error).strip()
        # Other messages of libpq repeat parts of the string, such as a password with a character that must be escaped.
        told = f": {said}" if said.startswith(("invalid URI query parameter", "invalid connection option")) else ""
        raise ConfigurationError(
            f"Not a connection string of PostgreSQL{told}. Special characters in it must be percent-encoded."
        ) from None
    name, host = parts.get("dbname") or "(default)", parts.get("host") or "(default)"
    return f"PostgreSQL database {name} on {host}"


def fetch(connection: Connection, sql: str, parameters: Sequence[Any] = (), *, planned: bool = False) -> list[Any]:
    """Execute a statement and return its rows.

    Args:
        connection: The connection.
        sql: The text, with parameters ``$1``, ``$2``...
        parameters: Their values.
        planned: Whether it is planned for these values, not once for all.
    """
    with connection.cursor(binary=True) as cursor:
        cursor.execute(cast(Any, sql), parameters, prepare=not planned)
        # Not cursor.description, which would be put together for each call.
        return cursor.fetchall() if cursor.pgresult is not None and cursor.pgresult.nfields else []


@contextmanager
def transaction(connection: Connection, begin: str) -> Iterator[None]:
    """Begin a transaction, and end it with the ``with`` block: undone if that raises."""
    fetch(connection, begin, planned=True)
    try:
        yield
        fetch(connection, "COMMIT", planned=True)
    except BaseException:
        if not is_broken(connection):
            fetch(connection, "ROLLBACK", planned=True)
        raise


def is_broken(connection: Connection) -> bool:
    """Whether a connection was lost."""
    return bool(connection.broken or connection.closed)


def may_be_repeated(error: BaseException) -> bool:
    """Whether a transaction failed only for another one at the same time, and left nothing."""
    return isinstance(error, (errors.SerializationFailure, errors.DeadlockDetected))


_TIMED_OUT = ("25P03", "25P04")  # the server ends connections that idle in a transaction, or take too long over one


def as_store_error(error: psycopg.Error, where: str) -> StoreError:
    """Return the error of ours for one of psycopg."""
    state = error.sqlstate or ""
    # Without the server's DETAIL, which may quote a row, and so what somebody remembers.
    said = error.diag.message_primary or str(error).strip() or type(error).__name__
    match state:
        case "53100":
            return StoreFullError(f"{where} is full; nothing was written: {said}")
        case "25006":
            return StoreReadOnlyError(f"{where} can only be read: {said}")
        case "40001" | "40P01" | "55P03" | "57014":
            return StoreBusyError(f"{where} did not finish in time: {said}")
        case "42P01" | "42883" | "3F000":
            return StoreError(f"{where} has no tables of crossthread, or not all: {said}. {SETUP_HINT}")
        case "42501":
            return StoreError(f"{where}: {said}. docs/guides/postgres.md tells what a role needs.")
        case "XX001" | "XX002":
            return StoreCorruptError(f"{where} is damaged: {said}")
    if isinstance(error, SlowServerError):
        return StoreUnavailableError(f"{where} gave {said}, and the connection to it was closed")
    if state[:2] in ("08", "57") or state in _TIMED_OUT or (isinstance(error, errors.OperationalError) and not state):
        return StoreUnavailableError(f"The connection to {where} was lost: {said}")
    return StoreError(f"{where}: {said}")

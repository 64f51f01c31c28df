"""Connections to a PostgreSQL server: the pool, what travels how, and psycopg's errors as ours. Knows no table."""

from __future__ import annotations

import select
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import psycopg
from psycopg import errors, pq
from psycopg.adapt import Buffer, Dumper, Loader
from psycopg.conninfo import conninfo_to_dict
from psycopg.types import TypeInfo
from psycopg.types.array import ListBinaryDumper
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrBinaryDumper
from psycopg_pool import ConnectionPool, PoolTimeout

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

Connection = psycopg.Connection[tuple[Any, ...]]

SETUP_HINT = "Call setup() on the store once, with a role that may create the schema."
NUMBERS = np.dtype(">f4")
"""The numbers of a vector as they travel, see vector_send in https://github.com/pgvector/pgvector (src/vector.c)."""


class Pool:
    """Lends connections to one database, at most ``size`` at a time; a broken one is replaced.

    Args:
        conninfo: A libpq connection string or URL.
        size: How many connections at the most.
        timeout_seconds: How long a call waits for a free connection.
    """

    def __init__(self, conninfo: str, size: int, timeout_seconds: float) -> None:
        self.conninfo = conninfo
        self.where = describe(conninfo)
        self._size = size
        self._timeout_seconds = timeout_seconds
        self._settings = ""
        self._vector_type: TypeInfo | None = None
        self._pool = self._new()
        self._lent = 0
        self._changed = threading.Condition()
        self._closed = False

    def _new(self) -> ConnectionPool[Connection]:
        return ConnectionPool(
            self.conninfo,
            kwargs={"autocommit": True, "cursor_factory": psycopg.RawCursor, "prepare_threshold": 0},
            connection_class=psycopg.Connection[tuple[Any, ...]],
            min_size=1,
            max_size=self._size,
            timeout=self._timeout_seconds,
            configure=self._configure,
            check=_refuse_broken,
            open=False,
            name="crossthread",
        )

    @contextmanager
    def lend(self) -> Iterator[Connection]:
        """Lend a connection, in autocommit, for the length of a ``with`` block.

        Raises:
            StoreUnavailableError: The server cannot be reached.
            StoreBusyError: All connections are in use for too long.
            StoreClosedError: The pool was closed.
        """
        with self._changed:
            if self._closed:
                raise StoreClosedError("This store is closed; open a new one to go on.")
            self._lent += 1
            pool = self._pool
        try:
            with self._borrowed(pool) as connection:
                yield connection
        finally:
            with self._changed:
                self._lent -= 1
                self._changed.notify_all()

    @contextmanager
    def _borrowed(self, pool: ConnectionPool[Connection]) -> Iterator[Connection]:
        try:
            pool.open()  # does nothing where it is open
            connection = pool.getconn()
        except PoolTimeout as error:
            connect(self.conninfo).close()  # or tells why not
            raise StoreBusyError(
                f"All {self._size} connections to {self.where} were in use for {self._timeout_seconds:g} seconds."
            ) from error
        try:
            yield connection
        finally:
            pool.putconn(connection)

    def close(self) -> None:
        """Lend no more, and return when every connection is closed, those that are lent too."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self._lent == 0)
        self._pool.close()

    def abandon(self) -> None:
        """Begin anew in a forked child, which shares the sockets of its parent and must not say good-bye on them."""
        _abandoned.append(self._pool)
        self._pool = self._new()
        self._lent = 0
        self._changed = threading.Condition()

    def suit(self, settings: str, vector_type: TypeInfo | None) -> None:
        """Let the connections lent from now on have settings (a statement, or "") and know pgvector's type."""
        with self._changed:
            known = self._vector_type is not None or vector_type is None
            if known and settings == self._settings:
                return
            self._settings, self._vector_type = settings, vector_type
            old, self._pool = self._pool, self._new()
        old.close()  # what is lent is closed when it comes back

    def _configure(self, connection: Connection) -> None:
        if self._settings:
            connection.execute(cast(Any, self._settings))
        adapters = connection.adapters
        # Lists travel in binary, as their elements do, and every number as one type: a statement is prepared for types.
        for kind, dumper in ((int, Int8BinaryDumper), (str, StrBinaryDumper), (list, ListBinaryDumper)):
            adapters.register_dumper(kind, dumper)
        if self._vector_type is not None:
            self._vector_type.register(connection)
            adapters.register_dumper(np.ndarray, type("VectorDumper", (_VectorDumper,), {"oid": self._vector_type.oid}))
            adapters.register_loader(self._vector_type.oid, _VectorLoader)


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


def connect(conninfo: str) -> Connection:
    """Open a connection of its own, in autocommit.

    Raises:
        StoreUnavailableError: The server cannot be reached, or refuses.
    """
    try:
        return psycopg.connect(conninfo, autocommit=True, cursor_factory=psycopg.RawCursor)
    except psycopg.Error as error:
        raise StoreUnavailableError(f"{describe(conninfo)} cannot be opened: {str(error).strip()}") from error


def describe(conninfo: str) -> str:
    """Return how messages name a database: without its password.

    Raises:
        ConfigurationError: It is no connection string.
    """
    try:
        parts = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(f"Not a connection string of PostgreSQL: {str(error).strip()}") from None
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
        return cursor.fetchall() if cursor.description is not None else []


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


def as_store_error(error: psycopg.Error, where: str) -> StoreError:
    """Return the error of ours for one of psycopg."""
    state = error.sqlstate or ""
    said = str(error).strip() or type(error).__name__
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
    if state[:2] in ("08", "57") or (isinstance(error, errors.OperationalError) and not state):
        return StoreUnavailableError(f"The connection to {where} was lost: {said}")
    return StoreError(f"{where}: {said}")


def _refuse_broken(connection: Connection) -> None:
    """Refuse an idle connection that the server has closed, without asking the server.

    A server that goes away says so: there is something to read where nothing was asked.
    """
    descriptor = connection.pgconn.socket
    if hasattr(select, "poll"):
        poll = select.poll()  # select() takes descriptors below 1024 only
        poll.register(descriptor, select.POLLIN)
        readable = bool(poll.poll(0))
    else:
        readable = bool(select.select([descriptor], [], [], 0)[0])
    if readable:
        raise errors.OperationalError("the server closed the connection")

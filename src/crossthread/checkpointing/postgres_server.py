"""How the PostgreSQL checkpointer reaches its server: connections, transactions, threads, repeats, tables made.

Pool and errors are our PostgreSQL engine's (``engines.postgres.connection``); the tables, in the store's schema, are
LangGraph's own.
"""

from __future__ import annotations

import random
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast

import psycopg
from langgraph.checkpoint.postgres import PostgresSaver
from psycopg import errors
from psycopg.pq import Format, TransactionStatus
from psycopg.rows import DictRow, dict_row

from crossthread.engines._fork import watch
from crossthread.engines._worker import Worker
from crossthread.engines.postgres import connection as postgres
from crossthread.engines.postgres import statements as texts
from crossthread.engines.postgres.connection import Connection, Pool, SlowServerError, fetch
from crossthread.engines.postgres.engine import PostgresEngine
from crossthread.errors import StoreClosedError, StoreError, StoreUnavailableError

T = TypeVar("T")
Cursor = psycopg.Cursor[DictRow]

_THREADS = 4
_REPEATS = 8  # of a transaction that failed for another one
_SEARCH = "SELECT set_config('search_path', $1 || ', pg_temp', true)"


class Server:
    """What a saver and its copies share: the connections, and the threads that work for async callers.

    Args:
        engine: Whose settings to take.
    """

    def __init__(self, engine: PostgresEngine) -> None:
        self._schema = engine.schema
        self.path = texts.quoted(engine.schema)
        self._timeout_seconds = engine.timeout_seconds
        self._answer_seconds = engine.answer_timeout_seconds
        self._pool = Pool(engine.conninfo, engine.pool_size, engine.timeout_seconds, engine.answer_timeout_seconds)
        # A saver that nobody closed still says good-bye, at the latest when the program ends.
        weakref.finalize(self, self._pool.close)
        self._worker = Worker(self._run_all, "crossthread-checkpointer", min(_THREADS, engine.pool_size))
        self._closed = False
        watch(self)

    @property
    def where(self) -> str:
        """The server, as messages name it."""
        return self._pool.where

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError("This checkpointer is closed; open a new one to go on.")

    def prepare(self, *, create: bool) -> None:
        """Reach the server, and create or migrate the tables if told to; two workers that start at once do it once."""
        self._check_open()
        connection = postgres.connect(self._pool.conninfo, self._timeout_seconds)
        try:
            connection.answer_seconds = self._answer_seconds
            if create and not self._is_complete(connection):
                connection.answer_seconds = None  # others may be at it
                with postgres.transaction(connection, texts.BEGIN_WRITE):
                    fetch(connection, texts.LOCK, ("crossthread",))
                    # Whoever may use a schema need not be allowed to make one.
                    if not fetch(connection, texts.HAS_SCHEMA, (self.path,))[0][0]:
                        fetch(connection, f"CREATE SCHEMA {self.path}")
                    fetch(connection, _SEARCH, (self.path,))
                    _make_tables(connection)
        except psycopg.Error as error:
            raise self._told(error, is_write=False) from error
        finally:
            connection.close()

    def is_complete(self) -> bool:
        """Whether the tables are there, as this release makes them."""
        self._check_open()
        connection = postgres.connect(self._pool.conninfo, self._timeout_seconds)
        try:
            return self._is_complete(connection)
        except psycopg.Error as error:
            raise self._told(error, is_write=False) from error
        finally:
            connection.close()

    def _is_complete(self, connection: Connection) -> bool:
        table = f"{self.path}.checkpoint_migrations"
        if not fetch(connection, texts.EXISTS, (table,))[0][0]:
            return False
        ((last,),) = fetch(connection, f"SELECT max(v) FROM {table}")
        return last is not None and last >= len(PostgresSaver.MIGRATIONS) - 1

    @contextmanager
    def transaction(self, begin: str) -> Iterator[Cursor]:
        """Lend a cursor inside of a transaction, which is undone if the block raises.

        The schema is named in each transaction, and not once for a connection: behind a pooler the next transaction may
        have another connection, and another application this one. The statements travel together, so it costs little.
        """
        self._check_open()
        with self._pool.lend() as connection:
            try:
                with _together(connection):
                    connection.execute(cast(Any, begin))
                    connection.execute(_SEARCH, (self.path,))
                    # The pool's connections make cursors for statements of another kind.
                    with psycopg.Cursor(connection, row_factory=dict_row) as cursor:
                        cursor.format = Format.BINARY
                        yield cursor
                    connection.execute("COMMIT")
            except BaseException:
                if connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                    connection.rollback()
                raise

    def attempt(self, call: Callable[[], T], *, is_read: bool) -> T:
        """Return what a call returns; make it again after a clash, and a read once after a lost connection."""
        for attempt in range(_REPEATS + 1):
            try:
                return call()
            except psycopg.Error as error:
                told = self._told(error, is_write=not is_read)
                if attempt < _REPEATS and postgres.may_be_repeated(error):
                    time.sleep(random.uniform(0, 0.002 * 2**attempt))
                elif not (is_read and attempt == 0 and isinstance(told, StoreUnavailableError)) or isinstance(
                    error, SlowServerError
                ):
                    raise told from error
        raise AssertionError("the last attempt returns or raises")

    def _told(self, error: psycopg.Error, *, is_write: bool) -> StoreError:
        if isinstance(error, errors.UndefinedTable):
            return StoreError(
                f"{self._pool.where} has no tables of a checkpointer in the schema {self._schema!r}, or the role may "
                "not use the schema. Call setup() on the checkpointer once, with a role that may create tables there."
            )
        if isinstance(error, errors.UndefinedFunction):  # an id that is a number, or the like
            return StoreError(f"{self._pool.where}: {error}")
        told = postgres.as_store_error(error, self._pool.where)
        if is_write and isinstance(told, StoreUnavailableError):
            return StoreUnavailableError(f"{told}. Whether the write took effect is not known.")
        return told

    async def arun(self, call: Callable[[], Any]) -> Any:
        """Wait, without blocking the event loop, for what a call returns."""
        self._check_open()
        return await self._worker.submit(call)

    def _run_all(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        return [_outcome(call) for call in calls]

    def close(self) -> None:
        """Finish the calls that wait, and close the connections."""
        self._worker.stop()
        self._closed = True
        self._pool.close()

    def before_fork(self) -> None:
        """Nothing: the parent goes on with its connections."""

    def after_fork(self, in_child: bool) -> None:
        """Leave the parent's connections to the parent."""
        if in_child:
            self._pool.abandon()


@contextmanager
def _together(connection: Connection) -> Iterator[None]:
    """Let statements travel together, where the client library can."""
    if not psycopg.Pipeline.is_supported():
        yield
        return
    with connection.pipeline() as pipeline:
        try:
            yield
        except psycopg.Error:
            # The statements behind the one that failed were skipped, of which psycopg would warn at the end.
            with suppress(psycopg.Error):
                pipeline.sync()
            raise


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return error


def _make_tables(connection: Connection) -> None:
    """Make or migrate LangGraph's tables in the transaction at hand, which cannot create an index concurrently.

    Workers that wait for their turn would make such an index wait for them in turn; and where the tables are new, there
    is nobody to disturb.
    """
    connection.cursor_factory = psycopg.Cursor  # the parameters of LangGraph's texts are %s
    tables = PostgresSaver(cast(Any, connection))
    tables.MIGRATIONS = [step.replace("CREATE INDEX CONCURRENTLY", "CREATE INDEX") for step in tables.MIGRATIONS]
    tables.setup()

"""The embedded engine: one file, opened by Python's own sqlite3. Begins and ends transactions; knows no SQL.

Readers never wait for writers (write-ahead log). Writers of this process queue at one lock and share commits: whoever
holds the lock carries out everything that waits, so that one wait for the disk serves all.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from crossthread._clock import Clock
from crossthread.engines._fork import watch
from crossthread.engines.base import BlockingEngine, Preferences, Progress, VectorSpace, agreed_language
from crossthread.engines.migrations import load_migrations, pending
from crossthread.engines.narrowing import indexable_paths
from crossthread.engines.sqlite import connection as sqlite
from crossthread.engines.sqlite import copying, indexes, queries
from crossthread.engines.sqlite.commits import Commits, Entry
from crossthread.engines.sqlite.erasing import erase_traces
from crossthread.engines.sqlite.limits import LIMITS, Limits
from crossthread.engines.sqlite.pool import ConnectionPool
from crossthread.engines.sqlite.ranking import MadeFor
from crossthread.engines.sqlite.reads import Reader, Renewal
from crossthread.engines.sqlite.resident import Outdated, Resident
from crossthread.engines.sqlite.state import read_state
from crossthread.engines.sqlite.verification import verify
from crossthread.engines.sqlite.writes import Transaction
from crossthread.errors import ConfigurationError, StoreBusyError, StoreError, StoreReadOnlyError
from crossthread.operations.commands import Answer, Batch, Count, Get, KnownVectors, ListNamespaces
from crossthread.verification import Findings, Verification

logger = logging.getLogger("crossthread.sqlite")

_FRESH_STARTS = 3
_LONG_SECONDS = 1.0
_OF_ONE_STATEMENT = (Get, Count, ListNamespaces, KnownVectors)


class SQLiteEngine(BlockingEngine):
    """Keeps memories in one local file.

    Args:
        path: The file; it is created where it does not exist, in a folder that does.
        clock: For tests.
        limits: From where on it works in another way; for tests.
    """

    can_reembed = True
    system_name = "sqlite"
    keeps_records = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        super().__init__(clock)
        self.path = Path(path).absolute()  # with its "..", which behind a link to a folder lead elsewhere
        self._named: str | None = None
        self._limits = limits
        self._dialect = queries.DIALECT
        self._resident = Resident(limits)
        self._recent = indexes.RecentTexts()
        self._unindexed = -1  # how many changes the indexes have not been told of; -1: not counted yet
        self._indexed = 0
        self._pool = ConnectionPool(self.path)
        # A store that nobody closed still leaves a clean file, at the latest when the program ends.
        weakref.finalize(self, self._pool.close, timeout_seconds=5.0)
        self._commits = Commits(self._commit)
        self._alone = threading.Lock()  # held by who commits, or rewrites the file
        self._open_lock = threading.Lock()
        self._looking_up = threading.Lock()
        watch(self)

    @classmethod
    def from_url(cls, url: str, *, clock: Clock | None = None) -> SQLiteEngine:
        """Return the engine for a path, or ``sqlite:///relative/path`` or ``sqlite:////absolute/path``."""
        scheme, _, rest = url.partition("://")
        if scheme.lower() != "sqlite":
            return cls(url, clock=clock)
        if not rest.startswith("/") or rest == "/":
            raise ConfigurationError(
                f"{url!r} names no file; write {scheme}:///agent.db or {scheme}:////home/me/agent.db."
            )
        return cls(rest[1:], clock=clock)

    def prefer(self, preferences: Preferences) -> None:
        """Take on how durable commits are, how much memory vectors may take, and what has an index for filters."""
        self._pool.durability = preferences.durability
        if preferences.vector_bytes is not None:
            self._limits = self._limits._replace(vector_bytes=preferences.vector_bytes)
            self._resident = Resident(self._limits)
        paths = [path for field in preferences.filter_fields for path in indexable_paths(field, queries.DIALECT)]
        literals = {path: "'" + path.replace("'", "''") + "'" for path in paths}
        self._dialect = queries.DIALECT._replace(indexed=literals)

    def open(self, space: VectorSpace | None, language: str | None = None, *, create: bool = True) -> None:
        """Create or migrate the file, and check that its vectors are of this space."""
        self.check_open()
        with self._open_lock:
            self._pool.read_only = sqlite.is_read_only(self.path)
            if not self._pool.read_only:
                sqlite.create_private(self.path)
            sqlite.check_size(self.path)
            connection = self._pool.borrow()
            try:
                with sqlite.mapped_errors(self.path):
                    self._migrate(connection)
                    stored = read_state(connection).space
                    self._agree_on_language(connection, language)
                    self._index_filters(connection)
            finally:
                self._pool.give_back(connection)
            wanted = space or VectorSpace()
            self.space = stored.agreed(wanted, str(self.path))
            self._named = wanted.model

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Bring the schema up to date; a file of a newer release is refused before anything is changed."""
        steps = load_migrations("crossthread.engines.sqlite")
        if not self._missing(connection, steps):
            return
        if self._pool.read_only:
            raise StoreReadOnlyError(f"{self.path} has no crossthread tables of this release, and cannot be written.")
        sqlite.use_write_ahead_log(connection)
        connection.execute("BEGIN IMMEDIATE")
        kept: Path | None = None
        try:
            missing = self._missing(connection, steps)  # another process may just have done it
            if missing and missing[0].number > 1:
                kept = self._keep_a_copy(missing[-1].number)
            for step in missing:
                for statement in step.statements:
                    connection.execute(statement)
                connection.execute(queries.SET_SCHEMA_VERSION, (step.number,))
            state = read_state(connection)
            if state.language is not None:  # also where the file is empty: the step of schema 3 has dropped the index
                connection.execute(queries.CREATE_WORDS)
            if state.latest > state.indexed_items:
                indexes.settle(connection, state, state.latest, state.erasures)
            connection.execute("COMMIT")
        except BaseException as error:
            sqlite.let_go(error)
            _roll_back(connection)
            if kept is not None:
                logger.warning("%s was left as it was; %s is a copy of it", self.path, kept)
            raise
        if kept is not None:
            kept.unlink(missing_ok=True)
        if missing:
            logger.info("%s has schema %d now", self.path, missing[-1].number)

    def _keep_a_copy(self, number: int) -> Path:
        """Copy the file, which nobody writes meanwhile, before it is brought up to a schema."""
        kept = self.path.with_name(f"{self.path.name}.before-schema-{number}")
        logger.info("Bringing %s up to schema %d; until that is done, %s is a copy of it", self.path, number, kept)
        reader = self._pool.borrow()
        try:
            copying.copy_over(reader, kept)
        finally:
            self._pool.give_back(reader)
        return kept

    def _agree_on_language(self, connection: sqlite3.Connection, language: str | None) -> None:
        """Check the language of the words in the file; the first store with an index sets it, and makes their index."""
        (stored,) = connection.execute(queries.LANGUAGE).fetchone()
        self.language = agreed_language(stored, language, str(self.path))
        if stored is not None or language is None or self._pool.read_only:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            (stored,) = connection.execute(queries.LANGUAGE).fetchone()  # another process may just have set it
            agreed_language(stored, language, str(self.path))
            connection.execute(queries.CREATE_WORDS)
            connection.execute(queries.SET_LANGUAGE, (language,))
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if "fts5" not in str(error):
                raise
            raise StoreError(
                f"index= needs FTS5, which this SQLite {sqlite3.sqlite_version} was built without ({error}). Use a "
                "Python from python.org, conda or your distribution, which has it; without index= all else works."
            ) from error
        finally:
            _roll_back(connection)

    def _index_filters(self, connection: sqlite3.Connection) -> None:
        """Make the indexes that are asked for, where they are not there yet."""
        for path in self._dialect.indexed:
            name = f"crossthread_filter_{hashlib.blake2b(path.encode(), digest_size=8).hexdigest()}"
            if self._pool.read_only or connection.execute(queries.HAS_INDEX, (name,)).fetchone()[0]:
                continue
            logger.info("Making an index for filters on %s in %s", path, self.path)
            connection.execute(queries.create_filter_index(path, name=name))

    def _missing(self, connection: sqlite3.Connection, steps: list[Any]) -> list[Any]:
        (exists,) = connection.execute(queries.HAS_STATE).fetchone()
        version = connection.execute(queries.SCHEMA_VERSION).fetchone()[0] if exists else 0
        return pending(steps, version, str(self.path))

    def close(self) -> None:
        """Finish what is under way and close every connection."""
        super().close()
        self._commits.drain()
        self._pool.close()

    @property
    def place(self) -> str:
        """The path of the file."""
        return str(self.path)

    @property
    def file_bytes(self) -> int | None:
        """The size of the file, with what is still in its write-ahead log."""
        found = [self.path, self.path.with_name(f"{self.path.name}-wal")]
        return sum(path.stat().st_size for path in found if path.exists())

    def erase_traces(self) -> list[str]:
        """Rewrite the file, so that nothing that was deleted can be found in it."""
        self.check_open()
        with self._alone:  # whoever wants to write waits here, and not for a limited time
            connection = self._pool.borrow()
            since = time.perf_counter()
            try:
                connection.check_files()
                remains = erase_traces(connection, self.path)
            finally:
                self._pool.give_back(connection)
        took = time.perf_counter() - since
        logger.info("Rewrote %s without what was deleted: %.1f s, %d remarks", self.path, took, len(remains))
        return remains

    # Running batches

    def run(self, batch: Batch) -> list[Answer]:
        """Execute a batch in this thread."""
        self.check_open()
        if batch.writes:
            return super().run(batch)
        if isinstance(batch.commands[0], KnownVectors):
            # One at a time: many writers would wait for each other's turns of the interpreter at every statement.
            with self._looking_up:
                return self._read(batch)
        return self._read(batch)

    def run_all(self, batches: Sequence[Batch]) -> list[list[Answer] | BaseException]:
        """Execute batches: each read by itself, all writes in as few commits as can be."""
        if batches[0].writes:
            return self._commits.carry_out([Entry(_running(batch)) for batch in batches])
        outcomes: list[list[Answer] | BaseException] = []
        for batch in batches:
            try:
                outcomes.append(self._read(batch))
            except Exception as error:
                outcomes.append(error)
        return outcomes

    def _read(self, batch: Batch) -> list[Answer]:
        connection = self._pool.borrow()
        try:
            connection.check_files(self._pool.looks)
            reader, answers = self._read_snapshot(connection, batch)
        except BaseException as error:
            sqlite.let_go(error)
            if isinstance(error, sqlite3.Error):
                raise sqlite.as_store_error(error, self.path) from error
            raise
        finally:
            self._pool.give_back(connection)
        if reader.renewals and not self._pool.read_only:
            self._renew(reader.renewals, batch.omit_expired)
        return answers

    def _read_snapshot(self, connection: sqlite3.Connection, batch: Batch) -> tuple[Reader, list[Answer]]:
        for _ in range(_FRESH_STARTS):
            # What is in memory may be of a later commit than what a transaction sees: then another one is begun.
            reader = self._reader(connection, batch, self._resident)
            with suppress(Outdated):
                return reader, self._answers(reader, batch)
        reader = self._reader(connection, batch, None)
        return reader, self._answers(reader, batch)

    def _reader(self, connection: sqlite3.Connection, batch: Batch, resident: Resident | None) -> Reader:
        now = self.clock()
        made_for = MadeFor(batch.generation, self._named)
        return Reader(
            connection, now, batch.omit_expired, self._dialect, self._limits, resident, self._recent, made_for
        )

    @staticmethod
    def _answers(reader: Reader, batch: Batch) -> list[Answer]:
        if len(batch.commands) == 1:
            (command,) = batch.commands
            if isinstance(command, _OF_ONE_STATEMENT):
                return [reader.answer(command)]  # one statement sees one state by itself
            answer = reader.answer_in_memory(command)
            if answer is not None:
                return [answer]
        reader.connection.execute("BEGIN")
        try:
            answers = [reader.answer(command) for command in batch.commands]
            reader.connection.execute("COMMIT")
        except BaseException:
            _roll_back(reader.connection)
            raise
        return answers

    def _renew(self, renewals: list[Renewal], omit_expired: bool) -> None:
        """Let items that a read returned live longer."""
        (outcome,) = self._commits.carry_out([Entry(lambda transaction: transaction.renew(renewals, omit_expired))])
        if isinstance(outcome, (StoreReadOnlyError, StoreBusyError)):
            # The read has its answer; that it could not prolong a life must not take the answer away.
            logger.warning("Items read could not be refreshed: %s", outcome)
        elif isinstance(outcome, BaseException):
            raise outcome

    def _commit(self, entries: list[Entry]) -> None:
        """Carry out entries in one transaction; one that fails is taken back alone and keeps its error."""
        if not entries:
            return
        with self._alone:
            self._commit_alone(entries)

    def _commit_alone(self, entries: list[Entry]) -> None:
        connection = self._pool.borrow()
        try:
            try:
                self._commit_on(connection, entries, one_by_one=False)
            except Exception as error:
                if len(entries) == 1 or _is_busy(error):
                    raise
                self._commit_on(connection, entries, one_by_one=True)
        except sqlite3.Error as error:
            raise sqlite.as_store_error(error, self.path) from error
        finally:
            self._pool.give_back(connection)

    def _commit_on(self, connection: sqlite.Connection, entries: list[Entry], *, one_by_one: bool) -> None:
        looks = None if self._pool.durability == "disk" else self._pool.looks
        since = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        waited = time.perf_counter() - since
        if waited > _LONG_SECONDS:
            logger.warning("Waited %.1f s for another process that wrote %s", waited, self.path)
        ends = False
        try:
            transaction = Transaction(connection, self.clock(), self._named)
            if one_by_one:
                self._each_alone(transaction, entries)
            else:
                for entry in entries:
                    entry.outcome = entry.work(transaction)
            settled = transaction.must_settle or self._is_time_to_settle(transaction)
            if settled:
                logger.debug("Indexing what was written since the last time: %d changes", self._unindexed)
            transaction.finish(settled)
            connection.check_files(looks)
            ends = True
            connection.execute("COMMIT")
            self._unindexed = 0 if settled else self._unindexed + transaction.changes
            self._indexed = transaction.indexed
            if transaction.is_in_order:
                self._recent.add(transaction.before.latest, transaction.indexed, transaction.written)
            else:
                self._recent.clear()
            self.space = transaction.space
            if looks is None:
                connection.files.check_database()  # what is acknowledged is in the file that is there
            _tell(entries)
            if self.on_commit is not None:
                self.on_commit(len(entries))
        except BaseException as error:
            if ends and not isinstance(error, Exception) and not connection.in_transaction:
                _tell(entries)  # an interrupt while the thread waits for the disk comes when all is written
            sqlite.let_go(error)
            _roll_back(connection)
            raise

    def _is_time_to_settle(self, transaction: Transaction) -> bool:
        """Whether so much was written that the indexes of words and texts have to be told."""
        if self._unindexed < 0 or transaction.before.indexed_items != self._indexed:  # another process may have settled
            self._unindexed = indexes.unindexed(transaction.connection, transaction.before) - transaction.changes
        return self._unindexed + transaction.changes >= self._limits.unindexed

    def _each_alone(self, transaction: Transaction, entries: list[Entry]) -> None:
        connection = transaction.connection
        for entry in entries:
            connection.execute("SAVEPOINT entry")
            before = transaction.save()
            try:
                entry.outcome = entry.work(transaction)
            except Exception as error:
                sqlite.let_go(error)
                if not connection.in_transaction:  # a full disk ends the whole transaction
                    raise
                connection.execute("ROLLBACK TO entry")
                transaction.restore(before)
                entry.outcome = sqlite.as_store_error(error, self.path) if isinstance(error, sqlite3.Error) else error
            connection.execute("RELEASE entry")

    # Looking after the file

    def verify(self) -> Verification:
        """Check the file: SQLite's own check, every item, and both indexes against the items."""
        self.check_open()
        findings = Findings()
        connection = self._pool.borrow()
        try:
            connection.check_files()
            with sqlite.mapped_errors(self.path):
                connection.execute("BEGIN")
                verify(connection, findings)
        finally:
            _roll_back(connection)
            self._pool.give_back(connection)
        return findings.report()

    def backup(self, path: Path, progress: Progress | None) -> None:
        """Copy the file as it is at this moment to a new one."""
        self.check_open()
        connection = self._pool.borrow()
        try:
            connection.check_files()
            copying.backup(connection, path, progress)
        finally:
            self._pool.give_back(connection)
        logger.info("Copied %s to %s", self.path, path)

    def before_fork(self) -> None:
        """Close every connection: SQLite's locks do not survive a fork."""
        self._pool.pause()

    def after_fork(self, in_child: bool) -> None:
        """Go on with new connections."""
        if in_child:
            self._commits = Commits(self._commit)
            self._alone = threading.Lock()
            self._open_lock = threading.Lock()
            self._looking_up = threading.Lock()
            self._resident = Resident(self._limits)
            self._recent = indexes.RecentTexts()
        self._pool.resume(in_child)


def _running(batch: Batch) -> Callable[[Transaction], list[Answer]]:
    return lambda transaction: transaction.run(batch)


def _is_busy(error: Exception) -> bool:
    """Whether another process keeps the file to itself, as it would the next moment, too."""
    return isinstance(error, sqlite3.Error) and isinstance(sqlite.as_store_error(error, Path()), StoreBusyError)


def _tell(entries: list[Entry]) -> None:
    for entry in entries:
        entry.committed = True


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")

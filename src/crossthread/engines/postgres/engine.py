"""The PostgreSQL engine: many workers, one server. Lends connections, begins and ends transactions; knows no SQL.

A call is one statement in autocommit wherever it can be: a get, a search, a batch of puts and deletes. Async calls that
wait at the same time share statements.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import unquote

import psycopg

from crossthread._clock import Clock
from crossthread.engines._fork import watch
from crossthread.engines._worker import copies
from crossthread.engines.base import BlockingEngine, Progress, VectorSpace, agreed_language
from crossthread.engines.postgres import connection as postgres
from crossthread.engines.postgres import schema as schemas
from crossthread.engines.postgres import staging, verification, writes
from crossthread.engines.postgres import statements as texts
from crossthread.engines.postgres.connection import Connection, Pool, SlowServerError, fetch
from crossthread.engines.postgres.erasing import traces
from crossthread.engines.postgres.reads import ALWAYS, Reader
from crossthread.engines.postgres.records import RecordReader
from crossthread.engines.postgres.schema import Schema
from crossthread.engines.postgres.statements import Statements
from crossthread.engines.postgres.writes import Moment
from crossthread.errors import (
    ConfigurationError,
    StoreError,
    StoreUnavailableError,
)
from crossthread.operations.commands import (
    RECORDS,
    WRITES,
    Answer,
    Batch,
    Delete,
    Forget,
    Get,
    Put,
    Records,
    RecordsAt,
    Restore,
    Stats,
    Sweep,
)
from crossthread.operations.reembedding import READS, Hold, ReembeddingRead, Settle, Stage, Switch
from crossthread.operations.reembedding import WRITES as REEMBEDDING
from crossthread.verification import Findings, Verification

logger = logging.getLogger("crossthread.postgres")

_T = TypeVar("_T")

_READ_THREADS = 4
_LONGEST_PAUSE_SECONDS = 0.25  # before a transaction that failed for another one is repeated
_MOST_AT_ONCE = 5000  # puts in one statement
_LONGEST_TIMEOUT = 366 * 86400.0
_SCHEMA_NAME = re.compile(r"(?!pg_)[A-Za-z_][A-Za-z0-9_-]{0,62}")
_OURS = ("schema", "setup", "pool_size", "timeout_seconds", "answer_timeout_seconds")
_SECONDS = ("timeout_seconds", "answer_timeout_seconds")


class PostgresEngine(BlockingEngine):
    """Keeps memories in a PostgreSQL database, in a schema of their own.

    Args:
        conninfo: A libpq connection string or URL, such as ``postgresql://user@host/db``.
        schema: The name of the schema.
        setup: ``"automatic"``: opening a store creates or migrates the schema; ``"explicit"``: only its ``setup()``
            does, and a role that may read and write rows is enough for everything else.
        pool_size: How many connections at the most.
        timeout_seconds: How long a call waits for a free connection, or for a server that is restarting, and how long
            it is repeated where others write the same.
        answer_timeout_seconds: How long the server may take to answer a statement. Setting up, verifying, forgetting
            and sweeping may take as long as they take.
        clock: For tests; the server's clock otherwise, which all workers share.

    Raises:
        ConfigurationError: An argument cannot be used.
    """

    system_name = "postgresql"
    keeps_records = True
    can_reembed = True

    def __init__(
        self,
        conninfo: str,
        *,
        schema: str = "crossthread",
        setup: str = "automatic",
        pool_size: int = 10,
        timeout_seconds: float = 10.0,
        answer_timeout_seconds: float = 60.0,
        clock: Clock | None = None,
    ) -> None:
        if not isinstance(schema, str) or _SCHEMA_NAME.fullmatch(schema) is None:
            raise ConfigurationError(
                f"schema must be letters, digits, _ and -, at most 63 and not beginning with pg_, not {schema!r}."
            )
        if setup not in ("automatic", "explicit"):
            raise ConfigurationError(f"setup must be 'automatic' or 'explicit', not {setup!r}.")
        if not isinstance(pool_size, int) or pool_size < 1:
            raise ConfigurationError(f"pool_size must be a whole number of at least 1, not {pool_size!r}.")
        for name, seconds in zip(_SECONDS, (timeout_seconds, answer_timeout_seconds), strict=True):
            if not 0 < seconds <= _LONGEST_TIMEOUT:
                raise ConfigurationError(f"{name} must be above 0, and a year at most, not {seconds!r}.")
        super().__init__(clock, read_threads=min(_READ_THREADS, pool_size))
        self._given_clock = clock
        self.conninfo = conninfo
        self.schema = schema
        self.sets_up_itself = setup == "automatic"
        self.pool_size = pool_size
        self.timeout_seconds = timeout_seconds
        self.answer_timeout_seconds = answer_timeout_seconds
        self._pool = Pool(conninfo, pool_size, timeout_seconds, answer_timeout_seconds)
        # A store that nobody closed still says good-bye, at the latest when the program ends.
        weakref.finalize(self, self._pool.close)
        self._statements: Statements | None = None
        self._wanted: VectorSpace | None = None
        self._is_claimed = False  # whether the schema says which dimensions its vectors have
        self._language: str | None = None
        self._open_lock = threading.Lock()
        watch(self)

    @classmethod
    def from_url(cls, url: str, *, clock: Clock | None = None) -> PostgresEngine:
        """Return the engine for a URL, in which the arguments may stand.

        For example ``postgresql://user@host/db?schema=agents&setup=explicit``; the other parameters are libpq's.
        """
        place, _, query = url.partition("?")  # what libpq is to read is left as it is
        ours: dict[str, Any] = {}
        theirs = []
        for parameter in query.split("&"):
            name, _, value = parameter.partition("=")
            if name in _OURS:
                ours[name] = unquote(value)
            elif parameter:
                theirs.append(parameter)
        for name, kind in (("pool_size", int), *((name, float) for name in _SECONDS)):
            if name in ours:
                try:
                    ours[name] = kind(ours[name])
                except ValueError:
                    raise ConfigurationError(f"{name} must be a number, not {ours[name]!r}.") from None
        return cls("?".join([place, "&".join(theirs)] if theirs else [place]), **ours, clock=clock)

    def open(self, space: VectorSpace | None, language: str | None = None, *, create: bool = True) -> None:
        """Create or migrate the schema, and check that its vectors are of this space."""
        self.check_open()
        with self._open_lock:
            self._wanted, self._language = space, language
            connection = postgres.connect(self.conninfo, self.timeout_seconds)
            try:
                connection.answer_seconds = self.answer_timeout_seconds
                found = schemas.find(connection, self.schema, self._pool.where, space is not None)
                if found is None and create:
                    connection.answer_seconds = None  # others may be at it, or there is much to migrate
                    found = schemas.create(connection, self.schema, self._pool.where, space is not None)
                if found is not None:
                    self._check(connection, found)
            except psycopg.Error as error:
                raise postgres.as_store_error(error, self._pool.where) from error
            finally:
                connection.close()
            if found is not None:
                self._take(found)

    def _check(self, connection: Connection, found: Schema) -> None:
        """Check that vectors and words are of the same kind; the first store with an index sets the language."""
        found.space.agreed(self._wanted or VectorSpace(), self._pool.where)
        if agreed_language(found.language, self._language, self._pool.where) != found.language:
            fetch(connection, found.statements.set_language, (self._language,))
            stored = fetch(connection, found.statements.state)[0][2]
            agreed_language(stored, self._language, self._pool.where)  # another worker may just have set another

    def _take(self, found: Schema) -> None:
        self.space = found.space.agreed(self._wanted or VectorSpace(), self._pool.where)
        self.language = found.language or self._language
        self._is_claimed = found.space.dims is not None
        self._pool.suit(found.statements.settings, found.vector_type)
        self._statements = found.statements

    def _ready(self) -> Statements:
        """Return the texts; where the schema was not there yet, look again whether somebody has made it."""
        self.check_open()
        if self._statements is None:
            self.open(self._wanted, self._language, create=False)
        if self._statements is None:
            raise StoreError(f"{self._pool.where} has no schema {self.schema!r} of this release. {postgres.SETUP_HINT}")
        return self._statements

    # Looking after the schema

    def verify(self) -> Verification:
        """Check the schema: every item, its words and its vectors, in one snapshot."""

        def check(connection: Connection) -> Verification:
            findings = Findings()
            with postgres.transaction(connection, verification.BEGIN):
                if not self._ready().has_vectors and schemas.has_vectors(connection, self._ready()):
                    self.open(self._wanted, self._language, create=False)
                verification.verify(connection, self._ready(), findings)
            return findings.report()

        return self._attempt(check, is_read=True, is_patient=True)

    def backup(self, path: Path, progress: Progress | None) -> None:
        """Refuse, and name PostgreSQL's own way."""
        raise StoreError(
            f"{self._pool.where} is no file that could be copied to {path}. PostgreSQL's own tool copies a live "
            f"schema consistently: pg_dump --schema={self.schema} --file={path} ..."
        )

    @property
    def place(self) -> str:
        """The server and the schema."""
        return f"{self._pool.where} {texts.quoted(self.schema)}"

    def erase_traces(self) -> list[str]:
        """Do nothing: what a server keeps of deleted rows is its administrator's matter. Return what remains."""
        return traces(self._pool.where)

    def close(self) -> None:
        """Finish what is under way and close every connection."""
        super().close()
        self._pool.close()

    def before_fork(self) -> None:
        """Nothing: the parent goes on with its connections."""

    def after_fork(self, in_child: bool) -> None:
        """Leave the parent's connections to the parent."""
        if in_child:
            self._open_lock = threading.Lock()
            self._pool.abandon()

    # Running batches

    def run_all(self, batches: Sequence[Batch]) -> list[list[Answer] | BaseException]:
        """Execute batches, as many as possible in one statement."""
        together = self._put_together if batches[0].writes else self._get_together
        outcomes: dict[int, list[Answer] | BaseException] = {}
        if len(batches) > 1:
            outcomes = together(batches)
        for position, batch in enumerate(batches):
            if position not in outcomes:
                try:
                    outcomes[position] = self._write(batch) if batch.writes else self._read(batch)
                except Exception as error:
                    outcomes[position] = error
        return [outcomes[position] for position in range(len(batches))]

    def _now(self) -> int | None:
        return None if self._given_clock is None else self._given_clock()

    def _reader(self, connection: Connection, batch: Batch) -> Reader:
        now = self._now() if batch.omit_expired else ALWAYS
        return Reader(connection, self._ready(), now, self._find_space, batch.generation, self._named)

    @property
    def _named(self) -> str | None:
        return None if self._wanted is None else self._wanted.model

    def _read_space(self, connection: Connection) -> VectorSpace:
        *_, model, dims, generation = fetch(connection, self._ready().state)[0]
        return VectorSpace(model, dims, generation)

    def _find_space(self, connection: Connection) -> VectorSpace:
        if self.space.dims is None:
            statements = self._ready()
            *_, model, dims, generation = fetch(connection, statements.state)[0]
            if dims is not None:
                self.space = VectorSpace(model, dims, generation).agreed(
                    self._wanted or VectorSpace(), self._pool.where
                )
                self._is_claimed = True
        return self.space

    def _get_together(self, batches: Sequence[Batch]) -> dict[int, list[Answer] | BaseException]:
        """Answer those batches that are a single get with one statement; return their outcomes by position."""
        gets: dict[bool, list[int]] = {}
        for position, batch in enumerate(batches):
            if len(batch.commands) == 1 and isinstance(batch.commands[0], Get):
                gets.setdefault(batch.omit_expired, []).append(position)
        outcomes: dict[int, list[Answer] | BaseException] = {}
        for omit_expired, positions in gets.items():
            if len(positions) > 1:
                commands = tuple(batches[position].commands[0] for position in positions)
                try:
                    answers = self._read(Batch(commands, omit_expired))
                except StoreUnavailableError as error:
                    outcomes.update(zip(positions, copies(error, len(positions)), strict=True))
                    continue
                except Exception:
                    logger.debug("Gets that failed together are repeated one by one.", exc_info=True)
                    continue
                outcomes.update({position: [answer] for position, answer in zip(positions, answers, strict=True)})
        return outcomes

    def _look_for_vectors(self, connection: Connection) -> None:
        """Find out whether somebody with an embedder has made a place for vectors."""
        if schemas.has_vectors(connection, self._ready()):
            self.open(self._wanted, self._language, create=False)

    def _records(self, connection: Connection, batch: Batch) -> list[Answer]:
        """Answer with whole items."""
        (command,) = batch.commands
        with postgres.transaction(connection, texts.BEGIN_SNAPSHOT):
            now = self._now()
            reader = RecordReader(connection, self._ready(), now if batch.omit_expired else ALWAYS, now)
            match command:
                case Records():
                    return [reader.records(command)]
                case RecordsAt():
                    return [reader.records_at(command)]
                case Stats():
                    return [reader.stats(command)]
                case _:
                    raise AssertionError(f"not a read of records: {command!r}")

    def _read(self, batch: Batch) -> list[Answer]:
        if isinstance(batch.commands[0], RECORDS):  # each stands alone in its batch
            if not self._ready().has_vectors:
                self._attempt(self._look_for_vectors, is_read=True)
            is_patient = isinstance(batch.commands[0], Stats)
            return self._attempt(
                lambda connection: self._records(connection, batch), is_read=True, is_patient=is_patient
            )

        if isinstance(batch.commands[0], READS):
            if not self._ready().has_vectors:
                self._attempt(self._look_for_vectors, is_read=True)
            command = batch.commands[0]
            return self._attempt(lambda connection: [self._staged(connection, command)], is_read=True, is_patient=True)

        def read(connection: Connection) -> tuple[list[Answer], Reader]:
            reader = self._reader(connection, batch)
            commands = batch.commands
            if len(commands) == 1:
                return [reader.answer(commands[0])], reader
            if all(isinstance(command, Get) for command in commands):
                return cast(list[Answer], reader.get_many(cast(list[Get], list(commands)))), reader
            with postgres.transaction(connection, texts.BEGIN_SNAPSHOT):
                return [reader.answer(command) for command in commands], reader

        answers, reader = self._attempt(read, is_read=True)
        if reader.renewals:
            moment = Moment.of(self._now(), batch.omit_expired)
            try:
                self._attempt(
                    lambda connection: writes.renew(connection, self._ready(), reader.renewals, moment), is_read=True
                )
            except StoreError as error:
                # The read has its answer; that it could not prolong a life must not take the answer away.
                logger.warning("Items read could not be refreshed: %s", error)
        return answers

    def _staged(self, connection: Connection, command: ReembeddingRead) -> Answer:
        with postgres.transaction(connection, texts.BEGIN_SNAPSHOT):
            answer: Answer = staging.read(connection, self._ready(), command)
            return answer

    def _put_together(self, batches: Sequence[Batch]) -> dict[int, list[Answer] | BaseException]:
        """Carry out plain puts and deletes of several batches in few statements; return outcomes by position."""
        outcomes: dict[int, list[Answer] | BaseException] = {}
        group: list[int] = []
        taken: set[tuple[str, str]] = set()
        size = 0
        for position, batch in enumerate(batches):
            commands = batch.commands
            if not all(isinstance(command, WRITES) and writes.is_plain(command) for command in commands):
                continue
            dims = writes.first_dims(batch)
            if dims is not None and not (self._is_claimed and dims == self.space.dims):
                continue  # the first vectors of all, or wrong ones
            addresses = {(command.namespace, command.key) for command in cast(Sequence[Put | Delete], commands)}
            differs = bool(group) and batches[group[0]][1:] != batch[1:]
            if differs or not taken.isdisjoint(addresses) or size + len(commands) > _MOST_AT_ONCE:
                outcomes.update(self._put_group(batches, group))
                group, taken, size = [], set(), 0
            group.append(position)
            taken |= addresses
            size += len(commands)
        outcomes.update(self._put_group(batches, group))
        return outcomes

    def _put_group(self, batches: Sequence[Batch], group: list[int]) -> dict[int, list[Answer] | BaseException]:
        if len(group) < 2:
            return {}
        commands = tuple(command for position in group for command in batches[position].commands)
        try:
            answers = iter(self._write(Batch(commands, *batches[group[0]][1:]), batches=len(group)))
        except StoreUnavailableError as error:
            # Perhaps it was written; to write it again could undo what somebody else has written since.
            return dict(zip(group, copies(error, len(group)), strict=True))
        except Exception:
            # Nothing of it was written, so each can be tried by itself and get an error of its own.
            logger.debug("Puts that failed together are repeated one by one.", exc_info=True)
            return {}
        return {position: [next(answers) for _ in batches[position].commands] for position in group}

    def _write(self, batch: Batch, *, batches: int = 1) -> list[Answer]:
        """Carry out the commands of so many batches."""
        dims = writes.first_dims(batch)
        if dims is not None and self.space.dims is not None:
            self.space.check(batch.generation, self._named, "the store")
            self.space.admit(dims)
        if isinstance(batch.commands[0], Restore) and not self._ready().has_vectors:
            self._attempt(self._look_for_vectors, is_read=True)  # of which none must stay behind
        try:
            answers = self._attempt(
                lambda connection: self._write_once(connection, batch, dims),
                is_read=False,
                is_patient=isinstance(batch.commands[0], (Forget, Sweep, Stage, Hold, Switch, Settle)),
            )
        except writes.Replaced:
            serving = self._attempt(self._read_space, is_read=True)
            serving.check(batch.generation, self._named, "the store")
            raise AssertionError("a generation never comes back") from None
        if self.on_commit is not None:
            self.on_commit(batches)
        return answers

    def _write_once(self, connection: Connection, batch: Batch, dims: int | None) -> list[Answer]:
        statements = self._ready()
        moment = Moment.of(self._now(), batch.omit_expired)
        commands = batch.commands
        if isinstance(commands[0], (Forget, Sweep)):  # each stands alone in its batch
            with postgres.transaction(connection, texts.BEGIN_WRITE):
                if not statements.has_vectors and schemas.has_vectors(connection, statements):
                    self.open(self._wanted, create=False)  # somebody with an embedder has made a place for them
                    statements = self._ready()
                return [writes.erase(connection, statements, commands[0], moment)]
        if isinstance(commands[0], REEMBEDDING):
            with postgres.transaction(connection, texts.BEGIN_WRITE):
                return [staging.write(connection, statements, commands[0])]
        if isinstance(commands[0], Restore):
            restores = [command for command in commands if isinstance(command, Restore)]
            return self._restore(connection, restores, dims, batch.generation)
        changes = cast(list[Put | Delete], [command for command in commands if isinstance(command, WRITES)])
        reads = [command for command in commands if not isinstance(command, WRITES)]
        is_first = dims is not None and not self._is_claimed
        if not reads and not is_first:
            return writes.write(connection, statements, changes, moment, batch.generation)
        answers: list[Answer] = []
        space = self.space
        with postgres.transaction(connection, texts.BEGIN_SNAPSHOT if reads else texts.BEGIN_WRITE):
            reader = self._reader(connection, batch)
            answers += [reader.answer(command) for command in reads]
            if reader.renewals:
                writes.renew(connection, statements, reader.renewals, moment)
            if is_first:
                named = self._wanted.model if self._wanted is not None else None
                space = writes.claim_space(connection, statements, named, cast(int, dims))
            if reads and dims is not None:
                # Below the state of one moment a switch since then would not be seen; so it must not have happened.
                fetch(connection, statements.lock_state)
            answers += writes.write(connection, statements, changes, moment, batch.generation)
        if is_first:
            self.space, self._is_claimed = space, True
        return answers

    def _restore(
        self, connection: Connection, commands: list[Restore], dims: int | None, generation: int
    ) -> list[Answer]:
        space = self.space
        is_first = dims is not None and not self._is_claimed
        with postgres.transaction(connection, texts.BEGIN_WRITE):
            if is_first:
                named = self._wanted.model if self._wanted is not None else None
                space = writes.claim_space(connection, self._ready(), named, cast(int, dims))
            answers = writes.restore(connection, self._ready(), commands, generation)
        if is_first:
            self.space, self._is_claimed = space, True
        return answers

    def _attempt(self, work: Callable[[Connection], _T], *, is_read: bool, is_patient: bool = False) -> _T:
        """Do work on a connection, again where that is safe: after a clash, and a read after a lost connection."""
        self._ready()  # before a connection is lent, which must suit the texts
        deadline = time.monotonic() + self.timeout_seconds
        for attempt in count():
            is_lost = False
            try:
                with self._pool.lend(is_patient=is_patient) as connection:
                    try:
                        return work(connection)
                    except psycopg.Error:
                        is_lost = postgres.is_broken(connection)
                        raise
            except psycopg.Error as error:
                if postgres.may_be_repeated(error) and time.monotonic() < deadline:
                    logger.debug("Attempt %d met another write (%s); trying again", attempt + 1, error.sqlstate)
                    time.sleep(random.uniform(0, min(0.002 * 2**attempt, _LONGEST_PAUSE_SECONDS)))
                elif not (is_read and is_lost and attempt == 0) or isinstance(error, SlowServerError):
                    raise self._told(error, is_lost and not is_read) from error
                else:
                    logger.info("The connection to %s was lost; reading again on another", self._pool.where)
        raise AssertionError("an attempt returns or raises")

    def _told(self, error: psycopg.Error, is_lost_write: bool) -> StoreError:
        told = postgres.as_store_error(error, self._pool.where)
        return type(told)(f"{told}. Whether the write took effect is not known.") if is_lost_write else told

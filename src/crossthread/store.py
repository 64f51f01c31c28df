"""MemoryStore: the BaseStore that users hold. Turns calls into programs and drives them; knows no engine by name."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from langchain_core.embeddings import Embeddings
from langgraph.store.base import (
    NOT_PROVIDED,
    BaseStore,
    Item,
    NotProvided,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
)

from crossthread import namespaces
from crossthread._clock import Clock, system_clock
from crossthread._closing import Closing
from crossthread._program import Program, adrive, drive
from crossthread.batch import Compute, Embed, Model, Pause, Rerank, as_item, run_batch
from crossthread.calls import Calls
from crossthread.embedding.adapters import LangChainEmbedder
from crossthread.embedding.timeout import timed_embedder
from crossthread.engines.base import BlockingEngine, Engine, Preferences, VectorSpace
from crossthread.engines.registry import engine_for
from crossthread.errors import (
    ConfigurationError,
    IndexMismatchError,
    InvalidArgumentError,
    StoreClosedError,
    UnsupportedError,
)
from crossthread.filters.parse import parse_filter
from crossthread.operations.commands import Batch, Count, Forget, Row, Sweep
from crossthread.operations.plan import ModalSearchOp, get_command
from crossthread.records import (
    Reading,
    Record,
    StoreStats,
    as_stats,
    records_command,
    run_measure,
    run_record,
    run_records,
)
from crossthread.reembeds import Reembeds
from crossthread.reranking import Reranker
from crossthread.settings import Durability, IndexConfig, IndexSettings, Mode, checked_durability, parse_index
from crossthread.sweeper import Sweeper
from crossthread.ttl import TTLConfig, checked_ttl, omits_expired, parse_ttl
from crossthread.turns import Turns
from crossthread.update import Call, Run, Turn, run_update
from crossthread.verification import Verification

logger = logging.getLogger("crossthread.store")

_T = TypeVar("_T")

_SWEEP_MINUTES = 5.0  # LangGraph's default for a sweeper started by hand


class MemoryStore(Reembeds, Closing, BaseStore):
    """A LangGraph store that lasts: one local file (or memory, or another engine) with exact semantic search.

    One object serves sync and async callers, any thread and any event loop; several processes may open one file. It is
    open when it is made, and works as ``with`` and ``async with``.

    Args:
        url: ``":memory:"`` (default), the path of a file, which is created where it does not exist, or a URL such as
            ``sqlite:///agent.db``. An `Engine` object is used as it is.
        index: What is searchable by ``query=`` and how, see `IndexConfig`; without it queries are ignored, as LangGraph
            documents.
        ttl: How long items live, see `TTLConfig`; without it they live until they are deleted, unless a put says
            otherwise.
        durability: What a put that returned outlives, in a file: ``"disk"`` (default), a power cut; ``"process"``, the
            end of the process, however it ends. The latter does not wait for the disk and takes a fraction of the time;
            a power cut, or a crash of the system, may then cost the last seconds, but never leaves half a batch.
        clock: For tests: returns the present as microseconds since 1970 (see ``crossthread.testing.ManualClock``).

    Raises:
        ConfigurationError: The url, index or ttl cannot be used.
        StoreError: The file cannot be opened, or belongs to a newer release.
        IndexMismatchError: The file's vectors are of another model, or have other dimensions.

    Examples:
        >>> store = MemoryStore()
        >>> store.put(("memories", "ada"), "food", {"text": "likes pizza"})
        >>> store.get(("memories", "ada"), "food").value
        {'text': 'likes pizza'}
    """

    supports_ttl = True

    def __init__(
        self,
        url: str | os.PathLike[str] | Engine = ":memory:",
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        durability: Durability = "disk",
        clock: Clock | None = None,
    ) -> None:
        self._index = parse_index(index)
        self._model = Model(timed_embedder(self._index) if self._index is not None else None, None, 0)
        self._reranker = Reranker(self._index) if self._index is not None and self._index.rerank is not None else None
        self.index_config: dict[str, Any] | None = dict(index) if index is not None else None
        self.ttl_config: TTLConfig | None = parse_ttl(ttl)  # type: ignore[assignment]  # ours allows a fraction
        self._clock = clock or system_clock
        self._closed = False
        self._turns = Turns()
        self._sweeper: Sweeper | None = None
        self._engine = url if isinstance(url, Engine) else engine_for(url, clock=clock)
        self._calls = Calls(self._engine, self._reranker) if isinstance(self._engine, BlockingEngine) else None
        self._reembedding = threading.Lock()  # held by the one run of this object
        self._switching = threading.Lock()  # held while the engine has another model already, and this object not yet
        try:
            self._engine.prefer(_preferences(durability, self._index))
            self._open(create=self._engine.sets_up_itself)
            # What others make of the vectors later is not taken on: this store's embedder may not fit it.
            self._model = self._model._replace(generation=self._engine.space.generation)
        except BaseException:
            self._engine.close()
            raise
        logger.info("Opened %s", self.place)
        if self.ttl_config is not None and self.ttl_config.get("sweep_interval_minutes"):
            self.start_ttl_sweeper()

    @classmethod
    def from_conn_string(
        cls,
        conn_string: str | os.PathLike[str],
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        durability: Durability = "disk",
    ) -> Self:
        """Open a store as LangGraph's stores are opened: ``with MemoryStore.from_conn_string("agent.db") as store``.

        What it returns is the store itself, open, for ``with`` and ``async with`` alike. Arguments and errors are those
        of `MemoryStore`.
        """
        return cls(conn_string, index=index, ttl=ttl, durability=durability)

    @property
    def embeddings(self) -> Embeddings | None:
        """The store's embeddings as a LangChain object, or None without ``index``."""
        embedder = self._model.embedder
        if embedder is None:
            return None
        while (inner := getattr(embedder, "embedder", None)) is not None:  # a time limit, or telemetry
            embedder = inner
        if isinstance(embedder, LangChainEmbedder):
            return embedder.embeddings
        from langgraph.store.base import ensure_embeddings

        assert self._index is not None
        return ensure_embeddings(cast(Any, self._index.embed))

    # Opening and closing

    def setup(self) -> None:
        """Create or migrate the database; doing it again changes nothing.

        Opening a store has done it already, unless it was told to leave that to you (``setup=explicit`` on PostgreSQL).
        """
        self._open(create=True)

    def _open(self, create: bool) -> None:
        settings, embedder = self._index, self._model.embedder
        space = None if settings is None or embedder is None else VectorSpace(embedder.model, settings.dims)
        self._engine.open(space, None if settings is None else settings.language.name, create=create)

    def _calls_ask(self, reranker: Reranker | None) -> None:
        """Let async calls ask this reranker from now on."""
        if self._calls is not None:
            self._calls.ask(reranker)

    async def asetup(self) -> None:
        """Do what `setup` does, without blocking the event loop."""
        await asyncio.to_thread(self.setup)

    def close(self) -> None:
        """Stop the sweeper, finish what is under way and close every connection; may be called twice."""
        self._closed = True
        self.stop_ttl_sweeper()
        if self._calls is not None:
            self._calls.stop()
        self._engine.close()
        logger.debug("Closed %s", self.place)

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        self._closed = True
        await asyncio.to_thread(self.stop_ttl_sweeper)
        if self._calls is not None:
            await asyncio.to_thread(self._calls.stop)
        await self._engine.aclose()
        logger.debug("Closed %s", self.place)

    # Everything is a batch

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations together: reads see the state before, then all writes happen or none.

        Returns:
            A result for each operation, in order; None for puts.

        Raises:
            InvalidNamespaceError, InvalidArgumentError: An operation breaks a rule.
            EmbeddingError: The embedder returned something that is not its vectors.
            StoreError: The engine refused. Whatever is raised, nothing of the batch was written.
        """
        return self._run(ops)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do what `batch` does, without blocking the event loop."""
        return await self._arun(ops)

    def _run(self, ops: Iterable[Any]) -> list[Any]:
        ops = list(ops)
        while True:
            model = self._model
            try:
                return drive(self._program(ops, model), self._perform)
            except IndexMismatchError:
                with self._switching:  # until this object has taken on a model that it has just switched to
                    if self._model is model:
                        raise

    async def _arun(self, ops: Iterable[Any]) -> list[Any]:
        ops = list(ops)
        while True:
            model = self._model
            try:
                return await self._adrive(self._program(ops, model))
            except IndexMismatchError:
                await asyncio.to_thread(_pass_through, self._switching)
                if self._model is model:
                    raise

    def _program(self, ops: list[Any], model: Model) -> Program[list[Any]]:
        self._check_open()
        return run_batch(ops, self._index, self._with_dims(model), omits_expired(self._ttl))

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError("This store is closed; open a new one to go on.")

    def _with_dims(self, model: Model) -> Model:
        """Return a model with the dimensions that are known by now."""
        space = self._engine.space
        dims = space.dims if space.generation == model.generation else None
        return model._replace(dims=dims or (self._index.dims if self._index is not None else None))

    @property
    def _ttl(self) -> TTLConfig | None:
        return self.ttl_config

    def _perform(self, request: Any) -> Any:
        match request:
            case Batch():
                return self._engine.run(request)
            case Embed(embedder, documents, queries):
                return embedder.embed(documents, queries)
            case Rerank(query, hits):
                assert self._reranker is not None
                return self._reranker.rerank(query, hits)
            case Run(ops):
                return self._run(ops)
            case Call(function, argument):
                result = function(argument)
                if inspect.iscoroutine(result):
                    result.close()
                    raise TypeError("change is an async function; use aupdate() for it.")
                return result
            case Compute(function):
                return function()
            case Turn(address):
                return self._turns.take(address)
            case Pause(seconds):
                return time.sleep(seconds)
            case _:
                raise AssertionError(f"unknown request: {request!r}")

    async def _aperform(self, request: Any) -> Any:
        match request:
            case Batch():
                return await self._engine.arun(request)
            case Embed(embedder, documents, queries):
                return await embedder.aembed(documents, queries)
            case Rerank(query, hits):
                assert self._reranker is not None
                return await self._reranker.arerank(query, hits)
            case Run(ops):
                return await self._arun(ops)
            case Call(function, argument):
                result = function(argument)
                return await result if inspect.isawaitable(result) else result
            case Compute(function):
                return await asyncio.to_thread(function)
            case Turn(address):
                return await self._turns.atake(address)
            case Pause(seconds):
                return await asyncio.sleep(seconds)
            case _:
                raise AssertionError(f"unknown request: {request!r}")

    def _one(self, op: Any) -> Any:
        return self._run([op])[0]

    async def _aone(self, op: Any) -> Any:
        return (await self._arun([op]))[0]

    def get(self, namespace: tuple[str, ...], key: str, *, refresh_ttl: bool | None = None) -> Item | None:
        """Return an item, or None where there is none (``batch`` with one `GetOp`, without its detours).

        Args:
            namespace: Labels of the namespace.
            key: The item's key.
            refresh_ttl: Whether to renew the life of the item; None: as ``ttl["refresh_on_read"]`` says.

        Raises:
            InvalidNamespaceError: The namespace breaks a rule.
            StoreError: The engine refused.
        """
        self._check_open()
        command = get_command(namespace, key, self._refreshes(refresh_ttl))
        (row,) = self._engine.run(Batch((command,), omits_expired(self._ttl)))
        return None if row is None else as_item(cast(Row, row))

    def _refreshes(self, refresh_ttl: bool | None) -> bool:
        if refresh_ttl is not None:
            return refresh_ttl
        return True if self._ttl is None else self._ttl.get("refresh_on_read", True)

    # Searching, with more to say than BaseStore has room for

    def search(
        self,
        namespace_prefix: tuple[str, ...],
        /,
        *,
        query: str | None = None,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
        mode: Mode | None = None,
        min_score: float | None = None,
        hybrid_weight: float | None = None,
        explain: bool = False,
    ) -> list[SearchItem]:
        """Find items below a namespace.

        Args:
            namespace_prefix: Labels that the items' namespaces begin with; ``()`` is the whole store.
            query: Text to search by; needs ``index``. Without it: the newest first.
            filter: Conditions on the values, see the contract's filter table.
            limit: How many at the most.
            offset: How many to skip.
            refresh_ttl: Whether to renew the life of the items returned; None: as ``ttl["refresh_on_read"]`` says.
            mode: How to answer the query, ``"semantic"``, ``"keyword"`` or ``"hybrid"``; None: as ``index`` says.
            min_score: Leave out hits with a lower score.
            hybrid_weight: How much the semantic side counts in a hybrid search; None: as ``index`` says.
            explain: Return `ExplainedItem` objects, which tell the parts of their scores.

        Returns:
            The hits in order, each with its ``score``: the cosine similarity in [-1, 1] (semantic), BM25 above 0
            (keyword), or the fused score in [0, 1] (hybrid); None without a query.

        Raises:
            InvalidNamespaceError, InvalidFilterError, InvalidArgumentError: An argument breaks a rule.
            EmbeddingError: The embedder returned something that is not a vector of this store.
            StoreError: The engine refused.
        """
        op = self._search_op(namespace_prefix, filter, limit, offset, query, refresh_ttl)
        return cast(list[SearchItem], self._one(ModalSearchOp(op, mode, min_score, hybrid_weight, explain)))

    async def asearch(
        self,
        namespace_prefix: tuple[str, ...],
        /,
        *,
        query: str | None = None,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
        mode: Mode | None = None,
        min_score: float | None = None,
        hybrid_weight: float | None = None,
        explain: bool = False,
    ) -> list[SearchItem]:
        """Do what `search` does, without blocking the event loop."""
        op = self._search_op(namespace_prefix, filter, limit, offset, query, refresh_ttl)
        return cast(list[SearchItem], await self._aone(ModalSearchOp(op, mode, min_score, hybrid_weight, explain)))

    def _search_op(
        self, prefix: Any, filter_: Any, limit: int, offset: int, query: str | None, refresh_ttl: bool | None
    ) -> SearchOp:
        return SearchOp(prefix, filter_, limit, offset, query, self._refreshes(refresh_ttl))

    # Beyond BaseStore

    def forget(self, namespace_prefix: tuple[str, ...]) -> int:
        """Erase every item in a namespace and all namespaces below it.

        Args:
            namespace_prefix: Labels that the items' namespaces begin with; ``()`` erases the whole store.

        Returns:
            How many items there were.
        """
        return cast(int, self._one(Forget(namespaces.to_text(namespace_prefix, empty_allowed=True))))

    async def aforget(self, namespace_prefix: tuple[str, ...]) -> int:
        """Do what `forget` does, without blocking the event loop."""
        return cast(int, await self._aone(Forget(namespaces.to_text(namespace_prefix, empty_allowed=True))))

    @property
    def place(self) -> str:
        """Where the memories are kept: the path of a file, or the server and the schema."""
        return self._engine.place

    def erase_traces(self) -> list[str]:
        """Make the bytes of what was deleted disappear from where the memories are kept.

        No call finds what was deleted, but its bytes may still be in a file: in free pages, in older versions of
        values, in the write-ahead log, in the index of words. A SQLite file is rewritten: its size decides
        how long this takes, and there must be room for it twice more; readers go on, writers wait.
        `Memory.forget_user` does it by itself.

        Returns:
            What may remain all the same, in sentences: nothing, in a file that nobody else is reading; on PostgreSQL,
            what the server keeps.

        Raises:
            StoreError: The file cannot be written.
        """
        self._check_open()
        return self._engine.erase_traces()

    async def aerase_traces(self) -> list[str]:
        """Do what `erase_traces` does, without blocking the event loop."""
        return await asyncio.to_thread(self.erase_traces)

    def count(self, namespace_prefix: tuple[str, ...] = (), *, filter: dict[str, Any] | None = None) -> int:  # noqa: A002
        """Return how many items below a namespace match a filter (see `search`)."""
        return cast(int, self._one(_count(namespace_prefix, filter)))

    async def acount(self, namespace_prefix: tuple[str, ...] = (), *, filter: dict[str, Any] | None = None) -> int:  # noqa: A002
        """Do what `count` does, without blocking the event loop."""
        return cast(int, await self._aone(_count(namespace_prefix, filter)))

    def update(
        self,
        namespace: tuple[str, ...],
        key: str,
        change: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        default: dict[str, Any] | NotProvided = NOT_PROVIDED,
        index: Any = None,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> Item:
        """Read an item, change it and write it back, so that of two updates at once none is lost.

        Args:
            namespace: Where the item is.
            key: Its key.
            change: Gets a copy of the value and returns the new one. It may be called again with a newer value when
                somebody else wrote in between, so it should do nothing else.
            default: The value to start from where there is no item.
            index: As in ``put``.
            ttl: As in ``put``.

        Returns:
            The item as written.

        Raises:
            ItemNotFoundError: There is no item, and no default.
            InvalidValueError: ``change`` returned something that cannot be stored. What ``change`` itself raises comes
                through. In each case nothing was written.
        """
        return drive(self._update_program(namespace, key, change, default, index, ttl), self._perform)

    async def aupdate(
        self,
        namespace: tuple[str, ...],
        key: str,
        change: Callable[[dict[str, Any]], dict[str, Any]] | Callable[[dict[str, Any]], Awaitable[dict[str, Any]]],
        *,
        default: dict[str, Any] | NotProvided = NOT_PROVIDED,
        index: Any = None,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> Item:
        """Do what `update` does, without blocking the event loop; ``change`` may be async."""
        return await adrive(self._update_program(namespace, key, change, default, index, ttl), self._aperform)

    def _update_program(
        self, namespace: Any, key: str, change: Any, default: Any, index: Any, ttl: Any
    ) -> Program[Item]:
        if isinstance(ttl, NotProvided):
            ttl = self._ttl.get("default_ttl") if self._ttl else None
        op = PutOp(namespaces.checked(namespace), str(key), {}, index=index, ttl=ttl)
        _refuse_reserved(op.namespace)
        return run_update(op, change, default, random.random, self._turns)

    # Expiry

    def sweep_ttl(self) -> int:
        """Erase every expired item and return how many there were."""
        return cast(int, self._one(Sweep()))

    async def asweep_ttl(self) -> int:
        """Do what `sweep_ttl` does, without blocking the event loop."""
        return cast(int, await self._aone(Sweep()))

    def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> Future[None]:
        """Sweep in the background until `stop_ttl_sweeper` or `close`; where it already runs, that goes on.

        Args:
            sweep_interval_minutes: Minutes between two sweeps; None: what ``ttl_config`` says at the time, or 5.

        Returns:
            A future that ends with the sweeper; cancelling it stops the sweeper.
        """
        if sweep_interval_minutes is not None and not checked_ttl(sweep_interval_minutes):
            raise InvalidArgumentError(f"sweep_interval_minutes must be above 0, not {sweep_interval_minutes!r}.")
        self._check_open()
        if self._sweeper is None or not self._sweeper.running:
            self._sweeper = _sweeper(self, sweep_interval_minutes)
        return self._sweeper.done

    def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """Stop the background sweep; return whether it has stopped within ``timeout`` seconds (None: wait for it)."""
        if self._sweeper is None:
            return True
        stopped = self._sweeper.stop(timeout)
        if stopped:
            self._sweeper = None
        return stopped

    # Looking at what is kept

    def records(
        self,
        namespace_prefix: tuple[str, ...] = (),
        *,
        after: Record | str | None = None,
        limit: int = 100,
        newest_first: bool = False,
        vectors: bool = False,
    ) -> list[Record]:
        """Read items with all that is kept of them, page by page, in the order in which they were written last.

        An item that is there from the first page to the last is on one of them, whatever is written meanwhile; one that
        is written meanwhile may be on two. Nothing lives longer for being read.

        Args:
            namespace_prefix: Labels that the items' namespaces begin with; ``()`` is the whole store.
            after: The last record of the page before, or its ``cursor``; None: from the beginning.
            limit: How many at the most; a page has 10,000 at the most.
            newest_first: The other way round.
            vectors: Whether to read the vectors, too.

        Returns:
            The records; none where the last page was the last.

        Raises:
            InvalidNamespaceError, InvalidArgumentError: An argument breaks a rule.
            UnsupportedError: The engine, of another package, cannot tell.
            StoreError: The engine refused.
        """
        return drive(self._records_program(namespace_prefix, after, limit, newest_first, vectors), self._perform)

    async def arecords(
        self,
        namespace_prefix: tuple[str, ...] = (),
        *,
        after: Record | str | None = None,
        limit: int = 100,
        newest_first: bool = False,
        vectors: bool = False,
    ) -> list[Record]:
        """Do what `records` does, without blocking the event loop."""
        return await self._adrive(self._records_program(namespace_prefix, after, limit, newest_first, vectors))

    def _records_program(
        self, prefix: Any, after: Any, limit: Any, newest_first: bool, vectors: bool
    ) -> Program[list[Record]]:
        self._check_records()
        command = records_command(prefix, after, limit, newest_first, vectors)
        return run_records(command, self._reading, omits_expired(self._ttl))

    def record(self, namespace: tuple[str, ...], key: str, *, vectors: bool = False) -> Record | None:
        """Read one item with all that is kept of it, or None where there is none.

        Args:
            namespace: Labels of the namespace.
            key: The item's key.
            vectors: Whether to read its vectors, too.

        Raises:
            InvalidNamespaceError: The namespace breaks a rule.
            UnsupportedError: The engine, of another package, cannot tell.
            StoreError: The engine refused.
        """
        return drive(self._record_program(namespace, key, vectors), self._perform)

    async def arecord(self, namespace: tuple[str, ...], key: str, *, vectors: bool = False) -> Record | None:
        """Do what `record` does, without blocking the event loop."""
        return await self._adrive(self._record_program(namespace, key, vectors))

    def _record_program(self, namespace: Any, key: Any, vectors: bool) -> Program[Record | None]:
        self._check_records()
        return run_record(namespace, key, vectors, self._reading, omits_expired(self._ttl))

    def stats(self, namespace_prefix: tuple[str, ...] = ()) -> StoreStats:
        """Measure what lies below a namespace: items, bytes, vectors, by namespace and in all. Reads every item.

        Args:
            namespace_prefix: Labels that the items' namespaces begin with; ``()`` is the whole store.

        Raises:
            InvalidNamespaceError: The prefix breaks a rule.
            UnsupportedError: The engine, of another package, cannot tell.
            StoreError: The engine refused.
        """
        self._check_records()
        found = drive(run_measure(namespace_prefix, omits_expired(self._ttl)), self._perform)
        return as_stats(found, self._engine.place, self._engine.file_bytes)

    async def astats(self, namespace_prefix: tuple[str, ...] = ()) -> StoreStats:
        """Do what `stats` does, without blocking the event loop."""
        self._check_records()
        found = await self._adrive(run_measure(namespace_prefix, omits_expired(self._ttl)))
        return as_stats(found, self._engine.place, self._engine.file_bytes)

    def _drive(self, program: Program[_T]) -> _T:
        return drive(program, self._perform)

    async def _adrive(self, program: Program[_T]) -> _T:
        if self._calls is None:  # an engine with an async side of its own
            return await adrive(program, self._aperform)
        return await self._calls.run(program)

    def _now(self) -> int:
        return self._clock()

    @property
    def _reading(self) -> Reading:
        return Reading((), None) if self._index is None else Reading(self._index.fields, self._index.language)

    def _check_records(self) -> None:
        self._check_open()
        if not self._engine.keeps_records:
            raise UnsupportedError(
                f"{type(self._engine).__name__} does not tell all that it keeps of items, so that this store has no "
                "stats() and records(), and cannot be exported or copied whole; see Engine.keeps_records."
            )

    # Looking after what is kept

    def verify(self) -> Verification:
        """Check that what is kept is whole: every item with exactly its vectors and keywords, no leftovers.

        Reads everything, in the state of one moment, while others read and write.

        Returns:
            How many items were checked, and the problems found, a sentence each; it is true where there is none.

        Raises:
            StoreError: It cannot be read at all, or the engine, of another package, has no such check.
        """
        self._check_open()
        found = self._engine.verify()
        level = logging.DEBUG if found.ok else logging.WARNING
        # What the problems are may name items, so it is for the caller alone.
        logger.log(level, "Checked %d items of %s: %d problems", found.items, self.place, len(found.problems))
        return found

    async def averify(self) -> Verification:
        """Do what `verify` does, without blocking the event loop."""
        return await asyncio.to_thread(self.verify)

    def backup(self, path: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the file of this store, and all else that is in it, to a new file, while others read and write.

        The copy holds the state of one moment, is readable for its owner only, and appears under its name when it is
        whole and on disk. It is a store like the original.

        Args:
            path: The new file; its folder exists.
            progress: Called now and then with the bytes copied and the bytes in all.

        Raises:
            InvalidArgumentError: There is something at ``path``; nothing is overwritten.
            StoreUnavailableError: The folder does not exist, or refuses.
            StoreFullError: There is no room for the copy; nothing is left of it.
            StoreError: The store is not in a file.
        """
        self._check_open()
        self._engine.backup(Path(os.path.abspath(path)), progress)

    async def abackup(
        self, path: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Do what `backup` does, without blocking the event loop; ``progress`` is called in another thread."""
        await asyncio.to_thread(self.backup, path, progress=progress)


def _pass_through(lock: threading.Lock) -> None:
    with lock:
        pass


def _preferences(durability: Any, index: IndexSettings | None) -> Preferences:
    durability = checked_durability(durability)
    if index is None:
        return Preferences(durability)
    return Preferences(durability, index.vector_bytes, index.filter_fields)


def _count(prefix: Any, filter_: Any) -> Count:
    return Count(namespaces.to_text(prefix, empty_allowed=True), parse_filter(filter_))


def _refuse_reserved(namespace: tuple[str, ...]) -> None:
    if namespace[0] == "langgraph":
        from langgraph.store.base import InvalidNamespaceError

        raise InvalidNamespaceError(f'Root label for namespace cannot be "langgraph". Got: {namespace}')


def _sweeper(store: MemoryStore, minutes: float | None) -> Sweeper:
    """Start a sweeper that does not keep a forgotten store alive, and ends with it."""
    reference = weakref.ref(store)

    def sweep() -> int:
        alive = reference()
        return alive.sweep_ttl() if alive is not None else 0

    def interval_minutes() -> float:
        alive = reference()
        config = alive._ttl if alive is not None else None
        try:
            return minutes or (parse_ttl(config) or {}).get("sweep_interval_minutes") or _SWEEP_MINUTES
        except ConfigurationError as error:
            logger.warning("Sweeping every %g minutes: %s", _SWEEP_MINUTES, error)
            return _SWEEP_MINUTES

    sweeper = Sweeper(sweep, interval_minutes)
    weakref.finalize(store, sweeper.signal)
    return sweeper

"""The durable checkpointer beside the store: LangGraph's SQLite saver, for sync and async callers alike.

The tables and their rows are LangGraph's own (``langgraph.checkpoint.sqlite``); how the file is opened, and what its
errors become, is our SQLite engine's (``engines.sqlite.connection``).
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.sqlite import SqliteSaver

from crossthread._closing import Closing
from crossthread.engines.base import Engine
from crossthread.engines.memory import MemoryEngine
from crossthread.engines.registry import engine_for
from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.engines.sqlite.shared import Call, SharedConnection
from crossthread.errors import ConfigurationError, InvalidArgumentError

T = TypeVar("T")


def open_checkpointer(url: str | os.PathLike[str] | Engine) -> BaseCheckpointSaver[str]:
    """Open a checkpointer in the place where `MemoryStore` keeps memories for the same url.

    Raises:
        ConfigurationError: There is no checkpointer for such a place.
        StoreError: The file cannot be opened.
    """
    engine = url if isinstance(url, Engine) else engine_for(url)
    if isinstance(engine, MemoryEngine):
        return InMemorySaver()
    if isinstance(engine, SQLiteEngine):
        return DurableSaver(engine.path)
    raise ConfigurationError(
        f"crossthread has no checkpointer for {url!r}; give Memory one of LangGraph's: checkpointer=..., or None."
    )


class DurableSaver(Closing, SqliteSaver):
    """LangGraph's SQLite checkpointer for any caller: sync and async, any thread, any event loop, a forked process too.

    What a call has returned from is on disk. Its tables live beside those of a `MemoryStore` in one file, and are the
    ones that ``SqliteSaver`` reads. It works as ``with`` and ``async with``.

    Args:
        path: The file; it is created, readable for its owner only, where it does not exist.
        serde: How values become bytes; LangGraph's own way by default.

    Raises:
        StoreError: The file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], *, serde: SerializerProtocol | None = None) -> None:
        # LangGraph makes shallow copies (`with_allowlist`), so whatever changes is in this object, which they share.
        self._shared = SharedConnection(Path(os.path.abspath(path)))
        try:
            super().__init__(self._shared.connection(), serde=serde)
            if not self._shared.read_only:
                self.setup()
        except BaseException:
            self._shared.close()
            raise

    @classmethod
    @contextmanager
    def from_conn_string(cls, conn_string: str) -> Iterator[Self]:
        """Open a file for the length of a ``with`` block, as LangGraph's own class does."""
        with cls(conn_string) as saver:
            yield saver

    # Opening and closing

    def setup(self) -> None:
        """Create the tables. Opening has done it, unless the file can only be read."""
        with self.cursor(transaction=False):
            pass

    def close(self) -> None:
        """Finish what is under way and close the file; may be called twice."""
        self._shared.close()

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        await asyncio.to_thread(self.close)

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        """Lend a cursor inside of a transaction of its own, which is undone if the block raises.

        Args:
            transaction: Whether the block writes.
        """
        with self._shared.transaction(writes=transaction, prepare=self._prepare) as connection:
            cursor = connection.cursor()
            try:
                yield cursor
            finally:
                cursor.close()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # The base class works with `conn`. It is another one after a fork.
        self.conn = connection
        if not self.is_setup:
            super().setup()

    async def _arun(self, method: Callable[..., T], *args: Any, writes: bool = False, **kwargs: Any) -> T:
        return cast(T, await self._shared.arun(Call(lambda: method(*args, **kwargs), writes)))

    # What LangGraph calls

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield a thread's checkpoints, newest first. All are read before the first is yielded.

        The caller may write while it iterates; ``SqliteSaver`` keeps its lock until the last one and deadlocks.
        """
        yield from [*super().list(config, filter=filter, before=before, limit=limit)]

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Do what `get_tuple` does, without blocking the event loop."""
        return await self._arun(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Do what `list` does, without blocking the event loop."""
        for found in await self._arun(lambda: [*self.list(config, filter=filter, before=before, limit=limit)]):
            yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Do what `put` does, without blocking the event loop."""
        return await self._arun(self.put, config, checkpoint, metadata, new_versions, writes=True)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Do what `put_writes` does, without blocking the event loop."""
        await self._arun(self.put_writes, config, writes, task_id, task_path, writes=True)

    async def adelete_thread(self, thread_id: str) -> None:
        """Do what `delete_thread` does, without blocking the event loop."""
        await self._arun(self.delete_thread, thread_id, writes=True)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Do what `get_delta_channel_history` does, without blocking the event loop."""
        return await self._arun(self.get_delta_channel_history, config=config, channels=channels)

    # What the platform calls, and no stock saver has in full

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints and writes of a thread to another; what that one has besides stays."""
        if str(source_thread_id) == str(target_thread_id):
            return
        with self.cursor() as cursor:
            for statement in (_COPY_CHECKPOINTS, _COPY_WRITES):
                cursor.execute(statement, (str(target_thread_id), str(source_thread_id)))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Do what `copy_thread` does, without blocking the event loop."""
        await self._arun(self.copy_thread, source_thread_id, target_thread_id, writes=True)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete what the runs with these ids have saved, in every thread and namespace."""
        _refuse_text(run_ids, "run_ids")
        runs = json.dumps([str(run_id) for run_id in run_ids])
        with self.cursor() as cursor:
            cursor.execute(_DELETE_WRITES_OF_RUNS, (runs,))
            cursor.execute(_DELETE_RUNS, (runs,))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Do what `delete_for_runs` does, without blocking the event loop."""
        await self._arun(self.delete_for_runs, run_ids, writes=True)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete old checkpoints of threads.

        Args:
            thread_ids: The threads.
            strategy: ``"keep_latest"`` leaves the latest checkpoint of each namespace, with its writes, and the older
                ones that a ``DeltaChannel`` in it is rebuilt from; ``"delete"`` leaves nothing.

        Raises:
            InvalidArgumentError: The strategy is another.
        """
        _refuse_text(thread_ids, "thread_ids")
        if strategy not in ("keep_latest", "delete"):
            raise InvalidArgumentError(f"strategy must be 'keep_latest' or 'delete', not {strategy!r}.")
        with self.cursor() as cursor:
            for thread_id in map(str, thread_ids):
                for namespace, head in cursor.execute(_HEADS, (thread_id,)).fetchall():
                    kept = self._needed(cursor, thread_id, namespace, head) if strategy == "keep_latest" else []
                    place = (thread_id, namespace, json.dumps(kept))
                    cursor.execute(_DELETE_OTHER_WRITES, place)
                    cursor.execute(_DELETE_OTHERS, place)
                    cursor.execute(_FORGET_PARENTS, place)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Do what `prune` does, without blocking the event loop."""
        await self._arun(self.prune, thread_ids, strategy=strategy, writes=True)

    def _needed(self, cursor: sqlite3.Cursor, thread_id: str, namespace: str, head: str) -> Sequence[str]:
        """Return the ids of a namespace's latest checkpoint, and of those its delta channels are rebuilt from."""
        needed: dict[str, None] = {}
        unseeded: set[str] | None = None
        step: str | None = head
        while step is not None and step not in needed:
            row = cursor.execute(_CHECKPOINT, (thread_id, namespace, step)).fetchone()
            if row is None:
                break
            parent, kind, checkpoint, metadata = row
            needed[step] = None
            if unseeded is None:  # a channel is not among the counters when the checkpoint itself holds its value
                unseeded = set(json.loads(metadata or "{}").get("counters_since_delta_snapshot", ()))
            unseeded -= self.serde.loads_typed((kind, checkpoint))["channel_values"].keys()
            step = parent if unseeded else None
        return [*needed]


def _refuse_text(ids: Sequence[str], name: str) -> None:
    # Every letter of a forgotten bracket would be taken for an id.
    if isinstance(ids, str):
        raise InvalidArgumentError(f"{name} must be a list of ids, not the text {ids!r}.")


# Several ids are one parameter, a JSON list: SQLite has no arrays, and takes only so many parameters.

_COPY_CHECKPOINTS = """
INSERT OR REPLACE INTO checkpoints
  (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
SELECT ?, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata
FROM checkpoints
WHERE thread_id = ?
"""

_COPY_WRITES = """
INSERT OR REPLACE INTO writes
  (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value)
SELECT ?, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value
FROM writes
WHERE thread_id = ?
"""

_DELETE_WRITES_OF_RUNS = """
DELETE FROM writes
WHERE (thread_id, checkpoint_ns, checkpoint_id) IN (
  SELECT thread_id, checkpoint_ns, checkpoint_id
  FROM checkpoints
  WHERE json_extract(CAST(metadata AS TEXT), '$.run_id') IN (SELECT value FROM json_each(?))
)
"""

_DELETE_RUNS = """
DELETE FROM checkpoints
WHERE json_extract(CAST(metadata AS TEXT), '$.run_id') IN (SELECT value FROM json_each(?))
"""

# Ids grow with time, so the greatest is the latest, as for SqliteSaver itself.
_HEADS = """
SELECT checkpoint_ns, max(checkpoint_id)
FROM checkpoints
WHERE thread_id = ?
GROUP BY checkpoint_ns
"""

_CHECKPOINT = """
SELECT parent_checkpoint_id, type, checkpoint, metadata
FROM checkpoints
WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?
"""

# Writes may be saved before the checkpoint they belong to, so only those of a saved one are old.
_DELETE_OTHER_WRITES = """
DELETE FROM writes
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id IN (
  SELECT checkpoint_id
  FROM checkpoints
  WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id NOT IN (SELECT value FROM json_each(?3))
)
"""

_DELETE_OTHERS = """
DELETE FROM checkpoints
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND checkpoint_id NOT IN (SELECT value FROM json_each(?3))
"""

_FORGET_PARENTS = """
UPDATE checkpoints
SET parent_checkpoint_id = NULL
WHERE thread_id = ?1 AND checkpoint_ns = ?2 AND parent_checkpoint_id NOT IN (SELECT value FROM json_each(?3))
"""

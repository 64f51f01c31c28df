"""The durable checkpointer beside the store on a server: LangGraph's PostgreSQL saver, for sync and async callers.

The tables and their rows are LangGraph's own (``langgraph.checkpoint.postgres``), in the store's schema. How the server
is reached is the matter of ``checkpointing.postgres_server``.
"""

from __future__ import annotations

import builtins
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import TASKS

from crossthread._text import UNHOLDABLE
from crossthread.checkpointing.base import SavedThread, SharedSaver, Step
from crossthread.checkpointing.postgres_server import Cursor, Server
from crossthread.engines.postgres import statements as texts
from crossthread.engines.postgres.engine import PostgresEngine
from crossthread.engines.postgres.erasing import traces

T = TypeVar("T")


class DurablePostgresSaver(SharedSaver, PostgresSaver):
    """LangGraph's PostgreSQL checkpointer for any caller: sync and async, any thread, any event loop, forked ones too.

    What a call has returned from is committed. Its tables are those of ``PostgresSaver``, in the schema of a
    `MemoryStore` of the same url: two applications in one database do not see each other's threads. It works as
    ``with`` and ``async with``.

    Args:
        url: As for `MemoryStore`: ``schema``, ``setup``, ``pool_size`` and ``timeout_seconds`` may stand in it. Of an
            engine, its settings are taken, not its connections.
        serde: How values become bytes; LangGraph's own way by default.

    Raises:
        ConfigurationError: The url cannot be used.
        StoreError: The server cannot be reached, or the role may not create the tables and they are missing.
    """

    def __init__(self, url: str | PostgresEngine, *, serde: SerializerProtocol | None = None) -> None:
        engine = url if isinstance(url, PostgresEngine) else PostgresEngine.from_url(url)
        self._shared = Server(engine)
        try:
            super().__init__(cast(Any, self._shared), serde=serde)
            self._shared.prepare(create=engine.sets_up_itself)
        except BaseException:
            self._shared.close()
            raise

    @classmethod
    @contextmanager
    def from_conn_string(cls, conn_string: str, *, pipeline: bool = False) -> Iterator[Self]:
        """Open it for the length of a ``with`` block, as LangGraph's own class does; calls are always pipelined."""
        with cls(conn_string) as saver:
            yield saver

    # Opening and closing

    def setup(self) -> None:
        """Create or migrate the tables. Opening has done it, unless it was told to leave that to you."""
        self._shared.prepare(create=True)

    @property
    def is_set_up(self) -> bool:
        """Whether the tables are there, as this release makes them."""
        return self._shared.is_complete()

    def close(self) -> None:
        """Finish what is under way and close every connection; may be called twice."""
        self._shared.close()

    async def _submit(self, call: Callable[[], Any], writes: bool) -> Any:
        return await self._shared.arun(call)

    # How the base class reaches the server

    @contextmanager
    def _cursor(self, *, pipeline: bool = False) -> Iterator[Cursor]:
        # The base class asks for a pipeline where it writes.
        with self._shared.transaction(texts.BEGIN_WRITE if pipeline else texts.BEGIN_SNAPSHOT) as cursor:
            yield cursor

    def _read(self, call: Callable[[], T]) -> T:
        return self._shared.attempt(call, is_read=True)

    def _write(self, call: Callable[[], T]) -> T:
        return self._shared.attempt(call, is_read=False)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a thread's checkpoint: the one that the config names, or the latest; None where there is none."""
        found = super().get_tuple
        return self._read(lambda: found(config))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what delta channels are rebuilt from."""
        found = super().get_delta_channel_history
        return self._read(lambda: found(config=config, channels=channels))

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint, wholly or not at all, and return the config that names it."""
        put = super().put
        values = {
            name: _Boxed(value) if _is_odd(value) else value for name, value in checkpoint["channel_values"].items()
        }
        boxed: Checkpoint = {**checkpoint, "channel_values": values}
        return self._write(lambda: put(config, boxed, metadata, new_versions))

    def _dump_blobs(
        self, thread_id: str, checkpoint_ns: str, values: dict[str, Any], versions: ChannelVersions
    ) -> list[tuple[str, str, str, str, str, bytes | None]]:
        values = {name: value.content if isinstance(value, _Boxed) else value for name, value in values.items()}
        return super()._dump_blobs(thread_id, checkpoint_ns, values, versions)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save what a task has written since a checkpoint."""
        put_writes = super().put_writes
        self._write(lambda: put_writes(config, writes, task_id, task_path))

    def delete_thread(self, thread_id: str) -> None:
        """Delete all that is saved of a thread."""
        delete_thread = super().delete_thread
        self._write(lambda: delete_thread(thread_id))

    @property
    def place(self) -> str:
        """The server and the schema."""
        return f"{self._shared.where} {self._shared.path}"

    def erase_traces(self) -> builtins.list[str]:
        """Do nothing: what a server keeps of deleted rows is its administrator's matter. Return what remains."""
        return traces(self._shared.where)

    def _threads(self, wanted: Mapping[str, Any], limit: int, offset: int) -> builtins.list[SavedThread]:
        parameters = {"wanted": json.dumps(wanted), "limit": limit, "offset": offset}
        with self._cursor() as cursor:
            having = "HAVING bool_or(metadata @> %(wanted)s::jsonb)" if wanted else ""
            rows = cursor.execute(_THREADS.format(having=having), parameters).fetchall()
        return [SavedThread(**row) for row in rows]

    # What the platform calls, and no stock saver has in full

    def _change(self, work: Callable[[Cursor], None], begin: str = texts.BEGIN_WRITE) -> None:
        def change() -> None:
            with self._shared.transaction(begin) as cursor:
                work(cursor)

        self._write(change)

    def _copy(self, source: str, target: str) -> None:
        def copy(cursor: Cursor) -> None:
            for statement in (_COPY_CHECKPOINTS, _COPY_BLOBS, _COPY_WRITES):
                cursor.execute(statement, (target, source))

        self._change(copy, texts.BEGIN_SNAPSHOT)  # all three as they were at one instant

    def _delete_runs(self, run_ids: Sequence[str]) -> None:
        def delete(cursor: Cursor) -> None:
            for row in cursor.execute(_OF_RUNS, (list(run_ids),)).fetchall():
                self._delete(cursor, row["thread_id"], row["checkpoint_ns"], row["ids"])

        self._change(delete)

    def _keep_latest(self, thread_id: str) -> None:
        def prune(cursor: Cursor) -> None:
            cursor.execute(_TAKE_TURNS, (f"{self._shared.path} {thread_id}",))
            self._prune_with(cursor, thread_id)

        self._change(prune)

    def _saved(self, cursor: Cursor, thread_id: str) -> dict[str, Sequence[str]]:
        rows = cursor.execute(_SAVED, (thread_id,)).fetchall()
        return {row["checkpoint_ns"]: row["ids"] for row in rows}

    def _step(self, cursor: Cursor, thread_id: str, namespace: str, checkpoint_id: str) -> Step | None:
        row = cursor.execute(_CHECKPOINT, (TASKS, thread_id, namespace, checkpoint_id)).fetchone()
        if row is None:
            return None
        return Step(row["parent_checkpoint_id"], row["metadata"], frozenset(row["held"]), row["needs_parent"])

    def _delete(self, cursor: Cursor, thread_id: str, namespace: str, gone: Sequence[str]) -> None:
        # The tables come in the order in which the base class deletes a thread, or the two would wait for each other.
        place = {"thread": thread_id, "namespace": namespace, "gone": list(gone)}
        for statement in (_DELETE, _FORGET_PARENTS, _DELETE_UNUSED_BLOBS, _DELETE_WRITES):
            cursor.execute(statement, place, prepare=False)  # planned for as many ids as there are


class _Boxed(NamedTuple):
    """A value that the base class would put into a column of JSON, which cannot hold it; so it goes where lists go."""

    content: Any


def _is_odd(value: Any) -> bool:
    if isinstance(value, str):
        return UNHOLDABLE.search(value) is not None
    return isinstance(value, float) and not math.isfinite(value)


# The namespace of a thread itself is '', which sorts before those of its subgraphs.
_THREADS = """
WITH place AS (
  SELECT thread_id, min(checkpoint_ns) AS namespace
  FROM checkpoints
  GROUP BY thread_id
  {having}
), span AS (
  SELECT c.thread_id, p.namespace, min(c.checkpoint_id) AS first, max(c.checkpoint_id) AS last
  FROM place AS p
  JOIN checkpoints AS c ON c.thread_id = p.thread_id AND c.checkpoint_ns = p.namespace
  GROUP BY c.thread_id, p.namespace
  ORDER BY last DESC, c.thread_id
  LIMIT %(limit)s OFFSET %(offset)s
)
SELECT s.thread_id, s.namespace, s.first, s.last, c.metadata
FROM span AS s
JOIN checkpoints AS c ON c.thread_id = s.thread_id AND c.checkpoint_ns = s.namespace AND c.checkpoint_id = s.last
ORDER BY s.last DESC, s.thread_id
"""

_COPY_CHECKPOINTS = """
INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
SELECT %s, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata
FROM checkpoints
WHERE thread_id = %s
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id) DO UPDATE
SET (parent_checkpoint_id, type, checkpoint, metadata)
  = (excluded.parent_checkpoint_id, excluded.type, excluded.checkpoint, excluded.metadata)
"""

_COPY_BLOBS = """
INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
SELECT %s, checkpoint_ns, channel, version, type, blob
FROM checkpoint_blobs
WHERE thread_id = %s
ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO UPDATE
SET (type, blob) = (excluded.type, excluded.blob)
"""

_COPY_WRITES = """
INSERT INTO checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
SELECT %s, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob
FROM checkpoint_writes
WHERE thread_id = %s
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO UPDATE
SET (task_path, channel, type, blob) = (excluded.task_path, excluded.channel, excluded.type, excluded.blob)
"""

_OF_RUNS = """
SELECT thread_id, checkpoint_ns, array_agg(checkpoint_id) AS ids
FROM checkpoints
WHERE metadata ->> 'run_id' = ANY (%s)
GROUP BY thread_id, checkpoint_ns
ORDER BY thread_id, checkpoint_ns
"""

# Two that prune a thread at once would only wait for each other's rows.
_TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"

# Ids grow with time, so the greatest is the latest, as for PostgresSaver itself.
_SAVED = """
SELECT checkpoint_ns, array_agg(checkpoint_id ORDER BY checkpoint_id) AS ids
FROM checkpoints
WHERE thread_id = %s
GROUP BY checkpoint_ns
"""

_CHECKPOINT = """
SELECT
  c.parent_checkpoint_id,
  c.metadata,
  ARRAY (
    SELECT v.key
    FROM jsonb_each(c.checkpoint -> 'channel_values') AS v
    WHERE v.value <> 'null'
    UNION
    SELECT b.channel
    FROM jsonb_each_text(c.checkpoint -> 'channel_versions') AS v
    JOIN checkpoint_blobs AS b ON b.channel = v.key AND b.version = v.value
    WHERE b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns AND b.type <> 'empty'
  ) AS held,
  (c.checkpoint ->> 'v')::integer < 4 AND EXISTS (
    SELECT
    FROM checkpoint_writes AS w
    WHERE w.thread_id = c.thread_id AND w.checkpoint_ns = c.checkpoint_ns
      AND w.checkpoint_id = c.parent_checkpoint_id AND w.channel = %s
  ) AS needs_parent
FROM checkpoints AS c
WHERE c.thread_id = %s AND c.checkpoint_ns = %s AND c.checkpoint_id = %s
"""

_DELETE = """
DELETE FROM checkpoints
WHERE thread_id = %(thread)s AND checkpoint_ns = %(namespace)s AND checkpoint_id = ANY (%(gone)s)
"""

_FORGET_PARENTS = """
UPDATE checkpoints
SET parent_checkpoint_id = NULL
WHERE thread_id = %(thread)s AND checkpoint_ns = %(namespace)s AND parent_checkpoint_id = ANY (%(gone)s)
"""

# What checkpoints share is saved once, so it goes with the last of them.
_DELETE_UNUSED_BLOBS = """
WITH used AS MATERIALIZED (
  SELECT DISTINCT v.key, v.value
  FROM checkpoints AS c
  CROSS JOIN LATERAL jsonb_each_text(c.checkpoint -> 'channel_versions') AS v
  WHERE c.thread_id = %(thread)s AND c.checkpoint_ns = %(namespace)s
)
DELETE FROM checkpoint_blobs AS b
WHERE b.thread_id = %(thread)s AND b.checkpoint_ns = %(namespace)s
  AND NOT EXISTS (SELECT FROM used AS u WHERE u.key = b.channel AND u.value = b.version)
"""

_DELETE_WRITES = """
DELETE FROM checkpoint_writes
WHERE thread_id = %(thread)s AND checkpoint_ns = %(namespace)s AND checkpoint_id = ANY (%(gone)s)
"""

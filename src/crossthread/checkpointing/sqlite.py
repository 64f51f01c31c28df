"""The durable checkpointer beside the store in a file: LangGraph's SQLite saver, for sync and async callers alike.

The tables and their rows are LangGraph's own (``langgraph.checkpoint.sqlite``); how the file is opened, and what its
errors become, is our SQLite engine's (``engines.sqlite.connection``).
"""

from __future__ import annotations

import builtins
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.sqlite import SqliteSaver

from crossthread.checkpointing.base import SavedThread, SharedSaver, Step
from crossthread.engines.sqlite.connection import connect, is_read_only, mapped_errors
from crossthread.engines.sqlite.erasing import erase_traces
from crossthread.engines.sqlite.shared import Call, SharedConnection


class DurableSaver(SharedSaver, SqliteSaver):
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
        self._shared = SharedConnection(Path(path).absolute())
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
            SqliteSaver.setup(self)

    async def _submit(self, call: Callable[[], Any], writes: bool) -> Any:
        return await self._shared.arun(Call(call, writes))

    @property
    def place(self) -> str:
        """The path of the file."""
        return str(self._shared.path)

    def erase_traces(self) -> builtins.list[str]:
        """Rewrite the file, so that nothing that was deleted can be found in it; return what may remain."""
        with self._shared.alone() as connection:
            return erase_traces(connection, self._shared.path)

    def _threads(self, wanted: Mapping[str, Any], limit: int, offset: int) -> builtins.list[SavedThread]:
        parameters = {"wanted": json.dumps([*wanted.items()]), "limit": limit, "offset": offset}
        with self.cursor(transaction=False) as cursor:
            rows = cursor.execute(_THREADS.format(condition=_OF_METADATA if wanted else "TRUE"), parameters).fetchall()
        return [
            SavedThread(thread_id, namespace, first, last, json.loads(metadata or "{}"))
            for thread_id, namespace, first, last, metadata in rows
        ]

    # What the platform calls, and no stock saver has in full

    def _copy(self, source: str, target: str) -> None:
        with self.cursor() as cursor:
            for statement in (_COPY_CHECKPOINTS, _COPY_WRITES):
                cursor.execute(statement, (target, source))

    def _delete_runs(self, run_ids: Sequence[str]) -> None:
        with self.cursor() as cursor:
            for thread_id, namespace, ids in cursor.execute(_OF_RUNS, (json.dumps(run_ids),)).fetchall():
                self._delete(cursor, thread_id, namespace, json.loads(ids))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete old checkpoints of threads, see `SharedSaver`; of all the threads or, where it fails, of none."""
        with self.cursor():
            super().prune(thread_ids, strategy=strategy)

    def _keep_latest(self, thread_id: str) -> None:
        with self.cursor() as cursor:
            self._prune_with(cursor, thread_id)

    def _saved(self, cursor: sqlite3.Cursor, thread_id: str) -> dict[str, Sequence[str]]:
        saved: dict[str, list[str]] = {}
        for namespace, checkpoint_id in cursor.execute(_SAVED, (thread_id,)):
            saved.setdefault(namespace, []).append(checkpoint_id)
        return {**saved}

    def _step(self, cursor: sqlite3.Cursor, thread_id: str, namespace: str, checkpoint_id: str) -> Step | None:
        row = cursor.execute(_CHECKPOINT, (thread_id, namespace, checkpoint_id)).fetchone()
        if row is None:
            return None
        parent, kind, checkpoint, metadata = row
        values = self.serde.loads_typed((kind, checkpoint))["channel_values"]
        return Step(parent, json.loads(metadata or "{}"), frozenset(values))

    def _delete(self, cursor: sqlite3.Cursor, thread_id: str, namespace: str, gone: Sequence[str]) -> None:
        place = (thread_id, namespace, json.dumps(gone))
        for statement in (_DELETE_WRITES, _DELETE, _FORGET_PARENTS):
            cursor.execute(statement, place)


# Several ids are one parameter, a JSON list: SQLite has no arrays, and takes only so many parameters.


# A step from thread to thread in the index, and two from end to end of each: however many checkpoints a thread has, no
# more of them is read. The namespace of a thread itself is '', which sorts before those of its subgraphs.
def has_threads(path: Path) -> bool:
    """Whether a file, which is there, has the tables of a checkpointer.

    Raises:
        StoreError: It cannot be read.
    """
    connection = connect(path, read_only=is_read_only(path))
    try:
        with mapped_errors(path):
            return connection.execute(_HAS_TABLES).fetchone() is not None
    finally:
        connection.close()


_HAS_TABLES = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'checkpoints'"

_THREADS = """
WITH RECURSIVE
  thread (id) AS (
    SELECT min(thread_id) FROM checkpoints
    UNION ALL
    SELECT (SELECT min(thread_id) FROM checkpoints WHERE thread_id > thread.id) FROM thread WHERE thread.id IS NOT NULL
  ),
  place (id, namespace) AS (
    SELECT id, (SELECT min(checkpoint_ns) FROM checkpoints WHERE thread_id = thread.id)
    FROM thread
    WHERE id IS NOT NULL AND {condition}
  ),
  span (id, namespace, first, last) AS MATERIALIZED (
    SELECT
      id,
      namespace,
      (SELECT min(checkpoint_id) FROM checkpoints WHERE thread_id = place.id AND checkpoint_ns = namespace),
      (SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = place.id AND checkpoint_ns = namespace) AS last
    FROM place
    ORDER BY last DESC, id
    LIMIT :limit OFFSET :offset
  )
SELECT span.*, c.metadata
FROM span
JOIN checkpoints AS c ON c.thread_id = span.id AND c.checkpoint_ns = span.namespace AND c.checkpoint_id = span.last
ORDER BY span.last DESC, span.id
"""

# No pair that is wanted is missing. json_each tells 1 from true by their types, but knows two types of numbers.
_OF_METADATA = """EXISTS (
      SELECT 1
      FROM checkpoints AS c
      WHERE c.thread_id = thread.id AND NOT EXISTS (
        SELECT 1
        FROM json_each(:wanted) AS w
        WHERE NOT EXISTS (
          SELECT 1
          FROM json_each(CAST(c.metadata AS TEXT)) AS m
          WHERE m.key = json_extract(w.value, '$[0]')
            AND replace(m.type, 'integer', 'real') = replace(json_type(w.value, '$[1]'), 'integer', 'real')
            AND m.atom = json_extract(w.value, '$[1]')
        )
      )
    )"""

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

_OF_RUNS = """
SELECT thread_id, checkpoint_ns, json_group_array(checkpoint_id)
FROM checkpoints
WHERE json_extract(CAST(metadata AS TEXT), '$.run_id') IN (SELECT value FROM json_each(?))
GROUP BY thread_id, checkpoint_ns
"""

# Ids grow with time, so the greatest is the latest, as for SqliteSaver itself.
_SAVED = """
SELECT checkpoint_ns, checkpoint_id
FROM checkpoints
WHERE thread_id = ?
ORDER BY checkpoint_ns, checkpoint_id
"""

_CHECKPOINT = """
SELECT parent_checkpoint_id, type, checkpoint, metadata
FROM checkpoints
WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?
"""

_DELETE_WRITES = """
DELETE FROM writes
WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id IN (SELECT value FROM json_each(?))
"""

_DELETE = """
DELETE FROM checkpoints
WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id IN (SELECT value FROM json_each(?))
"""

_FORGET_PARENTS = """
UPDATE checkpoints
SET parent_checkpoint_id = NULL
WHERE thread_id = ? AND checkpoint_ns = ? AND parent_checkpoint_id IN (SELECT value FROM json_each(?))
"""

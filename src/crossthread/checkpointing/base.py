"""What our checkpointers have in common: the async side, the platform's methods, what may be pruned. Knows no SQL.

A saver of ours extends one of LangGraph's sync savers, whose tables and rows it keeps, and this class before it.
"""

from __future__ import annotations

import asyncio
import builtins
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence, Set
from functools import partial
from typing import Any, NamedTuple, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)

from crossthread._closing import Closing
from crossthread.errors import InvalidArgumentError

T = TypeVar("T")


class Step(NamedTuple):
    """What a saved checkpoint tells about those it needs."""

    parent: str | None
    metadata: Mapping[str, Any]
    held: frozenset[str]
    """The channels whose values are saved with it."""
    needs_parent: bool = False
    """Whether a part of it is among the writes of its parent, as in the tables of older releases of LangGraph."""


class SavedThread(NamedTuple):
    """What a saver tells of a thread without reading what is in its checkpoints."""

    thread_id: str
    namespace: str
    """``""``, unless only calls of subgraphs have saved anything."""
    first: str
    """The ids of the first and the last checkpoint in that namespace."""
    last: str
    metadata: Mapping[str, Any]
    """Those of the last checkpoint."""


class SharedSaver(Closing, BaseCheckpointSaver[str]):
    """A checkpointer for any caller: sync and async, any thread, any event loop, a forked process too.

    LangGraph makes shallow copies of it (`with_allowlist`), so whatever changes is in an object that they share.
    """

    # What a saver adds

    @abstractmethod
    def setup(self) -> None:
        """Create the tables; doing it again changes nothing."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the threads are kept; the same for a store there."""

    @abstractmethod
    def erase_traces(self) -> builtins.list[str]:
        """Make the bytes of what was deleted disappear, as far as the place allows; return what may remain."""

    @abstractmethod
    async def _submit(self, call: Callable[[], Any], writes: bool) -> Any:
        """Wait, without blocking the event loop, for what a call in another thread returns."""

    def _read(self, call: Callable[[], T]) -> T:
        """Return what a call that only reads returns; a saver may repeat it."""
        return call()

    @abstractmethod
    def _threads(self, wanted: Mapping[str, Any], limit: int, offset: int) -> builtins.list[SavedThread]:
        """Return threads, the latest first, that have a checkpoint with these metadata."""

    @abstractmethod
    def _copy(self, source: str, target: str) -> None:
        """Copy all that is saved of a thread to another one."""

    @abstractmethod
    def _delete_runs(self, run_ids: Sequence[str]) -> None:
        """Delete what runs have saved."""

    @abstractmethod
    def _keep_latest(self, thread_id: str) -> None:
        """Call `_prune_with` in a transaction."""

    @abstractmethod
    def _saved(self, cursor: Any, thread_id: str) -> dict[str, Sequence[str]]:
        """Return the ids of the checkpoints of each namespace, the latest last."""

    @abstractmethod
    def _step(self, cursor: Any, thread_id: str, namespace: str, checkpoint_id: str) -> Step | None:
        """Return what a checkpoint tells, or None where it is not saved."""

    @abstractmethod
    def _delete(self, cursor: Any, thread_id: str, namespace: str, gone: Sequence[str]) -> None:
        """Delete checkpoints and what belongs to them alone; those whose parents they are have none then."""

    # Async calls

    async def _arun(self, method: Callable[..., T], *args: Any, writes: bool = False, **kwargs: Any) -> T:
        found: T = await self._submit(partial(method, *args, **kwargs), writes)
        return found

    async def asetup(self) -> None:
        """Do what `setup` does, without blocking the event loop."""
        await asyncio.to_thread(self.setup)

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        await asyncio.to_thread(self.close)

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

    async def aerase_traces(self) -> builtins.list[str]:
        """Do what `erase_traces` does, without blocking the event loop."""
        return await asyncio.to_thread(self.erase_traces)

    async def asaved_threads(self, wanted: Mapping[str, Any], limit: int, offset: int) -> builtins.list[SavedThread]:
        """Do what `saved_threads` does, without blocking the event loop."""
        return await self._arun(self.saved_threads, wanted, limit, offset)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Do what `copy_thread` does, without blocking the event loop."""
        await self._arun(self.copy_thread, source_thread_id, target_thread_id, writes=True)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Do what `delete_for_runs` does, without blocking the event loop."""
        await self._arun(self.delete_for_runs, run_ids, writes=True)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Do what `prune` does, without blocking the event loop."""
        await self._arun(self.prune, thread_ids, strategy=strategy, writes=True)

    # Sync calls

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield a thread's checkpoints, newest first. All are read before the first is yielded.

        The caller may write while it iterates; LangGraph's savers keep a lock or a connection until the last one.
        """
        listed = partial(super().list, config, filter=filter, before=before, limit=limit)
        yield from self._read(lambda: [*listed()])

    def saved_threads(self, wanted: Mapping[str, Any], limit: int, offset: int) -> builtins.list[SavedThread]:
        """Return threads, the one that saved last first.

        Args:
            wanted: Metadata of which a checkpoint of the thread has all: strings, numbers and truth values by name.
            limit: How many at the most.
            offset: How many to skip.
        """
        return self._read(lambda: self._threads(wanted, limit, offset))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints and writes of a thread to another; what that one has besides stays."""
        if str(source_thread_id) != str(target_thread_id):
            self._copy(str(source_thread_id), str(target_thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete what the runs with these ids have saved, in every thread and namespace."""
        self._delete_runs(_as_ids(run_ids, "run_ids"))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete old checkpoints of threads.

        Args:
            thread_ids: The threads.
            strategy: ``"keep_latest"`` leaves the latest checkpoint of each namespace, with its writes, and the older
                ones that a ``DeltaChannel`` in it is rebuilt from. The namespace of a subgraph's call goes with the
                checkpoint it was called from. ``"delete"`` leaves nothing; LangGraph's server calls it
                ``"delete_all"``.

        Raises:
            InvalidArgumentError: The strategy is another.
        """
        if strategy not in ("keep_latest", "delete", "delete_all"):
            raise InvalidArgumentError(f"strategy must be 'keep_latest' or 'delete', not {strategy!r}.")
        for thread_id in _as_ids(thread_ids, "thread_ids"):
            if strategy == "keep_latest":
                self._keep_latest(thread_id)
            else:
                self.delete_thread(thread_id)

    # What may be pruned

    def _prune_with(self, cursor: Any, thread_id: str) -> None:
        # Only what was found is deleted: a run may go on meanwhile, and save writes before their checkpoint.
        saved = self._saved(cursor, thread_id)
        kept = {namespace: self._needed(cursor, thread_id, namespace, ids[-1]) for namespace, ids in saved.items()}
        for namespace, ids in saved.items():
            if ":" in namespace and self._is_over(cursor, thread_id, namespace, ids[-1], kept.get("", ())):
                kept[namespace] = set()
        for namespace, ids in saved.items():
            gone = [checkpoint_id for checkpoint_id in ids if checkpoint_id not in kept[namespace]]
            if gone:
                self._delete(cursor, thread_id, namespace, gone)

    def _needed(self, cursor: Any, thread_id: str, namespace: str, head: str) -> Set[str]:
        """Return the ids of a namespace's latest checkpoint, and of those its values are rebuilt from."""
        needed: set[str] = set()
        unseeded: set[str] = set()
        step: str | None = head
        while step is not None and step not in needed:
            found = self._step(cursor, thread_id, namespace, step)
            if found is None:
                break
            is_head = not needed
            needed.add(step)
            if is_head:  # a channel is not among the counters when the checkpoint itself holds its value
                unseeded = set(found.metadata.get("counters_since_delta_snapshot", ()))
            unseeded -= found.held
            step = found.parent if unseeded or (is_head and found.needs_parent) else None
        return needed

    def _is_over(self, cursor: Any, thread_id: str, namespace: str, head: str, kept_roots: Collection[str]) -> bool:
        """Whether a namespace belongs to a call of a subgraph, and that to a checkpoint that is not kept.

        Runs save in the background: as long as the caller's checkpoint is not saved, the call may be going on.
        """
        found = self._step(cursor, thread_id, namespace, head)
        root = (found.metadata.get("parents") or {}).get("") if found is not None else None
        return root is not None and root not in kept_roots and self._step(cursor, thread_id, "", root) is not None


def _as_ids(ids: Sequence[str], name: str) -> Sequence[str]:
    # Every letter of a forgotten bracket would be taken for an id.
    if isinstance(ids, str):
        raise InvalidArgumentError(f"{name} must be a list of ids, not the text {ids!r}.")
    return [str(each) for each in ids]

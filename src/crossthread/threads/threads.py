"""Threads: what a checkpointer keeps, for people: list, read, copy and clear. Drives the programs; decides nothing."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar

from langgraph.checkpoint.base import BaseCheckpointSaver

from crossthread._program import Program, adrive, drive
from crossthread.threads import programs
from crossthread.threads.records import ThreadInfo, ThreadStep

T = TypeVar("T")


class Threads:
    """The threads of a checkpointer: ``memory.threads``, or ``Threads(any_checkpointer)``.

    Works over every LangGraph checkpointer. Where one lacks a method that a call needs, the call raises
    `UnsupportedError` and names it. What users told, in the store, is never touched.

    Args:
        checkpointer: Where the threads are kept.

    Examples:
        >>> from crossthread import Memory
        >>> memory = Memory()
        >>> @memory.entrypoint
        ... def count(word, *, previous):
        ...     return (previous or 0) + 1
        >>> count.invoke("one", {"configurable": {"thread_id": "monday", "user_id": "ada"}})
        1
        >>> [thread.thread_id for thread in memory.threads.list(filter={"user_id": "ada"})]
        ['monday']
        >>> memory.threads.previous("monday")
        1
    """

    def __init__(self, checkpointer: BaseCheckpointSaver[Any]) -> None:
        self._saver = checkpointer

    def _drive(self, program: Program[T]) -> T:
        return drive(program, partial(programs.perform, self._saver))

    async def _adrive(self, program: Program[T]) -> T:
        return await adrive(program, partial(programs.aperform, self._saver))

    def list(
        self,
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        limit: int | None = 100,
        offset: int = 0,
    ) -> builtins.list[ThreadInfo]:
        """Return the threads, the one that was used last first.

        The checkpointers that `Memory` opens answer from an index, and read of each thread on the page the metadata of
        one step. Others have no such call: there, every checkpoint is read once, one at a time.

        Args:
            filter: Metadata that a step of the thread has: ``{"user_id": "ada"}`` are the threads of all runs that had
                this in ``config["configurable"]`` or ``config["metadata"]``. Strings, numbers and truth values.
            limit: How many at the most; None: all.
            offset: How many to skip.

        Raises:
            InvalidFilterError: The filter is none, or holds what LangGraph does not keep as it is.
            InvalidArgumentError: A limit or offset below 0.
            UnsupportedError: The checkpointer cannot list its checkpoints.
        """
        return self._drive(programs.list_threads(self._saver, filter, limit, offset))

    async def alist(
        self,
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        limit: int | None = 100,
        offset: int = 0,
    ) -> builtins.list[ThreadInfo]:
        """Do what `list` does, without blocking the event loop."""
        return await self._adrive(programs.list_threads(self._saver, filter, limit, offset))

    def history(
        self, thread_id: str, *, limit: int | None = None, before: str | None = None
    ) -> builtins.list[ThreadStep]:
        """Return the steps of a thread, the last one first; none where there is no such thread.

        Args:
            thread_id: The thread.
            limit: How many at the most; None: all. Each step holds all that was saved with it.
            before: The id of a checkpoint: only steps before it, which is how to page.

        Raises:
            InvalidArgumentError: A limit below 0.
            UnsupportedError: The checkpointer cannot list its checkpoints.
        """
        return self._drive(programs.read_history(thread_id, limit, before))

    async def ahistory(
        self, thread_id: str, *, limit: int | None = None, before: str | None = None
    ) -> builtins.list[ThreadStep]:
        """Do what `history` does, without blocking the event loop."""
        return await self._adrive(programs.read_history(thread_id, limit, before))

    def previous(self, thread_id: str, default: Any = None) -> Any:
        """Return what the next turn of a workflow in this thread gets as ``previous``.

        Args:
            thread_id: The thread.
            default: What to return where nothing was saved: a new thread, or one of a graph.
        """
        return self._drive(programs.read_previous(thread_id, default))

    async def aprevious(self, thread_id: str, default: Any = None) -> Any:
        """Do what `previous` does, without blocking the event loop."""
        return await self._adrive(programs.read_previous(thread_id, default))

    def clear(self, thread_id: str) -> None:
        """Delete what is saved of a thread, the calls of its subgraphs too; its users' memories stay in the store.

        Clearing a thread that is not there does nothing. The next run in it begins anew.

        Raises:
            UnsupportedError: The checkpointer cannot delete a thread.
        """
        programs.perform(self._saver, programs.Ask("delete_thread", (thread_id,)))

    async def aclear(self, thread_id: str) -> None:
        """Do what `clear` does, without blocking the event loop."""
        await programs.aperform(self._saver, programs.Ask("delete_thread", (thread_id,)))

    def copy(self, thread_id: str, new_id: str) -> None:
        """Copy a thread with all its steps, under another id; both go on by themselves.

        Where the checkpointer has no such call, as LangGraph's own have not, the steps are read and saved again one by
        one; if that fails in the middle, the copy is deleted.

        Args:
            thread_id: The thread to copy; no run should be going on in it.
            new_id: The id of the copy.

        Raises:
            ThreadNotFoundError: Nothing is saved of the thread.
            InvalidArgumentError: There is a thread of the new id already, or it is no string that databases can hold.
            UnsupportedError: The checkpointer can neither copy nor list and save.
        """
        self._drive(programs.copy_thread(thread_id, new_id))

    async def acopy(self, thread_id: str, new_id: str) -> None:
        """Do what `copy` does, without blocking the event loop."""
        await self._adrive(programs.copy_thread(thread_id, new_id))

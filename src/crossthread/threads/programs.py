"""What `Threads` does, once for sync and async callers: programs that ask a checkpointer, ours or anybody's."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, cast

from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

from crossthread._program import Program
from crossthread._text import UNHOLDABLE, shown
from crossthread.checkpointing.base import SavedThread, SharedSaver
from crossthread.errors import (
    InvalidArgumentError,
    InvalidFilterError,
    StoreBusyError,
    ThreadNotFoundError,
    UnsupportedError,
)
from crossthread.threads.records import PREVIOUS, ThreadInfo, ThreadStep, step_of, time_of

_ATTEMPTS = 100


class Ask(NamedTuple):
    """The request to call a checkpointer's method, or its async twin, and return what it returns."""

    method: str
    arguments: tuple[Any, ...]


class Walk(NamedTuple):
    """The request to list checkpoints and hand each to a function, so that they need not all be in memory at once."""

    take: Callable[[CheckpointTuple], None]
    config: Any = None
    before: Any = None
    limit: int | None = None


def perform(saver: BaseCheckpointSaver[Any], request: Ask | Walk) -> Any:
    """Do what a program requests of a checkpointer."""
    match request:
        case Ask(method, arguments):
            with _naming_what_is_missing(saver, method):
                return getattr(saver, method)(*arguments)
        case Walk(take, config, before, limit):
            with _naming_what_is_missing(saver, "list"):
                for found in saver.list(config, before=before, limit=limit):
                    take(found)
            return None


async def aperform(saver: BaseCheckpointSaver[Any], request: Ask | Walk) -> Any:
    """Do what a program requests of a checkpointer, without blocking the event loop."""
    match request:
        case Ask(method, arguments):
            with _naming_what_is_missing(saver, f"a{method}"):
                return await getattr(saver, f"a{method}")(*arguments)
        case Walk(take, config, before, limit):
            with _naming_what_is_missing(saver, "alist"):
                async for found in saver.alist(config, before=before, limit=limit):
                    take(found)
            return None


@contextmanager
def _naming_what_is_missing(saver: Any, method: str) -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError as error:  # a thread of such an id cannot be there
        raise InvalidArgumentError(f"An id cannot be kept: {error}.") from error
    except NotImplementedError as error:
        raise UnsupportedError(
            f"{type(saver).__name__} has no {method}(), which this needs; a checkpointer that Memory opens has all of "
            "them, for sync and async callers."
        ) from error


def whole_thread(thread_id: str) -> Any:
    """Return the config that stands for a thread with the calls of its subgraphs."""
    return {"configurable": {"thread_id": thread_id}}


def _place(thread_id: str, **more: str) -> Any:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": "", **more}}


# Listing threads


def list_threads(
    saver: BaseCheckpointSaver[Any], filter_: Mapping[str, Any] | None, limit: int | None, offset: int
) -> Program[list[ThreadInfo]]:
    """Return threads, the one that saved last first; limit None: all."""
    wanted = checked_metadata({} if filter_ is None else filter_)
    for name, value in (("limit", limit), ("offset", offset)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise InvalidArgumentError(f"{name} must be 0 or more, not {value!r}.")
    if not isinstance(saver, SharedSaver):
        return (yield from _walk_threads(wanted)).page(limit, offset)
    threads = yield Ask("saved_threads", (wanted, 2**62 if limit is None else limit, min(offset, 2**62)))
    page = []
    for thread in threads:
        times = []
        for checkpoint_id in (thread.first, thread.last):
            time = time_of(checkpoint_id)
            if time is None:  # an id that LangGraph has not made
                config = _place(thread.thread_id, checkpoint_id=checkpoint_id)
                config["configurable"]["checkpoint_ns"] = thread.namespace
                found = yield Ask("get_tuple", (config,))
                if found is None:  # deleted meanwhile
                    break
                time = datetime.fromisoformat(found.checkpoint["ts"])
            times.append(time)
        else:
            page.append(ThreadInfo(thread.thread_id, thread.last, times[0], times[1], thread.metadata))
    return page


def checked_metadata(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return metadata that a checkpoint can have.

    Raises:
        InvalidFilterError: LangGraph would not keep them as they are, so another thread's might look the same.
    """
    if not isinstance(wanted, Mapping):
        raise InvalidFilterError(f"filter must be a dict of metadata, such as {{'user_id': 'ada'}}, not {wanted!r}.")
    for name, value in wanted.items():
        if not isinstance(name, str) or not isinstance(value, (str, bool, int, float)):
            raise InvalidFilterError(
                f"filter[{name!r}] = {value!r}: metadata of threads are strings, numbers and truth values by name."
            )
        if isinstance(value, str) and UNHOLDABLE.search(value):
            raise InvalidFilterError(
                f"filter[{name!r}] = {value!r}: LangGraph drops NUL and lone surrogates from metadata, so this cannot "
                "be told from other values."
            )
        if isinstance(value, (int, float)) and not -(2**63) <= value < 2**63:
            raise InvalidFilterError(f"filter[{name!r}] = {value!r}: numbers have 64 bits, and are finite.")
    return wanted


def _walk_threads(wanted: Mapping[str, Any]) -> Program[_Seen]:
    for _ in range(_ATTEMPTS):
        seen = _Seen(wanted)
        try:
            yield Walk(seen.take)
        except RuntimeError as error:
            # LangGraph's InMemorySaver walks through its own dicts, and a run in another thread adds to them.
            if "changed size during iteration" not in str(error):
                raise
        else:
            return seen
    raise StoreBusyError("Runs add threads faster than they can be listed; try again later.")


class _Seen:
    """The threads that a walk through all checkpoints comes by, with no more of each than is told in the end."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        self._wanted = wanted
        self._threads: dict[str, SavedThread] = {}
        self._times: dict[str, list[str]] = {}
        self._matching: set[str] = set()

    def take(self, found: CheckpointTuple) -> None:
        place = found.config["configurable"]
        namespace, checkpoint_id, time = place.get("checkpoint_ns", ""), place["checkpoint_id"], found.checkpoint["ts"]
        thread_id, metadata = place["thread_id"], cast(Mapping[str, Any], found.metadata)
        if all(name in metadata and _same(metadata[name], value) for name, value in self._wanted.items()):
            self._matching.add(thread_id)
        known = self._threads.get(thread_id)
        if known is None or namespace < known.namespace:
            self._threads[thread_id] = SavedThread(thread_id, namespace, checkpoint_id, checkpoint_id, metadata)
            self._times[thread_id] = [time, time]
        elif namespace == known.namespace:
            if checkpoint_id < known.first:
                self._threads[thread_id] = known._replace(first=checkpoint_id)
                self._times[thread_id][0] = time
            if checkpoint_id > known.last:
                self._threads[thread_id] = known._replace(last=checkpoint_id, metadata=metadata)
                self._times[thread_id][1] = time

    def page(self, limit: int | None, offset: int) -> list[ThreadInfo]:
        found = [self._threads[thread_id] for thread_id in self._matching]
        found.sort(key=lambda thread: str(thread.thread_id))
        found.sort(key=lambda thread: thread.last, reverse=True)
        return [self._told(thread) for thread in found[offset : None if limit is None else offset + limit]]

    def _told(self, thread: SavedThread) -> ThreadInfo:
        first, last = map(datetime.fromisoformat, self._times[thread.thread_id])
        return ThreadInfo(thread.thread_id, thread.last, first, last, {**thread.metadata})


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


# One thread


def read_history(thread_id: str, limit: int | None, before: str | None) -> Program[list[ThreadStep]]:
    """Return a thread's steps, the last one first."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise InvalidArgumentError(f"limit must be 0 or more, or None for all, not {limit!r}.")
    steps: list[ThreadStep] = []
    if limit != 0:  # which some checkpointers take for no limit
        earlier = None if before is None else _place(thread_id, checkpoint_id=before)
        yield Walk(lambda found: steps.append(step_of(found)), _place(thread_id), earlier, limit)
    return steps


def read_previous(thread_id: str, default: Any) -> Program[Any]:
    """Return what a workflow's next turn in the thread gets as ``previous``."""
    found = yield Ask("get_tuple", (_place(thread_id),))
    return default if found is None else found.checkpoint["channel_values"].get(PREVIOUS, default)


def copy_thread(source: str, target: str) -> Program[None]:
    """Copy a thread to an id that has none yet."""
    if not isinstance(target, str) or not target or UNHOLDABLE.search(target):
        raise InvalidArgumentError(
            f"A thread's id is a string that is not empty, without NUL and lone surrogates, not {shown(target)}."
        )
    if source == target:
        raise InvalidArgumentError(f"Thread {source!r} cannot be copied to itself.")
    found: list[CheckpointTuple] = []
    yield Walk(found.append, whole_thread(source), limit=1)
    if not found:
        raise ThreadNotFoundError(f"There is no thread {source!r} to be copied.")
    yield Walk(found.append, whole_thread(target), limit=1)
    if len(found) > 1:
        raise InvalidArgumentError(f"Thread {target!r} is there already; clear it first, or copy to another id.")
    try:
        yield Ask("copy_thread", (source, target))
    except UnsupportedError:
        try:
            yield from _copy_one_by_one(source, target)
        except BaseException:
            yield Ask("delete_thread", (target,))
            raise


def _copy_one_by_one(source: str, target: str) -> Program[None]:
    """Save a thread's checkpoints again, with the same ids, by what every checkpointer has."""
    checkpoints: builtins.list[CheckpointTuple] = []
    yield Walk(checkpoints.append, whole_thread(source))  # to its end first: some hold a lock until then
    saved: set[tuple[str, str, Any]] = set()
    for found in sorted(checkpoints, key=lambda found: found.config["configurable"]["checkpoint_id"]):
        place = found.config["configurable"]
        namespace = place.get("checkpoint_ns", "")
        config: Any = {"configurable": {"thread_id": target, "checkpoint_ns": namespace}}
        if found.parent_config is not None:
            config["configurable"]["checkpoint_id"] = found.parent_config["configurable"]["checkpoint_id"]
        versions = found.checkpoint["channel_versions"]
        new = {name: at for name, at in versions.items() if (namespace, name, at) not in saved}
        saved.update((namespace, name, at) for name, at in new.items())
        yield Ask("put", (config, found.checkpoint, {**found.metadata}, new))
        by_task: dict[str, builtins.list[tuple[str, Any]]] = {}
        for task_id, channel, value in found.pending_writes or ():
            by_task.setdefault(task_id, []).append((channel, value))
        config = {"configurable": {**config["configurable"], "checkpoint_id": place["checkpoint_id"]}}
        for number, (task_id, writes) in enumerate(by_task.items()):
            # Checkpointers do not tell the paths of tasks, and order writes by them: any that keep this order will do.
            yield Ask("put_writes", (config, writes, task_id, f"{number:09}"))

"""Forgetting a person: erases what a scope holds of them and their threads, over any store and checkpointer.

A program says what is to be done, for sync and async callers alike; `forget` and `aforget` do it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore, PutOp
from langgraph.store.memory import InMemoryStore

from crossthread._program import Program, adrive, drive
from crossthread.checkpointing.base import SharedSaver
from crossthread.errors import ConfigurationError, InvalidArgumentError, UnsupportedError
from crossthread.namespaces import Namespace
from crossthread.scopes.scope import Scope, Scoping, as_scope
from crossthread.scopes.view import ScopedStore
from crossthread.store import MemoryStore
from crossthread.threads import programs as threads_of

Whose: TypeAlias = str | Mapping[str, str]
"""A user's id, or the ids of all fields of a scope, by name."""

Scopes: TypeAlias = Scoping | Sequence[Scoping]
"""A scope or its labels, or several."""

Which: TypeAlias = Iterable[str] | Mapping[str, Any]
"""The ids of threads, or the metadata that they are found by, see `Threads.list`."""

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What `Memory.forget_user` has erased."""

    memories: int
    """How many memories there were."""
    namespaces: tuple[Namespace, ...]
    """Where they were: every namespace that held one."""
    threads: tuple[str, ...]
    """The ids of the threads that were erased."""
    remains: tuple[str, ...]
    """What may still be found by somebody who reads the files, in sentences; empty: nothing."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing of it is left, not even in the bytes of a file."""
        return not self.remains


class On(NamedTuple):
    """The request to call a method of something, or its async twin."""

    target: Any
    method: str
    arguments: tuple[Any, ...] = ()
    settings: Mapping[str, Any] = {}


def forget(saver: BaseCheckpointSaver[Any] | None, program: Program[Forgotten]) -> Forgotten:
    """Carry a program out."""

    def perform(request: Any) -> Any:
        if isinstance(request, On):
            return getattr(request.target, request.method)(*request.arguments, **request.settings)
        assert saver is not None
        return threads_of.perform(saver, request)

    return drive(program, perform)


async def aforget(saver: BaseCheckpointSaver[Any] | None, program: Program[Forgotten]) -> Forgotten:
    """Carry a program out, without blocking the event loop."""

    async def perform(request: Any) -> Any:
        if isinstance(request, On):
            return await getattr(request.target, f"a{request.method}")(*request.arguments, **request.settings)
        assert saver is not None
        return await threads_of.aperform(saver, request)

    return await adrive(program, perform)


def forgetting(
    store: BaseStore | None,
    saver: BaseCheckpointSaver[Any] | None,
    whose: Whose,
    scopes: Scopes | None,
    threads: Which | None,
    erase_traces: bool,
) -> Program[Forgotten]:
    """Erase memories and threads, and then their traces."""
    views = [] if scopes is None else _views(store, whose, scopes)
    if threads is None and not views:
        raise InvalidArgumentError("Nothing to forget: give scope= for the user's memories, threads=, or both.")
    if threads is not None and saver is None:
        raise ConfigurationError("threads= are given, and this Memory has no checkpointer.")
    if isinstance(threads, str):
        raise InvalidArgumentError(f"threads must be ids or metadata, not the text {threads!r}; write [{threads!r}].")
    if isinstance(threads, Mapping) and not threads_of.checked_metadata(threads):
        raise InvalidArgumentError("threads={} would be the threads of everybody; name the user: {'user_id': ...}.")
    gone: list[str] = []
    if threads is not None:
        gone = yield from _forget_threads(saver, threads)
    memories, namespaces = 0, []
    for view in views:
        count, names = yield from (_forget_at_once if _is_ours(view) else _forget_one_by_one)(view)
        memories += count
        namespaces += [(*view.namespace, *name) for name in names]
    remains: list[str] = []
    if erase_traces:
        remains = yield from _erase_traces(store if views else None, None if threads is None else saver)
    else:
        remains = ["Nothing was done about bytes that are left in files; call erase_traces() on the store."]
    return Forgotten(memories, tuple(namespaces), tuple(gone), tuple(remains))


def _views(store: BaseStore | None, whose: Whose, scopes: Scopes) -> list[ScopedStore]:
    if store is None:
        raise ConfigurationError("scope= is given, and this Memory has no store.")
    given = [scopes] if isinstance(scopes, Scope) or all(isinstance(label, str) for label in scopes) else [*scopes]
    views: list[ScopedStore] = []
    asked = [as_scope(one, lambda: store) for one in given]
    fields = dict.fromkeys(scope.fields for scope in asked if scope.fields)
    if not isinstance(whose, Mapping) and len(fields) > 1:  # a user's id may be somebody else's team
        names = ", ".join(dict.fromkeys(field for one in fields for field in one))
        raise InvalidArgumentError(
            f"These scopes have different fields ({names}); "
            "give the id of each, by name, or forget one after the other."
        )
    for scope in asked:
        if not scope.fields:
            raise ConfigurationError(
                f"The scope {scope.labels!r} has no field for a user, so it is everybody's; store.forget() erases it."
            )
        if not isinstance(whose, Mapping) and len(scope.fields) > 1:
            raise InvalidArgumentError(
                f"The scope {scope.labels!r} has the fields {', '.join(scope.fields)}; give the id of each, by name."
            )
        ids = whose if isinstance(whose, Mapping) else {scope.fields[0]: whose}
        view = scope.bind({"configurable": dict(ids)}, store=store)
        if not any(view == other for other in views):
            views.append(view)
    return views


# Memories


def _forget_at_once(view: ScopedStore) -> Program[tuple[int, list[Namespace]]]:
    names: list[Namespace] = []
    while True:
        page = yield On(view, "list_namespaces", (), {"limit": _AT_ONCE, "offset": len(names)})
        names += page
        if len(page) < _AT_ONCE:
            break
    count = yield On(view, "forget", ((),))
    return count, names


def _forget_one_by_one(view: ScopedStore) -> Program[tuple[int, list[Namespace]]]:
    count, names = 0, set[Namespace]()
    while True:  # what is deleted makes room on the first page
        page = yield On(view, "search", ((),), {"limit": _AT_ONCE})
        if not page:
            return count, sorted(names)
        yield On(view, "batch", ([PutOp(item.namespace, item.key, None) for item in page],))
        count += len(page)
        names.update(item.namespace for item in page)


def _is_ours(view: BaseStore) -> bool:
    while isinstance(view, ScopedStore):
        view = view._store
    return isinstance(view, MemoryStore)


# Threads


def _forget_threads(saver: Any, threads: Which) -> Program[list[str]]:
    if isinstance(threads, Mapping):
        found = yield from threads_of.list_threads(saver, threads, None, 0)
        ids = [thread.thread_id for thread in found]
    else:
        ids = [*dict.fromkeys(threads)]
    gone = []
    for thread_id in ids:
        if isinstance(threads, Mapping) or (yield from _is_there(thread_id)):
            gone.append(thread_id)
        yield threads_of.Ask("delete_thread", (thread_id,))  # what a run wrote before its first step has no checkpoint
    return gone


def _is_there(thread_id: str) -> Program[bool]:
    found: list[Any] = []
    try:
        yield threads_of.Walk(found.append, threads_of.whole_thread(thread_id), limit=1)
    except UnsupportedError:
        return True  # nobody knows
    return bool(found)


# Traces


def _erase_traces(store: BaseStore | None, saver: Any) -> Program[list[str]]:
    remains: list[str] = []
    places = []
    for what in (store, saver):
        if isinstance(what, (MemoryStore, SharedSaver)):
            if what.place not in places:
                places.append(what.place)
                remains += yield On(what, "erase_traces")
        elif what is not None and not isinstance(what, (InMemoryStore, InMemorySaver)):
            remains.append(
                f"{type(what).__name__} was told to delete; what it leaves in the files or the server behind it is not "
                "known here."
            )
    return [*dict.fromkeys(remains)]

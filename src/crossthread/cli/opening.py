"""Opens the store or the threads that a command is about; creates nothing, and leaves other programs' files alone.

Imports LangGraph, so only a command that runs imports it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver

from crossthread.checkpointing.opening import find_checkpointer
from crossthread.cli.running import MISSING, WRONG, CommandError
from crossthread.engines.base import Engine
from crossthread.engines.registry import engine_for
from crossthread.engines.sqlite.peeking import tables as tables_in
from crossthread.errors import StoreError
from crossthread.store import MemoryStore
from crossthread.threads.threads import Threads


def open_store(url: str) -> MemoryStore:
    """Open a store that is there, without an index: for all that neither embeds nor searches by a query.

    Raises:
        CommandError: There is none.
        StoreError: It cannot be opened.
    """
    return MemoryStore(existing(url))


def open_to_change(url: str) -> MemoryStore:
    """Open a store that is there, without an index; where something of this release is missing, it is made.

    Raises:
        CommandError: There is none.
        StoreError: It cannot be opened.
    """
    check_there(url)
    return MemoryStore(url)


def is_there(url: str) -> bool:
    """Whether there is a store with something in it.

    Raises:
        CommandError: There is something else.
        StoreError: It cannot be opened.
    """
    path: Path | None = getattr(engine_for(no_memory(url)), "path", None)
    if path is not None:
        if not path.exists():
            return False
        if path.is_file() and not tables_in(path):
            return False
    try:
        with open_store(url) as store:
            return store.count() > 0
    except StoreError:
        if path is not None:
            raise
        return False  # a server without the schema, or one that cannot be reached: opening it tells


def place_of(url: str) -> str:
    """Return where a store is or would be, for people: without the password of a URL.

    Raises:
        CommandError: It would be in the memory of this process.
    """
    engine = engine_for(no_memory(url))
    try:
        return engine.place
    finally:
        engine.close()


def open_threads(url: str, closing: ExitStack) -> Threads:
    """Open the threads of a store that is there; where nobody has used a thread yet, there are none.

    Args:
        url: The store.
        closing: Closes them in the end.

    Raises:
        CommandError: There is no such file.
        StoreError: It cannot be opened.
    """
    saver: Any = find_checkpointer(existing(url, tables=("checkpoints", "crossthread_state")))
    if saver is None:
        return Threads(InMemorySaver())
    closing.callback(saver.close)
    return Threads(saver)


def check_there(url: str) -> None:
    """Refuse a place where there is nothing to look at.

    Raises:
        CommandError: There is none, or it is another program's.
    """
    existing(url, tables=("crossthread_state", "checkpoints")).close()


def existing(url: str, *, tables: Sequence[str] = ("crossthread_state",), may_be_empty: bool = False) -> Engine:
    """Return the engine of a place where something is kept already; nothing is created there.

    Args:
        url: The place.
        tables: One of these tells that it is such a place.
        may_be_empty: Whether an empty file is one, too.

    Raises:
        CommandError: There is nothing, or something else.
    """
    engine = engine_for(no_memory(url))
    path: Path | None = getattr(engine, "path", None)
    if path is None:
        if not may_be_empty:
            engine.sets_up_itself = False
        return engine
    if not path.exists():
        hint = "the first argument is the store" if os.sep not in url else None
        raise CommandError(f"there is no file {path}", hint=hint, code=MISSING)
    if path.is_file():  # what else it may be, opening it tells
        names = tables_in(path)
        if not names and not may_be_empty:
            raise CommandError(f"{path} is empty", code=MISSING)
        if names and names.isdisjoint(tables):
            kind = "has threads, and no memories yet" if "checkpoints" in names else "is another program's database"
            raise CommandError(f"{path} {kind}; it was left as it is", code=MISSING)
    return engine


def no_memory(url: str) -> str:
    """Return a URL that does not name the memory of this process.

    Raises:
        CommandError: It does.
    """
    if url == ":memory:" or url.startswith("memory:"):
        raise CommandError(f"{url} would end with this command", hint="name a file or a server", code=WRONG)
    return url

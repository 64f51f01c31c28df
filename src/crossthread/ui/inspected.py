"""What an inspector looks at: an open store, its namespaces, the threads beside it. Opens and reads; writes nothing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from crossthread.checkpointing.opening import find_checkpointer
from crossthread.embedding.local import LocalEmbeddings
from crossthread.engines.base import Engine
from crossthread.engines.memory import MemoryEngine
from crossthread.engines.registry import engine_for
from crossthread.errors import ConfigurationError, StoreUnavailableError, UnsupportedError
from crossthread.namespaces import Namespace
from crossthread.settings import IndexConfig, Mode
from crossthread.store import MemoryStore
from crossthread.threads.threads import Threads
from crossthread.ui.tree import Tree

_SHORTEST_SECONDS = 1.0
_OFFLINE = ("local", LocalEmbeddings.model)  # the one model that needs neither the network nor a key


class _Seen(NamedTuple):
    """The namespaces as they were some moments ago."""

    tree: Tree
    at: float
    took_seconds: float


class Inspected:
    """A store that is looked at, with the threads in the same place where there are any.

    Args:
        store: The store; it is closed by `close` only if ``owned`` holds it.
        threads: The threads beside it; None: there are none.
        place: Where that is, for people.
        read_only: Whether nothing may be changed.
        owned: What `close` closes.
    """

    def __init__(
        self,
        store: MemoryStore,
        threads: Threads | None = None,
        *,
        place: str | None = None,
        read_only: bool = False,
        owned: ExitStack | None = None,
    ) -> None:
        self.store = store
        self.threads = threads
        self.place = place or store.place
        self.read_only = read_only
        self._owned = owned or ExitStack()
        self._seen: _Seen | None = None
        self._lock = threading.Lock()

    @property
    def modes(self) -> tuple[Mode, ...]:
        """How it can be searched, the usual way first."""
        config = self.store.index_config
        if config is None:
            return ()
        if config.get("embed") is None:
            return ("keyword",)
        usual: Mode = config.get("mode") or "semantic"
        every: tuple[Mode, ...] = ("hybrid", "semantic", "keyword")
        return (usual, *(mode for mode in every if mode != usual))

    def tree(self) -> Tree:
        """Return the namespaces, counted lately.

        Counting looks at every item, so what took long to count is used for some pages more.
        """
        with self._lock:
            seen = self._seen
            if seen is not None and time.monotonic() - seen.at < max(_SHORTEST_SECONDS, 20 * seen.took_seconds):
                return seen.tree
            start = time.monotonic()
            tree = Tree(self._counted())
            end = time.monotonic()
            self._seen = _Seen(tree, end, end - start)
            return tree

    def _counted(self) -> Iterator[tuple[Namespace, int, int]]:
        """Yield the namespaces with how many items each holds, and how many of these expire."""
        try:
            stats = self.store.stats()
        except UnsupportedError:  # an engine of another package
            for namespace in self.store.list_namespaces(limit=2**31):
                held = self.store.count(namespace) - sum(
                    self.store.count(below)
                    for below in self.store.list_namespaces(prefix=namespace, max_depth=len(namespace) + 1, limit=2**31)
                    if len(below) > len(namespace)
                )
                yield namespace, held, 0
        else:
            for one in stats.namespaces:
                yield one.namespace, one.items, one.expiring

    def changed(self) -> None:
        """Count again for the next page."""
        with self._lock:
            self._seen = None

    def close(self) -> None:
        """Close what was opened for the inspector."""
        self._owned.close()


def open_inspected(
    url: str | os.PathLike[str], *, index: IndexConfig | None = None, read_only: bool = False
) -> Inspected:
    """Open what is kept at a URL or path; what is not there is not created.

    Args:
        url: The path of a file, or a URL.
        index: How it is searched, as for `MemoryStore`; None: as can be told from what is kept there.
        read_only: Whether nothing may be changed.

    Raises:
        ConfigurationError: The url or index cannot be used.
        StoreError: There is nothing, or it cannot be opened.
    """
    with ExitStack() as opening:
        store = opening.enter_context(MemoryStore(_engine(url)))
        fitting = _fitting(store, index)
        if fitting is not None:
            store.close()
            store = opening.enter_context(MemoryStore(_engine(url), index=fitting))
        saver: Any = find_checkpointer(url)
        if saver is not None:
            opening.callback(saver.close)
        threads = None if saver is None else Threads(saver)
        return Inspected(store, threads, read_only=read_only, owned=opening.pop_all())


def _fitting(store: MemoryStore, index: IndexConfig | None) -> IndexConfig | None:
    """Return how to open a store so that it is searched as it was made to be.

    Words are of the language that they were stored with. Vectors need their model: the offline one can be told, and is
    here or not; any other the user has to give.
    """
    try:
        stats = store.stats()
    except UnsupportedError:
        return index
    if stats.language is None:
        return index
    if index is not None:
        return {"language": stats.language, **index}
    if stats.model in _OFFLINE and find_spec("wordllama") is not None:
        return {"embed": "local", "model": stats.model, "mode": "hybrid", "language": stats.language}
    return {"language": stats.language}


def _engine(url: str | os.PathLike[str]) -> Engine:
    """Return the engine of a place that is there, which creates nothing."""
    engine = engine_for(url)
    if isinstance(engine, MemoryEngine):
        raise ConfigurationError(
            "A store in the memory of a process is seen by that process only; give a path or a URL."
        )
    path = getattr(engine, "path", None)
    if isinstance(path, Path) and not path.exists():
        raise StoreUnavailableError(f"There is no file {path}; the inspector shows a store that is there.")
    engine.sets_up_itself = False
    return engine

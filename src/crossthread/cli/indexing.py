"""Opens stores with the index that they are known to have, so that what is found and written is as the rest of it.

A store tells the language of its words, and the model and dimensions of its vectors. What it does not tell, the texts'
fields and where the model is to be had, comes from options.
"""

from __future__ import annotations

from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

from crossthread.cli.embedders import LOCAL, LOCAL_MODELS, loaded
from crossthread.cli.opening import existing, is_there, no_memory, open_store
from crossthread.cli.options import Indexing
from crossthread.cli.output import note, warn
from crossthread.cli.running import WRONG, CommandError
from crossthread.cli.showing import dotted
from crossthread.embedding.extract import texts_of
from crossthread.engines.registry import engine_for
from crossthread.engines.sqlite.peeking import tables as tables_in
from crossthread.errors import StoreError
from crossthread.settings import Mode
from crossthread.store import MemoryStore

_NEIGHBOURS = 20  # items that are asked how they are found


class Recorded(NamedTuple):
    """What a store tells of how its items are found."""

    language: str | None
    model: str | None
    dims: int | None

    @property
    def is_indexed(self) -> bool:
        """Whether items are found by anything but their namespace and key."""
        return self.language is not None or self.dims is not None


def recorded(store: MemoryStore) -> Recorded:
    """Return what an open store tells."""
    engine = store._engine
    return Recorded(engine.language, engine.space.model, engine.space.dims)


def open_for_search(url: str, wanted: Indexing, mode: Mode | None) -> tuple[MemoryStore, Mode]:
    """Open a store that is there to search it by a query, and say in which mode.

    Raises:
        CommandError: There is none, or it cannot be searched like that.
        StoreError: It cannot be opened.
    """
    with ExitStack() as closing:
        store = closing.enter_context(open_store(url))
        known = recorded(store)
        place = store.place
    if not known.is_indexed:
        raise CommandError(
            f"{place} has nothing to search by: no item in it was put with index=",
            hint="leave --query out to see the newest, or use --filter",
        )
    index = wanted.settings()
    if wanted.embed is None and mode != "keyword" and known.model in LOCAL_MODELS and find_spec("wordllama"):
        index |= {"embed": LOCAL, "model": known.model}
    if "embed" not in index and mode == "hybrid" and not known.dims:
        warn(f"{place} has no vectors, so that it is searched by words alone")
        mode = "keyword"
    if "embed" not in index and mode in ("semantic", "hybrid"):
        raise CommandError(
            f"--mode {mode} needs vectors, and {_about(known, place)}",
            hint=(_which(known) if known.dims else "--mode keyword searches by words"),
            code=WRONG,
        )
    if known.language is not None:
        index.setdefault("language", known.language)
    mode = mode or ("hybrid" if "embed" in index else "keyword")
    return MemoryStore(existing(url), index=loaded({**index, "mode": mode})), mode


def open_for_writing(url: str, wanted: Indexing, *, create: bool, indexed: bool = True) -> MemoryStore:
    """Open a store so that what is put is found as the rest of it is.

    Args:
        url: The store.
        wanted: The options.
        create: Whether to make it where there is none; then it is searchable by words, or as the options say.
        indexed: Whether what is put shall be found by queries at all.

    Raises:
        CommandError: There is none, or its items have vectors of a model that is not to be had here.
        StoreError: It cannot be opened.
    """
    engine = engine_for(no_memory(url))
    path: Path | None = getattr(engine, "path", None)
    if not create:
        engine = existing(url)
    elif path is not None and path.exists():
        engine = existing(url, tables=("crossthread_state", "checkpoints"), may_be_empty=True)
    if create and _is_new(url, path):
        index = wanted.settings() if indexed else None
        store = MemoryStore(engine, index=None if index is None else loaded(index))
        note(f"{store.place} is a new store.")
        return store
    store = MemoryStore(engine)
    try:
        index = _index_for_writing(recorded(store), wanted, store.place, way_out=create) if indexed else None
    except BaseException:
        store.close()
        raise
    if index is None:
        return store
    store.close()
    return MemoryStore(engine_for(url), index=loaded(index))


def _is_new(url: str, path: Path | None) -> bool:
    """Whether there is no store yet: no file, one without a store's tables, or a server without the schema."""
    if path is not None:
        return not path.exists() or (path.is_file() and "crossthread_state" not in tables_in(path))
    try:
        with open_store(url) as store:
            store.get(("a",), "a", refresh_ttl=False)  # a server is asked by the first call only
    except StoreError:  # or it cannot be reached, which opening it tells
        return True
    return False


def open_for_import(url: str, wanted: Indexing, *, brings_vectors: bool) -> MemoryStore:
    """Open a store, or make it, so that what is imported is found as it was where it comes from.

    Args:
        url: The store.
        wanted: The options.
        brings_vectors: Whether what is imported has vectors, so that no model is needed.

    Raises:
        CommandError: The store has vectors, and what is imported would have none.
        StoreError: It cannot be opened.
    """
    if not is_there(url):
        engine = engine_for(no_memory(url))
        store = MemoryStore(engine, index=loaded(wanted.settings()) or None)
        if getattr(engine, "path", None) is not None:
            note(f"{store.place} is a new store.")
        return store
    with open_store(url) as store:
        known, place = recorded(store), store.place
    if brings_vectors or not known.dims:
        index = wanted.settings()
        if index and known.language is not None:
            index.setdefault("language", known.language)
        return MemoryStore(url, index=loaded(index) or None)
    try:
        return MemoryStore(url, index=loaded(_index_for_writing(known, wanted, place) or {}) or None)
    except CommandError as error:
        raise CommandError(
            f"{_about(known, place)}, and the lines bring none, so that meaning would not find what is imported",
            hint=f"{_which(known)}; or export with --vectors",
            code=WRONG,
        ) from error


def finding(
    store: MemoryStore, wanted: Indexing, namespace: tuple[str, ...], value: Any, before: Any
) -> tuple[str, ...] | Literal[False] | None:
    """Return the ``index=`` of a put, by which the item is found as the one before it, or as its neighbours are.

    No store keeps the fields of its texts, but each item tells by which of its texts it is found.

    Args:
        store: The store, open for writing.
        wanted: The options; fields that are given decide.
        namespace: Where the item is.
        value: Its new value.
        before: The record that is replaced, or None.
    """
    if wanted.fields is not None or store.index_config is None:
        return None
    records = [before] if before is not None else store.records(namespace, limit=_NEIGHBOURS, newest_first=True)
    for record in records:
        if record.index is not None and record.namespace == namespace:
            if record.index and not texts_of(value, record.index):
                warn(
                    f"there is no text at {', '.join(record.index)}, where queries find the items of "
                    f"{dotted(namespace)}, so no query will find this one; --fields names other paths"
                )
            return record.index
    return None


def _index_for_writing(
    known: Recorded, wanted: Indexing, place: str, *, way_out: bool = False
) -> dict[str, Any] | None:
    index = wanted.settings()
    if not known.is_indexed and not index:
        return None
    if known.dims and wanted.embed is None:
        if known.model not in LOCAL_MODELS:
            raise CommandError(
                f"{_about(known, place)}, and without it this item would not be found by its meaning",
                hint=f"{_which(known)}{'; --no-index writes it nevertheless' if way_out else ''}",
                code=WRONG,
            )
        index |= {"embed": LOCAL, "model": known.model}
    if known.language is not None:
        index.setdefault("language", known.language)
    return index


def _about(known: Recorded, place: str) -> str:
    if not known.dims:
        return f"{place} has none"
    return f"{place} has vectors of {f'the model {known.model!r}' if known.model else 'a model without a name'}"


def _which(known: Recorded) -> str:
    return f"name the model: --embed {known.model if known.model and ':' in known.model else 'MODEL'}"

"""Export: a store, or a part of it, as JSON lines. Reads page by page, so that it holds few items at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, cast

from crossthread import namespaces
from crossthread._program import Program
from crossthread.batch import Compute
from crossthread.errors import IndexMismatchError
from crossthread.moving.items import Space, from_stored
from crossthread.moving.lines import header_line, item_line
from crossthread.operations.commands import Batch, Count, Page, Position, Records, Stored
from crossthread.search.words import Language
from crossthread.store import MemoryStore
from crossthread.ttl import omits_expired

Progress = Callable[[int, int | None], None]
"""Told how it gets on: items done, and items in all, as far as that is known."""

_AT_ONCE = 500
_AT_A_TIME = 64  # lines that are made in a few milliseconds


def export_lines(
    store: MemoryStore, prefix: tuple[str, ...] = (), *, vectors: bool = False, progress: Progress | None = None
) -> Iterator[str]:
    """Yield a store as JSON lines, each with its line end: a header, then an item a line.

    The format is documented, and read by `import_lines`. The store stays in use: what is there from the first line to
    the last is in the export, in the state of one moment or another; an item that is written meanwhile may be there
    twice, of which the later line holds. Nothing lives longer for being exported.

    Args:
        store: The store.
        prefix: Labels that the items' namespaces begin with; ``()`` is the whole store.
        vectors: Whether the vectors go along, so that a store of the same model embeds nothing. They make an export
            several times as large.
        progress: Called now and then with the items done and the items in all.

    Raises:
        InvalidNamespaceError: The prefix breaks a rule.
        UnsupportedError: The engine, of another package, cannot tell all of its items.
        IndexMismatchError: With ``vectors``: they were replaced meanwhile by those of another model.
        StoreError: The engine refused.

    Examples:
        >>> from crossthread import MemoryStore
        >>> store = MemoryStore()
        >>> store.put(("memories", "ada"), "food", {"text": "likes pizza"})
        >>> len(list(export_lines(store)))
        2
    """
    exporter = _Exporter(store, prefix, vectors, progress)
    return _lines(exporter)


def aexport_lines(
    store: MemoryStore, prefix: tuple[str, ...] = (), *, vectors: bool = False, progress: Progress | None = None
) -> AsyncIterator[str]:
    """Do what `export_lines` does, without blocking the event loop."""
    return _alines(_Exporter(store, prefix, vectors, progress))


def _lines(exporter: _Exporter) -> Iterator[str]:
    while page := exporter.store._drive(exporter.next_page()):
        yield from page
        exporter.tell()


async def _alines(exporter: _Exporter) -> AsyncIterator[str]:
    while page := await exporter.store._adrive(exporter.next_page()):
        for line in page:
            yield line
        exporter.tell()


class _Exporter:
    """One export under way."""

    def __init__(self, store: MemoryStore, prefix: Any, vectors: bool, progress: Progress | None) -> None:
        store._check_records()
        self.store = store
        self._prefix = namespaces.to_text(prefix, empty_allowed=True)
        self._vectors = bool(vectors)
        self._progress = progress
        self._after: Position | None = None
        self._has_begun = False
        self._generation = 0
        self._done = 0
        self._items = 0
        self._language: Language | None = None

    def next_page(self) -> Program[list[str]]:
        """Return some lines; none at the end."""
        omit_expired = omits_expired(self.store._ttl)
        lines: list[str] = []
        command = Records(self._prefix, self._after, _AT_ONCE, vectors=self._vectors)
        if not self._has_begun:
            (self._items,) = yield Batch((Count(self._prefix, None),), omit_expired)
        (page,) = yield Batch((command,), omit_expired)
        page = cast(Page, page)
        if not self._has_begun:
            self._has_begun = True
            self._generation = page.generation
            prefix = namespaces.from_text(self._prefix)
            lines.append(header_line(Space.of(page), prefix, self._now(), self._items, vectors=self._vectors))
        if page.language is not None and self._language is None:
            own = self.store._index
            is_own = own is not None and own.language.name == page.language
            self._language = own.language if own is not None and is_own else Language(page.language)
        found = [one for one in page.items if one is not None]
        if self._vectors and page.generation != self._generation and any(one.hashes for one in found):
            raise IndexMismatchError(
                "All vectors were replaced by those of another model during the export, whose lines would be of both. "
                "Export again, or without vectors."
            )
        for start in range(0, len(found), _AT_A_TIME):
            lines += yield Compute(partial(self._some, found[start : start + _AT_A_TIME]))
        if found:
            self._after = found[-1].position
            self._done += len(found)
        return lines

    def tell(self) -> None:
        """Tell how many items are done."""
        if self._progress is not None:
            self._progress(self._done, max(self._done, self._items))

    def _some(self, found: list[Stored]) -> list[str]:
        fields = () if self.store._index is None else self.store._index.fields
        items = (from_stored(one, fields, self._language) for one in found)
        return [item_line(item, vectors=self._vectors) for item in items]

    def _now(self) -> int:
        return self.store._now()

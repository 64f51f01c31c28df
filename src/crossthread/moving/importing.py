"""Import: JSON lines of an export into a store. Holds a batch of lines at a time; knows what to do with bad ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

from langgraph.store.base import InvalidNamespaceError

from crossthread._program import Program
from crossthread.batch import Compute
from crossthread.errors import ImportLineError, InvalidArgumentError
from crossthread.moving.exporting import Progress
from crossthread.moving.items import Existing, Moving
from crossthread.moving.lines import Header, read_header, read_item, reason
from crossthread.moving.restoring import AT_ONCE, Outcome, Receiver, receiver_for, restored_into
from crossthread.store import MemoryStore

_CHARACTERS_AT_ONCE = 4_000_000
_AT_A_TIME = 64  # lines that are read in a few milliseconds
_MOST_TOLD = 1000

_Numbered = tuple[int, str | bytes]


class BadLine(NamedTuple):
    """A line that was left out.

    Attributes:
        line: Its number, from 1 on.
        reason: What is wrong with it.
    """

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the items of an import.

    Attributes:
        items: How many good lines there were.
        written: How many items were written.
        equal: How many were there already, as they are.
        kept: How many were left as they are, since they were written later than what the line says.
        skipped: How many bad lines were left out.
        bad: The first thousand of these, with their numbers and reasons.
    """

    items: int
    written: int
    equal: int
    kept: int
    skipped: int = 0
    bad: tuple[BadLine, ...] = ()


def import_lines(
    store: MemoryStore,
    lines: Iterable[str | bytes],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    existing: Existing = "newer",
    vectors: bool = True,
    progress: Progress | None = None,
) -> Imported:
    """Read the lines of `export_lines` into a store: values, times, lives and expiries come back as they were.

    Items that are there already, as the line says, cost no write; so an import that was interrupted is run again. Each
    batch of some hundred lines is written whole or not at all.

    Args:
        store: The store.
        lines: An open file, for example, or any iterable of lines, the header first.
        on_error: What becomes of a bad line: ``"raise"`` ends the import, with all lines before it written; ``"skip"``
            leaves it out and tells its number and the reason.
        existing: What becomes of an item that is there already: with ``"newer"`` the one that was written last stays,
            with ``"replace"`` the line always holds.
        vectors: Whether vectors in the lines are taken over; without, the store embeds all texts with its own model.
        progress: Called after each batch with the lines of items done, and the items in all, as far as known.

    Returns:
        The numbers.

    Raises:
        ImportLineError: A line is bad; it has the number and the reason.
        SchemaVersionError: The export is of a later release.
        IndexMismatchError: The lines have vectors of another model than the store's.
        EmbeddingError, StoreError: The embedder or the engine refused; the lines before this batch are written.
    """
    importing = _Importing(store, on_error, existing, vectors, progress)
    for batch in _batches(lines):
        importing.begin(batch)
        store._drive(importing.run(batch))
        importing.tell()
    return importing.result()


async def aimport_lines(
    store: MemoryStore,
    lines: Iterable[str | bytes] | AsyncIterable[str | bytes],
    *,
    on_error: Literal["raise", "skip"] = "raise",
    existing: Existing = "newer",
    vectors: bool = True,
    progress: Progress | None = None,
) -> Imported:
    """Do what `import_lines` does, without blocking the event loop; ``lines`` may be async, too."""
    importing = _Importing(store, on_error, existing, vectors, progress)

    async def write(batch: list[_Numbered]) -> None:
        await asyncio.to_thread(importing.begin, batch)
        await store._adrive(importing.run(batch))
        importing.tell()

    if isinstance(lines, AsyncIterable):
        gathered = _Gathered()
        async for line in lines:
            if gathered.add(line):
                await write(gathered.take())
        if gathered.lines:
            await write(gathered.take())
    else:
        for batch in _batches(lines):
            await write(batch)
    return importing.result()


class _Gathered:
    """Lines that wait until there are enough for a batch."""

    def __init__(self) -> None:
        self.lines: list[_Numbered] = []
        self._number = 0
        self._characters = 0

    def add(self, line: str | bytes) -> bool:
        """Add a line; return whether there are enough."""
        self._number += 1
        if line.strip():
            self.lines.append((self._number, line))
            self._characters += len(line)
        return len(self.lines) >= AT_ONCE or self._characters > _CHARACTERS_AT_ONCE

    def take(self) -> list[_Numbered]:
        """Return the lines, and begin anew."""
        taken, self.lines, self._characters = self.lines, [], 0
        return taken


def _batches(lines: Iterable[str | bytes]) -> Iterator[list[_Numbered]]:
    gathered = _Gathered()
    for line in lines:
        if gathered.add(line):
            yield gathered.take()
    if gathered.lines:
        yield gathered.take()


class _Importing:
    """One import under way."""

    def __init__(
        self, store: MemoryStore, on_error: Any, existing: Any, vectors: bool, progress: Progress | None
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise InvalidArgumentError(f"on_error must be 'raise' or 'skip', not {on_error!r}.")
        if existing not in ("newer", "replace"):
            raise InvalidArgumentError(f"existing must be 'newer' or 'replace', not {existing!r}.")
        store._check_open()
        self._store = store
        self._skips = on_error == "skip"
        self._existing = existing
        self._vectors = vectors
        self._progress = progress
        self._header: Header | None = None
        self._receiver: Receiver | None = None
        self._counts: dict[Outcome, int] = {"written": 0, "equal": 0, "kept": 0}
        self._skipped = 0
        self._bad: list[BadLine] = []

    def begin(self, batch: list[_Numbered]) -> None:
        """Read the header, and prepare the store; the first batch loses its first line."""
        if self._header is None:
            _, line = batch.pop(0)
            self._header = read_header(line)
        if self._receiver is None:
            self._prepared()

    def _prepared(self, *, strictly: bool = False) -> Receiver:
        """Prepare the store for the lines."""
        assert self._header is not None
        self._receiver = receiver_for(
            self._store,
            self._header.space,
            vectors=self._vectors and self._header.has_vectors,
            replaces_newer=self._existing == "replace",
            source="The lines",
            remedy="Import with vectors=False to embed the texts with the store's own model.",
            strictly=strictly,
        )
        return self._receiver

    def run(self, batch: list[_Numbered]) -> Program[None]:
        """Write the items of some lines."""
        assert self._header is not None
        assert self._receiver is not None
        good: list[tuple[int, Moving]] = []
        bad: BadLine | None = None
        for start in range(0, len(batch), _AT_A_TIME):
            bad = yield Compute(partial(self._read, batch[start : start + _AT_A_TIME], good))
            if bad is not None:
                break
        yield from self._write(good)
        if bad is not None:  # what stands before it is written
            raise ImportLineError(*bad)

    def _read(self, lines: list[_Numbered], good: list[tuple[int, Moving]]) -> BadLine | None:
        """Read lines; return the bad one that ends the import."""
        assert self._header is not None
        for number, line in lines:
            try:
                good.append((number, read_item(line, self._header.space.dims)))
            except (InvalidArgumentError, InvalidNamespaceError) as error:
                if not self._skips:
                    return BadLine(number, reason(error))
                self._leave_out(number, reason(error))
        return None

    def _write(self, good: list[tuple[int, Moving]]) -> Program[None]:
        assert self._receiver is not None
        if not good:
            return
        try:
            items = [item for _, item in good]
            outcomes = yield from restored_into(
                self._store, items, self._receiver, partial(self._prepared, strictly=True)
            )
        except (InvalidArgumentError, InvalidNamespaceError) as error:
            # An engine's own rule, such as how long a namespace may be: found out which of them breaks it.
            if len(good) > 1:
                yield from self._write(good[: len(good) // 2])
                yield from self._write(good[len(good) // 2 :])
            elif self._skips:
                self._leave_out(good[0][0], reason(error))
            else:
                raise ImportLineError(good[0][0], reason(error)) from error
            return
        for outcome in outcomes:
            self._counts[outcome] += 1

    def _leave_out(self, number: int, why: str) -> None:
        self._skipped += 1
        if len(self._bad) < _MOST_TOLD:
            self._bad.append(BadLine(number, why))

    def tell(self) -> None:
        """Tell how many lines are done."""
        if self._progress is not None:
            done = sum(self._counts.values()) + self._skipped
            total = None if self._header is None or self._header.items is None else max(done, self._header.items)
            self._progress(done, total)

    def result(self) -> Imported:
        """Return the numbers.

        Raises:
            ImportLineError: There was no line at all.
        """
        if self._header is None:
            raise ImportLineError(1, "there is none, not even the header that every export begins with")
        return Imported(sum(self._counts.values()), **self._counts, skipped=self._skipped, bad=tuple(self._bad))

"""Copies: from a store of ours whole, page by page, or from anybody's through `foreign`; counts what came over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, cast

from langgraph.store.base import BaseStore, InvalidNamespaceError

from crossthread import namespaces
from crossthread._program import Program
from crossthread._text import shown, unescape
from crossthread.batch import Compute
from crossthread.errors import IncompleteCopyError, IndexMismatchError, InvalidArgumentError, UnsupportedError
from crossthread.moving.exporting import Progress
from crossthread.moving.foreign import apages_of, pages_of
from crossthread.moving.items import Existing, Moving, Space, from_item, from_stored
from crossthread.moving.lines import reason
from crossthread.moving.restoring import AT_ONCE, Outcome, Receiver, agrees, receiver_for, restored_into
from crossthread.operations.commands import Batch, Count, Page, Position, Records
from crossthread.search.words import Language
from crossthread.store import MemoryStore
from crossthread.ttl import checked_ttl

_AT_A_TIME = 64  # items that are made ready in a few milliseconds
_ROUNDS = 3  # how often what was written meanwhile is followed
_MOST_TOLD = 1000


class BadItem(NamedTuple):
    """An item that was left out.

    Attributes:
        namespace: Its labels, as the source has them.
        key: Its key.
        reason: Why these stores cannot hold it.
    """

    namespace: tuple[str, ...]
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of the items of a copy.

    Attributes:
        items: How many were read and could be held.
        written: How many items were written.
        equal: How many were there already, as they are.
        kept: How many were left as they are in the target, since they were written later there.
        skipped: How many were left out, since these stores cannot hold them.
        bad: The first thousand of these, with the reasons.
    """

    items: int
    written: int
    equal: int
    kept: int
    skipped: int = 0
    bad: tuple[BadItem, ...] = ()


def copy_store(
    source: BaseStore,
    target: MemoryStore,
    prefix: tuple[str, ...] = (),
    *,
    vectors: bool = True,
    existing: Existing = "newer",
    on_error: Literal["raise", "skip"] = "raise",
    ttl: float | None = None,
    progress: Progress | None = None,
) -> Copied:
    """Copy a store, or a part of it, into another one: values and times come over as they are.

    From a store of crossthread everything comes over, whatever the engines: time to live, expiry, what is indexed, and
    vectors, where both have the same model; otherwise the target embeds. From any other LangGraph store come values and
    times, which is all it tells; the target indexes them as puts are. What is there already is not written again, so
    that a copy that was interrupted is run again; so is one of a store that was written meanwhile.

    Args:
        source: The store to read: one of ours, or any ``BaseStore``.
        target: The store to write.
        prefix: Labels that the items' namespaces begin with; ``()`` is the whole store.
        vectors: Whether vectors come over where both stores are ours and have the same model.
        existing: What becomes of an item that is in the target already: with ``"newer"`` the one that was written last
            stays, with ``"replace"`` the source's always holds.
        on_error: What becomes of an item that these stores cannot hold, such as one that is not JSON: ``"raise"`` ends
            the copy, ``"skip"`` leaves it out and tells the reason.
        ttl: For sources that do not tell it: minutes that the items live from now on; None: for ever.
        progress: Called now and then with the items done, and the items in all, where the source can tell.

    Returns:
        The numbers.

    Raises:
        IncompleteCopyError: The target has fewer items than the source in the end.
        IndexMismatchError: The vectors are of another model, or of one after another during the copy, and the target
            has no embedder to make new ones.
        InvalidArgumentError: An argument, or with ``on_error="raise"`` an item, breaks a rule.
        EmbeddingError, StoreError: The embedder or an engine refused; what was copied so far is there.
    """
    copying = _Copying(source, target, prefix, vectors, existing, on_error, ttl, progress)
    if copying.ours is None:
        copying.prepare(Space(None, None, None))
        for page in pages_of(source, copying.labels):
            for part in _parts(page):
                target._drive(copying.write_items(part))
    else:
        for _ in range(_ROUNDS):
            while (read := copying.ours._drive(copying.read())) is not None:
                copying.prepare(Space.of(read.page))
                target._drive(copying.write(read.items))
            there = copying.ours._drive(copying.count())
            if copying.is_complete(there, target._drive(copying.count_there())):
                return copying.result()
        raise copying.incomplete(there, target._drive(copying.count_there()))
    return copying.checked(target._drive(copying.count_there()))


async def acopy_store(
    source: BaseStore,
    target: MemoryStore,
    prefix: tuple[str, ...] = (),
    *,
    vectors: bool = True,
    existing: Existing = "newer",
    on_error: Literal["raise", "skip"] = "raise",
    ttl: float | None = None,
    progress: Progress | None = None,
) -> Copied:
    """Do what `copy_store` does, without blocking the event loop; for sources with async methods only, too."""
    copying = _Copying(source, target, prefix, vectors, existing, on_error, ttl, progress)
    if copying.ours is None:
        await asyncio.to_thread(copying.prepare, Space(None, None, None))
        async for page in apages_of(source, copying.labels):
            for part in _parts(page):
                await target._adrive(copying.write_items(part))
    else:
        for _ in range(_ROUNDS):
            while (read := await copying.ours._adrive(copying.read())) is not None:
                await asyncio.to_thread(copying.prepare, Space.of(read.page))
                await target._adrive(copying.write(read.items))
            there = await copying.ours._adrive(copying.count())
            if copying.is_complete(there, await target._adrive(copying.count_there())):
                return copying.result()
        raise copying.incomplete(there, await target._adrive(copying.count_there()))
    return copying.checked(await target._adrive(copying.count_there()))


def _parts(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]


class _Read(NamedTuple):
    page: Page
    items: list[Moving]


class _Copying:
    """One copy under way."""

    def __init__(
        self,
        source: BaseStore,
        target: MemoryStore,
        prefix: Any,
        vectors: bool,
        existing: Any,
        on_error: Any,
        ttl: Any,
        progress: Progress | None,
    ) -> None:
        if not isinstance(target, MemoryStore):
            raise UnsupportedError(f"A copy goes into a MemoryStore, not into {type(target).__name__}.")
        if not isinstance(source, BaseStore):
            raise InvalidArgumentError(f"source must be a BaseStore, not {type(source).__name__}.")
        if source is target:
            raise InvalidArgumentError("source and target are the same store.")
        if on_error not in ("raise", "skip"):
            raise InvalidArgumentError(f"on_error must be 'raise' or 'skip', not {on_error!r}.")
        if existing not in ("newer", "replace"):
            raise InvalidArgumentError(f"existing must be 'newer' or 'replace', not {existing!r}.")
        target._check_open()
        self.labels = namespaces.checked(prefix, empty_allowed=True)
        self.ours = source if isinstance(source, MemoryStore) and source._engine.keeps_records else None
        if self.ours is not None:
            self.ours._check_open()
        self._target = target
        self._prefix = namespaces.to_text(self.labels, empty_allowed=True)
        self._vectors = bool(vectors)
        self._existing = existing
        self._skips = on_error == "skip"
        self._ttl = checked_ttl(ttl)
        self._progress = progress
        self._receiver: Receiver | None = None
        self._space = Space(None, None, None)
        self._generation = 0  # of the source's vectors
        self._after: Position | None = None
        self._total: int | None = None
        self._language: Language | None = None
        self._counts: dict[Outcome, int] = {"written": 0, "equal": 0, "kept": 0}
        self._skipped = 0
        self._over = 0  # items whose time may be over by the end
        self._bad: list[BadItem] = []

    def prepare(self, space: Space) -> None:
        """Prepare the target, once it is known what comes."""
        if self._receiver is None:
            self._space = space
            self._prepared()

    def _prepared(self, *, strictly: bool = False) -> Receiver:
        """Prepare the target for what the space says."""
        space = self._space
        takes = self._vectors and space.dims is not None
        index = self._target._index
        if takes and index is not None and index.embed is not None:  # or it embeds the texts by itself
            takes = agrees(self._target._engine.space, space, strictly=strictly)
        self._receiver = receiver_for(
            self._target,
            space,
            vectors=takes,
            replaces_newer=self._existing == "replace",
            source="The memories of the source",
            remedy="Open the target with its own embedder, which then makes new vectors of the texts, or copy with "
            "vectors=False, which leaves them without.",
            strictly=strictly,
        )
        return self._receiver

    def read(self) -> Program[_Read | None]:
        """Return the next items of a store of ours; None where there are no more for now."""
        assert self.ours is not None
        if self._total is None:
            self._total = yield from self.count()
        command = Records(self._prefix, self._after, AT_ONCE, vectors=self._vectors)
        (page,) = yield Batch((command,), omit_expired=False)
        page = cast(Page, page)
        if not page.items:
            return None
        if page.language is not None and self._language is None:
            self._language = Language(page.language)
        self._follow(page)
        found = [one for one in page.items if one is not None]
        self._after = found[-1].position
        fields = () if self.ours._index is None else self.ours._index.fields
        items: list[Moving] = []
        for start in range(0, len(found), _AT_A_TIME):
            part = found[start : start + _AT_A_TIME]
            items += yield Compute(partial(_from_stored, part, fields, self._language))
        return _Read(page, items)

    def _follow(self, page: Page) -> None:
        """Take note of the vectors that the source has: after a change of its model the target may embed by itself.

        Raises:
            IndexMismatchError: It cannot.
        """
        if self._receiver is None:
            self._generation = page.generation
        elif self._vectors and page.generation != self._generation:
            if self._receiver.takes_vectors and not self._receiver.has_embedder:
                raise IndexMismatchError(
                    "All vectors of the source were replaced by those of another model during the copy, and the target "
                    "has no embedder to make its own. Copy into a new store, or with vectors=False."
                )
            self._vectors = False
            self._receiver = None

    def write_items(self, found: Sequence[Any]) -> Program[None]:
        """Write items of somebody else's store."""
        items: list[Moving] = []
        for start in range(0, len(found), _AT_A_TIME):
            bad = yield Compute(partial(self._from_items, found[start : start + _AT_A_TIME], items))
            if bad is not None:
                yield from self.write(items)
                raise InvalidArgumentError(f"{shown(bad.namespace)} {shown(bad.key)} cannot be copied: {bad.reason}.")
        yield from self.write(items)

    def write(self, items: list[Moving]) -> Program[None]:
        """Write items into the target."""
        assert self._receiver is not None
        if not items:
            return
        try:
            outcomes = yield from restored_into(
                self._target, items, self._receiver, partial(self._prepared, strictly=True)
            )
        except (InvalidArgumentError, InvalidNamespaceError) as error:
            # A rule of the target's engine, such as how long a namespace may be: found out which of them breaks it.
            if len(items) > 1:
                yield from self.write(items[: len(items) // 2])
                yield from self.write(items[len(items) // 2 :])
                return
            if not self._skips:
                raise
            item = items[0]
            self._leave_out(BadItem(namespaces.from_text(item.namespace), unescape(item.key), reason(error)))
            return
        for outcome in outcomes:
            self._counts[outcome] += 1
        self._over += sum(item.expires_at is not None for item in items)
        if self._progress is not None:
            done = sum(self._counts.values()) + self._skipped
            self._progress(done, None if self._total is None else max(done, self._total))

    def count(self) -> Program[int]:
        """Count what lives below the prefix: what is over may be swept at any time."""
        (number,) = yield Batch((Count(self._prefix, None),))
        return cast(int, number)

    def count_there(self) -> Program[int]:
        """Count what the target has, with what is over and not swept: such an item may stay in an older one's place."""
        (number,) = yield Batch((Count(self._prefix, None),), omit_expired=False)
        return cast(int, number)

    def is_complete(self, wanted: int, there: int) -> bool:
        """Whether the target has all that the source has, but for what was left out."""
        return there >= wanted - self._skipped

    def checked(self, there: int) -> Copied:
        """Return the numbers of a copy from somebody else's store.

        Raises:
            IncompleteCopyError: The target has fewer items than were read.
        """
        result = self.result()
        if there < result.items - self._over:
            raise self.incomplete(result.items, there)
        return result

    def incomplete(self, wanted: int, there: int) -> IncompleteCopyError:
        """Return the error that says how many items are missing."""
        return IncompleteCopyError(
            f"The source has {wanted} items below {self.labels!r}, and {self._target.place} has {there} "
            f"({self._skipped} were left out): one of them was changed meanwhile. Copy again: what is there already is "
            "not written twice."
        )

    def result(self) -> Copied:
        """Return the numbers."""
        return Copied(sum(self._counts.values()), **self._counts, skipped=self._skipped, bad=tuple(self._bad))

    def _from_items(self, found: Sequence[Any], items: list[Moving]) -> BadItem | None:
        """Read items; return the bad one that ends the copy."""
        now = self._target._now()
        for item in found:
            try:
                items.append(from_item(item, self._ttl, now))
            except (InvalidArgumentError, InvalidNamespaceError) as error:
                bad = BadItem(tuple(item.namespace), item.key, reason(error))
                if not self._skips:
                    return bad
                self._leave_out(bad)
        return None

    def _leave_out(self, bad: BadItem) -> None:
        self._skipped += 1
        if len(self._bad) < _MOST_TOLD:
            self._bad.append(bad)


def _from_stored(found: Sequence[Any], fields: tuple[str, ...], language: Language | None) -> list[Moving]:
    return [from_stored(one, fields, language) for one in found]

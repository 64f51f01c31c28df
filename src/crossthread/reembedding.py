"""The re-embedding program: makes the vectors of another model beside those that serve, and lets them take their place.

Written once for sync and async callers and every engine. Texts are embedded outside of all locks and transactions, and
kept as soon as they are there, so that a run that ends, however it ends, has lost nothing that was paid for.
"""

from __future__ import annotations

import math
import secrets
import time
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from crossthread import values
from crossthread._program import Program
from crossthread._text import unescape
from crossthread.batch import Compute, Pause
from crossthread.embedding.extract import text_hash
from crossthread.embedding.recover import recover
from crossthread.errors import EmbeddingError, EmbeddingTimeoutError, IndexMismatchError, StoreBusyError, StoreError
from crossthread.namespaces import from_text
from crossthread.operations.commands import Batch, Command
from crossthread.operations.reembedding import (
    Begin,
    CountTexts,
    Hold,
    IndexedItem,
    Progress,
    ReadProgress,
    ReadTexts,
    Settle,
    Stage,
    StagedItem,
    TextPage,
)
from crossthread.search.vectors import Vectors, from_bytes, unit_vectors

_PAGE_BATCHES = 4  # of each place in the window: it is seldom empty, and a page stays small
_MOST_ITEMS = 2000  # of a page
_HOLD_SECONDS = 10.0
_BETWEEN_HOLDS_SECONDS = 0.2
_MOST_HOLDS = 30


@dataclass(frozen=True, slots=True)
class Reembedded:
    """What `MemoryStore.reembed` did.

    Attributes:
        model: The model of all vectors now, where it has a name.
        dims: Their dimensions; None where no item has a text.
        texts: How many texts were embedded by this call.
        characters: How many characters these have.
        kept: How many texts, those of each item, an earlier run that did not end had embedded already.
    """

    model: str | None
    dims: int | None
    texts: int
    characters: int
    kept: int


@dataclass(frozen=True, slots=True)
class ReembedEstimate:
    """What `MemoryStore.reembed` would have to do: what a provider bills.

    Attributes:
        items: How many items have texts.
        texts: How many distinct texts have to be embedded.
        characters: How many characters these have.
        staged: How many distinct texts an unfinished run has embedded already; they are not counted above.
        lost: How many items have a text that is not to be found in their value; `reembed` refuses while there are any.
    """

    items: int
    texts: int
    characters: int
    staged: int
    lost: int


class Start(NamedTuple):
    """The request to begin to embed texts in the background; answered at once."""

    texts: list[str]


class Finish(NamedTuple):
    """The request to wait for any texts that were begun; answered with these, and raw vectors or an exception."""


class SwitchOver(NamedTuple):
    """The request to let the vectors of a run be those of the store; answered with whether that was done."""

    run: int


@dataclass(frozen=True, slots=True)
class Options:
    """How a run goes on: ``fields`` are the store's own, ``tell`` is told of texts done and in all."""

    model: str | None
    dims: int | None
    fields: tuple[str, ...]
    batch_size: int
    concurrency: int
    anew: bool
    tell: Callable[[int, int], None]


def run_reembedding(options: Options) -> Program[Reembedded]:
    """Change the model of all vectors.

    Raises:
        StoreError: Texts are lost, writers leave no moment for the switch, or the engine refused. All that was embedded
            is kept for the next run.
        IndexMismatchError: Somebody else has changed the model meanwhile.
    """
    own = 1 + secrets.randbits(62)
    while True:
        at = yield from _ask(ReadProgress())
        if at.phase == "settling":
            yield from _dropped(0)
        elif options.model is not None and options.model == at.serves and not options.anew:
            # Perhaps another store has switched: this one takes the model on, and what else was staged is not wanted.
            yield from _dropped(at.run)
            yield SwitchOver(0)
            return Reembedded(options.model, None, 0, 0, 0)
        elif at.run and at.run != own and (options.anew or at.model != options.model):
            yield from _dropped(at.run)
        elif at.run:
            break
        else:
            yield from _ask(Begin(own, options.model))
    run = _Run(options, at)
    yield from run.until_switched()
    yield from _dropped(0)
    return run.report()


def _dropped(run: int) -> Program[None]:
    """Drop what a run has staged; 0: the vectors that served before the last switch."""
    while (yield from _ask(Settle(run))):
        pass


def _ask(command: Command) -> Program[Any]:
    (answer,) = yield Batch((command,))
    return answer


class _Run:
    """One run: passes over the items that lack vectors, until the switch finds none."""

    def __init__(self, options: Options, at: Progress) -> None:
        self.options = options
        self.begun = at
        self.dims = at.dims or options.dims
        self.texts = self.characters = self.kept = 0
        self.done = self.total = 0  # texts, those of each item
        self.lost: list[tuple[tuple[str, ...], str]] = []

    def report(self) -> Reembedded:
        return Reembedded(self.options.model, self.dims, self.texts, self.characters, self.kept)

    def until_switched(self) -> Program[None]:
        self.total, self.done = yield from _ask(CountTexts())
        self.kept = self.done
        self.tell(0)
        before = math.inf
        while True:
            every, staged = yield from _ask(CountTexts())
            missing = every - staged
            if missing >= before:
                break  # writers are faster
            before = missing
            if (yield from self.one_pass(texts=missing)) <= self.options.batch_size:
                break
        if not (yield from self.is_switched()):
            yield from self.switched_while_others_wait()
        at = yield from _ask(ReadProgress())
        if (at.generation, at.last_run) != (self.begun.generation + 1, self.begun.run):
            raise self.overtaken()
        yield SwitchOver(0)  # where somebody else has ended this run, this store has yet to take the model on
        self.total = max(self.total, self.done)
        self.tell(self.total - self.done)

    def switched_while_others_wait(self) -> Program[None]:
        """Ask writers to wait while the last texts are embedded; where that takes too long, let them in between."""
        for _ in range(_MOST_HOLDS):
            if not (yield from _ask(Hold(self.begun.run, _HOLD_SECONDS))):
                return
            yield from self.one_pass(seconds=_HOLD_SECONDS)
            if (yield from self.is_switched()):
                return
            yield Pause(_BETWEEN_HOLDS_SECONDS)
        raise StoreBusyError(
            f"More was written than could be embedded, {_MOST_HOLDS} times for {_HOLD_SECONDS:g} seconds. All that was "
            "embedded is kept: call reembed() again when less is written."
        )

    def is_switched(self) -> Program[bool]:
        """Switch if no text lacks a vector, or find out that somebody else has."""
        if (yield SwitchOver(self.begun.run)):
            return True
        at = yield from _ask(ReadProgress())
        return bool(at.run != self.begun.run)

    def overtaken(self) -> IndexMismatchError:
        return IndexMismatchError(
            "Another run of reembed(), for another model or begun anew, has taken the place of this one, which has "
            "changed nothing; see which model the store has now, and call reembed() again."
        )

    def explained(self, error: Exception) -> Exception:
        if not self.begun.dims or not isinstance(error, EmbeddingError) or isinstance(error, EmbeddingTimeoutError):
            return error
        return EmbeddingError(
            f"{error} A run that did not end has embedded texts with {self.begun.dims} dimensions; if that was another "
            "model, call reembed() with anew=True, which drops them."
        )

    def tell(self, more: int) -> None:
        self.done += more
        self.options.tell(min(self.done, self.total), self.total)

    def one_pass(self, *, texts: float = math.inf, seconds: float = math.inf) -> Program[int]:
        """Embed the texts of items that lack a vector; return how many items these were.

        Args:
            texts: How many there are, about: whatever comes while they are embedded is left to the next pass.
            seconds: After which it is not worth going on.
        """
        self.lost = []
        after: Any = None
        items = done = 0
        ends = time.monotonic() + seconds
        limit = min(_MOST_ITEMS, self.options.batch_size * self.options.concurrency * _PAGE_BATCHES)
        while True:
            page = yield from _ask(ReadTexts(after, limit, unstaged=True))
            if page.items:
                yield from self.one_page(page)
            items += len(page.items)
            done += sum(len(item.hashes) for item in page.items)
            after = page.next
            if after is None or done > texts or time.monotonic() > ends:
                break
        if self.lost:
            raise _texts_are_lost(self.lost)
        return items

    def one_page(self, page: TextPage) -> Program[None]:
        texts, lost = yield Compute(partial(_texts_of_page, page, self.options.fields))
        self.lost += lost
        known = {hash_: from_bytes(vector) for hash_, vector in page.staged.items()}
        missing = [hash_ for hash_ in texts if hash_ not in known]
        size = self.options.batch_size
        batches = [missing[start : start + size] for start in range(0, len(missing), size)][::-1]
        under_way = 0
        failure: BaseException | None = None
        while under_way or (batches and failure is None):
            while batches and failure is None and under_way < self.options.concurrency:
                yield Start([texts[hash_] for hash_ in batches.pop()])
                under_way += 1
            documents, raw = yield Finish()
            under_way -= 1
            try:
                if isinstance(raw, BaseException):
                    raise raw
                found = yield Compute(partial(unit_vectors, raw, len(documents), self.dims))
                self.dims = found.shape[1]
                hashes = yield Compute(partial(_hashes_of, documents))
                new = dict(zip(hashes, found, strict=True))
                yield from self.keep(page, new, None)
            except Exception as error:
                failure = failure or self.explained(error)  # what else is under way is paid for, and kept
            else:
                known.update(new)
                self.texts += len(documents)
                self.characters += sum(map(len, documents))
        if failure is not None:
            raise failure
        # What was staged for other items, and texts of one item that were embedded in several parts.
        span = None if self.lost else page.span
        yield from self.keep(page, {hash_: known[hash_] for hash_ in page.staged}, span)

    def keep(self, page: TextPage, new: dict[bytes, Vectors], complete: Any) -> Program[None]:
        staged = yield Compute(partial(_staged_items, page.items, new))
        is_kept = True
        if staged or complete is not None:
            is_kept = yield from _ask(Stage(self.begun.run, tuple(staged), complete))
        if not is_kept and (yield from _ask(ReadProgress())).last_run != self.begun.run:
            raise self.overtaken()
        count = sum(len(one.hashes) for one in staged)
        self.tell(count)


def _texts_of_page(page: TextPage, fields: tuple[str, ...]) -> tuple[dict[bytes, str], list[Any]]:
    """Return the texts of items by their hashes, and the addresses of items of which one cannot be found."""
    texts: dict[bytes, str] = {}
    lost: list[Any] = []
    for item in page.items:
        found = recover(values.decode(item.value), item.hashes, fields)
        texts.update((one.hash, one.text) for one in found.texts)
        if any(hash_ not in page.staged for hash_ in found.missing):
            lost.append((from_text(item.namespace), unescape(item.key)))
    return texts, lost


def _hashes_of(texts: list[str]) -> list[bytes]:
    return [text_hash(text) for text in texts]


def _staged_items(items: Iterable[IndexedItem], new: dict[bytes, Vectors]) -> list[StagedItem]:
    found = []
    for item in items:
        hashes = tuple(hash_ for hash_ in item.hashes if hash_ in new)
        if hashes:
            vectors = np.stack([new[hash_] for hash_ in hashes])
            found.append(StagedItem(item.place, item.namespace, hashes, vectors))
    return found


def _texts_are_lost(lost: list[tuple[tuple[str, ...], str]]) -> StoreError:
    shown = ", ".join(f"{namespace} {key!r}" for namespace, key in lost[:3])
    return StoreError(
        f"{len(lost)} items have an indexed text that is not to be found in their values, so that it cannot be "
        f"embedded again: {shown}{', ...' if len(lost) > 3 else ''}. Put these items again, or delete them, and call "
        "reembed() again; all other texts are embedded by now, and kept."
    )


def run_estimate(fields: tuple[str, ...]) -> Program[ReembedEstimate]:
    """Count what a run would have to embed; writes nothing.

    A text takes 16 bytes of memory: half its hash, which tells apart what has to be told apart here, and its length.
    """
    seen, lengths, staged = array("Q"), array("Q"), array("Q")
    items = lost = 0
    after: Any = None
    while True:
        page = yield from _ask(ReadTexts(after, _MOST_ITEMS, unstaged=False))
        texts, missing = yield Compute(partial(_texts_of_page, page, fields))
        items += len(page.items)
        lost += len(missing)
        staged.extend(int.from_bytes(hash_[:8], "little") for hash_ in page.staged)
        seen.extend(int.from_bytes(hash_[:8], "little") for hash_ in texts if hash_ not in page.staged)
        lengths.extend(len(text) for hash_, text in texts.items() if hash_ not in page.staged)
        if page.next is None:
            break
        after = page.next
    _, first = np.unique(np.array(seen, dtype=np.uint64), return_index=True)
    characters = int(np.array(lengths, dtype=np.uint64)[first].sum())
    return ReembedEstimate(items, len(first), characters, len(np.unique(np.array(staged, dtype=np.uint64))), lost)

"""What an engine is asked to do: a closed set of commands, already checked, in forms that every database can hold.

Namespaces are text forms (see ``namespaces``), keys are escaped (see ``_text``), values are JSON text (see ``values``),
durations are minutes. What an engine answers to each command stands beside it.
"""

from __future__ import annotations

from typing import NamedTuple

from crossthread.filters.ast import Node
from crossthread.namespaces import Namespace, Pattern
from crossthread.operations import reembedding
from crossthread.search.scan import Hit
from crossthread.search.vectors import Vectors
from crossthread.search.words import Words
from crossthread.settings import Mode

ABSENT = -1
"""As ``Put.expected``: the put is only done while there is no live item."""


class Parts(NamedTuple):
    """What a score is made of: the cosine, the BM25 score, and what each term adds to that; None for a missing side."""

    semantic: float | None
    keyword: float | None
    terms: dict[str, float]


class Row(NamedTuple):
    """An item as an engine returns it. Times are microseconds since 1970; ``parts`` where a search asks for them."""

    namespace: str
    key: str
    value: str
    created_at: int
    updated_at: int
    score: float | None = None
    parts: Parts | None = None


def scored_row(row: Row, hit: Hit | None, terms: dict[str, float], explain: bool) -> Row:
    """Return the row of a hit with its score, and with the parts of it where they are asked for."""
    if hit is None:
        return row
    parts = Parts(hit.semantic, hit.keyword, terms) if explain else None
    return Row(*row[:5], hit.score, parts)  # _replace takes three times as long


class Get(NamedTuple):
    """Read one item. Answer: `Row` or None."""

    namespace: str
    key: str
    refresh_ttl: bool


class Search(NamedTuple):
    """Find items below ``prefix``. Answer: list of `Row`.

    Without a ``mode``: newest first. Otherwise the best first, those under ``min_score`` left out: ``semantic``,
    items that have vectors, by their best cosine with ``vector`` (unit length, shape (dims,)); ``keyword``, items in
    which one of ``terms`` occurs, by BM25 (``search.keyword``); ``hybrid``, both kinds, by the fused score
    (``search.fusion``) in which the semantic side has ``weight``. With ``explain`` rows tell the parts of their scores.
    """

    prefix: str
    where: Node | None
    limit: int
    offset: int
    refresh_ttl: bool
    vector: Vectors | None = None
    min_score: float | None = None
    mode: Mode | None = None
    terms: tuple[str, ...] = ()
    weight: float = 0.5
    explain: bool = False


class ListNamespaces(NamedTuple):
    """Name the namespaces that hold a live item. Answer: list of `Namespace`."""

    patterns: tuple[Pattern, ...]
    max_depth: int | None
    limit: int
    offset: int


class Count(NamedTuple):
    """Count the live items below ``prefix``. Answer: int."""

    prefix: str
    where: Node | None


class KnownVectors(NamedTuple):
    """Look up texts that are embedded already. Answer: dict from hash to float32 bytes, without unknown ones.

    ``namespaces`` are those that the texts will be written to; an engine may look there only.
    """

    hashes: tuple[bytes, ...]
    namespaces: tuple[str, ...]


class Position(NamedTuple):
    """Where a page of `Records` ended; no two items are at the same one."""

    updated_at: int
    namespace: str
    key: str


class Stored(NamedTuple):
    """An item with all that is kept of it.

    ``hashes`` belong to the texts that have a vector, in any order; ``vectors`` are float32 numbers of all of them, one
    vector after the other, or None where they were not asked for. ``words`` is None where keywords do not find it.
    """

    row: Row
    ttl_minutes: float | None
    expires_at: int | None
    hashes: tuple[bytes, ...]
    words: Words | None
    vectors: bytes | None = None

    @property
    def position(self) -> Position:
        """Where it stands among all items."""
        return Position(self.row.updated_at, self.row.namespace, self.row.key)


class Page(NamedTuple):
    """Whole items, and what holds for all of the store.

    ``language`` is that of all words, None before the first index; ``model`` and ``dims`` are those of all vectors,
    None before the first of them; ``generation`` tells how often all of them were replaced.
    """

    items: list[Stored | None]
    language: str | None
    model: str | None
    dims: int | None
    generation: int = 0


class Records(NamedTuple):
    """Read a page of the live items below ``prefix``, in the order of `Position`. Answer: `Page`.

    ``after``: what the page before ended with. Nothing lives longer for being read. An item that is there from the
    first page to the last is on one of them, whatever is written meanwhile.
    """

    prefix: str
    after: Position | None
    limit: int
    newest_first: bool = False
    vectors: bool = False


class RecordsAt(NamedTuple):
    """Read the live items at some namespaces and keys. Answer: `Page`, with None for those that are not there."""

    addresses: tuple[tuple[str, str], ...]
    vectors: bool = False


class Stats(NamedTuple):
    """Measure what lies below ``prefix``. Answer: `Measured`."""

    prefix: str


class MeasuredNamespace(NamedTuple):
    """The live items of one namespace: how many, the bytes of their values, how many expire, the latest write."""

    namespace: str
    items: int
    value_bytes: int
    expiring: int
    updated_at: int


class Measured(NamedTuple):
    """What there is. ``model`` and ``dims`` are None before the first vector, ``language`` before the first index.

    ``vectors`` counts those of live items, ``expired`` the items whose time is over and that no sweep has erased.
    """

    namespaces: tuple[MeasuredNamespace, ...]
    expired: int
    vectors: int
    model: str | None
    dims: int | None
    language: str | None


class Put(NamedTuple):
    """Write one item and replace all that it is found by. Answer: `Row` of the item as written.

    ``vectors`` (n, dims) and ``hashes`` (n) belong to the item's texts, in order, and so do the ``words`` of all of
    them; None and () where nothing is indexed.
    With ``expected`` (the ``updated_at`` of the item that was read, or `ABSENT`) the put fails with `Conflict` unless
    the item is still that one.
    """

    namespace: str
    key: str
    value: str
    ttl_minutes: float | None
    vectors: Vectors | None = None
    hashes: tuple[bytes, ...] = ()
    expected: int | None = None
    words: Words | None = None


class Restore(NamedTuple):
    """Write one item as it was elsewhere, with its times. Answer: `Row` as written, or None where it was left alone.

    An item that stands at the address and was written later is left alone, also where its time is over, unless
    ``replaces_newer``. ``updated_at`` is what the item gets, or the next free microsecond where the engine needs every
    item to have its own and another one has this. No later write of the store gets an earlier one. The other fields
    are those of `Put`; their places are the same. A batch with a `Restore` holds nothing else.
    """

    namespace: str
    key: str
    value: str
    ttl_minutes: float | None
    vectors: Vectors | None
    hashes: tuple[bytes, ...]
    replaces_newer: bool
    words: Words | None
    created_at: int
    updated_at: int
    expires_at: int | None


class Delete(NamedTuple):
    """Erase one item with all that belongs to it. Answer: None."""

    namespace: str
    key: str


class Forget(NamedTuple):
    """Erase every item below ``prefix``. Answer: how many live items that were (expired ones go too, uncounted)."""

    prefix: str


class Sweep(NamedTuple):
    """Erase every expired item. Answer: how many."""


Read = Get | Search | ListNamespaces | Count | KnownVectors | Records | RecordsAt | Stats | reembedding.ReembeddingRead
Write = Put | Restore | Delete | Forget | Sweep | reembedding.ReembeddingWrite
Command = Read | Write
Answer = (
    Row
    | list[Row]
    | list[Namespace]
    | dict[bytes, bytes]
    | int
    | Page
    | Measured
    | reembedding.Progress
    | reembedding.TextPage
    | tuple[int, int]
    | None
)

WRITES = (Put, Restore, Delete, Forget, Sweep, *reembedding.WRITES)
RECORDS = (Records, RecordsAt, Stats)
"""What engines of other packages may not know, see `Engine.keeps_records`."""


class Batch(NamedTuple):
    """Commands that take effect together: reads see the state before, then all writes happen or none.

    ``omit_expired``: whether an expired item is treated as gone before it is swept. ``generation``: of which generation
    of the store's vectors (`reembedding.Progress`) the vectors in the commands are. An engine that can re-embed refuses
    them with `IndexMismatchError` where the store has another one by now.
    """

    commands: tuple[Command, ...]
    omit_expired: bool = True
    generation: int = 0

    @property
    def writes(self) -> bool:
        """Whether any command changes the store."""
        # Writes stand behind the reads (see `operations.plan`), so the last command tells.
        return bool(self.commands) and isinstance(self.commands[-1], WRITES)


class Conflict(Exception):  # noqa: N818 - not an error of the caller: the store reads again and retries
    """The item of a conditional put is no longer the one that was read; nothing of the batch was written."""


class Held(Exception):  # noqa: N818 - as `Conflict`
    """No vectors can be written for a moment, since the store is about to switch to other ones; nothing was written."""

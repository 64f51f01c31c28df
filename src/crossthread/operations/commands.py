"""What an engine is asked to do: a closed set of commands, already checked, in forms that every database can hold.

Namespaces are text forms (see ``namespaces``), keys are escaped (see ``_text``), values are JSON text (see ``values``),
durations are minutes. What an engine answers to each command stands beside it.
"""

from __future__ import annotations

from typing import NamedTuple

from crossthread.filters.ast import Node
from crossthread.namespaces import Namespace, Pattern
from crossthread.search.vectors import Vectors

ABSENT = -1
"""As ``Put.expected``: the put is only done while there is no live item."""


class Row(NamedTuple):
    """An item as an engine returns it. Times are microseconds since 1970."""

    namespace: str
    key: str
    value: str
    created_at: int
    updated_at: int
    score: float | None = None


class Get(NamedTuple):
    """Read one item. Answer: `Row` or None."""

    namespace: str
    key: str
    refresh_ttl: bool


class Search(NamedTuple):
    """Find items below ``prefix``. Answer: list of `Row`.

    With a ``vector`` (unit length, shape (dims,)): items that have vectors, by their best cosine; those under
    ``min_score`` are left out. Without: newest first.
    """

    prefix: str
    where: Node | None
    limit: int
    offset: int
    refresh_ttl: bool
    vector: Vectors | None = None
    min_score: float | None = None


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


class Put(NamedTuple):
    """Write one item and replace all its vectors. Answer: `Row` of the item as written.

    ``vectors`` (n, dims) and ``hashes`` (n) belong to the item's texts, in order; None and () where nothing is indexed.
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


class Delete(NamedTuple):
    """Erase one item with all that belongs to it. Answer: None."""

    namespace: str
    key: str


class Forget(NamedTuple):
    """Erase every item below ``prefix``. Answer: how many live items that were (expired ones go too, uncounted)."""

    prefix: str


class Sweep(NamedTuple):
    """Erase every expired item. Answer: how many."""


Read = Get | Search | ListNamespaces | Count | KnownVectors
Write = Put | Delete | Forget | Sweep
Command = Read | Write
Answer = Row | list[Row] | list[Namespace] | dict[bytes, bytes] | int | None

WRITES = (Put, Delete, Forget, Sweep)


class Batch(NamedTuple):
    """Commands that take effect together: reads see the state before, then all writes happen or none.

    ``omit_expired``: whether an expired item is treated as gone before it is swept.
    """

    commands: tuple[Command, ...]
    omit_expired: bool = True

    @property
    def writes(self) -> bool:
        """Whether any command changes the store."""
        # Writes stand behind the reads (see `operations.plan`), so the last command tells.
        return bool(self.commands) and isinstance(self.commands[-1], WRITES)


class Conflict(Exception):  # noqa: N818 - not an error of the caller: the store reads again and retries
    """The item of a conditional put is no longer the one that was read; nothing of the batch was written."""

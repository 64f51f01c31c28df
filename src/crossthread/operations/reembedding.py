"""What an engine is asked to do to change the model of all its vectors; the commands of ``commands`` for that purpose.

A run has three phases, which a store remembers, so that whoever comes next can go on where a run ended: ``staging``,
while new vectors are kept beside the old ones, which serve; the switch, one commit, after which the new ones serve and
the `generation` of the store is another; ``settling``, while the old ones are dropped. Each of these commands stands
alone in its batch.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from crossthread.search.vectors import Vectors

Phase = Literal["none", "staging", "settling"]


class Progress(NamedTuple):
    """How far a store is with a change of its model."""

    generation: int
    """How often all vectors of the store were replaced by those of another model."""
    serves: str | None
    """The model of the vectors that serve, where it has a name."""
    phase: Phase
    run: int = 0
    """The number of the run that stages; 0 outside of that phase."""
    model: str | None = None
    """The model that it stages vectors of, where it has a name."""
    dims: int | None = None
    """The dimensions of staged vectors, once there are some."""
    last_run: int = 0
    """The number of the run that made the vectors that serve."""


class ReadProgress(NamedTuple):
    """Tell how far the store is. Answer: `Progress`."""


class CountTexts(NamedTuple):
    """Count the texts that have vectors, those of each item. Answer: (all, those with staged ones)."""


class IndexedItem(NamedTuple):
    """An item with texts; ``place`` is how its engine finds this very write of it again."""

    place: Any
    namespace: str
    key: str
    value: str
    hashes: tuple[bytes, ...]


class TextPage(NamedTuple):
    """Some items with texts, and where the next page begins; None where that was the last one."""

    items: list[IndexedItem]
    staged: dict[bytes, bytes]
    """The staged vectors of those of their texts that have one, in any item, as float32 bytes."""
    next: Any
    span: Any = None
    """From where to where the page goes, for `Stage`."""


class ReadTexts(NamedTuple):
    """Read items with texts, expired ones too, in the engine's order. Answer: `TextPage`.

    ``after`` is the ``next`` of another page, None for the first one. With ``unstaged`` only items are returned of
    which a text has no staged vector yet.
    """

    after: Any
    limit: int
    unstaged: bool


class Begin(NamedTuple):
    """Begin to stage vectors of a model. Answer: `Progress`, as it is then.

    Where a run is under way or a store is settling, nothing happens. ``run`` is the number of the new run, not 0.
    """

    run: int
    model: str | None


class StagedItem(NamedTuple):
    """New vectors of texts of an item, of all or some: shape (n, dims)."""

    place: Any
    namespace: str
    hashes: tuple[bytes, ...]
    vectors: Vectors


class Stage(NamedTuple):
    """Keep new vectors for a run. Answer: whether the run is still under way; nothing is kept otherwise.

    An item that was written anew or erased meanwhile is left out. ``complete``, the ``span`` of a page of unstaged
    ones, says that all of its texts have staged vectors now; None says nothing.
    """

    run: int
    items: tuple[StagedItem, ...]
    complete: Any = None


class Hold(NamedTuple):
    """Let nobody write vectors for so many seconds, or until the switch. Answer: whether the run is still under way.

    Whoever tries is refused with ``commands.Held``, and tries again. Everything else goes on.
    """

    run: int
    seconds: float


class Switch(NamedTuple):
    """Let the staged vectors be those of the store, if no text lacks one. Answer: whether that was done."""

    run: int


class Settle(NamedTuple):
    """Drop some of what is left of the former vectors; of an unfinished run with ``run``, all that it staged.

    Answer: whether there is more to drop.
    """

    run: int = 0


ReembeddingRead = ReadProgress | CountTexts | ReadTexts
ReembeddingWrite = Begin | Stage | Hold | Switch | Settle

READS = (ReadProgress, CountTexts, ReadTexts)
WRITES = (Begin, Stage, Hold, Switch, Settle)

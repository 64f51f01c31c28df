"""The row that holds for a whole file, as one transaction sees it. Reads it; the writing stands in ``writes``."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from crossthread.engines.base import VectorSpace
from crossthread.engines.sqlite import queries

STAGING, SETTLING = 1, 2  # the column ``phase``; 0 for neither


class Version(NamedTuple):
    """Which commit: how many rows were ever erased, and the latest write that is there. Every commit makes another.

    Another model of all vectors makes another ``generation``, which comes first.
    """

    generation: int
    erasures: int
    latest: int


class State(NamedTuple):
    """What holds for the whole file."""

    erasures: int
    """The number of the last row that was replaced or erased."""
    latest: int
    """The last ``updated_at`` of all items."""
    last_write: int
    """The last ``updated_at`` when something was erased: none is given out again."""
    indexed_items: int
    """Items up to this ``updated_at`` stand in the indexes of words and texts."""
    indexed_erasures: int
    """Rows erased up to this number are out of them."""
    language: str | None
    model: str | None
    dims: int | None
    generation: int
    """How often all vectors were replaced by those of another model."""
    phase: int
    """What is staged for another change of the model; see ``staging``."""
    held_until: int
    """Before this microsecond nobody writes vectors."""

    @property
    def version(self) -> Version:
        """What of the state a reader must have seen to know all items."""
        return Version(self.generation, self.erasures, self.latest)

    @property
    def is_settling(self) -> bool:
        """Whether vectors that serve may still stand among the staged ones."""
        return self.phase == SETTLING

    @property
    def space(self) -> VectorSpace:
        """What the vectors have in common."""
        return VectorSpace(self.model, self.dims, self.generation)


def read_state(connection: sqlite3.Connection) -> State:
    """Return the state that the transaction on a connection sees."""
    return State(*connection.execute(queries.STATE).fetchone())

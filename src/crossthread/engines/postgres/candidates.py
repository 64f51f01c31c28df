"""What the server found for a search by words, or by words and vectors, before it is ranked. Pure.

The server compares vectors in float32; whatever may be among the best by that is ranked again from the vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crossthread.search import keyword, scan
from crossthread.search.fusion import Sides

Place = tuple[str, str, str]


class Candidates:
    """Items with what is known of them; an item's number in ``places`` is its id.

    Args:
        terms: The terms of the query.
    """

    def __init__(self, terms: tuple[str, ...]) -> None:
        self.terms = terms
        self.places: list[Place] = []
        self.stamps: list[int] = []
        self.postings = keyword.Postings.of([], len(terms))
        self.corpus = keyword.Corpus(0, 0, (0,) * len(terms))
        self.words = keyword.scored(self.postings, self.corpus)
        self._ids: dict[Place, int] = {}
        self._cosines: dict[int, float] = {}  # as the server says

    def add(self, place: Place, stamp: int, distance: float | None) -> int:
        """Add an item, or what is new of it, and return its id."""
        id_ = self._ids.setdefault(place, len(self.places))
        if id_ == len(self.places):
            self.places.append(place)
            self.stamps.append(stamp)
        if distance is not None:
            self._cosines[id_] = max(-distance, self._cosines.get(id_, -1.0))  # of its best vector
        return id_

    def contenders(self, weight: float, wanted: int, dims: int) -> tuple[npt.NDArray[np.int64], float, bool]:
        """Return what hybrid search must rank exactly to know its first ``wanted`` hits.

        Returns:
            The ids; the score that a hit needs to be among them, as far as the server's numbers tell (-1.0 where any
            will do); and whether the last of them has no words, so that it is there for its vector alone.
        """
        ids = np.arange(len(self.places))
        cosines, scores, sides = self._sides()
        fused = sides.fuse(cosines, scores, weight)
        margin = self._margin(sides, weight, dims)
        chosen = [scan.contenders(fused, wanted, margin)]
        if self._cosines:
            chosen.append(np.flatnonzero(cosines >= cosines.max() - scan.rounding(dims)))
        if len(self.words.ids):
            chosen.append(self.words.ids[[int(self.words.scores.argmax())]])
        if len(ids) < wanted:
            return np.unique(np.concatenate(chosen)), -1.0, False
        last = int(np.lexsort((-np.array(self.stamps), -fused))[wanted - 1])
        return np.unique(np.concatenate(chosen)), float(fused[last]), not scores[last]

    def cannot_be_reached(self, farthest: float, least: float, is_tie: bool, weight: float, dims: int) -> bool:
        """Whether no item beyond the server's nearest can be among the hits.

        Args:
            farthest: The distance of the last of the nearest.
            least: The score that a hit needs.
            is_tie: Whether the last hit is there for its vector alone: of equal distances the server returns the latest
                writes, which come first here too.
            weight: Of the semantic side.
            dims: Dimensions of the vectors.
        """
        _, _, sides = self._sides()
        bound = float(sides.fuse(-farthest, 0.0, weight))
        # Without a weight, equal scores say nothing about distances.
        return bound + self._margin(sides, weight, dims) < least or (is_tie and weight > 0 and bound == least)

    def _sides(self) -> tuple[Any, Any, Sides]:
        cosines = np.full(len(self.places), -1.0)
        if self._cosines:
            cosines[list(self._cosines)] = list(self._cosines.values())
        scores = np.zeros(len(self.places))
        scores[self.words.ids] = self.words.scores
        most = float(self.words.scores.max()) if len(self.words.ids) else None
        return cosines, scores, Sides(max(self._cosines.values(), default=None), most)

    @staticmethod
    def _margin(sides: Sides, weight: float, dims: int) -> float:
        most = sides.semantic if sides.semantic is not None else 1.0
        return 2 * scan.rounding(dims) * weight / max(most + 1.0, 1e-9)

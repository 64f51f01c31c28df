"""Hybrid search: one score from two, and the best items by it. Pure; every engine ranks with it.

A convex combination of normalised scores: ``weight * semantic + (1 - weight) * keyword``. Each side is measured from
its least possible value (-1 for a cosine, 0 for BM25) and divided by the best of the scope. That keeps how far apart
scores are, which reciprocal ranks forget, and does not depend on the page that is asked for. Source: Bruch, Gai and
Ingber, An Analysis of Fusion Functions for Hybrid Retrieval (2023), "theoretical min-max".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from crossthread.search import scan
from crossthread.search.keyword import Integers, Scored
from crossthread.search.scan import Block, Hit
from crossthread.search.vectors import Vectors


class Sides(NamedTuple):
    """The best score of each side in a scope, which the others are divided by; None where a side finds nothing."""

    semantic: float | None
    keyword: float | None

    def fuse(self, semantic: Any, keyword: Any, weight: float) -> Any:
        """Return fused scores in [0, 1].

        Args:
            semantic: Cosines; -1 where an item has no vector.
            keyword: BM25 scores; 0 where no term occurs.
            weight: Of the semantic side, in [0, 1].
        """
        left: Any = np.zeros(np.shape(semantic))
        right: Any = left
        if self.semantic is not None and self.semantic > -1.0:
            left = (np.asarray(semantic) + 1.0) / (self.semantic + 1.0)
        if self.keyword:
            right = np.asarray(keyword) / self.keyword
        return np.clip(weight * left + (1.0 - weight) * right, 0.0, 1.0)


def best(
    blocks: Callable[[], Iterable[tuple[Block, Integers | None]]],
    query: Vectors,
    words: Scored,
    weight: float,
    count: int,
    *,
    min_score: float | None = None,
) -> list[Hit]:
    """Return the ``count`` best items in rank order.

    Args:
        blocks: Yields the items that have vectors, in parts, each with the ids allowed (None: all); called twice.
        query: One unit vector, shape (dims,).
        words: The items in which terms occur, of those allowed; also such as have no vectors.
        weight: Of the semantic side.
        count: How many at the most.
        min_score: Only items with at least this score, where given.
    """
    nearest = [hit for block, allowed in blocks() for hit in scan.best(block, query, 1, allowed=allowed)]
    sides = Sides(
        max((hit.score for hit in nearest), default=None), float(words.scores.max()) if len(words.ids) else None
    )
    hits: list[Hit] = []
    with_vectors = [words.ids[:0]]
    for block, allowed in blocks():
        hits += _best_of(block, query, words, sides, weight, count, allowed)
        with_vectors.append(block.ids)
    without = words.only(np.setdiff1d(words.ids, np.concatenate(with_vectors)))
    fused = sides.fuse(np.full(len(without.ids), -1.0), without.scores, weight)
    hits += _ranked(without.ids, without.stamps, fused, None, without.scores, count)
    return [hit for hit in scan.rank(hits)[:count] if min_score is None or hit.score >= min_score]


def _best_of(
    block: Block, query: Vectors, words: Scored, sides: Sides, weight: float, count: int, allowed: Integers | None
) -> list[Hit]:
    """Return the best items of one block in rank order."""
    places = np.arange(len(block.ids))
    if allowed is not None:
        places = np.flatnonzero(np.isin(block.ids, allowed))
    elif block.hidden is not None:
        places = np.delete(places, block.hidden)
    if not len(places) or count <= 0:
        return []
    keyword = _scores_of(words, block.ids[places])
    approximate = sides.fuse(scan.approximate_scores(block, query, places).astype(np.float64), keyword, weight)
    most = sides.semantic if sides.semantic is not None else 1.0
    margin = scan.rounding(len(query)) * weight / max(most + 1.0, 1e-9)
    chosen = scan.contenders(approximate, count, margin)
    semantic = scan.exact_scores(block, query, places[chosen])
    fused = sides.fuse(semantic, keyword[chosen], weight)
    return _ranked(block.ids[places[chosen]], block.stamps[places[chosen]], fused, semantic, keyword[chosen], count)


def _scores_of(words: Scored, ids: Integers) -> Any:
    """Return the keyword score of each id, 0 where no term occurs."""
    if not len(words.ids):
        return np.zeros(len(ids))
    order = np.argsort(words.ids)
    at = np.minimum(np.searchsorted(words.ids, ids, sorter=order), len(order) - 1)
    return np.where(words.ids[order[at]] == ids, words.scores[order[at]], 0.0)


def _ranked(ids: Integers, stamps: Integers, fused: Any, semantic: Any, keyword: Any, count: int) -> list[Hit]:
    order = np.lexsort((-stamps, -fused))[:count]
    cosines = [None] * len(order) if semantic is None else semantic[order].tolist()
    columns = (ids[order].tolist(), fused[order].tolist(), stamps[order].tolist(), cosines, keyword[order].tolist())
    return [Hit(*row) for row in zip(*columns, strict=True)]

"""Exact search over vectors in memory: the best items of a block, in rank order. Pure; every engine ranks with it.

Two passes. The first is one float32 matrix product, which runs at the speed of memory but rounds differently from row
to row. The second scores the few rows that can still be among the best again in float64, one row like the other, so
that equal vectors score exactly equal wherever they stand.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crossthread.search.vectors import Vectors, from_bytes

_SAME = 5e-7  # how far a float32 unit vector's product with itself may be from 1
_LEAST = float(np.finfo(np.float32).min)  # of what is not minus infinity
_FEW = 100  # items that Python sorts faster than numpy
_CHUNK = 4096  # rows rescored at a time: 4096 x 1536 float64 are 50 MB


class Block(NamedTuple):
    """The vectors of some items, packed for scanning.

    ``ids`` (m,) int64 and ``stamps`` (m,) int64 (``updated_at``) describe the items. ``matrix``
    (n, dims) holds their vectors, item after item; those of item ``i`` start at row ``starts[i]``. ``starts`` is None
    where every item has exactly one. ``hidden`` are positions of items that are not to be found; None: all are.
    """

    ids: npt.NDArray[np.int64]
    stamps: npt.NDArray[np.int64]
    matrix: Vectors
    starts: npt.NDArray[np.int64] | None
    hidden: npt.NDArray[np.intp] | None = None

    def without(self, ids: npt.NDArray[np.int64]) -> Block:
        """Return the block with these items hidden, too."""
        places = np.flatnonzero(np.isin(self.ids, ids))
        if self.hidden is not None:
            places = np.union1d(self.hidden, places)
        return self._replace(hidden=places if len(places) else None)


EMPTY = Block(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 1), np.float32), None)


class Hit(NamedTuple):
    """An item found: its id, its score and its stamp; sorted by `rank`.

    ``semantic`` (a cosine) and ``keyword`` (BM25) are the parts of the score, where the search has them.
    """

    id: int
    score: float
    stamp: int
    semantic: float | None = None
    keyword: float | None = None


def pack(ids: list[int], stamps: list[int], vectors: list[bytes], dims: int) -> Block:
    """Return the block of items whose vectors are given as bytes, a blob an item."""
    row_bytes = 4 * dims
    matrix = from_bytes(b"".join(vectors)).reshape(-1, dims)
    starts = None
    if matrix.shape[0] != len(ids):
        counts = np.fromiter((len(blob) // row_bytes for blob in vectors), dtype=np.int64, count=len(vectors))
        starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    return Block(np.array(ids, dtype=np.int64), np.array(stamps, dtype=np.int64), matrix, starts)


def best(
    block: Block,
    query: Vectors,
    count: int,
    *,
    allowed: npt.NDArray[np.int64] | None = None,
    min_score: float | None = None,
) -> list[Hit]:
    """Return the ``count`` best items of a block in rank order.

    Args:
        block: The items to search.
        query: One unit vector, shape (dims,).
        count: How many at the most.
        allowed: Only these ids, where given.
        min_score: Only items with at least this score, where given.
    """
    if not len(block.ids) or count <= 0:
        return []
    margin = rounding(block.matrix.shape[1])
    if allowed is None:
        candidates = contenders(visible(approximate_scores(block, query), block), count, margin)
    else:
        positions = np.flatnonzero(np.isin(block.ids, allowed))
        candidates = positions[contenders(approximate_scores(block, query, positions), count, margin)]
    hits = ranked(block.ids[candidates], block.stamps[candidates], exact_scores(block, query, candidates), count)
    return hits if min_score is None else [hit for hit in hits if hit.score >= min_score]


def ranked(
    ids: npt.NDArray[np.int64], stamps: npt.NDArray[np.int64], scores: npt.NDArray[np.float64], count: int
) -> list[Hit]:
    """Return the ``count`` best of some items in rank order, their scores being cosines."""
    if len(ids) > _FEW:
        order = np.lexsort((-stamps, -scores))[:count]
        ids, stamps, scores = ids[order], stamps[order], scores[order]
    found = zip(scores.tolist(), stamps.tolist(), ids.tolist(), strict=True)
    return [Hit(id_, score, stamp, score) for score, stamp, id_ in sorted(found, reverse=True)[:count]]


def rank(hits: list[Hit]) -> list[Hit]:
    """Return hits in rank order: the highest score first, of equal scores the later write first."""
    return sorted(hits, key=lambda hit: (-hit.score, -hit.stamp))


def rounding(dims: int) -> float:
    """Twice the most that a float32 dot product of two unit vectors can be off.

    Source: the bound ``n * u`` of Higham, Accuracy and Stability of Numerical Algorithms (2002), section 3.1.
    """
    return 2 * dims * 2.0**-24


def approximate_scores(block: Block, query: Vectors, items: npt.NDArray[np.intp] | None = None) -> Vectors:
    """Return the cosine of every item, or of these, with the query, off by half of `rounding` at the most."""
    found: Vectors
    # Rows far apart take several times as long to read as their neighbours do.
    if items is not None and block.starts is None and len(items) < len(block.ids) / 4:
        found = block.matrix[items] @ query
        return found
    found = block.matrix @ query
    if block.starts is not None:
        found = np.maximum.reduceat(found, block.starts)
    return found if items is None else found[items]


def visible(scores: npt.NDArray[Any], block: Block) -> npt.NDArray[Any]:
    """Return the scores of all items of a block, those of hidden ones below any other."""
    if block.hidden is not None:
        scores[block.hidden] = -np.inf
    return scores


def contenders(approximate: npt.NDArray[np.floating[Any]], count: int, margin: float) -> npt.NDArray[np.intp]:
    """Return the positions whose exact score may be among the ``count`` best; those of minus infinity never are."""
    if count >= len(approximate):
        return np.flatnonzero(approximate > -np.inf)
    threshold = np.partition(approximate, len(approximate) - count)[len(approximate) - count]
    return np.flatnonzero(approximate >= max(threshold - margin, _LEAST))


def exact_scores(block: Block, query: Vectors, items: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Return the float64 cosine of each of these items with the query: the best of each item's vectors."""
    wide = query.astype(np.float64)
    if block.starts is None:
        return _dots(block.matrix, items, wide)
    ends = np.append(block.starts[1:], len(block.matrix))
    first, last = block.starts[items], ends[items]
    rows = np.concatenate([np.arange(a, b) for a, b in zip(first.tolist(), last.tolist(), strict=True)] or [items])
    scores = _dots(block.matrix, rows, wide)
    offsets = np.concatenate(([0], np.cumsum(last - first)[:-1])) if len(items) else items
    return np.maximum.reduceat(scores, offsets) if len(items) else scores


def _dots(matrix: Vectors, rows: npt.NDArray[np.intp], query: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the dot product of each row with the query, each summed in the same order."""
    # A product and a sum along the row, not a matrix product: BLAS sums rows differently by their position.
    parts = [(matrix[rows[start : start + _CHUNK]] * query).sum(axis=1) for start in range(0, len(rows), _CHUNK)]
    scores: npt.NDArray[np.float64] = parts[0] if len(parts) == 1 else np.concatenate([np.empty(0), *parts])
    # The same direction scores exactly 1, although float32 rounded the two vectors; adding 0.0 turns -0.0 into 0.0.
    same = np.abs(scores) > 1.0 - _SAME
    if same.any():
        scores[same] = np.sign(scores[same])
    return scores + 0.0

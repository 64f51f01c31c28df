"""Vectors as the store keeps them: unit length, float32, one row each. Pure; touches no database.

An embedding is only ever compared by its direction (cosine similarity), so it is stored divided by its length: the
cosine of two stored vectors is their dot product.
"""

from __future__ import annotations

import math
from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from crossthread.errors import EmbeddingError

Vectors = npt.NDArray[np.float32]
"""Shape (n, dims), float32: one unit vector (or zero vector) a row."""


_STORED = np.dtype("<f4")  # little-endian on every machine, so that a file can move between them


def to_bytes(vectors: Vectors) -> bytes:
    """Return the bytes that engines keep for vectors, row after row."""
    return vectors.astype(_STORED, copy=False).tobytes()


def from_bytes(blob: bytes) -> Vectors:
    """Return the numbers in the bytes of `to_bytes`, in one dimension."""
    return np.frombuffer(blob, dtype=_STORED).astype(np.float32, copy=False)


def unit_vectors(raw: Any, expected: int, dims: int | None, first: int = 0) -> Vectors:
    """Return what an embedder answered as unit vectors.

    Args:
        raw: A list of vectors or a two-dimensional array.
        expected: How many texts were embedded.
        dims: The dimensions they must have, or None where that is not known yet.
        first: The number of the first of them, for messages.

    Returns:
        Shape (expected, dims). A zero vector stays zero: it is similar to nothing, its score is 0.0.

    Raises:
        EmbeddingError: Wrong number of vectors, wrong dimensions, or numbers that are not finite.
    """
    rows = _rows(raw)
    if len(rows) != expected:
        raise EmbeddingError(f"The embedder returned {len(rows)} vectors for {expected} texts.")
    if not rows:
        return np.empty((0, dims or 0), dtype=np.float32)
    wanted = dims if dims is not None else rows[0].size
    for row in rows:
        if row.ndim != 1 or row.size != wanted or not wanted:
            got = f"{row.size} dimensions" if row.ndim == 1 else f"shape {row.shape}"
            raise EmbeddingError(
                f"The embedder returned a vector of {got} where {wanted or 'at least 1'} were expected."
            )
    if len(rows) == 1:
        return _units([rows[0].astype(np.float64, copy=False)], first).astype(np.float32)
    matrix = np.empty((len(rows), wanted), dtype=np.float32)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = [row.astype(np.float64, copy=False) for row in rows[start : start + _ROWS_AT_ONCE]]
        matrix[start : start + len(part)] = _units(part, first + start)
    return matrix


def _units(wide: list[npt.NDArray[np.float64]], first: int) -> npt.NDArray[np.float64]:
    """Return rows divided by their lengths; ``first`` is the number of the first one.

    Each length is computed by itself and always in the same way, so that equal embeddings give equal vectors whether
    they come alone or with others.
    """
    with np.errstate(over="ignore"):  # taken care of below
        squares = [float(row.dot(row)) for row in wide]
    if all(_SAFE < square < math.inf for square in squares):  # which also finds what is no number
        if len(wide) == 1:
            return (wide[0] / math.sqrt(squares[0])).reshape(1, -1)
        found: npt.NDArray[np.float64] = np.stack(wide) / np.sqrt(squares)[:, np.newaxis]
        return found
    return np.stack([_unit(row, first + number) for number, row in enumerate(wide)])


def _unit(wide: npt.NDArray[np.float64], position: int) -> npt.NDArray[np.float64]:
    """Return one vector divided by its length, also if it has none, or one whose square leaves float64."""
    if not np.isfinite(wide).all():
        at = int(np.flatnonzero(~np.isfinite(wide))[0])
        raise EmbeddingError(
            f"The embedder returned {wide[at]} at position {at} of vector {position}; numbers must be finite."
        )
    largest = np.abs(wide).max()
    if largest == 0:
        return wide
    with np.errstate(over="ignore"):
        square = float(wide.dot(wide))
    if not _SAFE < square < math.inf:
        wide = wide / largest  # brings the squares back
        square = float(wide.dot(wide))
    return wide / math.sqrt(square)


_ROWS_AT_ONCE = 4096  # 4096 x 1536 float64 are 50 MB
_SAFE = 1e-200  # squares below lose digits, or were zero


def _row(row: Any) -> npt.NDArray[Any]:
    if isinstance(row, list):
        return np.frombuffer(array("d", row))  # a third of the time that numpy takes for a list of floats
    return row if isinstance(row, np.ndarray) else np.array(row, dtype=np.float64)


def _rows(raw: Any) -> list[npt.NDArray[Any]]:
    try:
        rows = [_row(row) for row in raw]
    except (TypeError, ValueError, OverflowError) as error:
        raise EmbeddingError(f"The embedder returned something that is not a list of vectors: {error}") from error
    for row in rows:
        if row.dtype.kind not in "fiu":
            raise EmbeddingError(f"The embedder returned a vector of {row.dtype}, not of real numbers.")
    return rows

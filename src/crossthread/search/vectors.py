"""Vectors as the store keeps them: unit length, float32, one row each. Pure; touches no database.

An embedding is only ever compared by its direction (cosine similarity), so it is stored divided by its length: the
cosine of two stored vectors is their dot product.
"""

from __future__ import annotations

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


def unit_vectors(raw: Any, expected: int, dims: int | None) -> Vectors:
    """Return what an embedder answered as unit vectors.

    Args:
        raw: A list of vectors or a two-dimensional array.
        expected: How many texts were embedded.
        dims: The dimensions they must have, or None where that is not known yet.

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
    matrix = rows[0].astype(np.float64).reshape(1, -1) if len(rows) == 1 else np.array(rows, dtype=np.float64)
    squares = np.einsum("ij,ij->i", matrix, matrix)
    if not (np.isfinite(squares).all() and squares.min() > _SAFE):
        return _unusual(matrix)
    return (matrix / np.sqrt(squares)[:, np.newaxis]).astype(np.float32)


_SAFE = 1e-200  # squares below lose digits, or were zero


def _unusual(matrix: npt.NDArray[np.float64]) -> Vectors:
    """Return unit vectors where some row is zero, or so short or long that its squares leave float64."""
    if not np.isfinite(matrix).all():
        text, position = np.argwhere(~np.isfinite(matrix))[0]
        raise EmbeddingError(
            f"The embedder returned {matrix[text, position]} at position {position} of vector {text}; "
            "numbers must be finite."
        )
    largest = np.abs(matrix).max(axis=1, keepdims=True)
    matrix = matrix / np.where(largest > 0, largest, 1.0)
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    return (matrix / np.where(length > 0, length, 1.0)).astype(np.float32)


def _row(row: Any) -> npt.NDArray[Any]:
    if isinstance(row, list):
        try:
            return np.frombuffer(array("d", row))  # a third of the time that numpy takes for a list of floats
        except TypeError:
            pass
    return row if isinstance(row, np.ndarray) else np.array(row, dtype=np.float64)


def _rows(raw: Any) -> list[npt.NDArray[Any]]:
    try:
        rows = [_row(row) for row in raw]
    except (TypeError, ValueError) as error:
        raise EmbeddingError(f"The embedder returned something that is not a list of vectors: {error}") from error
    for row in rows:
        if row.dtype.kind not in "fiu":
            raise EmbeddingError(f"The embedder returned a vector of {row.dtype}, not of real numbers.")
    return rows

"""Vectors as the store keeps them: unit length, float32, one row each. Pure; touches no database.

An embedding is only ever compared by its direction (cosine similarity), so it is stored divided by its length: the
cosine of two stored vectors is their dot product.
"""

from __future__ import annotations

import math
import struct
from array import array
from contextlib import suppress
from functools import lru_cache
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
    rows = raw if isinstance(raw, (list, np.ndarray)) else _listed(raw)
    if len(rows) != expected:
        raise EmbeddingError(f"The embedder returned {len(rows)} vectors for {expected} texts.")
    if not expected:
        return np.empty((0, dims or 0), dtype=np.float32)
    parts = []
    for start in range(0, expected, _ROWS_AT_ONCE):
        part = _units(_matrix(rows[start : start + _ROWS_AT_ONCE], dims), first + start)
        dims = part.shape[1]
        parts.append(part)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _units(wide: npt.NDArray[np.float64], first: int) -> Vectors:
    """Return rows divided by their lengths; ``first`` is the number of the first one.

    Each length is computed by itself and always in the same way, so that equal embeddings give equal vectors whether
    they come alone or with others.
    """
    found: Vectors
    if len(wide) == 1:  # by the same routine as many, without what these need
        square = float(np.vdot(wide, wide))
        if _SAFE < square < math.inf:  # which also finds what is no number
            found = (wide / math.sqrt(square)).astype(np.float32)
            return found
    with np.errstate(over="ignore"):  # taken care of below
        squares = np.vecdot(wide, wide)
        if squares.min() > _SAFE and squares.max() < math.inf:
            found = (wide / np.sqrt(squares)[:, np.newaxis]).astype(np.float32)
            return found
        return np.stack([_unit(row, first + number) for number, row in enumerate(wide)]).astype(np.float32)


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
    square = float(wide.dot(wide))
    if not _SAFE < square < math.inf:
        wide = wide / largest  # brings the squares back
        square = float(wide.dot(wide))
    return wide / math.sqrt(square)


_ROWS_AT_ONCE = 4096  # 4096 x 1536 float64 are 50 MB
_SAFE = 1e-200  # squares below lose digits, or were zero


def _matrix(rows: Any, dims: int | None) -> npt.NDArray[np.float64]:
    """Return rows of numbers as one array; at least one row.

    Raises:
        EmbeddingError: They are no rows of numbers, or not of these dimensions, or not all of the same.
    """
    size = len(rows[0]) if hasattr(rows[0], "__len__") else 0
    if size and size == (dims or size):
        if isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.dtype.kind in "fiu":
            return rows.astype(np.float64)
        if isinstance(rows, list) and all(type(row) is list and len(row) == size for row in rows):
            pack = _doubles(size).pack  # numpy takes three times as long for a list of floats
            with suppress(struct.error):  # which is looked into below
                return np.frombuffer(b"".join([pack(*row) for row in rows])).reshape(-1, size)
    return np.stack(_checked([_row(row) for row in rows], dims))


def _checked(rows: list[npt.NDArray[Any]], dims: int | None) -> list[npt.NDArray[np.float64]]:
    wanted = dims if dims is not None else rows[0].size
    for row in rows:
        if row.dtype.kind not in "fiu":
            raise EmbeddingError(f"The embedder returned a vector of {row.dtype}, not of real numbers.")
        if row.ndim != 1 or row.size != wanted or not wanted:
            got = f"{row.size} dimensions" if row.ndim == 1 else f"shape {row.shape}"
            raise EmbeddingError(
                f"The embedder returned a vector of {got} where {wanted or 'at least 1'} were expected."
            )
    return [row.astype(np.float64, copy=False) for row in rows]


def _row(row: Any) -> npt.NDArray[Any]:
    try:
        if isinstance(row, list):
            return np.frombuffer(array("d", row))
        return row if isinstance(row, np.ndarray) else np.array(row, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise _no_vectors(error) from error


def _listed(raw: Any) -> list[Any]:
    try:
        return list(raw)
    except (TypeError, ValueError) as error:
        raise _no_vectors(error) from error


def _no_vectors(error: Exception) -> EmbeddingError:
    return EmbeddingError(f"The embedder returned something that is not a list of vectors: {error}")


@lru_cache(maxsize=16)
def _doubles(count: int) -> struct.Struct:
    return struct.Struct(f"{count}d")

"""Chooses among very many vectors by the signs of their numbers, a bit each, in two passes. Pure.

Two vectors whose angle is small have few numbers of different sign; counting them takes a 32nd of the memory of the
vectors, and of the time to read it. The best by that are compared again, the query's numbers with their signs, which
tells large numbers from small ones on one side at least. What is chosen so is scored by its vectors (``search.scan``).
Sources: Charikar, Similarity Estimation Techniques from Rounding Algorithms (2002); Gordo, Perronnin, Gong and
Lazebnik, Asymmetric Distances for Binary Embeddings (2014).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crossthread.search.vectors import Vectors

Words = npt.NDArray[np.uint64]

_WORD_BITS = 64
_AT_ONCE = 16_384  # vectors whose words fit into the first cache of a core
_SUMMED = 3  # so many words have less than 256 bits
# The bits of each byte, in the order of np.packbits: (256, 8).
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8).reshape(-1, 1), axis=1).astype(np.float32)


class Signs(NamedTuple):
    """The signs of some vectors.

    ``ids`` (n,) int64 says whose vector it is; an item may have several. ``columns`` are arrays (n,) of 64 signs each.
    ``hidden`` are positions that are not to be found; None: all are.
    """

    ids: npt.NDArray[np.int64]
    columns: tuple[Words, ...]
    hidden: npt.NDArray[np.intp] | None = None

    def without(self, ids: npt.NDArray[np.int64]) -> Signs:
        """Return them with the vectors of these items hidden, too."""
        places = np.flatnonzero(np.isin(self.ids, ids))
        if self.hidden is not None:
            places = np.union1d(self.hidden, places)
        return self._replace(hidden=places if len(places) else None)


def signs_of(vectors: Vectors) -> list[Words]:
    """Return the columns of vectors, shape (n, dims): bits that say which numbers are above 0, 64 a word."""
    bits = np.packbits(vectors > 0, axis=1)
    lacking = -bits.shape[1] % (_WORD_BITS // 8)
    words = np.ascontiguousarray(np.pad(bits, ((0, 0), (0, lacking)))).view(np.uint64)
    return [np.ascontiguousarray(words[:, n]) for n in range(words.shape[1])]


def columns_for(dims: int) -> int:
    """Return how many columns the signs of vectors take."""
    return -(-dims // _WORD_BITS)


def most_alike(
    signs: Signs,
    query: Vectors,
    first: int,
    count: int,
    allowed: npt.NDArray[np.int64] | None = None,
    *,
    items: int = 1,
) -> npt.NDArray[np.int64]:
    """Return the ids of the items whose signs are most like a query's; of equal ones the highest ids.

    Args:
        signs: Of the vectors to choose from.
        query: One vector, shape (dims,).
        first: How many vectors the first pass leaves to the second.
        count: How many vectors the second pass leaves, which may be of fewer items.
        allowed: Only these ids, where given.
        items: So many items at the least, where there are as many, however many vectors that takes.
    """
    visible = _visible(signs, allowed)
    differing = _differing(signs, query)
    if visible is not None:
        differing = differing[visible]
    while True:
        places = _least(differing, visible, signs.ids, first)
        if len(places) > count:
            places = _least(-_products(signs, query, places), places, signs.ids, count)
        chosen = np.unique(signs.ids[places])
        if len(chosen) >= items or len(places) == len(differing):
            return chosen
        first, count = 4 * first, 4 * count


def _visible(signs: Signs, allowed: npt.NDArray[np.int64] | None) -> npt.NDArray[np.intp] | None:
    """Return the positions of the vectors that may be found; None: all."""
    if allowed is not None:
        return np.flatnonzero(np.isin(signs.ids, allowed))
    if signs.hidden is not None:
        return np.delete(np.arange(len(signs.ids)), signs.hidden)
    return None


def _least(
    values: npt.NDArray[Any], places: npt.NDArray[np.intp] | None, ids: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.intp]:
    """Return the places of the ``count`` least values; of equal ones those with the highest ids."""
    if count >= len(values):
        return np.arange(len(values)) if places is None else places
    most = np.partition(values, count - 1)[count - 1]
    chosen = np.flatnonzero(values < most)
    tied = np.flatnonzero(values == most)
    if places is not None:
        chosen, tied = places[chosen], places[tied]
    lacking = count - len(chosen)
    return np.concatenate((chosen, tied[np.argsort(ids[tied])[-lacking:]]))


def _products(signs: Signs, query: Vectors, places: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """Return the products of a query with the signs at some places: the sum of its numbers where a sign is above 0.

    (The sum over the other signs differs from it by the sum of all numbers, and changes no order.)
    """
    parts = np.zeros(len(signs.columns) * _WORD_BITS, dtype=np.float32)
    parts[: query.size] = query
    # What each value of a byte adds, for each byte of a vector's signs: (bytes, 256).
    tables = parts.reshape(-1, 8) @ _BITS.T
    found = np.zeros(len(places), dtype=np.float32)
    for n, column in enumerate(signs.columns):
        octets = column[places].view(np.uint8).reshape(-1, 8)
        for place in range(8):
            found += tables[8 * n + place].take(octets[:, place])
    return found


def _differing(signs: Signs, query: Vectors) -> npt.NDArray[np.uint16]:
    """Return how many signs of each vector differ from the query's."""
    asked = [int(column[0]) for column in signs_of(query.reshape(1, -1))]
    total = len(signs.ids)
    found = np.empty(total, dtype=np.uint16)
    different, bits, some = (np.empty(_AT_ONCE, dtype=kind) for kind in (np.uint64, np.uint8, np.uint8))
    for start in range(0, total, _AT_ONCE):
        end = min(start + _AT_ONCE, total)
        part = found[start:end]
        part[:] = 0
        size = end - start
        for first in range(0, len(asked), _SUMMED):
            some[:size] = 0
            for n in range(first, min(first + _SUMMED, len(asked))):
                np.bitwise_xor(signs.columns[n][start:end], np.uint64(asked[n]), out=different[:size])
                np.bitwise_count(different[:size], out=bits[:size])
                np.add(some[:size], bits[:size], out=some[:size])
            np.add(part, some[:size], out=part)
    return found

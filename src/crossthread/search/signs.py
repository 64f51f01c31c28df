"""A first pass over very many vectors: the signs of their numbers, a bit each, compared by counting. Pure.

Two vectors whose angle is small have few numbers of different sign. A bit a dimension takes a 32nd of the memory of the
vectors, and of the time to read it. What is chosen so is scored again by its vectors (``search.scan``). Source:
Charikar, Similarity Estimation Techniques from Rounding Algorithms (2002).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crossthread.search.vectors import Vectors

Words = npt.NDArray[np.uint64]

_WORD_BITS = 64
_AT_ONCE = 16_384  # vectors whose words fit into the first cache of a core
_SUMMED = 3  # so many words have less than 256 bits
_NEVER = np.iinfo(np.uint16).max


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
    signs: Signs, query: Vectors, count: int, allowed: npt.NDArray[np.int64] | None = None, *, items: int = 1
) -> npt.NDArray[np.int64]:
    """Return the ids of the items whose signs are most like a query's; of equal ones the highest ids.

    Args:
        signs: Of the vectors to choose from.
        query: One vector, shape (dims,).
        count: How many vectors, which may be of fewer items.
        allowed: Only these ids, where given.
        items: So many items at the least, where there are as many, however many vectors that takes.
    """
    differing = _differing(signs, query)
    ids = signs.ids
    if allowed is not None:
        places = np.flatnonzero(np.isin(ids, allowed))
        differing, ids = differing[places], ids[places]
    elif signs.hidden is not None:
        differing[signs.hidden] = _NEVER
    while count < len(differing):
        most = np.partition(differing, count - 1)[count - 1]
        if most == _NEVER:
            break
        nearer = ids[differing < most]
        tied = np.sort(ids[differing == most])
        chosen = np.unique(np.concatenate((nearer, tied[len(nearer) - count :])))
        if len(chosen) >= items:
            return chosen
        count *= 4
    return np.unique(ids[differing < _NEVER])


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

"""Relevance by words: BM25 over the items of a search's scope. Pure; every engine scores with it.

Source: Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009), with the idf that Lucene
uses, which is never negative, ``ln(1 + (N - n + 0.5) / (n + 0.5))``, and the parameters that Anserini uses for short
texts (Yang, Fang and Lin, Anserini: Reproducible Ranking Baselines Using Lucene, 2018). N, n and the average length are
those of the items below the searched prefix, whatever the filter: a user's scores depend on that user's memories only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crossthread.search.scan import Hit

K1 = 0.9
B = 0.4

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Postings(NamedTuple):
    """The items of a scope in which a query's terms occur, m items and t terms.

    ``ids``, ``stamps`` (``updated_at``) and ``lengths`` (words of the item) have shape (m,), ``counts`` (m, t): how
    often each term occurs.
    """

    ids: Integers
    stamps: Integers
    lengths: Integers
    counts: Integers

    @classmethod
    def of(cls, found: list[tuple[int, int, int, list[int]]], terms: int) -> Postings:
        """Return postings for rows of id, stamp, length and a count for each term."""
        ids, stamps, lengths, counts = zip(*found, strict=True) if found else ((), (), (), ())
        return cls(
            np.array(ids, dtype=np.int64),
            np.array(stamps, dtype=np.int64),
            np.array(lengths, dtype=np.int64),
            np.array(counts, dtype=np.int64).reshape(len(found), terms),
        )


class Corpus(NamedTuple):
    """The items that a scope holds: how many have words, how many words they have, and how many have each term."""

    items: int
    words: int
    holding: tuple[int, ...]


class Scored(NamedTuple):
    """Items with a score each, shape (m,) all."""

    ids: Integers
    stamps: Integers
    scores: Floats

    def only(self, allowed: Integers | None) -> Scored:
        """Return those of these ids; all for None."""
        if allowed is None:
            return self
        kept = np.isin(self.ids, allowed)
        return Scored(self.ids[kept], self.stamps[kept], self.scores[kept])


def most(corpus: Corpus) -> Floats:
    """Return what each term can add to a score at the most, shape (t,): its idf, ``K1 + 1`` times."""
    return _idf(corpus) * (K1 + 1)


def _idf(corpus: Corpus) -> Floats:
    holding = np.array(corpus.holding, dtype=np.float64)
    found: Floats = np.log1p((corpus.items - holding + 0.5) / (holding + 0.5))
    return found


def contributions(postings: Postings, corpus: Corpus) -> Floats:
    """Return what each term adds to the score of each item, shape (m, t)."""
    average = corpus.words / corpus.items if corpus.words else 1.0
    norm = K1 * (1 - B + B * postings.lengths / average)
    counts = postings.counts.astype(np.float64)
    found: Floats = _idf(corpus) * counts * (K1 + 1) / (counts + norm[:, np.newaxis])
    return found


def scored(postings: Postings, corpus: Corpus, allowed: Integers | None = None) -> Scored:
    """Return the items with their scores, above 0; only those of the ids allowed, where given."""
    return Scored(postings.ids, postings.stamps, contributions(postings, corpus).sum(axis=1)).only(allowed)


def best(found: Scored, count: int, *, min_score: float | None = None) -> list[Hit]:
    """Return the ``count`` best items in rank order, of those with at least ``min_score``."""
    order = np.lexsort((-found.stamps, -found.scores))[: max(count, 0)]
    hits = [
        Hit(id_, score, stamp, keyword=score)
        for id_, score, stamp in zip(
            found.ids[order].tolist(), found.scores[order].tolist(), found.stamps[order].tolist(), strict=True
        )
    ]
    return hits if min_score is None else [hit for hit in hits if hit.score >= min_score]


def explained(
    postings: Postings, corpus: Corpus, terms: tuple[str, ...], ids: list[int]
) -> dict[int, dict[str, float]]:
    """Return what each term adds to the scores of some items, by id; terms that do not occur are left out."""
    places = np.flatnonzero(np.isin(postings.ids, ids))
    parts = contributions(postings, corpus)[places]
    return {
        int(postings.ids[place]): {term: float(part) for term, part in zip(terms, row, strict=True) if part > 0}
        for place, row in zip(places.tolist(), parts, strict=True)
    }

"""Fake embeddings that tell texts apart: no model, no network, the same vectors in every process.

The method is feature hashing (Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009) of
words and of their character trigrams (the subwords of Bojanowski et al., "Enriching Word Vectors with Subword
Information", TACL 2017), so that texts with common or similar words get similar vectors.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

import numpy as np
from langchain_core.embeddings import Embeddings

_WORD = re.compile(r"\w+")
# A word counts as much as all of its trigrams together; the text as a whole only breaks ties between word orders.
_WORD_WEIGHT = 1.0
_TRIGRAMS_WEIGHT = 1.0
_WHOLE_TEXT_WEIGHT = 0.1


class HashEmbeddings(Embeddings):
    """Deterministic embeddings for tests: similar words give similar vectors, different texts different ones.

    Every vector has length 1. Texts without a word, the empty one too, have a vector of their own that is similar to
    no other. The sync and the async methods give the same vectors and fill the same records.

    Args:
        dims: The number of dimensions.

    Attributes:
        dims: The number of dimensions.
        calls: The texts of every call to ``embed_documents``, one list a call, in order.
        queries: The text of every call to ``embed_query``, in order.

    Examples:
        ```python
        embeddings = HashEmbeddings()
        store = MemoryStore(index={"embed": embeddings, "fields": ["text"]})
        store.put(("notes",), "a", {"text": "Bob likes tea"})
        assert embeddings.calls == [["Bob likes tea"]]
        ```
    """

    def __init__(self, dims: int = 64) -> None:
        if dims < 1:
            raise ValueError(f"dims must be at least 1, got {dims}")
        self.dims = dims
        self.calls: list[list[str]] = []
        self.queries: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text."""
        self.calls.append(list(texts))
        return [self.vector(text).tolist() for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a query, which is that of the same text as a document."""
        self.queries.append(text)
        vector: list[float] = self.vector(text).tolist()
        return vector

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text."""
        return self.embed_documents(texts)

    async def aembed_query(self, text: str) -> list[float]:
        """Return the vector of a query, which is that of the same text as a document."""
        return self.embed_query(text)

    def vector(self, text: str) -> np.ndarray:
        """Return the vector of a text as float64, without recording a call."""
        vector = np.zeros(self.dims)
        for feature, weight in _features(text):
            number = _hash(feature)
            vector[(number >> 1) % self.dims] += weight if number & 1 else -weight
        length = float(np.linalg.norm(vector))
        if length == 0.0:
            # Every feature met its opposite in one bucket; possible with very few dimensions.
            vector[_hash(f"zero {text}") % self.dims] = 1.0
            return vector
        return np.asarray(vector / length)


def _features(text: str) -> list[tuple[str, float]]:
    """List a text's features with their weights: its words, their trigrams, and the text as a whole."""
    features = [(f"text {text}", _WHOLE_TEXT_WEIGHT)]
    for word in _WORD.findall(text.lower()):
        features.append((f"word {word}", _WORD_WEIGHT))
        marked = f"<{word}>"
        trigrams = [marked[start : start + 3] for start in range(len(marked) - 2)]
        weight = _TRIGRAMS_WEIGHT / len(trigrams) ** 0.5
        features.extend((f"part {trigram}", weight) for trigram in trigrams)
    return features


@lru_cache(maxsize=100_000)
def _hash(feature: str) -> int:
    """Return 64 bits that depend on the feature alone; the built-in hash() differs from process to process."""
    digest = hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")

"""Asks a user's reranker for a better order of the first hits: a function, or a LangChain document compressor.

The order is the reranker's, scores stay those of the search. Hits that it does not name come after those it names, in
the order they had, so that a page stays full.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from numbers import Real
from typing import Any

from langchain_core.documents import BaseDocumentCompressor, Document
from langgraph.store.base import SearchItem

from crossthread.embedding.adapters import run_on_private_loop
from crossthread.embedding.extract import texts_of
from crossthread.errors import RerankError
from crossthread.settings import IndexSettings


class Reranker:
    """What a store asks for the order of hits.

    Args:
        settings: The store's index settings, with ``rerank``.
    """

    def __init__(self, settings: IndexSettings) -> None:
        self._given = settings.rerank
        self._fields = settings.fields
        self._compresses = hasattr(settings.rerank, "compress_documents")
        self.blocks = not inspect.iscoroutinefunction(settings.rerank) and not self._compresses_async()
        """Whether the async side would only send the sync one to a thread."""

    def _compresses_async(self) -> bool:
        method = getattr(type(self._given), "acompress_documents", None)
        return self._compresses and method not in (None, BaseDocumentCompressor.acompress_documents)

    def rerank(self, query: str, hits: list[SearchItem]) -> list[SearchItem]:
        """Return the hits in the reranker's order.

        Raises:
            RerankError: It returned something that is no order of these hits.
        """
        if self._compresses:
            return self._by_documents(self._given.compress_documents(self._documents(hits), query), hits)
        answer = self._given(query, list(hits))
        if inspect.isawaitable(answer):
            answer = run_on_private_loop(_awaited(answer))
        return _in_order(answer, hits)

    async def arerank(self, query: str, hits: list[SearchItem]) -> list[SearchItem]:
        """Do what `rerank` does, without blocking the event loop."""
        if self.blocks:
            order = await asyncio.to_thread(self.rerank_in_thread, query, hits)
            found: list[SearchItem] = await order if inspect.isawaitable(order) else order
            return found
        if self._compresses:
            return self._by_documents(await self._given.acompress_documents(self._documents(hits), query), hits)
        return _in_order(await self._given(query, list(hits)), hits)

    def rerank_in_thread(self, query: str, hits: list[SearchItem]) -> Any:
        """Do what `rerank` does, in a thread for an async caller, who awaits what is to be awaited."""
        if self._compresses:
            return self.rerank(query, hits)
        answer = self._given(query, list(hits))
        return _in_order_later(answer, hits) if inspect.isawaitable(answer) else _in_order(answer, hits)

    def _documents(self, hits: list[SearchItem]) -> list[Document]:
        texts = ["\n".join(texts_of(hit.value, self._fields)) or str(hit.value) for hit in hits]
        return [Document(text, metadata={"crossthread_hit": n}) for n, text in enumerate(texts)]

    def _by_documents(self, documents: Sequence[Document], hits: list[SearchItem]) -> list[SearchItem]:
        try:
            return _in_order([hits[document.metadata["crossthread_hit"]] for document in documents], hits)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise RerankError(
                f"The document compressor did not return the documents it was given: {error!r}."
            ) from error


async def _awaited(answer: Any) -> Any:
    return await answer


async def _in_order_later(answer: Any, hits: list[SearchItem]) -> list[SearchItem]:
    return _in_order(await answer, hits)


def _in_order(answer: Any, hits: list[SearchItem]) -> list[SearchItem]:
    """Return hits by an answer: the hits themselves in order, or a score for each."""
    if isinstance(answer, (str, bytes)) or not hasattr(answer, "__iter__"):
        raise RerankError(f"The reranker returned {type(answer).__name__}, not a list of hits or scores.")
    given = list(answer)
    if given and all(isinstance(one, Real) for one in given):
        if len(given) != len(hits):
            raise RerankError(f"The reranker returned {len(given)} scores for {len(hits)} hits.")
        if any(one != one for one in given):
            raise RerankError("The reranker returned NaN as a score.")
        return [hits[n] for n in sorted(range(len(hits)), key=lambda n: -given[n])]
    places = {(hit.namespace, hit.key): n for n, hit in enumerate(hits)}
    try:
        order = list(dict.fromkeys(places[one.namespace, one.key] for one in given))
    except (KeyError, AttributeError, TypeError):
        raise RerankError("The reranker returned something that is none of the hits it was given.") from None
    named = set(order)
    return [hits[n] for n in [*order, *(n for n in range(len(hits)) if n not in named)]]

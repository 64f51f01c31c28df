"""Makes an `Embedder` of whatever a user gives as index["embed"]: LangChain embeddings, functions, names.

May import LangChain; the offline model is imported only when it is asked for.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence, Set
from concurrent.futures import Future
from typing import Any, TypeVar, cast

from langchain_core.embeddings import Embeddings
from langgraph.store.base import ensure_embeddings

from crossthread.embedding.base import Embedder
from crossthread.errors import ConfigurationError, EmbeddingError
from crossthread.settings import IndexSettings

_T = TypeVar("_T")

LOCAL = "local"
_NAMES = ("model", "model_name", "model_id", "deployment", "repo_id")  # where LangChain's classes tell their model


def as_embedder(settings: IndexSettings) -> Embedder | None:
    """Return the embedder of a store; None for one that has only keywords.

    Raises:
        ConfigurationError: A provider string that cannot be loaded; the message says what to install.
    """
    embed = settings.embed
    if embed is None:
        return None
    if isinstance(embed, str):
        return LangChainEmbedder(_by_name(embed), settings.model or embed)
    if isinstance(embed, Embeddings):
        return LangChainEmbedder(embed, settings.model or _model_name(embed))
    if inspect.iscoroutinefunction(embed) or inspect.iscoroutinefunction(getattr(embed, "__call__", None)):  # noqa: B004
        return AsyncFunctionEmbedder(embed, settings.model)
    return FunctionEmbedder(cast(Callable[[list[str]], Sequence[Any]], embed), settings.model)


def _by_name(name: str) -> Embeddings:
    if name == LOCAL:
        from crossthread.embedding.local import LocalEmbeddings

        return LocalEmbeddings()
    try:
        return ensure_embeddings(name)
    except (ValueError, ImportError) as error:
        raise ConfigurationError(f"index['embed'] = {name!r} cannot be loaded: {error}") from error


def _model_name(embeddings: Embeddings) -> str | None:
    for attribute in _NAMES:
        name = getattr(embeddings, attribute, None)
        if isinstance(name, str) and name:
            return name
    return None


class LangChainEmbedder:
    """A LangChain ``Embeddings``: documents in one call, each query by ``embed_query``."""

    def __init__(self, embeddings: Embeddings, model: str | None) -> None:
        self.embeddings = embeddings
        self.model = model
        kind = type(embeddings)
        self.blocks = (
            getattr(kind, "aembed_query", None) is Embeddings.aembed_query
            and getattr(kind, "aembed_documents", None) is Embeddings.aembed_documents
        )

    def embed(self, documents: list[str], queries: list[str]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Embed from sync code."""
        found = self.embeddings.embed_documents(documents) if documents else []
        return found, [self.embeddings.embed_query(query) for query in queries]

    def embed_in_thread(self, documents: list[str], queries: list[str]) -> Any:
        """Embed in a thread for an async caller."""
        return self.embed(documents, queries)

    async def aembed(self, documents: list[str], queries: list[str]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Embed from async code without blocking the event loop."""
        found = await self.embeddings.aembed_documents(documents) if documents else []
        return found, await asyncio.gather(*[self.embeddings.aembed_query(query) for query in queries])


class FunctionEmbedder:
    """A sync function; documents and queries share one call."""

    blocks = True

    def __init__(self, function: Callable[[list[str]], Sequence[Any]], model: str | None) -> None:
        self.function = function
        self.model = model

    def embed(self, documents: list[str], queries: list[str]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Embed from sync code."""
        texts = _distinct(documents, queries)
        found = self._call(list(texts))
        if inspect.isawaitable(found):  # a lambda or a partial around an async function
            found = run_on_private_loop(_awaited(found))
        return _split(texts, found, documents, queries)

    def embed_in_thread(self, documents: list[str], queries: list[str]) -> Any:
        """Embed in a thread for an async caller, who awaits what an async function in disguise returned."""
        texts = _distinct(documents, queries)
        found = self._call(list(texts))
        if inspect.isawaitable(found):
            return _split_later(texts, found, documents, queries)
        return _split(texts, found, documents, queries)

    async def aembed(self, documents: list[str], queries: list[str]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Embed from async code; the function runs in a thread."""
        found = await asyncio.to_thread(self.embed_in_thread, documents, queries)
        split: tuple[Sequence[Any], Sequence[Any]] = await found if inspect.isawaitable(found) else found
        return split

    def _call(self, texts: list[str]) -> Any:
        try:
            return self.function(texts)
        except StopIteration as error:  # no future can hold it: an async caller would wait for ever
            raise EmbeddingError("The embedder raised StopIteration.") from error


class AsyncFunctionEmbedder:
    """An async function; sync callers wait for it to run on a private event loop."""

    blocks = False

    def __init__(self, function: Callable[[list[str]], Any], model: str | None) -> None:
        self.function = function
        self.model = model

    def embed(self, documents: list[str], queries: list[str]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Embed from sync code."""
        return run_on_private_loop(self.aembed(documents, queries))

    def embed_in_thread(self, documents: list[str], queries: list[str]) -> Any:
        """Return an awaitable."""
        return self.aembed(documents, queries)

    async def aembed(self, documents: list[str], queries: list[str]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Embed from async code without blocking the event loop."""
        texts = _distinct(documents, queries)
        return _split(texts, await self.function(list(texts)), documents, queries)


def _distinct(documents: list[str], queries: list[str]) -> dict[str, int]:
    """Return the texts, each with its position; those of either list are distinct already."""
    return {text: position for position, text in enumerate(dict.fromkeys([*documents, *queries]))}


def _split(
    texts: dict[str, int], found: Any, documents: list[str], queries: list[str]
) -> tuple[Sequence[Any], Sequence[Any]]:
    if isinstance(found, (Mapping, Set, str, bytes)) or not isinstance(found, Iterable):
        raise EmbeddingError(f"The embedder returned {type(found).__name__}, not a list of vectors.")
    found = list(found)
    if len(found) != len(texts):
        raise EmbeddingError(f"The embedder returned {len(found)} vectors for {len(texts)} texts.")
    return [found[texts[text]] for text in documents], [found[texts[text]] for text in queries]


async def _split_later(
    texts: dict[str, int], result: Awaitable[Any], documents: list[str], queries: list[str]
) -> tuple[Sequence[Any], Sequence[Any]]:
    return _split(texts, await result, documents, queries)


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


_private_loop: asyncio.AbstractEventLoop | None = None
_private_loop_lock = threading.Lock()


def run_on_private_loop(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Wait for a coroutine on a loop of our own; always the same, since async clients are bound to their first loop."""
    global _private_loop
    with _private_loop_lock:
        if _private_loop is None:
            _private_loop = asyncio.new_event_loop()
            threading.Thread(target=_private_loop.run_forever, name="crossthread-embed", daemon=True).start()
        loop = _private_loop
    future: Future[_T] = asyncio.run_coroutine_threadsafe(coroutine, loop)
    return future.result()


def _forget_private_loop() -> None:
    """The loop's thread does not live in a forked child; the child makes its own when it needs one."""
    global _private_loop, _private_loop_lock
    _private_loop, _private_loop_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_private_loop)

"""A time limit for embedders: `index={"embed_timeout_seconds": ...}`. Knows embedders only by their protocol.

Nothing can end a Python function that hangs. With a limit, one that blocks runs in a daemon thread of its own, which is
left behind when the time is over; an async one is cancelled.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import Any

from crossthread.embedding.adapters import AsyncFunctionEmbedder, as_embedder, run_on_private_loop
from crossthread.embedding.base import Embedder
from crossthread.errors import EmbeddingTimeoutError
from crossthread.settings import IndexSettings


class TimedEmbedder:
    """An embedder whose every call takes no longer than so many seconds.

    Args:
        embedder: Who embeds.
        seconds: How long a call may take.
    """

    def __init__(self, embedder: Embedder, seconds: float) -> None:
        self.embedder = embedder
        self.seconds = seconds
        self.model = embedder.model
        self.blocks = embedder.blocks

    def embed(self, documents: list[str], queries: list[str]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Embed from sync code."""
        if isinstance(self.embedder, AsyncFunctionEmbedder):
            return run_on_private_loop(self.aembed(documents, queries))
        found: tuple[Sequence[Any], Sequence[Any]] = self._in_time(self.embedder.embed, documents, queries)
        return found

    def embed_in_thread(self, documents: list[str], queries: list[str]) -> Any:
        """Embed in a thread for an async caller, who awaits the rest if there is any."""
        found = self._in_time(self.embedder.embed_in_thread, documents, queries)
        return self._awaited_in_time(found) if inspect.isawaitable(found) else found

    async def aembed(self, documents: list[str], queries: list[str]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Embed from async code without blocking the event loop."""
        found: tuple[Sequence[Any], Sequence[Any]]
        if not self.blocks:
            found = await self._awaited_in_time(self.embedder.aembed(documents, queries))
            return found
        rest = await asyncio.to_thread(self.embed_in_thread, documents, queries)
        found = await rest if inspect.isawaitable(rest) else rest
        return found

    def _in_time(self, embed: Callable[[list[str], list[str]], Any], documents: list[str], queries: list[str]) -> Any:
        outcome: list[tuple[Any, BaseException | None]] = []
        done = threading.Event()
        context = copy_context()

        def work() -> None:
            try:
                outcome.append((context.run(embed, documents, queries), None))
            except BaseException as error:  # it belongs to the caller
                outcome.append((None, error))
            finally:
                done.set()

        threading.Thread(target=work, name="crossthread-embed-timed", daemon=True).start()
        if not done.wait(self.seconds):
            raise self._late(len(documents) + len(queries))
        found, error = outcome[0]
        if error is not None:
            raise error
        return found

    async def _awaited_in_time(self, awaitable: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self.seconds) as limit:
                return await awaitable
        except TimeoutError:
            if limit.expired():
                raise self._late(None) from None
            raise  # the embedder's own

    def _late(self, count: int | None) -> EmbeddingTimeoutError:
        texts = "" if count is None else f" for {count} texts"
        return EmbeddingTimeoutError(
            f"The embedder gave no answer{texts} within {self.seconds:g} seconds (index['embed_timeout_seconds']). "
            "Nothing was written; try again, or allow it more time."
        )


def timed_embedder(settings: IndexSettings) -> Embedder | None:
    """Return the embedder of a store, with its time limit where it has one; None for one that has only keywords.

    Raises:
        ConfigurationError: A provider string that cannot be loaded.
    """
    embedder, seconds = as_embedder(settings), settings.embed_timeout_seconds
    return embedder if embedder is None or seconds is None else TimedEmbedder(embedder, seconds)

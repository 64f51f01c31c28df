"""Embeds several batches of texts at the same time, and again where a call fails. Knows embedders by their protocol.

One class for threads and one for event loops, with the same two steps: begin a batch, and take one that has ended.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextvars import copy_context
from typing import Any, NamedTuple

from tenacity import AsyncRetrying, Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from crossthread.embedding.base import Embedder
from crossthread.errors import EmbeddingError, EmbeddingTimeoutError

Done = tuple[list[str], Any]
"""Texts, and their raw vectors or the exception of the last attempt."""


class Patience(NamedTuple):
    """How often a call is repeated, and after what pauses: from the first one on they double, up to the longest."""

    retries: int
    first_seconds: float = 0.5
    longest_seconds: float = 30.0

    def settings(self) -> dict[str, Any]:
        """Return it as tenacity takes it."""
        return {
            "stop": stop_after_attempt(1 + self.retries),
            "wait": wait_exponential(self.first_seconds, self.longest_seconds) + wait_random(0, self.first_seconds),
            "retry": retry_if_exception(_may_pass),
            "reraise": True,
        }


def _may_pass(error: BaseException) -> bool:
    """Whether another attempt may do better: not where the embedder answered, and answered nonsense."""
    is_nonsense = isinstance(error, EmbeddingError) and not isinstance(error, EmbeddingTimeoutError)
    return isinstance(error, Exception) and not is_nonsense


class ThreadWindow:
    """Batches under way in threads, which end with the program that waits for nobody.

    Args:
        embedder: Who embeds.
        patience: How often a call is repeated.
    """

    def __init__(self, embedder: Embedder, patience: Patience) -> None:
        self._embedder = embedder
        self._stopped = threading.Event()
        # Sleeping is waiting for the end, so that nobody waits for a pause.
        self._retrying = Retrying(**patience.settings(), sleep=self._sleep)
        self._under_way: set[Future[Done]] = set()

    def start(self, texts: list[str]) -> None:
        """Begin to embed texts."""
        future: Future[Done] = Future()
        self._under_way.add(future)
        work = copy_context().run
        thread = threading.Thread(
            target=lambda: future.set_result((texts, work(self._embed, texts))), name="crossthread-reembed", daemon=True
        )
        thread.start()

    def finish(self) -> Done:
        """Wait for any batch that ends, and return it."""
        done, self._under_way = wait(self._under_way, return_when=FIRST_COMPLETED)
        first, *others = done
        self._under_way.update(others)
        return first.result()

    def close(self) -> None:
        """Repeat no more calls; those under way are left to end by themselves."""
        self._stopped.set()

    def _embed(self, texts: list[str]) -> Any:
        try:
            return self._retrying(self._once, texts)
        except BaseException as error:
            return error

    def _once(self, texts: list[str]) -> Any:
        return self._embedder.embed(texts, [])[0]

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise EmbeddingError("The run was given up before this call could be repeated.")


class LoopWindow:
    """Batches under way in the event loop of the caller.

    Args:
        embedder: Who embeds.
        patience: How often a call is repeated.
    """

    def __init__(self, embedder: Embedder, patience: Patience) -> None:
        self._embedder = embedder
        self._retrying: Callable[..., Any] = AsyncRetrying(**patience.settings())
        self._under_way: set[asyncio.Task[Done]] = set()

    def start(self, texts: list[str]) -> None:
        """Begin to embed texts."""
        self._under_way.add(asyncio.create_task(self._embed(texts)))

    async def finish(self) -> Done:
        """Wait for any batch that ends, and return it."""
        done, self._under_way = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        first, *others = done
        self._under_way.update(others)
        return first.result()

    def close(self) -> None:
        """Cancel what is under way."""
        for task in self._under_way:
            task.cancel()

    async def _embed(self, texts: list[str]) -> Done:
        try:
            return texts, await self._retrying(self._once, texts)
        except Exception as error:
            return texts, error

    async def _once(self, texts: list[str]) -> Any:
        return (await self._embedder.aembed(texts, []))[0]

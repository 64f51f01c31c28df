"""The Embedder protocol: what the batch program asks to turn texts into vectors. Imports nothing that embeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Embedder(Protocol):
    """Turns texts into vectors, in a sync and an async way.

    ``model`` names the embedding model where that is known, and ``blocks`` tells whether its async side would only send
    the sync one to a thread. All methods take distinct documents and distinct queries and return the raw vectors of
    each, as lists or arrays; what they are is checked by the caller.
    """

    model: str | None
    blocks: bool

    def embed(self, documents: list[str], queries: list[str]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Embed from sync code."""
        ...

    def embed_in_thread(self, documents: list[str], queries: list[str]) -> Any:
        """Embed in a thread for an async caller; an awaitable of the answer belongs to the caller's event loop."""
        ...

    async def aembed(self, documents: list[str], queries: list[str]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Embed from async code without blocking the event loop."""
        ...

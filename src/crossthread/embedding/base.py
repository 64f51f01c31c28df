"""The Embedder protocol: what the batch program asks to turn texts into vectors. Imports nothing that embeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Embedder(Protocol):
    """Turns texts into vectors, in a sync and an async way.

    ``model`` names the embedding model where that is known. Both methods take distinct documents and distinct queries
    and return the raw vectors of each, as lists or arrays; what they are is checked by the caller.
    """

    model: str | None

    def embed(self, documents: list[str], queries: list[str]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Embed from sync code."""
        ...

    async def aembed(self, documents: list[str], queries: list[str]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Embed from async code without blocking the event loop."""
        ...

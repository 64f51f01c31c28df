"""``with`` and ``async with`` for what has close() and aclose(). Imports nothing of ours."""

from __future__ import annotations

from typing import Self


class Closing:
    """Closes when a ``with`` or ``async with`` block ends; entering gives the object itself, which is open already."""

    def close(self) -> None:
        """Give everything back; may be called twice."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

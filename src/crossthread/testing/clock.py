"""A clock that moves only when a test moves it."""

from __future__ import annotations

_START_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


class ManualClock:
    """A clock for ``MemoryStore(clock=...)``: microseconds since the epoch, standing still until told otherwise.

    Args:
        start_us: The first reading, in microseconds since the epoch; the start of 2026 by default.

    Attributes:
        now_us: The present reading. It may be set, also to an earlier time, as clocks of real machines are.
    """

    def __init__(self, start_us: int = _START_US) -> None:
        self.now_us = start_us

    def __call__(self) -> int:
        return self.now_us

    def advance(self, *, minutes: float = 0, seconds: float = 0, microseconds: int = 0) -> int:
        """Move the clock, backwards if the sum is negative.

        Args:
            minutes: Minutes to add.
            seconds: Seconds to add.
            microseconds: Microseconds to add.

        Returns:
            The new reading in microseconds.
        """
        self.now_us += round(minutes * 60_000_000) + round(seconds * 1_000_000) + microseconds
        return self.now_us

    def __repr__(self) -> str:
        return f"ManualClock({self.now_us})"

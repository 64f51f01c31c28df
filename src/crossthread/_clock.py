"""The only place that asks what time it is. Times are whole microseconds since 1970 in UTC. Imports nothing of ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

Clock = Callable[[], int]
"""Returns the present as whole microseconds since 1970-01-01T00:00:00Z."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LAST = datetime.max.replace(tzinfo=UTC)
"""The end of the calendar, which stands for every later time."""


def system_clock() -> int:
    """Return the machine's time in microseconds since 1970, UTC."""
    return time.time_ns() // 1_000


@lru_cache(maxsize=4096)
def to_datetime(microseconds: int) -> datetime:
    """Return the timezone-aware UTC time of a stamp, exact to the microsecond."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_expiry(microseconds: int | None) -> datetime | None:
    """Return the time of an expiry, which may lie beyond the calendar: then it is `LAST`."""
    if microseconds is None:
        return None
    return LAST if microseconds >= LAST_STAMP else to_datetime(microseconds)


def to_microseconds(time_: datetime) -> int:
    """Return the stamp of a timezone-aware time; `to_datetime` gives the time back."""
    return (time_ - _EPOCH) // timedelta(microseconds=1)


LAST_STAMP = to_microseconds(LAST)

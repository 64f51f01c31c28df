"""Time to live: the ttl= settings and the arithmetic of expiry. Decides only; the sweeper's thread is in ``sweeper``.

Durations are minutes, as in LangGraph; instants are microseconds since 1970. An item is expired from the microsecond
its expiry names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict, cast

from crossthread._text import shown
from crossthread.errors import ConfigurationError, InvalidArgumentError

_MICROSECONDS_PER_MINUTE = 60_000_000
_LATEST = 2**62  # far beyond any calendar, and still a 64-bit integer after more is added
_LONGEST_MINUTES = 1e12  # two million years


class TTLConfig(TypedDict, total=False):
    """The ``ttl=`` argument of a store. Any entry may be left out, and changed on ``store.ttl_config`` later."""

    default_ttl: float | None
    """Minutes that an item lives when it is put without a ttl of its own; None (default): for ever."""
    refresh_on_read: bool
    """Whether get and search renew the life of the items they return (default true)."""
    sweep_interval_minutes: float | None
    """Minutes between two sweeps by the store's own thread; None (default): no sweeps by itself."""
    omit_expired: bool
    """Whether an expired item is gone at once, swept or not (default true)."""


def parse_ttl(config: Any) -> TTLConfig | None:
    """Return a copy of the ``ttl=`` argument of a store.

    Raises:
        ConfigurationError: It holds an unknown key or a value that makes no sense.
    """
    if config is None:
        return None
    if not isinstance(config, Mapping):
        raise ConfigurationError(f"ttl must be a dict such as {{'default_ttl': 60}}, not {type(config).__name__}.")
    unknown = set(config) - set(TTLConfig.__annotations__)
    if unknown:
        known = ", ".join(TTLConfig.__annotations__)
        raise ConfigurationError(f"Unknown key in ttl: {', '.join(sorted(map(repr, unknown)))}; known: {known}.")
    for key in ("refresh_on_read", "omit_expired"):
        if not isinstance(config.get(key, True), bool):
            raise ConfigurationError(f"ttl[{key!r}] must be true or false, not {config[key]!r}.")
    try:
        checked_ttl(config.get("default_ttl"))
    except InvalidArgumentError as error:
        raise ConfigurationError(f"ttl['default_ttl']: {error}") from None
    interval = config.get("sweep_interval_minutes")
    if interval is not None and not (_is_number(interval) and 0 < interval < math.inf):
        raise ConfigurationError(f"ttl['sweep_interval_minutes'] must be minutes above 0, not {interval!r}.")
    return cast(TTLConfig, dict(config))


def omits_expired(config: TTLConfig | None) -> bool:
    """Whether expired items are hidden although they have not been swept."""
    return True if config is None else config.get("omit_expired", True)


def checked_ttl(minutes: Any) -> float | None:
    """Return a duration in minutes, or None for no expiry.

    Raises:
        InvalidArgumentError: It is not None, 0 or a positive finite number.
    """
    if minutes is None:
        return None
    if not _is_number(minutes) or not 0 <= minutes < math.inf:
        raise InvalidArgumentError(f"ttl must be minutes (0 or more) or None for no expiry, not {shown(minutes)}.")
    return float(min(minutes, _LONGEST_MINUTES))


def expiry(now: int, minutes: float | None) -> int | None:
    """Return the microsecond at which something living ``minutes`` from ``now`` is gone; None: never."""
    if minutes is None:
        return None
    return min(now + round(min(minutes, _LONGEST_MINUTES) * _MICROSECONDS_PER_MINUTE), _LATEST)


def is_live(expires_at: int | None, now: int) -> bool:
    """Whether an item is not yet expired."""
    return expires_at is None or expires_at > now


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

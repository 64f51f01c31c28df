"""The update program: an atomic read-modify-write by compare-and-set, the same on every engine, sync and async.

No lock is held while the caller's function or the embedder runs; the write is refused where somebody else wrote in
between, and then everything is done again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from langgraph.store.base import GetOp, Item, NotProvided, PutOp

from crossthread import values
from crossthread._clock import to_microseconds
from crossthread._program import Program
from crossthread.batch import Pause
from crossthread.errors import InvalidValueError, ItemNotFoundError
from crossthread.operations.commands import ABSENT, Conflict
from crossthread.operations.plan import ConditionalPutOp
from crossthread.turns import Turns

logger = logging.getLogger("crossthread.store")

_FIRST_PAUSE_SECONDS = 0.0005
_LONGEST_PAUSE_SECONDS = 0.05


class Run(NamedTuple):
    """The request to run operations as one batch; answered with their results."""

    ops: list[Any]


class Call(NamedTuple):
    """The request to call a user's function with one argument; answered with what it returns."""

    function: Callable[[Any], Any]
    argument: Any


class Turn(NamedTuple):
    """The request to wait until nobody else in this process updates the item; answered with whether it was granted."""

    address: tuple[Any, str]


def run_update(
    op: PutOp,
    change: Callable[[Any], Any],
    default: Any,
    chance: Callable[[], float],
    turns: Turns,
) -> Program[Item]:
    """Change one item atomically and return it as written.

    Args:
        op: Namespace, key, index and ttl of the write; its value is not used.
        change: Gets a fresh copy of the value, returns the new one.
        default: The value where there is no item, or ``NOT_PROVIDED``.
        chance: A random number in [0, 1), which spreads those who try again.
        turns: The turns that `Turn` requests are about.

    Raises:
        ItemNotFoundError: There is no item, and no default.
        InvalidValueError: ``change`` returned something that cannot be stored.
    """
    address = (tuple(op.namespace), op.key)
    granted = yield Turn(address)
    try:
        return (yield from _attempts(op, change, default, chance))
    finally:
        if granted:
            turns.pass_on(address)


def _attempts(op: PutOp, change: Callable[[Any], Any], default: Any, chance: Callable[[], float]) -> Program[Item]:
    """Read, change and write until nobody else wrote in between."""
    longest = _FIRST_PAUSE_SECONDS
    while True:
        (item,) = yield Run([GetOp(op.namespace, op.key, refresh_ttl=False)])
        if item is not None:
            value, expected = item.value, to_microseconds(item.updated_at)
        elif isinstance(default, NotProvided):
            raise ItemNotFoundError(
                f"There is no item {op.key!r} in {op.namespace!r}; give default= to start from one."
            )
        else:
            value, expected = values.decode(values.encode(default)), ABSENT
        new = yield Call(change, value)
        if new is None:
            raise InvalidValueError("value: change must return the new value, and returned None")
        try:
            (item,) = yield Run([ConditionalPutOp(op._replace(value=new), expected)])
        except Conflict:
            logger.debug("An update met another write; it reads again and retries")
            yield Pause(longest * chance())
            longest = min(longest * 2, _LONGEST_PAUSE_SECONDS)
        else:
            return cast(Item, item)

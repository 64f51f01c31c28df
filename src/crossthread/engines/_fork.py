"""Tells engines when the process forks, before and after. Knows no engine.

A fork copies locks that other threads hold and, worse, SQLite's own memory of the file locks that only the parent has:
a child that went on with it, or even opened the file anew, would take no lock that anybody else sees
(https://www.sqlite.org/howtocorrupt.html, section 2.6). So everything is put down before the fork, and picked up again
after it on both sides.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class ForkAware(Protocol):
    """Something that must not be in use while the process forks."""

    def before_fork(self) -> None:
        """Wait for what is under way, and let go of everything that a child must not have."""
        ...

    def after_fork(self, in_child: bool) -> None:
        """Go on. In the child, no thread but the present one is left."""
        ...


_watched: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_waiting: list[ForkAware] = []


def watch(thing: ForkAware) -> None:
    """Tell ``thing`` of forks as long as it lives."""
    _watched.add(thing)


def _before() -> None:
    _waiting.extend(_watched)
    for thing in _waiting:
        thing.before_fork()


def _after(in_child: bool) -> None:
    while _waiting:
        _waiting.pop().after_fork(in_child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=lambda: _after(in_child=False), after_in_child=lambda: _after(in_child=True)
    )

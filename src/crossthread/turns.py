"""Lets those who update one item at once wait for each other, in order. Knows no store.

An update writes only while the item is still the one it read, which is what keeps updates from being lost, between
processes too. Of a thousand updates of one item at once, though, one would succeed and all others would begin again.
Turns spare them that within one process, and nothing more: whoever cannot wait goes ahead without.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

_PATIENCE_SECONDS = 5.0


class Turns:
    """Queues by key. A caller that `take` or `atake` gave a turn must `pass_on` it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Any, deque[Future[None]]] = {}

    def _enter(self, key: Any) -> Future[None] | None:
        """Take a free turn (None), or a place in the queue."""
        with self._lock:
            queue = self._waiting.get(key)
            if queue is None:
                self._waiting[key] = deque()
                return None
            place: Future[None] = Future()
            queue.append(place)
            return place

    def take(self, key: Any) -> bool:
        """Wait for a turn; return False where there is none to be had."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            return False  # the turn may be held by a task of this very loop, which could never end
        place = self._enter(key)
        if place is None:
            return True
        try:
            place.result(_PATIENCE_SECONDS)
        except FutureTimeoutError:
            # Perhaps the holder waits for this thread. Given at the last moment, it is ours after all.
            return not place.cancel()
        return True

    async def atake(self, key: Any) -> bool:
        """Wait for a turn without blocking the event loop."""
        place = self._enter(key)
        if place is not None:
            try:
                await asyncio.wrap_future(place)
            except asyncio.CancelledError:
                if not place.cancel() and not place.cancelled():
                    self.pass_on(key)  # it came too late to be used
                raise
        return True

    def pass_on(self, key: Any) -> None:
        """Give the turn to the next who still waits."""
        with self._lock:
            queue = self._waiting[key]
            while queue:
                place = queue.popleft()
                if place.set_running_or_notify_cancel():
                    place.set_result(None)
                    return
            del self._waiting[key]

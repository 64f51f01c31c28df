"""The background sweep of expired items: one thread that calls a store's sweep at an interval until it is stopped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future

logger = logging.getLogger("crossthread.sweeper")


class Sweeper:
    """Calls ``sweep`` every so many minutes, in a daemon thread.

    Args:
        sweep: Erases expired items and returns how many.
        interval_minutes: Returns the minutes until the next sweep; asked anew before each, so that it may change.
    """

    def __init__(self, sweep: Callable[[], int], interval_minutes: Callable[[], float]) -> None:
        self.done: Future[None] = Future()
        """Ends when the thread has ended; cancelling it stops the sweeper."""
        self._sweep = sweep
        self._interval_minutes = interval_minutes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crossthread-sweep", daemon=True)
        self.done.add_done_callback(lambda _: self._stop.set())
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the thread is still at work."""
        return self._thread.is_alive() and not self._stop.is_set()

    def signal(self) -> None:
        """Tell the thread to stop, without waiting for it."""
        self._stop.set()

    def stop(self, timeout_seconds: float | None = None) -> bool:
        """Tell the thread to stop and wait for it; return whether it has."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.wait(min(self._interval_minutes() * 60, threading.TIMEOUT_MAX)):
            try:
                swept = self._sweep()
            except Exception:
                # A locked file or a server that restarts must not end all later sweeps.
                logger.warning("Sweeping expired items failed; trying again at the next interval.", exc_info=True)
            else:
                if swept:
                    logger.info("Swept %d expired items.", swept)
        if not self.done.done():
            self.done.set_result(None)

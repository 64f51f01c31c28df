"""Threads that execute what async callers hand them, everything that waits in one go. Know no engine and no SQL.

Many calls at once are normal for agents: sixty thousand coroutines are sixty thousand entries in one list here, not as
many threads or connections, and a thread takes them a few hundred at a time.
"""

from __future__ import annotations

import asyncio
import copy
import threading
import weakref
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from crossthread.engines._fork import watch
from crossthread.errors import StoreClosedError

_AT_ONCE = 256  # enough to share a commit well, few enough that the first caller does not wait for the last


class _Call(NamedTuple):
    work: Any
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class Worker:
    """Executes submitted work in threads of its own, which start when they are needed.

    Args:
        execute: Takes all waiting work and returns a result or an exception for each.
        name: The name of the threads.
        threads: How many there are at the most.
    """

    def __init__(self, execute: Callable[[Sequence[Any]], Sequence[Any]], name: str, threads: int = 1) -> None:
        # The threads must not keep an abandoned engine alive.
        self._execute = weakref.WeakMethod(execute)
        self._name = name
        self._most_threads = threads
        self._reset()
        watch(self)

    def _reset(self) -> None:
        self._state = _State()
        self._threads: list[threading.Thread] = []

    async def submit(self, work: Any) -> Any:
        """Wait, without blocking the loop, for the result of ``work``."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        state = self._state
        with state.changed:
            if state.stopping:
                raise StoreClosedError("This store is closed; open a new one to go on.")
            state.waiting.append(_Call(work, future, loop))
            if state.idle:
                state.changed.notify()
            elif len(self._threads) < self._most_threads:
                self._start_thread()
        return await future

    def _start_thread(self) -> None:
        if not self._threads:
            weakref.finalize(self, self._state.stop)
        thread = threading.Thread(
            target=_serve, args=(self._state, self._execute, self._most_threads), name=self._name, daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """Refuse more work, finish what waits, and end the threads."""
        self._state.stop()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def before_fork(self) -> None:
        """Nothing: what the threads work with is put down by its owner."""

    def after_fork(self, in_child: bool) -> None:
        """The threads do not live in a child, which starts its own; nor do the loops that wait."""
        if in_child:
            stopping = self._state.stopping
            self._reset()
            self._state.stopping = stopping


class _State:
    """What the threads and their callers share."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.Lock())
        self.waiting: deque[_Call] = deque()
        self.idle = 0
        self.stopping = False

    def stop(self) -> None:
        with self.changed:
            self.stopping = True
            self.changed.notify_all()


def _serve(state: _State, execute: weakref.WeakMethod[Any], threads: int) -> None:
    while True:
        with state.changed:
            while not state.waiting:
                if state.stopping:
                    return
                state.idle += 1
                state.changed.wait()
                state.idle -= 1
            share = -(-len(state.waiting) // threads)
            calls = [state.waiting.popleft() for _ in range(min(share, _AT_ONCE))]
        run = execute()
        try:
            if run is None:
                raise RuntimeError("The store was abandoned while a call was waiting; keep a reference to it.")
            outcomes = run([call.work for call in calls])
        except BaseException as error:  # every caller must get an answer
            outcomes = copies(error, len(calls))
        _deliver(calls, outcomes)
        del run, calls, outcomes  # or they would be kept until the next call comes


def _deliver(calls: list[_Call], outcomes: Sequence[Any]) -> None:
    """Wake each event loop once with all of its results."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = defaultdict(list)
    for call, outcome in zip(calls, outcomes, strict=True):
        by_loop[call.loop].append((call.future, outcome))
    for loop, settled in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, settled)
        except RuntimeError:  # the loop was closed while its call was under way: nobody waits any more
            continue


def _settle(settled: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in settled:
        if future.done():  # cancelled
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def copies(error: BaseException, count: int) -> list[BaseException]:
    """Return an error for each of several callers; one object would collect the tracebacks of all of them."""
    errors = [error]
    while len(errors) < count:
        try:
            another = copy.copy(error)
        except Exception:  # an exception class that cannot be copied
            another = error
        another.__cause__ = error.__cause__
        errors.append(another)
    return errors

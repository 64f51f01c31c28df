"""Threads that execute what others hand them, everything that waits in one go. Know no engine and no SQL.

Many calls at once are normal for agents: sixty thousand coroutines are sixty thousand entries in one list here, not as
many threads or connections, and a thread takes them a few hundred at a time.
"""

from __future__ import annotations

import asyncio
import copy
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol

from crossthread.engines._fork import watch
from crossthread.errors import StoreClosedError

_AT_ONCE = 256  # enough to share a commit well, few enough that the first caller does not wait for the last
_WAKE_AT_ONCE = 64  # a loop is busy for some microseconds with each caller it wakes; others have a turn in between
_STRETCH_SECONDS = 0.002
_PAUSE_SECONDS = 1e-6  # some 50 us, as the system counts: enough for another thread to wake up

HANDED_ON = object()
"""As an outcome: nothing yet; somebody else has taken it on, and will answer."""


class Waiter(Protocol):
    """A caller that waits in an event loop."""

    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class _Waiter(NamedTuple):
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


Answers = list[tuple[Any, Any]]
"""Whom something is for, and the result or the exception."""

_Call = tuple[Any, Callable[[Answers], None], Any]
"""Work, who receives what comes of it, and for whom; a plain tuple, since an event loop makes it."""


class Worker:
    """Executes work in threads of its own, which start when they are needed.

    Args:
        execute: Takes all waiting work and returns a result, an exception or `HANDED_ON` for each.
        name: The name of the threads.
        threads: How many there are at the most.
        at_once: How many calls a thread takes at the most.
    """

    def __init__(
        self, execute: Callable[[Sequence[Any]], Sequence[Any]], name: str, threads: int = 1, at_once: int = _AT_ONCE
    ) -> None:
        # The threads must not keep an abandoned engine alive.
        self._execute = weakref.WeakMethod(execute)
        self._name = name
        self._most_threads = threads
        self._at_once = at_once
        self._reset()
        watch(self)

    def _reset(self) -> None:
        self._state = _State()
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()

    async def submit(self, work: Any) -> Any:
        """Wait, without blocking the loop, for the result of ``work``."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self.post(work, wake, _Waiter(future, loop))
        return await future

    def post(self, work: Any, receive: Callable[[Answers], None], tag: Any) -> None:
        """Hand over work, and return at once.

        Args:
            work: What to execute.
            receive: Called in the thread with the tags and outcomes of all that was executed together; never raises.
            tag: Whom it is for.

        Raises:
            StoreClosedError: The worker was stopped; nothing of it will be executed.
        """
        state = self._state
        if state.stopping:
            raise closed()
        state.waiting.put((work, receive, tag))
        if len(self._threads) < self._most_threads and state.waiting.qsize() > len(state.idle):
            self._start_thread()
        if state.stopping:
            state.refuse()  # the threads may have gone without seeing the above

    def _start_thread(self) -> None:
        with self._starting:
            if not self._threads:
                weakref.finalize(self, self._state.stop)
            if len(self._threads) < self._most_threads:
                thread = threading.Thread(
                    target=_serve,
                    args=(self._state, self._execute, self._most_threads, self._at_once),
                    name=self._name,
                    daemon=True,
                )
                self._threads.append(thread)
                thread.start()

    def stop(self, *, wait: bool = True) -> None:
        """Refuse more work, finish what waits, and end the threads; ``wait`` for that."""
        self._state.stop()
        with self._starting:
            threads = list(self._threads) if wait else []
        for thread in threads:
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
    """What the threads and their callers share. Nothing here blocks: not an event loop, nor a garbage collection."""

    def __init__(self) -> None:
        self.waiting: SimpleQueue[_Call | None] = SimpleQueue()  # None: go home
        self.idle: set[int] = set()
        self.stopping = False

    def stop(self) -> None:
        self.stopping = True
        self.waiting.put(None)

    def take(self, threads: int, at_once: int) -> list[_Call]:
        """Wait for work and return a thread's share of it; nothing when there will be no more."""
        me = threading.get_ident()
        self.idle.add(me)
        first = self.waiting.get()
        self.idle.discard(me)
        if first is None:
            self.waiting.put(None)  # for the next thread
            return []
        calls = [first]
        share = -(-self.waiting.qsize() // threads)
        while len(calls) < min(share, at_once):
            try:
                call = self.waiting.get_nowait()
            except Empty:
                break
            if call is None:
                self.waiting.put(None)
                break
            calls.append(call)
        return calls

    def refuse(self) -> None:
        """Answer all that waits that it came too late."""
        with suppress(Empty):
            while True:
                call = self.waiting.get_nowait()
                if call is not None:
                    _, receive, tag = call
                    receive([(tag, closed())])
        self.waiting.put(None)


def _serve(state: _State, execute: weakref.WeakMethod[Any], threads: int, at_once: int) -> None:
    while calls := state.take(threads, at_once):
        run = execute()
        try:
            if run is None:
                raise RuntimeError("The store was abandoned while a call was waiting; keep a reference to it.")
            outcomes = run([work for work, _, _ in calls])
        except BaseException as error:  # every caller must get an answer
            outcomes = copies(error, len(calls))
        by_receiver: dict[Callable[[Answers], None], Answers] = defaultdict(list)
        for (_, receive, tag), outcome in zip(calls, outcomes, strict=True):
            by_receiver[receive].append((tag, outcome))
        for receive, answers in by_receiver.items():
            receive(answers)
        del run, calls, outcomes, by_receiver, answers, receive, tag, outcome  # or they would be kept until the next


def closed() -> StoreClosedError:
    """Return the error of a call that came too late."""
    return StoreClosedError("This store is closed; open a new one to go on.")


def wake(answers: Iterable[tuple[Waiter, Any]]) -> None:
    """Give callers in event loops their answers; from any thread."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = defaultdict(list)
    for waiter, outcome in answers:
        if outcome is not HANDED_ON:
            by_loop[waiter.loop].append((waiter.future, outcome))
    for loop, settled in by_loop.items():
        for start in range(0, len(settled), _WAKE_AT_ONCE):
            try:
                loop.call_soon_threadsafe(_settle, settled[start : start + _WAKE_AT_ONCE])
            except RuntimeError:  # the loop was closed while its call was under way: nobody waits any more
                break


def _settle(settled: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in settled:
        if future.done():  # cancelled
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


class Stretch:
    """A stretch of work in a thread beside an event loop, with pauses in which the loop gets its turn.

    A thread that computes in Python keeps the interpreter to itself for 5 ms at a time (``sys.getswitchinterval``),
    and a loop that wakes up in between waits as long.
    """

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def pause(self) -> None:
        """Let others go first, if there are any and the last time was a while ago."""
        if time.perf_counter() - self._since > _STRETCH_SECONDS:
            if threading.active_count() > 1:
                time.sleep(_PAUSE_SECONDS)
            self._since = time.perf_counter()


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

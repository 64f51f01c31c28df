"""Measures many callers at once on one store: threads and tasks that put, async calls beside sync ones, a heartbeat.

    python tests/benchmarks/concurrency.py [--items 10000] [--dims 384] [--memory] [--folder DISK] [--rounds 3]

What is printed, one line each:

- put: puts a second of one caller, of 32 threads and of 32 tasks at once, and how many times the first that is.
- get and aget, search and asearch: microseconds of one call, one after the other (median).
- 1,000 searches: milliseconds in a sync loop and in one ``asyncio.gather``, and the ratio. The two are measured in
  turn, since the speed of a shared machine changes; the median of the rounds counts.
- heartbeat: a task sleeps for a millisecond again and again while work is done; how late it woke at the worst, and
  what the loop's own thread computed in that time. "bare tasks" is what asyncio takes for 1,000 tasks that do nothing.

Embeddings are looked up in a prepared table by a sync function. Garbage collection is off while something is measured:
a full one takes longer than the heartbeat may be late, whoever's garbage it is.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from langgraph.store.base import PutOp

from crossthread import MemoryStore

USERS = 100
AT_ONCE = 32
CALLS = 1000
NEW_TEXTS = 4096  # taken again and again, each time in a value of its own


class Bench:
    """A filled store, and what is done with it."""

    def __init__(self, url: str, items: int, dims: int) -> None:
        matrix = np.random.default_rng(7).standard_normal((items + NEW_TEXTS, dims)).astype(np.float32)
        self.vectors = {f"text {n}": matrix[n] for n in range(items + NEW_TEXTS)}
        self.items = items
        self.store = MemoryStore(url, index={"embed": self.embed, "dims": dims, "fields": ["text"]})
        self.numbers = count()
        for start in range(0, items, 500):
            self.store.batch([self.put_op(n, f"text {n}") for n in range(start, min(items, start + 500))])
        for n in range(USERS):
            self.search(n)
        gc.collect()
        gc.disable()

    def embed(self, texts: list[str]) -> list[Any]:
        """Look vectors up; each new put asks for a text of its own."""
        return [self.vectors[text.partition(";")[0]] for text in texts]

    def put_op(self, n: int, text: str) -> PutOp:
        """Return the put of one memory."""
        return PutOp(("users", f"user{n % USERS}"), f"k{n}", {"text": text, "kind": "note", "n": n})

    def new(self) -> PutOp:
        """Return the put of a memory that is not there yet."""
        n = next(self.numbers)
        return self.put_op(self.items + n, f"text {self.items + n % NEW_TEXTS};{n}")

    def put(self) -> None:
        """Put one memory."""
        op = self.new()
        self.store.put(op.namespace, op.key, op.value or {})

    async def aput(self) -> None:
        """Put one memory."""
        op = self.new()
        await self.store.aput(op.namespace, op.key, op.value or {})

    def get(self, n: int) -> Any:
        """Read one memory."""
        return self.store.get(("users", f"user{n % USERS}"), f"k{n}")

    def aget(self, n: int) -> Awaitable[Any]:
        """Read one memory."""
        return self.store.aget(("users", f"user{n % USERS}"), f"k{n}")

    def search(self, n: int) -> Any:
        """Search one user's memories."""
        return self.store.search(("users", f"user{n % USERS}"), query="text 5")

    def asearch(self, n: int) -> Awaitable[Any]:
        """Search one user's memories."""
        return self.store.asearch(("users", f"user{n % USERS}"), query="text 5")

    # Puts at once

    def threads_put(self, threads: int, each: int) -> float:
        """Return the puts a second of several threads."""
        ready = threading.Barrier(threads + 1)

        def work() -> None:
            ready.wait()
            for _ in range(each):
                self.put()

        running = [threading.Thread(target=work) for _ in range(threads)]
        for thread in running:
            thread.start()
        ready.wait()
        start = time.perf_counter()
        for thread in running:
            thread.join()
        return threads * each / (time.perf_counter() - start)

    async def tasks_put(self, tasks: int, each: int) -> float:
        """Return the puts a second of several tasks."""

        async def work() -> None:
            for _ in range(each):
                await self.aput()

        start = time.perf_counter()
        await asyncio.gather(*[work() for _ in range(tasks)])
        return tasks * each / (time.perf_counter() - start)

    # One call after the other, and a thousand at once

    async def medians(self) -> dict[str, float]:
        """Return the microseconds of single calls."""
        found: dict[str, list[float]] = {"get": [], "aget": [], "search": [], "asearch": []}
        for n in range(CALLS):
            for name, times in found.items():
                start = time.perf_counter()
                outcome = getattr(self, name)(n)
                if name.startswith("a"):
                    await outcome
                times.append(time.perf_counter() - start)
        return {name: statistics.median(times) * 1e6 for name, times in found.items()}

    def loop_of_searches(self) -> float:
        """Return the milliseconds of searches one after the other."""
        start = time.perf_counter()
        for n in range(CALLS):
            self.search(n)
        return (time.perf_counter() - start) * 1e3

    async def gather_of_searches(self) -> float:
        """Return the milliseconds of searches at once."""
        start = time.perf_counter()
        await asyncio.gather(*[self.asearch(n) for n in range(CALLS)])
        return (time.perf_counter() - start) * 1e3


async def latest(work: Awaitable[Any]) -> tuple[float, float]:
    """Return how late a heartbeat was while work was done, and what this thread computed, each at the worst, in ms."""
    late: list[tuple[float, float]] = []

    async def beat() -> None:
        while True:
            start, computed = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.001)
            late.append((time.perf_counter() - start - 0.001, time.thread_time() - computed))

    beats = asyncio.create_task(beat())
    await asyncio.sleep(0.02)
    late.clear()
    await work
    await asyncio.sleep(0.005)
    beats.cancel()
    with suppress(asyncio.CancelledError):
        await beats
    return max(wall for wall, _ in late) * 1e3, max(computed for _, computed in late) * 1e3


async def bare_tasks() -> None:
    """Start and end a thousand tasks that wait for a thread, which wakes them as a store does."""
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(CALLS)]

    async def one(future: asyncio.Future[None]) -> None:
        await future

    def answer() -> None:
        for start in range(0, CALLS, 64):
            loop.call_soon_threadsafe(lambda part=futures[start : start + 64]: [one.set_result(None) for one in part])
            time.sleep(0.001)

    loop.call_later(0.01, threading.Thread(target=answer).start)
    await asyncio.gather(*[one(future) for future in futures])


def heartbeats(bench: Bench, rounds: int) -> None:
    """Print how late the heartbeat was beside each kind of work: the median of the rounds, and the worst."""

    async def many(call: Callable[[int], Awaitable[Any]]) -> None:
        await asyncio.gather(*[call(n) for n in range(CALLS)])

    async def whole() -> None:
        for _ in range(100):
            await bench.store.asearch((), query="text 5")

    async def page() -> None:
        await bench.store.asearch((), limit=3000)

    ops = [[bench.new() for _ in range(5000)] for _ in range(rounds)]
    works: dict[str, Callable[[], Awaitable[Any]]] = {
        "bare tasks": bare_tasks,
        "1,000 asearch": lambda: many(bench.asearch),
        "1,000 aget": lambda: many(bench.aget),
        "1,000 aput": lambda: many(lambda _: bench.aput()),
        "32 tasks of aput": lambda: bench.tasks_put(AT_ONCE, 30),
        "searches over everything": whole,
        "one page of 3,000": page,
        "abatch of 5,000 puts": lambda: bench.store.abatch(ops.pop()),
    }
    for name, work in works.items():
        found = [asyncio.run(latest(work())) for _ in range(rounds)]
        late, computed = (statistics.median(column) for column in zip(*found, strict=True))
        print(
            f"heartbeat, {name:26} {late:8.1f} ms late (worst {max(found)[0]:.1f}), "
            f"{computed:.1f} ms computed in the loop"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="the in-memory engine instead of a file")
    parser.add_argument("--folder", help="where the file goes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        url = ":memory:" if arguments.memory else str(Path(folder) / "bench.db")
        bench = Bench(url, arguments.items, arguments.dims)
        one = bench.threads_put(1, 500)
        print(f"put, one after the other   {one:8,.0f}/s")
        for name, rate in (
            ("threads", bench.threads_put(AT_ONCE, 60)),
            ("tasks", asyncio.run(bench.tasks_put(AT_ONCE, 60))),
        ):
            print(f"put, {AT_ONCE} {name:18} {rate:8,.0f}/s  {rate / one:.2f}x")
        for n in range(USERS):
            bench.search(n)
        for name, microseconds in asyncio.run(bench.medians()).items():
            print(f"{name:26} {microseconds:8.1f} us")
        loops, gathers = [], []
        for _ in range(max(3, arguments.rounds)):
            loops.append(bench.loop_of_searches())
            gathers.append(asyncio.run(bench.gather_of_searches()))
        ratio = statistics.median(after / before for before, after in zip(loops, gathers, strict=True))
        print(
            f"1,000 searches, sync loop  {statistics.median(loops):8.1f} ms\n"
            f"1,000 searches, gather     {statistics.median(gathers):8.1f} ms  {ratio:.2f}x"
        )
        heartbeats(bench, arguments.rounds)
        bench.store.close()


if __name__ == "__main__":
    sys.exit(main())

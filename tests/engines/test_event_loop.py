"""An event loop is never blocked: a task that beats every millisecond goes on while a thousand calls are under way.

What counts is the time the loop's own thread computes between two beats, so that other programs on the machine do not.
Nor does what asyncio itself takes to start a thousand tasks, which is measured beside it.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from langgraph.store.base import GetOp, PutOp

from crossthread import MemoryStore
from crossthread.testing import HashEmbeddings

CALLS = 1000
LONGEST_SECONDS = 0.005
MOST_ROUNDS = 10  # one of them has to do: a shared machine runs at half its speed now and then

Work = Callable[[], Awaitable[Any]]


@pytest.fixture(autouse=True)
def _no_garbage_collection() -> Iterator[None]:
    """Collecting the garbage of a whole test run takes longer than what is measured, and is no fault of a store."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(params=[":memory:", "agent.db"])
def store(request, tmp_path, monkeypatch):
    """A store with a model that blocks for a moment."""
    monkeypatch.chdir(tmp_path)
    model = HashEmbeddings(dims=64)

    def embed(texts: list[str]) -> list[Any]:
        return [model.vector(text) for text in texts]

    with MemoryStore(request.param, index={"embed": embed, "dims": 64, "fields": ["text"]}) as opened:
        opened.batch([PutOp(("users", str(n % 50)), str(n), {"text": f"tea {n}", "n": n}) for n in range(2000)])
        yield opened


async def _busiest(work: Work) -> float:
    """Return the most seconds that this thread computed between two beats while ``work`` was done."""
    spent: list[float] = []

    async def beat() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            spent.append(time.thread_time() - before)

    beats = asyncio.create_task(beat())
    await asyncio.sleep(0.005)
    spent.clear()
    await work()
    await asyncio.sleep(0.005)
    beats.cancel()
    return max(spent)


async def _bare() -> None:
    """Start and end as many tasks as the tests do, with nothing to do but to wait for a thread."""
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(CALLS)]

    async def one(future: asyncio.Future[None]) -> None:
        await future

    def answer() -> None:
        for start in range(0, CALLS, 64):
            loop.call_soon_threadsafe(lambda part=futures[start : start + 64]: [one.set_result(None) for one in part])
            time.sleep(0.001)

    thread = threading.Thread(target=answer)
    loop.call_later(0.01, thread.start)
    await asyncio.gather(*[one(future) for future in futures])
    thread.join()


def blocked_seconds(work: Work) -> float:
    """Return for how long ``work`` kept a loop from other tasks, beyond what asyncio takes for as many tasks."""

    async def rounds() -> float:
        least = 1.0
        for _ in range(MOST_ROUNDS):
            least = min(least, await _busiest(work) - await _busiest(_bare))
            if least < LONGEST_SECONDS:
                break
        return least

    return asyncio.run(rounds())


def test_what_blocks_is_found():
    async def block() -> None:
        stop = time.thread_time() + 10 * LONGEST_SECONDS
        while time.thread_time() < stop:
            pass

    assert blocked_seconds(block) > LONGEST_SECONDS


def test_a_thousand_searches(store):
    found = []

    async def work() -> None:
        calls = [store.asearch(("users", str(n % 50)), query="tea") for n in range(CALLS)]
        found.extend(await asyncio.gather(*calls))

    assert blocked_seconds(work) < LONGEST_SECONDS
    assert {len(hits) for hits in found} == {10}


def test_a_thousand_gets(store):
    found = []

    async def work() -> None:
        found.extend(await asyncio.gather(*[store.aget(("users", str(n % 50)), str(n)) for n in range(CALLS)]))

    assert blocked_seconds(work) < LONGEST_SECONDS
    assert [item.value["n"] for item in found[:CALLS]] == [*range(CALLS)]


def test_a_thousand_puts(store):
    async def work() -> None:
        await asyncio.gather(*[store.aput(("new",), str(n), {"text": f"coffee {n}"}) for n in range(CALLS)])

    assert blocked_seconds(work) < LONGEST_SECONDS
    assert store.count(("new",)) == CALLS


def test_many_updates(store):
    async def work() -> None:
        change = {"n": 0}
        await asyncio.gather(*[store.aupdate(("new",), str(n), dict, default=change, index=False) for n in range(200)])

    assert blocked_seconds(work) < LONGEST_SECONDS
    assert store.count(("new",)) == 200


def test_large_batches_and_pages(store):
    rows = []

    async def work() -> None:
        await store.abatch([PutOp(("big",), str(n), {"text": f"coffee {n}"}) for n in range(2000)])
        await store.abatch([GetOp(("users", str(n % 50)), str(n)) for n in range(2000)])
        rows.append(await store.asearch(("users",), limit=2000))

    assert blocked_seconds(work) < 2 * LONGEST_SECONDS  # to make two thousand operations is the caller's own work
    assert {len(found) for found in rows} == {2000}

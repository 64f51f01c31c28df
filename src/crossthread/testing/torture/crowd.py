"""Many processes and threads on one file at once: what each sees of itself and of others, and whether anything is lost.

Every thread counts up items that all share, writes batches whose items must always be seen together, and publishes
news: it tells by shared memory what it has written, and whoever has heard of it must find it with the next search.
"""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from langgraph.store.base import PutOp

from crossthread.store import MemoryStore
from crossthread.testing.torture.outcome import Outcome
from crossthread.testing.torture.steps import index

PROCESSES, THREADS = 8, 4
_COUNTERS, _TRIOS = 8, 4
_COUNTS, _TRIO, _NEWS = ("crowd", "counts"), ("crowd", "trio"), ("crowd", "news")


class _Member:
    """One thread of the crowd."""

    def __init__(self, store: MemoryStore, process: int, thread: int, news: Any, until: float) -> None:
        self.store = store
        self.number = process * THREADS + thread
        self.chance = random.Random(self.number)
        self.news = news
        self.until = until
        self.counted: Counter[str] = Counter()
        self.did: Counter[str] = Counter()
        self.problems: list[str] = []

    def run(self) -> None:
        """Do one thing after the other until the time is over."""
        things = [self.count, self.write_trio, self.read_trio, self.publish, self.hear]
        try:
            while time.time() < self.until and len(self.problems) < 10:
                self.chance.choice(things)()
        except Exception:
            self.problems.append(traceback.format_exc(limit=4))

    def count(self) -> None:
        """Count a shared item up."""
        key = str(self.chance.randrange(_COUNTERS))
        self.store.update(_COUNTS, key, lambda value: {"n": value["n"] + 1}, default={"n": 0}, index=False)
        self.counted[key] += 1
        self.did["updates"] += 1

    def write_trio(self) -> None:
        """Write three items together."""
        place = (*_TRIO, str(self.chance.randrange(_TRIOS)))
        mark = {"mark": self.chance.random(), "text": f"tea for {self.number}"}
        self.store.batch([PutOp(place, key, mark) for key in "abc"])
        self.did["batches"] += 1

    def read_trio(self) -> None:
        """Find three items that belong together, or none."""
        place = (*_TRIO, str(self.chance.randrange(_TRIOS)))
        query = self.chance.choice([None, "tea for two"])
        marks = [item.value["mark"] for item in self.store.search(place, query=query)]
        if len(marks) not in (0, 3) or len(set(marks)) > 1:
            self.problems.append(f"a batch was seen in part: {marks}")
        self.did["reads"] += 1

    def publish(self) -> None:
        """Write news, find them, and tell others of them."""
        heard = self.news[self.number] + 1
        key = str(self.number)
        self.store.put((*_NEWS, key), key, {"n": heard, "text": f"news number {heard}"})
        self.look(self.number, heard, "its own write")
        self.news[self.number] = heard
        self.did["puts"] += 1

    def hear(self) -> None:
        """Look for news that somebody has told of."""
        other = self.chance.randrange(PROCESSES * THREADS)
        if told := self.news[other]:
            self.look(other, told, "a write it had heard of")

    def look(self, whose: int, least: int, what: str) -> None:
        """Find news in one of three ways, no older than ``least``."""
        place = (*_NEWS, str(whose))
        way = self.chance.choice(["get", "semantic", "keyword"])
        if way == "get":
            found = self.store.get(place, str(whose))
            items = [] if found is None else [found]
        else:
            items = list(self.store.search(place, query="news number", mode=way, limit=5))  # type: ignore[arg-type]
        if [item.value["n"] >= least for item in items] != [True]:
            self.problems.append(f"{way} did not find {what}: {least}, but {[item.value for item in items]}")
        self.did["reads"] += 1


def take_part(path: Path, process: int, news: Any, until: float, pipe: Connection) -> None:
    """Be one process of the crowd, and send what its threads did and found."""
    with MemoryStore(path, index=index()) as store:
        members = [_Member(store, process, thread, news, until) for thread in range(THREADS)]
        threads = [threading.Thread(target=member.run) for member in members]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    counted: Counter[str] = sum((member.counted for member in members), Counter())
    did: Counter[str] = sum((member.did for member in members), Counter())
    pipe.send((counted, did, [problem for member in members for problem in member.problems]))


def gather(folder: Path, seconds: float, tell: Callable[[str], None]) -> Outcome:
    """Let a crowd work on one file for so long."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    path = folder / "agent.db"
    MemoryStore(path, index=index()).close()
    news = context.Array("q", PROCESSES * THREADS, lock=False)
    until = time.time() + seconds
    members = []
    for process in range(PROCESSES):
        receive, send = context.Pipe(duplex=False)
        member = context.Process(target=take_part, args=(path, process, news, until, send))
        member.start()
        _close(send)
        members.append((member, receive))
    tell(f"crowd: {PROCESSES} processes for {seconds:.0f} s")
    counted: Counter[str] = Counter()
    did: Counter[str] = Counter()
    problems: list[str] = []
    for member, receive in members:
        try:
            if not receive.poll(seconds + 120):
                raise EOFError
            its_counts, its_did, its_problems = receive.recv()
            counted += its_counts
            did += its_did
            problems += its_problems
        except EOFError:
            problems.append(f"A process of the crowd did not end, or ended without a word ({member.exitcode}).")
            member.kill()
        member.join()
        receive.close()
    with MemoryStore(path, index=index()) as store:
        there = {item.key: item.value["n"] for item in store.search(_COUNTS, limit=100)}
        problems += store.verify().problems
    if there != counted:
        problems.append(f"update() lost something: {dict(counted)} were counted, {there} are there")
    figures = f"{PROCESSES} processes x {THREADS} threads for {seconds:.0f} s: " + ", ".join(
        f"{count:,} {what}" for what, count in sorted(did.items())
    )
    return Outcome("crowd on one file", figures, problems)


def _close(pipe: Connection) -> None:
    """Close this process's end, so that the other one's end is told of."""
    pipe.close()

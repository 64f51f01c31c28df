"""Kills writers of one file at random moments, and looks each time what is there afterwards.

A writer has threads and async tasks, each of which tells through a pipe what it begins and what was acknowledged. After
a kill the file must hold exactly what was acknowledged, and of each worker's last step, which was not, all or nothing.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import struct
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.engines.sqlite.limits import LIMITS
from crossthread.store import MemoryStore
from crossthread.testing.torture.outcome import Outcome
from crossthread.testing.torture.steps import State, found, index, step

THREADS, TASKS = 3, 3
WORKERS = THREADS + TASKS
_NOTE = struct.Struct("<cBI")  # fewer bytes than a pipe takes at once, so that notes of threads do not mix
_BEGUN, _DONE = b"b", b"d"


def open_file(path: Path, round_: int) -> MemoryStore:
    """Open the store as it is opened in a round: in some, the indexes are settled often."""
    limits = LIMITS._replace(unindexed=(LIMITS.unindexed, 40)[round_ % 2])
    durability: Any = "process" if round_ % 3 == 2 else "disk"
    return MemoryStore(SQLiteEngine(path, limits=limits), index=index(), durability=durability)


def write(path: Path, round_: int, seed: int, starts: list[int], pipe: Connection) -> None:
    """Write until somebody kills this process."""
    store = open_file(path, round_)
    out = pipe.fileno()

    def in_thread(worker: int) -> None:
        number = starts[worker]
        while True:
            os.write(out, _NOTE.pack(_BEGUN, worker, number))
            step(seed, worker, number).perform(store)
            os.write(out, _NOTE.pack(_DONE, worker, number))
            number += 1

    async def in_task(worker: int) -> None:
        number = starts[worker]
        while True:
            os.write(out, _NOTE.pack(_BEGUN, worker, number))
            await step(seed, worker, number).aperform(store)
            os.write(out, _NOTE.pack(_DONE, worker, number))
            number += 1

    async def tasks() -> None:
        await asyncio.gather(*(in_task(worker) for worker in range(THREADS, WORKERS)))

    for worker in range(THREADS):
        threading.Thread(target=in_thread, args=(worker,), daemon=True).start()
    asyncio.run(tasks())


class Crashes:
    """One file through many kills.

    Args:
        folder: An empty folder.
        seed: What the steps and the moments are drawn from.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.path = folder / "agent.db"
        self.seed = seed
        self.chance = random.Random(seed)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([__name__])
        self.states: list[State] = [{} for _ in range(WORKERS)]
        self.starts = [0] * WORKERS
        self.acknowledged = self.whole = self.absent = 0
        self.problems: list[str] = []
        self.held: MemoryStore | None = None

    def run(self, kills: int, tell: Callable[[str], None]) -> Outcome:
        """Kill so many writers."""
        began = time.monotonic()
        try:
            for round_ in range(kills):
                notes = self.kill_a_writer(round_)
                self.check(round_, notes)
                tell(f"kill {round_ + 1} of {kills}: {self.acknowledged} writes acknowledged")
                if self.problems:
                    break
        finally:
            if self.held is not None:
                self.held.close()
        figures = (
            f"{round_ + 1} kills of one file in {time.monotonic() - began:.0f} s; {self.acknowledged:,} writes "
            f"acknowledged; of {self.whole + self.absent} under way {self.whole} whole, {self.absent} not there"
        )
        return Outcome("writer killed (SIGKILL), file", figures, self.problems)

    def kill_a_writer(self, round_: int) -> bytes:
        """Start a writer, kill it, and return its notes."""
        receive, send = self.context.Pipe(duplex=False)
        writer = self.context.Process(target=write, args=(self.path, round_, self.seed, self.starts, send))
        writer.start()
        send.close()
        notes = bytearray()

        def listen() -> None:
            while part := os.read(receive.fileno(), 65536):
                notes.extend(part)

        listener = threading.Thread(target=listen)
        listener.start()
        deadline = time.monotonic() + 60
        # Now and then while it opens the file; as a rule while it writes.
        while round_ % 8 and not notes and writer.is_alive() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(self.chance.uniform(0, 0.15))
        if not writer.is_alive():
            self.problems.append(f"The writer of round {round_} ended by itself, with {writer.exitcode}.")
        writer.kill()
        writer.join()
        listener.join()
        receive.close()
        writer.close()
        return bytes(notes)

    def check(self, round_: int, notes: bytes) -> None:
        """Open the file, check it, and compare it with the notes."""
        begun = [start - 1 for start in self.starts]
        done = list(begun)
        for kind, worker, number in _NOTE.iter_unpack(notes):
            (begun if kind == _BEGUN else done)[worker] = number
        if self.held is None:  # otherwise it has looked on while the other wrote
            self.held = open_file(self.path, round_)
        store = self.held
        report = store.verify()
        self.problems += [f"after kill {round_}: {problem}" for problem in report.problems]
        for worker in range(WORKERS):
            state = self.states[worker]
            for number in range(self.starts[worker], done[worker] + 1):
                state = step(self.seed, worker, number).after(state)
                self.acknowledged += 1
            there = found(store, worker)
            if begun[worker] > done[worker]:
                after = step(self.seed, worker, begun[worker]).after(state)
                self.whole += there == after
                self.absent += there == state != after
                if there == after:
                    state = after
            if there != state:
                last = step(self.seed, worker, begun[worker])
                self.problems.append(f"after kill {round_}: worker {worker}: {differences(state, there)}; last: {last}")
            self.states[worker] = state
            self.starts[worker] = begun[worker] + 1
        if round_ % 4 < 2:  # so that whoever opens the file after the next kill is the first, and recovers the log
            self.held.close()
            self.held = None


def differences(wanted: State, there: State) -> str:
    """Return in which items two states differ."""
    wrong = [at for at in sorted({*wanted, *there}) if wanted.get(at) != there.get(at)]
    return "; ".join(f"{at[1]}: {str(there.get(at))[:60]} for {str(wanted.get(at))[:60]}" for at in wrong[:5])

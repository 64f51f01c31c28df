"""Cuts and garbles the write-ahead log of a file at many places, and opens each of the torn images.

A power cut leaves the database file and some beginning of the log, what follows being garbage. Whatever the place, the
image must open, be whole, and hold exactly the writes whose commits lie before the tear; since a commit is synced
before it is acknowledged (`syncs`), the tear is behind all that were acknowledged.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path

from crossthread.store import MemoryStore
from crossthread.testing.torture.crash import differences
from crossthread.testing.torture.outcome import Outcome
from crossthread.testing.torture.steps import State, found, index, step

_STEPS = 60
_HEADER, _FRAME = 32, 24 + 4096


def tear(folder: Path, images: int, seed: int, tell: Callable[[str], None]) -> Outcome:
    """Write some steps, and open so many torn images of the file as it was then."""
    chance = random.Random(seed)
    path = folder / "agent.db"
    ends, states = [0], [State()]
    with MemoryStore(path, index=index()) as store:
        for number in range(_STEPS):
            one = step(seed, 0, number)
            one.perform(store)
            ends.append(_log(path).stat().st_size)
            states.append(one.after(states[-1]))
        # Before it is closed: closing copies the log into the file.
        shutil.copy(path, folder / "base.db")
        log = _log(path).read_bytes()
    began = time.monotonic()
    problems: list[str] = []
    for number, (kind, cut) in enumerate(_tears(log, ends, images, chance)):
        image = folder / f"torn{number}.db"
        shutil.copy(folder / "base.db", image)
        torn = {
            "cut": log[:cut],
            "zeros": log[:cut] + bytes(len(log) - cut),
            "noise": log[:cut] + chance.randbytes(len(log) - cut),
            "bit": log[:cut] + bytes(byte ^ 1 for byte in log[cut : cut + 1]) + log[cut + 1 :],
        }[kind]
        _log(image).write_bytes(torn)
        # Zeros may be what stood there. A write that changed nothing has no end of its own; the last of them counts.
        wanted = states[bisect_right(ends, _same(torn, log, cut)) - 1]
        try:
            with MemoryStore(image, index=index()) as store:
                there = found(store, 0)
                problems += [f"{kind} at {cut}: {problem}" for problem in store.verify().problems]
                if there != wanted:
                    problems.append(f"{kind} at {cut} of {len(log)}: {differences(wanted, there)}")
                store.put(("torture", "w1"), "k", {"text": "works again"})
        except Exception as error:
            problems.append(f"{kind} at {cut} of {len(log)}: {type(error).__name__}: {error}")
        for left in folder.glob(f"{image.name}*"):
            os.unlink(left)
        if number % 50 == 49:
            tell(f"torn log: {number + 1} images")
    figures = (
        f"{images} images of a log of {_STEPS} writes and {(len(log) - _HEADER) // _FRAME} pages, cut, or followed by "
        f"zeros or noise, or with a wrong bit, in {time.monotonic() - began:.0f} s"
    )
    return Outcome("torn write-ahead log", figures, problems)


def _same(torn: bytes, log: bytes, start: int) -> int:
    """Return how many bytes of the log are as they were; the first ``start`` are."""
    end = start
    while end < len(torn) and torn[end] == log[end]:
        end += 1
    return end


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _tears(log: bytes, ends: list[int], count: int, chance: random.Random) -> list[tuple[str, int]]:
    """Return kinds and places: around the ends of commits and pages first, then anywhere."""
    pages = range(_HEADER, len(log) + 1, _FRAME)
    places = [at + by for at in {*ends, *pages} for by in (0, -1, 1, 24)]
    chance.shuffle(places)
    places = [0, 1, _HEADER - 1, _HEADER, len(log), *places][: count * 3 // 4]
    places += [chance.randrange(len(log)) for _ in range(count - len(places))]
    kinds = ("cut", "zeros", "noise", "bit")
    return [(kinds[n % 4], min(max(place, 0), len(log))) for n, place in enumerate(places)]

"""Cuts the power at any moment of a run: every write that was not synced by then may be lost, torn, or out of order.

``strace`` records what a process writes to its files, byte by byte, what it syncs, and when it acknowledges. From that
the disk is made again as it may have been after each moment: what was synced, and of the later writes any, whole or a
few sectors of them. What was acknowledged by that moment must be in each such image, in whole steps. (As ALICE does:
Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014.)
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from crossthread.store import MemoryStore
from crossthread.testing.torture.crash import differences
from crossthread.testing.torture.outcome import Outcome
from crossthread.testing.torture.steps import State, found, index, step

_STEPS = 40
_SECTOR = 512
_FILES = ("agent.db", "agent.db-wal")

# Now and then the log goes into the file, in each of the ways there are.
_PROGRAM = """
import os, sqlite3, sys
from crossthread.store import MemoryStore
from crossthread.testing.torture.steps import index, step

path, marks, durability, seed, steps = sys.argv[1:]
mark = os.open(marks, os.O_CREAT | os.O_WRONLY, 0o600)
store = MemoryStore(path, index=index(), durability=durability)
other = sqlite3.connect(path)
for number in range(int(steps)):
    step(int(seed), 0, number).perform(store)
    os.write(mark, b"done")
    if number % 6 == 5:
        how = ("PASSIVE", "RESTART", "FULL", "TRUNCATE")[number // 6 % 4]
        other.execute(f"PRAGMA wal_checkpoint({how})").fetchall()
os._exit(0)
"""

_TRACED = "pwrite64,write,fsync,fdatasync,ftruncate"
_DATA = r'"(?P<data>[^"]*)", (?P<length>\d+)(?:, (?P<offset>\d+))?'
_LINE = re.compile(r"(?P<call>\w+)\(\d+<(?P<path>[^>]*)>(?:, (?:" + _DATA + r"|(?P<size>\d+)))?\) += (?P<result>-?\d+)")


class Event(NamedTuple):
    """What the process did: ``write``, ``truncate``, ``sync`` of a file, ``names`` synced, or ``done``."""

    kind: str
    name: str = ""
    offset: int = 0
    data: bytes = b""


def cut(
    folder: Path, images: int, seed: int, tell: Callable[[str], None], durability: str = "disk", may_lose: bool = False
) -> Outcome:
    """Record a run, and open so many of the disks that a power cut may have left.

    Args:
        folder: An empty one.
        images: How many disks.
        seed: What chance begins with.
        tell: Is told of progress.
        durability: That of the store.
        may_lose: Whether the last steps may be missing, as ``durability="process"`` says: the state must be that after
            some step, and need not be the last.
    """
    outcome = Outcome("power cut, simulated")
    chance = random.Random(seed)
    path = folder / "agent.db"
    MemoryStore(path, index=index()).close()
    base = {path.name: path.read_bytes()}
    trace = folder / "trace"
    if shutil.which("strace") is None:
        outcome.skipped = "there is no strace here"
        return outcome
    command = ["strace", "-y", "-xx", "-s", str(2**20), "-e", f"trace={_TRACED}", "-o", str(trace)]
    arguments = [str(path), str(folder / "marks"), durability, str(seed), str(_STEPS)]
    done = subprocess.run(
        [*command, sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        outcome.skipped = f"strace does not work here: {done.stderr.strip().splitlines()[-1:]}"
        return outcome
    events = list(_events(trace.read_text("ascii", "replace"), folder))
    states = [State()]
    for number in range(_STEPS):
        states.append(step(seed, 0, number).after(states[-1]))
    if sum(event.kind == "done" for event in events) != _STEPS:
        outcome.problems.append(f"{sum(event.kind == 'done' for event in events)} of {_STEPS} steps were traced")
    began = time.monotonic()
    for number in range(images):
        moment = chance.randrange(len(events) + 1)
        acknowledged = sum(event.kind == "done" for event in events[:moment])
        disk = _disk(base, events[:moment], chance)
        first = 0 if may_lose else acknowledged
        problem = _problem(folder / f"cut{number}", disk, states[first : acknowledged + 2])
        if problem:
            outcome.problems.append(f"cut after event {moment}, {acknowledged} acknowledged: {problem}")
        if number % 100 == 99:
            tell(f"power cut: {number + 1} images")
    writes = sum(event.kind == "write" for event in events)
    syncs = sum(event.kind == "sync" for event in events)
    outcome.figures = (
        f"{images} disks as a cut may have left them at any of {len(events)} moments of {_STEPS} writes "
        f"({writes} system calls that write, {syncs} that sync), in {time.monotonic() - began:.0f} s"
    )
    return outcome


def _events(trace: str, folder: Path) -> Iterator[Event]:
    for line in trace.splitlines():
        match = _LINE.match(line)
        if match is None or int(match["result"]) < 0:
            continue
        path = Path(_bytes(match["path"]).decode() if match["path"].startswith("\\x") else match["path"])
        call, name = match["call"], path.name
        if path == folder:
            yield Event("names")
        elif name == "marks":
            yield Event("done")
        elif name not in _FILES:
            continue
        elif call == "ftruncate":
            yield Event("truncate", name, int(match["size"]))
        elif call in ("fsync", "fdatasync"):
            yield Event("sync", name)
        elif call == "pwrite64":
            yield Event("write", name, int(match["offset"]), _bytes(match["data"])[: int(match["result"])])
        else:
            raise AssertionError(f"a write without a place: {line[:100]}")


def _bytes(hexadecimal: str) -> bytes:
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


def _disk(base: dict[str, bytes], events: Sequence[Event], chance: random.Random) -> dict[str, bytes]:
    """Return the files as they may be: what was synced, and of what was not each write, a part of it, or none."""
    disk = {name: bytearray(content) for name, content in base.items()}
    named, seen = set(base), set(base)
    pending: dict[str, list[Event]] = {}
    for event in events:
        if event.kind == "sync":
            for one in pending.pop(event.name, []):
                _apply(disk, one)
        elif event.kind == "names":
            named |= seen
        elif event.kind != "done":
            seen.add(event.name)
            pending.setdefault(event.name, []).append(event)
    likely = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    for later in pending.values():
        for one in later:
            if chance.random() < likely:
                _apply(disk, one)
            elif chance.random() < 0.3:
                for part in _sectors(one):
                    if chance.random() < 0.5:
                        _apply(disk, part)
    # A new file whose folder was not synced may have no name.
    return {name: bytes(content) for name, content in disk.items() if name in named or chance.random() < 0.5}


def _sectors(event: Event) -> Iterator[Event]:
    if event.kind == "write":
        for start in range(0, len(event.data), _SECTOR):
            yield event._replace(offset=event.offset + start, data=event.data[start : start + _SECTOR])


def _apply(disk: dict[str, bytearray], event: Event) -> None:
    content = disk.setdefault(event.name, bytearray())
    if event.kind == "truncate":
        del content[event.offset :]
        content.extend(bytes(event.offset - len(content)))
    else:
        content.extend(bytes(max(0, event.offset - len(content))))
        content[event.offset : event.offset + len(event.data)] = event.data


def _problem(place: Path, disk: dict[str, bytes], allowed: Sequence[State]) -> str | None:
    place.mkdir()
    try:
        for name, content in disk.items():
            (place / name).write_bytes(content)
        with MemoryStore(place / _FILES[0], index=index()) as store:
            there = found(store, 0)
            if problems := store.verify().problems:
                return problems[0]
            return None if there in allowed else differences(allowed[0], there)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        shutil.rmtree(place)

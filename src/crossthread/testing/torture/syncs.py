"""Watches the system calls of puts: what a put wrote to the log is synced before the put returns. Needs strace."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from crossthread.testing.torture.outcome import Outcome

PUTS = 20

# Marks the return of each put by a write to a file of its own, which the trace shows in its place.
_PROGRAM = f"""
import asyncio, os, sys
from crossthread.store import MemoryStore
from crossthread.testing.torture.steps import index

path, marks, durability = sys.argv[1:]
mark = os.open(marks, os.O_CREAT | os.O_WRONLY, 0o600)
store = MemoryStore(path, index=index(), durability=durability)
os.write(mark, b"open")

async def put(number):
    await store.aput(("a",), str(number), {{"text": "tea"}})

for number in range({PUTS}):
    asyncio.run(put(number)) if number % 2 else store.put(("a",), str(number), {{"text": "tea"}})
    os.write(mark, b"done")
os._exit(0)
"""

_CALL = re.compile(r"(?:(?P<call>pwrite64|pwritev|write|fsync|fdatasync)\(\d+<(?P<path>[^>]*)>)")


def watch(folder: Path, durability: str = "disk") -> Outcome:
    """Trace some puts; a problem is a put that returned before what it wrote was synced."""
    outcome = Outcome("sync before a put returns")
    strace = shutil.which("strace")
    if strace is None:
        outcome.skipped = "there is no strace here"
        return outcome
    trace = folder / f"trace-{durability}"
    command = [strace, "-f", "-y", "-s", "8", "-e", "trace=pwrite64,pwritev,write,fsync,fdatasync", "-o", str(trace)]
    arguments = [sys.executable, "-c", _PROGRAM, str(folder / f"{durability}.db"), str(folder / "marks"), durability]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        outcome.skipped = f"strace does not work here: {done.stderr.strip().splitlines()[-1:]}"
        return outcome
    returned = synced = written = 0
    is_dirty = is_open = has_written = False
    for line in trace.read_text("utf-8", "replace").splitlines():
        found = _CALL.search(line)
        if found is None:
            continue
        call, name = found["call"], Path(found["path"]).name
        if name == "marks":
            if is_open:
                returned += 1
                written += has_written
                if is_dirty:
                    outcome.problems.append(f"put {returned} returned before the log was synced")
            is_open, has_written = True, False
        elif name == f"{durability}.db-wal":
            if "sync" in call:
                is_dirty = False
                synced += is_open
            else:
                is_dirty = has_written = True
    if not returned == written == PUTS:
        outcome.problems.append(f"of {PUTS} puts {returned} were seen to return, {written} of them to write")
    outcome.figures = f"{returned} puts by strace: {written} wrote to the log, {synced} syncs of it"
    return outcome

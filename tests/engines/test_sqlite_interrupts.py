"""An interrupt (Ctrl-C) anywhere in a call: no other thread waits for ever, and close() returns."""

import dis
import sys
import threading
from types import CodeType, FrameType
from typing import Any

import pytest

from crossthread import MemoryStore
from crossthread.errors import StoreError

PLACES = ("commits.py", "pool.py", "sqlite/engine.py", "sqlite/presence.py", "sqlite/connection.py")
SECONDS = 20


class Interrupts:
    """Raises KeyboardInterrupt at one of the places where the interpreter looks for signals: entries, after calls."""

    def __init__(self, at: int) -> None:
        self.left = at
        self._calls: dict[CodeType, set[int]] = {}
        self._before: dict[FrameType, int] = {}

    def __enter__(self) -> None:
        sys.settrace(self._enter)

    def __exit__(self, *_: Any) -> None:
        sys.settrace(None)
        self._before.clear()  # frames hold what stands in them

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.endswith(PLACES):
            return None
        if frame.f_code not in self._calls:
            found = dis.get_instructions(frame.f_code)
            self._calls[frame.f_code] = {one.offset for one in found if one.opname.startswith("CALL")}
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        self._place()
        return self._step

    def _step(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            if self._before.get(frame) in self._calls[frame.f_code]:
                self._place()
            self._before[frame] = frame.f_lasti
        elif event == "return":
            self._before.pop(frame, None)
        return self._step

    def _place(self) -> None:
        self.left -= 1
        if self.left == -1:
            raise KeyboardInterrupt


def in_time(function: Any, *arguments: Any) -> None:
    """Call a function in a thread that must come back."""
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert not thread.is_alive(), f"{function} hangs"


@pytest.mark.parametrize("action", ["put", "get", "first get"])
def test_an_interrupt_anywhere_leaves_nobody_waiting(tmp_path, action):
    store = MemoryStore(tmp_path / "agent.db", durability="process")
    store.put(("main",), "k", {"n": 0})
    stop = threading.Event()
    told: list[str] = []
    failed: list[str] = []

    def write(name: str) -> None:
        n = 0
        while not stop.is_set():
            n += 1
            try:
                store.put(("other", name), str(n), {"n": n})
            except StoreError as error:
                failed.append(f"{name} {n}: {error}")
            else:
                told.append(f"{name} {n}")

    writers = [threading.Thread(target=write, args=(name,), daemon=True) for name in "ab"]
    for writer in writers:
        writer.start()
    interrupted = passed = 0
    for at in range(400):
        if action == "first get":
            store._engine._pool._close_idle()
        interrupts = Interrupts(at)
        try:
            with interrupts:
                if action == "put":
                    store.put(("main",), "k", {"n": at})
                else:
                    store.get(("main",), "k")
        except KeyboardInterrupt:
            interrupted += 1
        passed += interrupts.left >= 0
        in_time(store.put, ("main",), "k", {"n": -1})
        if passed > (20 if action == "put" else 0):  # how many places a put passes depends on the other writers
            break
    stop.set()
    for writer in writers:
        writer.join(SECONDS)
        assert not writer.is_alive()
    written = {f"{item.namespace[1]} {item.key}" for item in store.search(("other",), limit=10**6)}
    assert set(told) == written
    assert failed == []  # an interrupt is that thread's own matter
    assert interrupted > (2 if action == "get" else 5)
    in_time(store.close)

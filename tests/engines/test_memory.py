"""The in-memory engine, held to the contract."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from crossthread import MemoryStore
from crossthread.testing import EngineSuite


class TestMemory(EngineSuite):
    """The reference engine passes the whole suite."""

    lacks: ClassVar[dict[str, str]] = {"reopening": "what is in memory ends with the object"}

    def url(self, tmp_path: Path) -> str:
        return ":memory:"


def test_memory_is_the_default():
    """Without a url a store is in memory, and every object has a memory of its own."""
    with MemoryStore() as one, MemoryStore(":memory:") as two:
        one.put(("a",), "k", {"n": 1})
        assert two.search(()) == []

"""Blocks of vectors that were searched lately, so that the next search reads none. Touches no database.

The whole cache is true for one version of the store, which every commit raises. A commit of this process names
the namespaces it touched and only those are dropped; after a commit of another process all is dropped.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from crossthread.search.scan import Block

Version = tuple[int, int]
"""How many commits erased something, and the latest write: every commit makes a greater pair."""


class Entry(NamedTuple):
    """The vectors below a prefix. ``expires``: whether any of the items has a time to live."""

    block: Block
    expires: bool


class VectorCache:
    """The least recently searched prefixes leave first when the blocks exceed ``budget_bytes``."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._bytes = 0
        self._version: Version = (-1, 0)
        self._committing = False

    def find(self, prefix: str, version: Version) -> Entry | None:
        """Return the vectors below a prefix as of a version of the store, or None."""
        with self._lock:
            if version != self._version:
                # A commit of ours that has not been announced yet also shows a newer version; that is not a stranger's.
                if version > self._version and not self._committing:
                    self._clear(version)
                return None
            entry = self._entries.get(prefix)
            if entry is not None:
                self._entries.move_to_end(prefix)
            return entry

    def keep(self, prefix: str, version: Version, entry: Entry) -> None:
        """Keep what was read at a version, unless it is outdated already or larger than the budget."""
        with self._lock:
            if version != self._version or entry.block.nbytes > self.budget_bytes:
                return
            self._drop(prefix)
            self._entries[prefix] = entry
            self._bytes += entry.block.nbytes
            while self._bytes > self.budget_bytes:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= oldest.block.nbytes

    def begin_commit(self) -> None:
        """Say that this process is about to commit; `end_commit` or `cancel_commit` follows."""
        with self._lock:
            self._committing = True

    def cancel_commit(self) -> None:
        """Say that nothing was committed."""
        with self._lock:
            self._committing = False

    def end_commit(self, before: Version, after: Version, touched: Iterable[str], forgotten: Iterable[str]) -> None:
        """Say what was committed.

        Args:
            before: The version that the commit started from.
            after: The version that it made.
            touched: Namespaces in which items were written.
            forgotten: Prefixes below which all items were erased.
        """
        with self._lock:
            self._committing = False
            if before != self._version:
                self._clear(after)
                return
            self._version = after
            for namespace in touched:
                self._drop_above(namespace)
            for prefix in forgotten:
                self._drop_above(prefix)
                for below in [name for name in self._entries if name.startswith(prefix)]:
                    self._drop(below)

    def _drop_above(self, namespace: str) -> None:
        self._drop("")
        end = namespace.find(".")
        while end != -1:
            self._drop(namespace[: end + 1])
            end = namespace.find(".", end + 1)

    def _drop(self, prefix: str) -> None:
        entry = self._entries.pop(prefix, None)
        if entry is not None:
            self._bytes -= entry.block.nbytes

    def _clear(self, version: Version) -> None:
        self._entries.clear()
        self._bytes = 0
        self._version = version

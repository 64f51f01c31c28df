"""A view is a store: the suite that stores are held to, on a view below a view."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from crossthread import MemoryStore, ScopedStore
from crossthread.testing import StoreSuite

NEIGHBOURS = [
    ("memories",),
    ("memories", "ad"),
    ("memories", "ada2"),
    ("memories", "Ada"),
    ("memorie", "ada"),
    ("ada",),
]


class TestScopedStore(StoreSuite):
    lacks: ClassVar[dict[str, str]] = {
        "reopening": "what is in memory ends with the object",
        "closing": "a view has nothing to close",
        "records": "exports and imports are a matter of the whole store",
    }

    def make_store(self, tmp_path: Path, **settings: Any) -> ScopedStore:
        """A view among others' items, none of which may ever be seen."""
        store = MemoryStore(**settings)
        for neighbour in NEIGHBOURS:
            store.put(neighbour, "k", {"text": "green tea", "n": 1}, index=False, ttl=None)

        class View(ScopedStore):
            # Sweeping is a matter of the whole store, and what is swept must be gone from the view too.
            sweep_ttl = staticmethod(store.sweep_ttl)
            asweep_ttl = staticmethod(store.asweep_ttl)

        return View(ScopedStore(store, ("memories",)), ("ada",))

    @pytest.fixture(autouse=True)
    def _no_root(self, request: pytest.FixtureRequest) -> None:
        name = request.node.name
        if name.endswith(("-()]", "-none at all]")) or "namespace=()" in name:
            pytest.skip("a view's () is a namespace like any other")

    # The root of a view is not that of the store.
    test_langgraph_keeps_its_own_root = None
    # The labels of the view are part of the namespace, of which there is less left below.
    test_a_namespace_of_1800_bytes_is_one_and_a_longer_one_is_refused = None
    test_a_hundred_labels_and_large_items = None
    # Its reference is a whole store, to which () is no namespace.
    test_any_call_is_answered_as_the_reference_does = None

    # Settings are a matter of the store.
    test_a_changed_ttl_config_takes_effect = None
    test_settings_are_readable = None
    test_an_index_without_a_model = None

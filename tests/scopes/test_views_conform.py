"""A view is a store: the suite that stores are held to, on a view below a view."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from crossthread import MemoryStore, ScopedStore
from crossthread.testing import StoreSuite


class TestScopedStore(StoreSuite):
    lacks: ClassVar[dict[str, str]] = {
        "reopening": "what is in memory ends with the object",
        "closing": "a view has nothing to close",
    }

    def make_store(self, tmp_path: Path, **settings: Any) -> ScopedStore:
        return ScopedStore(ScopedStore(MemoryStore(**settings), ("memories",)), ("ada",))

    # A view's () is a namespace like any other, and its root is not that of the store.
    test_bad_addresses_are_refused = None
    test_a_bad_namespace_is_refused = None
    test_a_batch_is_validated_before_anything_runs = None
    test_one_bad_op_stops_the_whole_batch = None
    test_langgraph_keeps_its_own_root = None
    test_a_namespace_beyond_measure_is_refused = None
    test_a_hundred_labels_and_large_items = None
    test_any_call_is_answered_as_the_reference_does = None

    # What concerns everybody's items is not a view's matter: sweeping, and settings.
    test_a_sweep_counts_what_it_deletes = None
    test_a_sweep_takes_the_vectors_along = None
    test_swept_items_leave_no_words = None
    test_no_operation_on_one_namespace_reaches_another = None
    test_what_expired_does_not_count = None
    test_an_expired_item_can_be_written_again = None
    test_expired_items_can_be_shown = None
    test_a_changed_ttl_config_takes_effect = None
    test_settings_are_readable = None
    test_an_index_without_a_model = None

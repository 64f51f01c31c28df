"""The shipped suite on a store that is not ours: what it lacks is skipped, the rest holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from crossthread.testing import StoreSuite


class TestInMemoryStore(StoreSuite):
    lacks: ClassVar[dict[str, str]] = {
        "strict_addresses": "ops in a batch are not validated",
        "strict_values": "any object is a value",
        "isolation": "values are shared, reads create namespaces",
        "transactions": "nothing is validated before a batch runs",
        "ordered_times": "an update resets created_at",
        "newest_first": "ordered by insertion",
        "strict_limits": "negative limits are slices",
        "filters": "plain equality and comparisons only",
        "strict_embeddings": "vectors are not checked",
        "complete_search": "items without vectors fill up the pages",
        "fresh_vectors": "old vectors stay",
        "frugal": "every put is embedded",
        "modes": "search takes no mode",
        "keywords": "search by meaning only",
        "ttl": "items live for ever",
        "clock": "the system's clock only",
        "reopening": "nothing outlives the object",
        "any_loop": "an async embedder refuses sync calls",
        "closing": "there is nothing to close",
        "strict_settings": "settings are not checked",
        "extras": "not in BaseStore",
        "records": "not in BaseStore",
    }

    def make_store(self, tmp_path: Path, **settings: Any) -> BaseStore:
        return InMemoryStore(**settings)

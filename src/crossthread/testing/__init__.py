"""What users need to test their own code and their own stores: fakes, a clock, and the conformance suites.

`HashEmbeddings`, `ManualClock` and the chat models need nothing more than crossthread itself. The suites and the
comparison machine need pytest and hypothesis (``pip install crossthread[testing]``), so they are imported when they are
first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from crossthread.testing.clock import ManualClock
from crossthread.testing.embedder import HashEmbeddings

if TYPE_CHECKING:
    from crossthread.testing.chat import ScriptedChatModel, chat_model
    from crossthread.testing.model import StoreComparison
    from crossthread.testing.store_suite import EngineSuite, StoreSuite

__all__ = [
    "EngineSuite",
    "HashEmbeddings",
    "ManualClock",
    "ScriptedChatModel",
    "StoreComparison",
    "StoreSuite",
    "chat_model",
]

_LAZY = {
    "ScriptedChatModel": "crossthread.testing.chat",
    "chat_model": "crossthread.testing.chat",
    "EngineSuite": "crossthread.testing.store_suite",
    "StoreComparison": "crossthread.testing.model",
    "StoreSuite": "crossthread.testing.store_suite",
}
_SUITES = {"EngineSuite", "StoreComparison", "StoreSuite"}


def __getattr__(name: str) -> object:
    """Import what needs more when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _SUITES:
        import pytest

        # Before the first import of these modules, so that a failing assert in them shows both sides.
        pytest.register_assert_rewrite(
            "crossthread.testing.suite", "crossthread.testing.store_suite", "crossthread.testing.model"
        )
    return getattr(importlib.import_module(_LAZY[name]), name)

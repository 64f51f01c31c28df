"""crossthread: a memory that lasts for LangGraph agents.

Public names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph.store.base import InvalidNamespaceError

    from crossthread.batch import ExplainedItem
    from crossthread.errors import (
        ConfigurationError,
        CrossthreadError,
        EmbeddingError,
        EmbeddingTimeoutError,
        ImportLineError,
        IncompleteCopyError,
        IndexMismatchError,
        InjectionError,
        InvalidArgumentError,
        InvalidFilterError,
        InvalidValueError,
        ItemNotFoundError,
        MemoryValidationError,
        RerankError,
        SchemaVersionError,
        ScopeError,
        StoreBusyError,
        StoreClosedError,
        StoreCorruptError,
        StoreError,
        StoreFullError,
        StoreReadOnlyError,
        StoreUnavailableError,
        ThreadNotFoundError,
        UnsupportedError,
    )
    from crossthread.forgetting import Forgotten
    from crossthread.memory import Memory
    from crossthread.moving.copying import BadItem, Copied, acopy_store, copy_store
    from crossthread.moving.exporting import aexport_lines, export_lines
    from crossthread.moving.importing import BadLine, Imported, aimport_lines, import_lines
    from crossthread.records import NamespaceStats, Record, StoreStats
    from crossthread.reembedding import Reembedded, ReembedEstimate
    from crossthread.scopes.scope import Scope
    from crossthread.scopes.view import ScopedStore
    from crossthread.settings import IndexConfig
    from crossthread.store import MemoryStore
    from crossthread.threads.records import ThreadInfo, ThreadStep
    from crossthread.threads.threads import Threads
    from crossthread.ttl import TTLConfig
    from crossthread.typed.collection import Collection
    from crossthread.typed.indexed import Indexed
    from crossthread.typed.programs import TypedItem
    from crossthread.verification import Verification

__version__ = "0.1.0"

# Where a program configures no logging, a library is silent; docs/guides/observability.md names the loggers.
logging.getLogger("crossthread").addHandler(logging.NullHandler())

__all__ = [
    "BadItem",
    "BadLine",
    "Collection",
    "ConfigurationError",
    "Copied",
    "CrossthreadError",
    "EmbeddingError",
    "EmbeddingTimeoutError",
    "ExplainedItem",
    "Forgotten",
    "ImportLineError",
    "Imported",
    "IncompleteCopyError",
    "IndexConfig",
    "IndexMismatchError",
    "Indexed",
    "InjectionError",
    "InvalidArgumentError",
    "InvalidFilterError",
    "InvalidNamespaceError",
    "InvalidValueError",
    "ItemNotFoundError",
    "Memory",
    "MemoryStore",
    "MemoryValidationError",
    "NamespaceStats",
    "Record",
    "ReembedEstimate",
    "Reembedded",
    "RerankError",
    "SchemaVersionError",
    "Scope",
    "ScopeError",
    "ScopedStore",
    "StoreBusyError",
    "StoreClosedError",
    "StoreCorruptError",
    "StoreError",
    "StoreFullError",
    "StoreReadOnlyError",
    "StoreStats",
    "StoreUnavailableError",
    "TTLConfig",
    "ThreadInfo",
    "ThreadNotFoundError",
    "ThreadStep",
    "Threads",
    "TypedItem",
    "UnsupportedError",
    "Verification",
    "acopy_store",
    "aexport_lines",
    "aimport_lines",
    "copy_store",
    "export_lines",
    "import_lines",
]

_HOMES = {
    "BadItem": "crossthread.moving.copying",
    "Copied": "crossthread.moving.copying",
    "acopy_store": "crossthread.moving.copying",
    "copy_store": "crossthread.moving.copying",
    "BadLine": "crossthread.moving.importing",
    "Imported": "crossthread.moving.importing",
    "aexport_lines": "crossthread.moving.exporting",
    "aimport_lines": "crossthread.moving.importing",
    "export_lines": "crossthread.moving.exporting",
    "import_lines": "crossthread.moving.importing",
    "Collection": "crossthread.typed.collection",
    "ExplainedItem": "crossthread.batch",
    "Forgotten": "crossthread.forgetting",
    "IndexConfig": "crossthread.settings",
    "Indexed": "crossthread.typed.indexed",
    "InvalidNamespaceError": "langgraph.store.base",
    "Memory": "crossthread.memory",
    "MemoryStore": "crossthread.store",
    "NamespaceStats": "crossthread.records",
    "Record": "crossthread.records",
    "ReembedEstimate": "crossthread.reembedding",
    "Reembedded": "crossthread.reembedding",
    "Scope": "crossthread.scopes.scope",
    "ScopedStore": "crossthread.scopes.view",
    "StoreStats": "crossthread.records",
    "TTLConfig": "crossthread.ttl",
    "Verification": "crossthread.verification",
    "ThreadInfo": "crossthread.threads.records",
    "ThreadStep": "crossthread.threads.records",
    "Threads": "crossthread.threads.threads",
    "TypedItem": "crossthread.typed.programs",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOMES.get(name, "crossthread.errors")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

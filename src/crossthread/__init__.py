"""crossthread: a memory that lasts for LangGraph agents.

Public names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph.store.base import InvalidNamespaceError

    from crossthread.errors import (
        ConfigurationError,
        CrossthreadError,
        EmbeddingError,
        EmbeddingTimeoutError,
        IndexMismatchError,
        InjectionError,
        InvalidArgumentError,
        InvalidFilterError,
        InvalidValueError,
        ItemNotFoundError,
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
    )
    from crossthread.memory import Memory
    from crossthread.scopes.scope import Scope
    from crossthread.scopes.view import ScopedStore
    from crossthread.settings import IndexConfig
    from crossthread.store import MemoryStore
    from crossthread.ttl import TTLConfig

__version__ = "0.1.0"

__all__ = [
    "ConfigurationError",
    "CrossthreadError",
    "EmbeddingError",
    "EmbeddingTimeoutError",
    "IndexConfig",
    "IndexMismatchError",
    "InjectionError",
    "InvalidArgumentError",
    "InvalidFilterError",
    "InvalidNamespaceError",
    "InvalidValueError",
    "ItemNotFoundError",
    "Memory",
    "MemoryStore",
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
    "StoreUnavailableError",
    "TTLConfig",
]

_HOMES = {
    "IndexConfig": "crossthread.settings",
    "InvalidNamespaceError": "langgraph.store.base",
    "Memory": "crossthread.memory",
    "MemoryStore": "crossthread.store",
    "Scope": "crossthread.scopes.scope",
    "ScopedStore": "crossthread.scopes.view",
    "TTLConfig": "crossthread.ttl",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOMES.get(name, "crossthread.errors")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

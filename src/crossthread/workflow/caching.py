"""Caches of LangGraph's results, apart for each scope: what was computed for one user is never given to another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langgraph.cache.base import BaseCache, FullKey
from langgraph.cache.base import Namespace as CacheNamespace
from langgraph.types import CachePolicy

from crossthread import namespaces
from crossthread.namespaces import Namespace


class ScopedCache(BaseCache[Any]):
    """A cache in which the results of one scope have keys of their own.

    A run is given it in the place of its cache, so that it holds for everything that LangGraph caches: workflows, tasks
    and nodes, plain ones too. Their ``clear_cache()`` clears the results of all scopes, as the names of what was run
    are left as they are.

    Args:
        cache: Where results are kept.
        namespace: The scope's.
    """

    def __init__(self, cache: BaseCache[Any], namespace: Namespace) -> None:
        super().__init__(serde=cache.serde)
        self._cache = cache
        self._scope = _digest(namespace)

    def _below(self, key: FullKey) -> FullKey:
        return key[0], f"{key[1]}{self._scope}"

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """Return what is known, by key."""
        own = {self._below(key): key for key in keys}
        return {own[key]: value for key, value in self._cache.get(list(own)).items()}

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """Do what `get` does, without blocking the event loop."""
        own = {self._below(key): key for key in keys}
        return {own[key]: value for key, value in (await self._cache.aget(list(own))).items()}

    def set(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """Keep results with their seconds to live."""
        self._cache.set({self._below(key): pair for key, pair in pairs.items()})

    async def aset(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """Do what `set` does, without blocking the event loop."""
        await self._cache.aset({self._below(key): pair for key, pair in pairs.items()})

    def clear(self, namespaces: Sequence[CacheNamespace] | None = None) -> None:
        """Remove the results of some functions, or all, for every scope."""
        self._cache.clear(namespaces)

    async def aclear(self, namespaces: Sequence[CacheNamespace] | None = None) -> None:
        """Do what `clear` does, without blocking the event loop."""
        await self._cache.aclear(namespaces)


def scoped_cache(cache: BaseCache[Any] | None, namespace: Namespace) -> BaseCache[Any] | None:
    """Return what a run of a scope uses in the place of a cache; None stays None."""
    return None if cache is None else ScopedCache(cache, namespace)


def scoped_policy(policy: CachePolicy[Any] | None, namespace: Namespace) -> CachePolicy[Any] | None:
    """Return a policy whose keys hold the scope beside the arguments."""
    if policy is None:
        return None
    of_arguments, scope = policy.key_func, _digest(namespace).encode()

    def key(*args: Any, **kwargs: Any) -> bytes:
        found = of_arguments(*args, **kwargs)
        return scope + (found.encode() if isinstance(found, str) else found)

    return replace(policy, key_func=key)


def _digest(namespace: Namespace) -> str:
    """Return a text of fixed length: caches have characters of their own that must not stand in keys."""
    text = namespaces.to_text(namespace)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

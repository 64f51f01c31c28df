"""What a `Collection` does, once for sync and async callers: programs over the view of any store."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast

from langgraph.store.base import NOT_PROVIDED, BaseStore, GetOp, Item, NotProvided, PutOp

from crossthread._program import Program
from crossthread.errors import InvalidArgumentError, InvalidValueError, ItemNotFoundError, MemoryValidationError
from crossthread.scopes.view import ScopedStore
from crossthread.store import MemoryStore
from crossthread.turns import Turns
from crossthread.typed.codec import Codec
from crossthread.update import Call, Turn

ModelT = TypeVar("ModelT")

OnInvalid = Literal["raise", "skip"] | Callable[[MemoryValidationError], Any]
"""What to do with stored data that do not fit the model: raise the error, leave the item out, or ask a function, which
gets the error (with ``key``, ``reason`` and ``value``) and returns an instance, or None to leave the item out."""

_MOST_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class TypedItem(Generic[ModelT]):
    """A memory as a model, as `Collection.search` and `Collection.list` return it."""

    key: str
    """Its key."""
    value: ModelT
    """The instance."""
    score: float | None
    """How well it fits the query, see ``MemoryStore.search``; None without a query."""
    created_at: datetime
    """When it was put first, in UTC."""
    updated_at: datetime
    """When it was put last, in UTC."""


class Do(NamedTuple):
    """The request to call a method of the view, or its async twin."""

    method: str
    arguments: tuple[Any, ...]
    settings: Mapping[str, Any] = {}


class Rules(NamedTuple):
    """What all calls of a collection share."""

    codec: Codec[Any]
    index: Any
    on_invalid: OnInvalid

    def decoded(self, key: str, value: Any) -> Any:
        """Return the instance; None where the item is to be left out."""
        try:
            return self.codec.decode(key, value)
        except MemoryValidationError as error:
            if self.on_invalid == "raise":
                raise
            return None if self.on_invalid == "skip" else cast(Any, self.on_invalid)(error)


def write(rules: Rules, key: str, instance: Any, ttl: Any) -> Program[None]:
    """Put an instance."""
    yield Do("put", ((), key, rules.codec.encode(instance), rules.index), _given(ttl=ttl))


def read(rules: Rules, key: str) -> Program[Any]:
    """Return an instance, or None."""
    item = yield Do("get", ((), key))
    return None if item is None else rules.decoded(item.key, item.value)


def find(
    rules: Rules, view: BaseStore, query: str | None, filter_: Any, limit: int, offset: int, more: Mapping[str, Any]
) -> Program[list[TypedItem[Any]]]:
    """Return a page of what is in the collection itself.

    The store's own pages would count what is in namespaces below it, and what is left out because it is invalid.
    """
    for name, number in (("limit", limit), ("offset", offset)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise InvalidArgumentError(f"{name} must be 0 or more, not {number!r}.")
    if not limit:
        return []
    settings = {"query": query, "filter": filter_, **more}
    # The life of what is on the page is renewed, and not of what comes before it.
    settings |= {"refresh_ttl": False} if offset else {}
    page: list[TypedItem[Any]] = []
    passed, at, asked = 0, 0, min(offset + limit, _MOST_AT_ONCE)
    while True:
        found = yield Do("search", ((),), {**settings, "limit": asked, "offset": at})
        for item in found:
            if item.namespace or len(page) == limit:
                continue
            if passed < offset and rules.on_invalid == "raise":
                passed += 1
                continue
            instance = rules.decoded(item.key, item.value)
            if instance is None:
                continue
            if passed < offset:
                passed += 1
                continue
            score = getattr(item, "score", None)
            page.append(TypedItem(item.key, instance, score, item.created_at, item.updated_at))
        if len(page) == limit or len(found) < asked:
            break
        at += asked
        asked = min(max(asked, 100), _MOST_AT_ONCE)
    if offset and page and view.supports_ttl and (view.ttl_config or {}).get("refresh_on_read", True):
        yield Do("batch", ([GetOp((), item.key, refresh_ttl=True) for item in page],))
    return page


def erase(key: str) -> Program[None]:
    """Delete one item."""
    yield Do("delete", ((), key))


def clear() -> Program[int]:
    """Delete every item of the collection itself, whatever is in it, and return how many there were."""
    erased, at = 0, 0
    while True:
        found = yield Do("search", ((),), {"limit": _MOST_AT_ONCE, "offset": at, "refresh_ttl": False})
        own = [item.key for item in found if not item.namespace]
        if own:
            yield Do("batch", ([PutOp((), key, None) for key in own],))
        erased += len(own)
        at += len(found) - len(own)  # these stay where they are, in front of what comes next
        if len(found) < _MOST_AT_ONCE:
            return erased


def update(
    rules: Rules, view: BaseStore, key: str, change: Any, default: Any, ttl: Any, turns: Turns, is_async: bool
) -> Program[Any]:
    """Change an instance and return it as written; only async callers can wait for an async ``change``."""
    codec = rules.codec
    written: list[Any] = []

    def encoded(instance: Any) -> dict[str, Any]:
        if instance is None:
            raise InvalidValueError(f"change must return the new {codec.name}, and returned None.")
        value = codec.encode(instance)
        written[:] = [codec.decode(key, value)]
        return value

    def changed(value: dict[str, Any]) -> Any:
        instance = rules.decoded(key, value)
        if instance is None:  # what cannot be read must not be lost by writing over it
            instance = codec.decode(key, value)
        result = change(instance)
        if not is_async and inspect.iscoroutine(result):
            result.close()
            raise TypeError("change is an async function; use aupdate() for it.")
        return _awaited(result, encoded) if inspect.isawaitable(result) else encoded(result)

    start = default if isinstance(default, NotProvided) else codec.encode(default)
    if _has_update(view):
        settings = {"default": start, "index": rules.index, **_given(ttl=ttl)}
        yield Do("update", ((), key, changed), settings)
        return written[0]
    address = (view, key)
    granted = yield Turn(address)
    try:
        item: Item | None = yield Do("get", ((), key))
        if item is None and isinstance(start, NotProvided):
            raise ItemNotFoundError(f"There is no item {key!r} in this collection; give default= to start from one.")
        value = yield Call(changed, start if item is None else item.value)
        yield Do("put", ((), key, value, rules.index), _given(ttl=ttl))
    finally:
        if granted:
            turns.pass_on(address)
    return written[0]


async def _awaited(result: Any, encoded: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    return encoded(await result)


def _has_update(view: BaseStore) -> bool:
    while isinstance(view, ScopedStore):
        view = view._store
    return isinstance(view, MemoryStore)


def _given(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not NOT_PROVIDED}

"""ScopedStore: a part of a store as a store of its own. Uses ``batch`` of the store below, and what ours has beyond it.

Every operation is moved below the view's namespace, and what comes back is given relative to it. Stores of others match
prefixes of text rather than whole labels, so that ``bob`` finds what is ``bobby``'s; what is not below the view's
namespace is left out, and more is asked for in its place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from copy import copy
from typing import Any, TypeVar, cast

from langgraph.store.base import (
    NOT_PROVIDED,
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    NotProvided,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
)

from crossthread import namespaces
from crossthread._program import Program, adrive, drive
from crossthread.errors import InvalidArgumentError
from crossthread.namespaces import WILDCARD, Namespace, Pattern
from crossthread.operations.plan import ModalSearchOp
from crossthread.settings import Mode
from crossthread.store import MemoryStore

ItemT = TypeVar("ItemT", bound=Item)

_NAMES_AT_ONCE = 1000


class ScopedStore(BaseStore):
    """A view of the part of a store below one namespace, as a LangGraph store; it reaches nothing else.

    Its ``()`` is that namespace, for writing too. Namespaces given to it are relative, and so are those of the items
    and the lists it returns. `count`, `forget`, `update` and what `search` takes beyond LangGraph work where the store
    below is a `MemoryStore`, or a view of one. A view has nothing to open or close. Views of the same part of the same
    store are equal.

    Args:
        store: The store, or a view: then the namespace is relative to that.
        namespace: Where the view begins; not empty.

    Examples:
        >>> store = MemoryStore()
        >>> ada = ScopedStore(store, ("memories", "ada"))
        >>> ada.put((), "food", {"text": "likes pizza"})
        >>> store.get(("memories", "ada"), "food").value
        {'text': 'likes pizza'}
    """

    __slots__ = ("_exact", "_namespace", "_of_run", "_store")

    def __init__(self, store: BaseStore, namespace: tuple[str, ...]) -> None:
        if not isinstance(store, BaseStore):
            raise InvalidArgumentError(f"{store!r} is not a LangGraph store (langgraph.store.base.BaseStore).")
        self._store = store
        self._namespace = namespaces.checked(namespace)
        if WILDCARD in self._namespace:
            raise InvalidArgumentError(f"A view cannot begin at {namespace!r}: '*' stands for any label in lists.")
        self._exact = isinstance(store, (MemoryStore, ScopedStore))
        self._of_run = False  # whether a scoped workflow put it in the place of a run's store

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ScopedStore):
            return NotImplemented
        return self._namespace == other._namespace and (self._store is other._store or self._store == other._store)

    def __hash__(self) -> int:
        return hash(self._namespace)

    def __repr__(self) -> str:
        return f"ScopedStore({self._store!r}, {self._namespace!r})"

    @property
    def namespace(self) -> Namespace:
        """Where the view begins, in the store below."""
        return self._namespace

    @property
    def supports_ttl(self) -> bool:  # type: ignore[override]  # a plain attribute of BaseStore
        """Whether the store below has items that expire."""
        return self._store.supports_ttl

    @property
    def ttl_config(self) -> TTLConfig | None:  # type: ignore[override]  # a plain attribute of BaseStore
        """A copy of the settings of the store below: changing it changes nothing for others."""
        config = self._store.ttl_config
        return None if config is None else cast(TTLConfig, dict(config))

    # Everything is a batch

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations together, as ``batch`` of the store below does; their namespaces are relative."""
        return drive(self._program(ops), lambda below: self._store.batch(below))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do what `batch` does, without blocking the event loop."""
        return await adrive(self._program(ops), lambda below: self._store.abatch(below))

    def _program(self, ops: Iterable[Any]) -> Program[list[Any]]:
        asked = list(ops)
        below = [self._below(op) for op in asked]
        results = yield below
        if self._exact:
            return [self._as_seen(op, result) for op, result in zip(asked, results, strict=True)]
        answers = []
        for op, result, op_below in zip(asked, results, below, strict=True):
            answers.append((yield from self._answer(op, result, op_below)))
        return answers

    def _below(self, op: Any) -> Any:
        """Return an operation as the store below is asked it."""
        if isinstance(op, GetOp):
            return op._replace(namespace=self._under(op.namespace))
        if isinstance(op, PutOp):
            return op._replace(namespace=self._under(op.namespace))
        if isinstance(op, ModalSearchOp):
            self._needs_ours("search with mode=, min_score=, hybrid_weight= or explain=")
            return op._replace(search=self._below(op.search))
        if isinstance(op, SearchOp):
            under = op._replace(namespace_prefix=self._under(op.namespace_prefix))
            if self._exact:
                return under
            _refuse_negative(op)
            return under._replace(limit=op.offset + op.limit, offset=0)
        if isinstance(op, ListNamespacesOp):
            return self._list_below(op)
        raise InvalidArgumentError(f"Not an operation of a scoped store: {op!r}.")

    def _as_seen(self, op: Any, result: Any) -> Any:
        """Return the result of an operation as those see it who know this view only."""
        if isinstance(op, PutOp) or result is None:
            return None
        if isinstance(op, GetOp):
            return self._relative(result)
        if isinstance(op, ListNamespacesOp):
            return [self._cut(name) for name in result]
        return [self._relative(item) for item in result]

    def _answer(self, op: Any, result: Any, below: Any) -> Program[Any]:
        """Do what `_as_seen` does where the store below may return what is not this view's."""
        if isinstance(op, SearchOp):
            return (yield from self._found(op, result, below))
        if isinstance(op, ListNamespacesOp):
            return (yield from self._listed(op, result, below))
        if isinstance(op, GetOp) and result is not None and not self._has(result.namespace):
            return None
        return self._as_seen(op, result)

    def _found(self, op: SearchOp, found: list[SearchItem], below: SearchOp) -> Program[list[SearchItem]]:
        """Return a page of the hits that are this view's; asks for more where others' were among them."""
        wanted = op.offset + op.limit
        while True:
            own = [item for item in found if self._has(item.namespace)]
            if len(own) >= wanted or len(found) < below.limit:
                return [self._relative(item) for item in own[op.offset : wanted]]
            below = below._replace(limit=below.limit * 2)
            (found,) = yield [below]

    def _list_below(self, op: ListNamespacesOp) -> ListNamespacesOp:
        patterns = _patterns(op)
        depth = namespaces.checked_depth(op.max_depth)
        if not self._exact:
            _refuse_negative(op)
            own = MatchCondition("prefix", cast(Any, self._namespace))
            return ListNamespacesOp((own,), None, _NAMES_AT_ONCE, 0)
        conditions = [MatchCondition("prefix", cast(Any, self._namespace))]
        for pattern in patterns:
            if pattern.at_end:
                # As many labels below the view as the suffix has: it must not match what lies above.
                enough = (*self._namespace, *(WILDCARD for _ in pattern.labels))
                conditions.append(MatchCondition("prefix", cast(Any, enough)))
                conditions.append(MatchCondition("suffix", cast(Any, pattern.labels)))
            else:
                conditions.append(MatchCondition("prefix", cast(Any, (*self._namespace, *pattern.labels))))
        depth = None if depth is None else depth + len(self._namespace)
        return ListNamespacesOp(tuple(conditions), depth, op.limit, op.offset)

    def _listed(
        self, op: ListNamespacesOp, names: list[Namespace], below: ListNamespacesOp
    ) -> Program[list[Namespace]]:
        """Return what a list of this view's namespaces alone would be."""
        own: set[Namespace] = set()
        while True:
            own.update(self._cut(name) for name in names if self._has(name))
            if len(names) < below.limit:
                return namespaces.listed(own, _patterns(op), op.max_depth, op.limit, op.offset)
            below = below._replace(offset=below.offset + below.limit)
            (names,) = yield [below]

    # Addresses

    def _under(self, namespace: Any) -> Namespace:
        # Through the text form and back: both are kept, so that an address is checked once.
        return self._namespace + namespaces.from_text(namespaces.to_text(namespace, empty_allowed=True))

    def _has(self, namespace: Any) -> bool:
        return tuple(namespace[: len(self._namespace)]) == self._namespace

    def _cut(self, namespace: Any) -> Namespace:
        return tuple(namespace[len(self._namespace) :])

    def _relative(self, item: ItemT) -> ItemT:
        own = item if self._exact else copy(item)  # others' stores may return the very object they keep
        own.namespace = self._cut(item.namespace)
        return own

    def _needs_ours(self, what: str) -> Any:
        store = self._store
        if isinstance(store, ScopedStore):
            store._needs_ours(what)
        elif not isinstance(store, MemoryStore):
            raise NotImplementedError(
                f"{what} is not in LangGraph's BaseStore, and the store below this view is a "
                f"{type(store).__qualname__}; it works with a crossthread.MemoryStore."
            )
        return store

    # What BaseStore's own methods would refuse, or do not know

    def put(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Any,
        index: Any = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> None:
        """Write an item; ``()`` is the view's own namespace."""
        self.batch([self._put_op(namespace, key, value, index, ttl)])

    async def aput(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Any,
        index: Any = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> None:
        """Do what `put` does, without blocking the event loop."""
        await self.abatch([self._put_op(namespace, key, value, index, ttl)])

    def _put_op(self, namespace: Any, key: str, value: Any, index: Any, ttl: Any) -> PutOp:
        if isinstance(ttl, NotProvided):
            config = self._store.ttl_config
            ttl = config.get("default_ttl") if config else None
        elif ttl is not None and not self.supports_ttl:
            raise NotImplementedError(
                f"TTL is not supported by {type(self._store).__name__}, the store below this view; leave ttl out."
            )
        return PutOp(namespace, str(key), value, index=index, ttl=ttl)

    def search(
        self,
        namespace_prefix: tuple[str, ...],
        /,
        *,
        query: str | None = None,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
        mode: Mode | None = None,
        min_score: float | None = None,
        hybrid_weight: float | None = None,
        explain: bool = False,
    ) -> list[SearchItem]:
        """Find items below a namespace of this view, see `MemoryStore.search`; ``()`` is all that it has."""
        op = self._search_op(namespace_prefix, filter, limit, offset, query, refresh_ttl)
        return cast(list[SearchItem], self.batch([_modal(op, mode, min_score, hybrid_weight, explain)])[0])

    async def asearch(
        self,
        namespace_prefix: tuple[str, ...],
        /,
        *,
        query: str | None = None,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
        mode: Mode | None = None,
        min_score: float | None = None,
        hybrid_weight: float | None = None,
        explain: bool = False,
    ) -> list[SearchItem]:
        """Do what `search` does, without blocking the event loop."""
        op = self._search_op(namespace_prefix, filter, limit, offset, query, refresh_ttl)
        found = await self.abatch([_modal(op, mode, min_score, hybrid_weight, explain)])
        return cast(list[SearchItem], found[0])

    def _search_op(
        self, prefix: Any, filter_: Any, limit: int, offset: int, query: str | None, refresh_ttl: bool | None
    ) -> SearchOp:
        if refresh_ttl is None:
            config = self._store.ttl_config
            refresh_ttl = True if config is None else config.get("refresh_on_read", True)
        return SearchOp(prefix, filter_, limit, offset, query, refresh_ttl)

    # Beyond BaseStore

    def forget(self, namespace_prefix: tuple[str, ...]) -> int:
        """Erase every item in a namespace and all below it, ``()``: all that this view has; return how many."""
        return cast(int, self._needs_ours("forget()").forget(self._under(namespace_prefix)))

    async def aforget(self, namespace_prefix: tuple[str, ...]) -> int:
        """Do what `forget` does, without blocking the event loop."""
        return cast(int, await self._needs_ours("aforget()").aforget(self._under(namespace_prefix)))

    def count(self, namespace_prefix: tuple[str, ...] = (), *, filter: dict[str, Any] | None = None) -> int:  # noqa: A002
        """Return how many items below a namespace match a filter."""
        return cast(int, self._needs_ours("count()").count(self._under(namespace_prefix), filter=filter))

    async def acount(self, namespace_prefix: tuple[str, ...] = (), *, filter: dict[str, Any] | None = None) -> int:  # noqa: A002
        """Do what `count` does, without blocking the event loop."""
        return cast(int, await self._needs_ours("acount()").acount(self._under(namespace_prefix), filter=filter))

    def update(
        self,
        namespace: tuple[str, ...],
        key: str,
        change: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        default: dict[str, Any] | NotProvided = NOT_PROVIDED,
        index: Any = None,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> Item:
        """Read an item, change it and write it back atomically, see `MemoryStore.update`."""
        store = self._needs_ours("update()")
        item = store.update(self._under(namespace), key, change, default=default, index=index, ttl=ttl)
        return self._relative(cast(Item, item))

    async def aupdate(
        self,
        namespace: tuple[str, ...],
        key: str,
        change: Callable[[dict[str, Any]], dict[str, Any]] | Callable[[dict[str, Any]], Awaitable[dict[str, Any]]],
        *,
        default: dict[str, Any] | NotProvided = NOT_PROVIDED,
        index: Any = None,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> Item:
        """Do what `update` does, without blocking the event loop; ``change`` may be async."""
        store = self._needs_ours("aupdate()")
        item = await store.aupdate(self._under(namespace), key, change, default=default, index=index, ttl=ttl)
        return self._relative(cast(Item, item))


def _modal(op: SearchOp, mode: Mode | None, min_score: float | None, hybrid_weight: float | None, explain: bool) -> Any:
    if mode is None and min_score is None and hybrid_weight is None and not explain:
        return op  # which every store understands
    return ModalSearchOp(op, mode, min_score, hybrid_weight, explain)


def _patterns(op: ListNamespacesOp) -> list[Pattern]:
    found = []
    for condition in op.match_conditions or ():
        if condition.match_type not in ("prefix", "suffix"):
            raise InvalidArgumentError(f"match_type must be 'prefix' or 'suffix', not {condition.match_type!r}.")
        labels = namespaces.checked(condition.path, empty_allowed=True)
        found.append(Pattern(labels, at_end=condition.match_type == "suffix"))
    return found


def _refuse_negative(op: SearchOp | ListNamespacesOp) -> None:
    for name, number in (("limit", op.limit), ("offset", op.offset)):
        if number < 0:
            raise InvalidArgumentError(f"{name} must not be negative: {number}.")

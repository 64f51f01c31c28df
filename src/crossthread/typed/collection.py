"""Collection: memories of one model in one scope, for people. Drives the programs; decides nothing."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, Generic, Literal, Self, TypeVar

import uuid_utils
from langchain_core.runnables import RunnableConfig
from langgraph.store.base import NOT_PROVIDED, BaseStore, NotProvided

from crossthread._program import Program, adrive, drive
from crossthread.errors import ConfigurationError
from crossthread.scopes.scope import Scope, Scoping, as_scope
from crossthread.settings import Mode
from crossthread.turns import Turns
from crossthread.typed import programs
from crossthread.typed.codec import Codec, Upgrade
from crossthread.typed.indexed import indexed_paths
from crossthread.typed.programs import Do, OnInvalid, Rules, TypedItem
from crossthread.update import Call, Turn

ModelT = TypeVar("ModelT")
T = TypeVar("T")


class Collection(Generic[ModelT]):
    """Memories of one model in one scope: ``memory.collection(Preference, scope=("memories", "{user_id}"))``.

    Inside of a workflow it is the collection of the run's user, by itself; outside, ``collection.bind(config)`` is that
    of the user whom a config names. It works over any LangGraph store. What lies in namespaces below the scope is not
    the collection's.

    Args:
        model: A pydantic model, a dataclass or a TypedDict.
        scope: A `Scope`, or its labels.
        store: The store, where no run has one.
        index: The paths to search in, False for none; None: the fields that the model marks with `Indexed`, or what the
            store's own settings say where it marks none.
        on_invalid: What to do with stored data that do not fit the model: ``"raise"`` a `MemoryValidationError`,
            ``"skip"`` them, or a function that gets the error, with its ``key``, ``reason`` and ``value``, and returns
            an instance, or None to skip.
        version: The version of the model, from 1 on; it is kept with each memory, under ``"__version__"``. None: what
            the model says in ``__memory_version__``, or none.
        upgrade: Gets a stored value and its older version (1 where none was kept), and returns the value of this
            version. None: the model's ``__memory_upgrade__(value, version)``, a static or class method, or none.

    Raises:
        ConfigurationError: The model cannot be validated, the scope is no template, or version and upgrade make no
            sense.

    Examples:
        >>> from pydantic import BaseModel
        >>> from crossthread import Memory
        >>> class Preference(BaseModel):
        ...     topic: str
        ...     likes: bool
        >>> memory = Memory()
        >>> preferences = memory.collection(Preference, scope=("memories", "{user_id}", "preferences"))
        >>> ada = preferences.bind({"configurable": {"user_id": "ada"}})
        >>> key = ada.add(Preference(topic="pizza", likes=True))
        >>> ada.get(key)
        Preference(topic='pizza', likes=True)
    """

    def __init__(
        self,
        model: type[ModelT],
        scope: Scoping,
        *,
        store: BaseStore | Callable[[], BaseStore | None] | None = None,
        index: Literal[False] | Sequence[str] | None = None,
        on_invalid: OnInvalid = "raise",
        version: int | None = None,
        upgrade: Upgrade | None = None,
    ) -> None:
        if on_invalid not in ("raise", "skip") and not callable(on_invalid):
            raise ConfigurationError(f"on_invalid must be 'raise', 'skip' or a function, not {on_invalid!r}.")
        if isinstance(index, (str, int)) and index is not False:
            raise ConfigurationError(f"index must be a list of paths, False or None, not {index!r}.")
        self._model = model
        self._scope = as_scope(scope, store if callable(store) else lambda: store)
        codec: Codec[ModelT] = Codec(model, version, upgrade)
        paths = indexed_paths(model) if index is None else index and [*index]
        self._rules = Rules(codec, paths, on_invalid)
        self._turns = Turns()
        self._bound: BaseStore | None = None

    def __repr__(self) -> str:
        where = self._scope if self._bound is None else self._bound
        return f"Collection({self._rules.codec.name}, {where!r})"

    @property
    def model(self) -> type[ModelT]:
        """The model."""
        return self._model

    @property
    def scope(self) -> Scope:
        """The scope."""
        return self._scope

    def bind(
        self,
        config: RunnableConfig | Mapping[str, Any] | None = None,
        *,
        store: BaseStore | None = None,
        context: Any = None,
    ) -> Self:
        """Return the same collection for one user, wherever it is called from.

        Args:
            config: ``{"configurable": {"user_id": "ada"}}``, or a run's config; None: that of the run at hand.
            store: A store to use instead.
            context: A run's context, to look for ids in.

        Raises:
            ScopeError: It is not said whose memories are meant.
        """
        bound = copy(self)
        bound._bound = self._scope.bind(config, store=store, context=context)
        return bound

    @property
    def _view(self) -> BaseStore:
        return self._scope.bind() if self._bound is None else self._bound

    # Driving

    def _drive(self, view: BaseStore, program: Program[T]) -> T:
        return drive(program, partial(self._perform, view))

    async def _adrive(self, view: BaseStore, program: Program[T]) -> T:
        return await adrive(program, partial(self._aperform, view))

    def _perform(self, view: BaseStore, request: Any) -> Any:
        match request:
            case Do(method, arguments, settings):
                return getattr(view, method)(*arguments, **settings)
            case Turn(address):
                return self._turns.take(address)
            case Call(function, argument):
                return function(argument)
            case _:
                raise AssertionError(f"unknown request: {request!r}")

    async def _aperform(self, view: BaseStore, request: Any) -> Any:
        match request:
            case Do(method, arguments, settings):
                return await getattr(view, f"a{method}")(*arguments, **settings)
            case Turn(address):
                return await self._turns.atake(address)
            case Call(function, argument):
                result = function(argument)
                return await result if inspect.isawaitable(result) else result
            case _:
                raise AssertionError(f"unknown request: {request!r}")

    # Writing

    def add(self, value: ModelT, *, ttl: float | NotProvided | None = NOT_PROVIDED) -> str:
        """Store an instance under a new key, and return the key: a UUID of version 7, so that keys sort by time.

        Args:
            value: The instance.
            ttl: Minutes that it lives; None: for ever. Left out: as the store says.

        Raises:
            ScopeError: It is not said whose memories are meant.
            InvalidValueError: The instance does not fit its model, or cannot be written as JSON.
        """
        key = str(uuid_utils.uuid7())
        self.put(key, value, ttl=ttl)
        return key

    async def aadd(self, value: ModelT, *, ttl: float | NotProvided | None = NOT_PROVIDED) -> str:
        """Do what `add` does, without blocking the event loop."""
        key = str(uuid_utils.uuid7())
        await self.aput(key, value, ttl=ttl)
        return key

    def put(self, key: str, value: ModelT, *, ttl: float | NotProvided | None = NOT_PROVIDED) -> None:
        """Store an instance under a key, in place of what is there; arguments and errors as for `add`."""
        self._drive(self._view, programs.write(self._rules, key, value, ttl))

    async def aput(self, key: str, value: ModelT, *, ttl: float | NotProvided | None = NOT_PROVIDED) -> None:
        """Do what `put` does, without blocking the event loop."""
        await self._adrive(self._view, programs.write(self._rules, key, value, ttl))

    def update(
        self,
        key: str,
        change: Callable[[ModelT], ModelT],
        *,
        default: ModelT | NotProvided = NOT_PROVIDED,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> ModelT:
        """Read an instance, change it and write it back, and return it as written.

        Over a `MemoryStore` this is atomic: of two updates at once none is lost, between processes too. Other stores
        have no such operation: there, updates by the same collection object take turns, and a write from elsewhere in
        between is overwritten.

        Args:
            key: Its key.
            change: Gets the instance, and returns the new one. It may be called again with a newer one, so it should do
                nothing else.
            default: The instance to start from where there is none.
            ttl: As for `add`.

        Raises:
            ItemNotFoundError: There is none, and no default.
            MemoryValidationError: What is stored does not fit the model, also with ``on_invalid="skip"``.
            InvalidValueError: What ``change`` returned does not fit the model. Nothing was written.
        """
        view = self._view
        program = programs.update(self._rules, view, key, change, default, ttl, self._turns, is_async=False)
        written: ModelT = self._drive(view, program)
        return written

    async def aupdate(
        self,
        key: str,
        change: Callable[[ModelT], ModelT] | Callable[[ModelT], Awaitable[ModelT]],
        *,
        default: ModelT | NotProvided = NOT_PROVIDED,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> ModelT:
        """Do what `update` does, without blocking the event loop; ``change`` may be async."""
        view = self._view
        program = programs.update(self._rules, view, key, change, default, ttl, self._turns, is_async=True)
        written: ModelT = await self._adrive(view, program)
        return written

    def delete(self, key: str) -> None:
        """Delete what is stored under a key, if anything."""
        self._drive(self._view, programs.erase(key))

    async def adelete(self, key: str) -> None:
        """Do what `delete` does, without blocking the event loop."""
        await self._adrive(self._view, programs.erase(key))

    def clear(self) -> int:
        """Delete all memories of this collection, also those that do not fit the model, and return how many there were.

        What lies in namespaces below stays. To erase a person from the file itself, see ``memory.forget_user``.
        """
        return self._drive(self._view, programs.clear())

    async def aclear(self) -> int:
        """Do what `clear` does, without blocking the event loop."""
        return await self._adrive(self._view, programs.clear())

    # Reading

    def get(self, key: str) -> ModelT | None:
        """Return the instance under a key; None where there is none, or it is to be skipped.

        Raises:
            ScopeError: It is not said whose memories are meant.
            MemoryValidationError: What is stored does not fit the model, and ``on_invalid`` is ``"raise"``.
        """
        found: ModelT | None = self._drive(self._view, programs.read(self._rules, key))
        return found

    async def aget(self, key: str) -> ModelT | None:
        """Do what `get` does, without blocking the event loop."""
        found: ModelT | None = await self._adrive(self._view, programs.read(self._rules, key))
        return found

    def search(
        self,
        query: str | None = None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        limit: int = 10,
        offset: int = 0,
        mode: Mode | None = None,
        min_score: float | None = None,
    ) -> builtins.list[TypedItem[ModelT]]:
        """Find memories.

        Args:
            query: Text to search by, in the fields that are `Indexed`; needs a store with ``index``. None: the newest
                first.
            filter: Conditions on the values as they are stored, by the names of the fields.
            limit: How many at the most.
            offset: How many to skip.
            mode: As for ``MemoryStore.search``, which other stores do not have.
            min_score: As for ``MemoryStore.search``, which other stores do not have.

        Returns:
            Hits in order, with ``key``, ``value``, ``score``, ``created_at`` and ``updated_at``.

        Raises:
            ScopeError: It is not said whose memories are meant.
            MemoryValidationError: A hit does not fit the model, and ``on_invalid`` is ``"raise"``.
        """
        view = self._view
        more = {name: value for name, value in (("mode", mode), ("min_score", min_score)) if value is not None}
        return self._drive(view, programs.find(self._rules, view, query, filter, limit, offset, more))

    async def asearch(
        self,
        query: str | None = None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        limit: int = 10,
        offset: int = 0,
        mode: Mode | None = None,
        min_score: float | None = None,
    ) -> builtins.list[TypedItem[ModelT]]:
        """Do what `search` does, without blocking the event loop."""
        view = self._view
        more = {name: value for name, value in (("mode", mode), ("min_score", min_score)) if value is not None}
        return await self._adrive(view, programs.find(self._rules, view, query, filter, limit, offset, more))

    def list(self, *, limit: int = 100, offset: int = 0) -> builtins.list[TypedItem[ModelT]]:
        """Return the memories, in the order of the store without a query: newest first, in a `MemoryStore`."""
        return self.search(limit=limit, offset=offset)

    async def alist(self, *, limit: int = 100, offset: int = 0) -> builtins.list[TypedItem[ModelT]]:
        """Do what `list` does, without blocking the event loop."""
        return await self.asearch(limit=limit, offset=offset)

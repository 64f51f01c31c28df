"""The decorators of `Memory`: LangGraph's own, with the store and the checkpointer filled in and injection made sure.

Everything they return is made by ``langgraph.func``; what is decided here is only what they are called with.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

import langgraph.func
from langgraph.cache.base import BaseCache
from langgraph.pregel import Pregel
from langgraph.store.base import NOT_PROVIDED, BaseStore, NotProvided
from langgraph.types import CachePolicy, Checkpointer, RetryPolicy, TimeoutPolicy
from langgraph.typing import ContextT

from crossthread.scopes.scope import Scope
from crossthread.workflow.injection import injectable

if TYPE_CHECKING:
    # LangGraph has no public name for what a task's call returns. Only type checkers read this line.
    from langgraph.pregel._call import SyncAsyncFuture

T = TypeVar("T")

# What LangGraph still takes besides the parameters it names, with a deprecation warning of its own.
_DEPRECATED = {"retry", "config_schema"}


class TaskFunction(Protocol[T]):
    """What LangGraph makes of a task: called inside of a workflow, it returns a future, at once."""

    def __call__(self, *args: Any, **kwargs: Any) -> SyncAsyncFuture[T]:
        """Start the task; injected parameters are left out."""
        ...

    def clear_cache(self, cache: BaseCache[Any]) -> None:
        """Remove the task's results from a cache."""
        ...

    async def aclear_cache(self, cache: BaseCache[Any]) -> None:
        """Remove the task's results from a cache, without blocking the event loop."""
        ...


class TaskDecorator(Protocol):
    """What ``@memory.task(...)`` puts on a function."""

    @overload
    def __call__(self, func: Callable[..., Awaitable[T]], /) -> TaskFunction[T]: ...

    @overload
    def __call__(self, func: Callable[..., T], /) -> TaskFunction[T]: ...


class WorkflowDecorators(ABC):
    """``entrypoint`` and ``task``, with a store and a checkpointer to give to workflows."""

    @property
    @abstractmethod
    def store(self) -> BaseStore | None:
        """The store that workflows get."""

    @property
    @abstractmethod
    def checkpointer(self) -> Checkpointer:
        """Where workflows keep their threads."""

    def scope(self, *labels: str) -> Scope:
        """Return a scope of this memory's store: labels, each with at most one field that every run fills in.

        Give it to ``scope=`` wherever that is taken, or `Scope.bind` it for the view that it leads to.

        Raises:
            ConfigurationError: The labels are no template.

        Example:
            >>> memory = Memory()
            >>> ada = memory.scope("memories", "{user_id}").bind({"configurable": {"user_id": "ada"}})
            >>> ada.put((), "food", {"text": "likes pizza"})
            >>> memory.store.get(("memories", "ada"), "food").value
            {'text': 'likes pizza'}
        """
        return Scope(*labels, store=lambda: self.store)

    @overload
    def entrypoint(self, func: Callable[..., Any], /) -> Pregel[Any, None, Any, Any]: ...

    @overload
    def entrypoint(
        self,
        func: None = None,
        /,
        *,
        checkpointer: Checkpointer | NotProvided = NOT_PROVIDED,
        store: BaseStore | NotProvided | None = NOT_PROVIDED,
        cache: BaseCache[Any] | None = None,
        context_schema: type[ContextT] | None = None,
        cache_policy: CachePolicy[Any] | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        timeout: float | timedelta | TimeoutPolicy | None = None,
    ) -> Callable[[Callable[..., Any]], Pregel[Any, ContextT, Any, Any]]: ...

    def entrypoint(
        self,
        func: Callable[..., Any] | None = None,
        /,
        *,
        checkpointer: Checkpointer | NotProvided = NOT_PROVIDED,
        store: BaseStore | NotProvided | None = NOT_PROVIDED,
        **settings: Any,
    ) -> Any:
        """Make a workflow of a function, as ``langgraph.func.entrypoint`` does, with this memory's store and threads.

        The function's first parameter is the workflow's input. It is given ``store``, ``previous``, ``config``,
        ``runtime`` and ``writer`` where it has parameters of these names, however they are annotated.

        Args:
            func: The function, sync or async. Left out when there are settings: ``@memory.entrypoint(cache=...)``.
            checkpointer: Where this workflow's threads are kept instead.
            store: The store this workflow gets instead; None leaves it to the platform that runs the graph.
            **settings: Those of LangGraph's decorator: ``cache``, ``cache_policy``, ``context_schema``,
                ``retry_policy``, ``timeout``.

        Returns:
            The workflow, a ``Pregel``: ``invoke``, ``ainvoke``, ``stream`` and so on.

        Raises:
            InjectionError: The function asks for something that cannot be given.

        Example:
            >>> memory = Memory()
            >>> @memory.entrypoint
            ... def remember(text, *, store):
            ...     store.put(("memories", "ada"), "last", {"text": text})
            >>> remember.invoke("likes pizza", {"configurable": {"thread_id": "1"}})
            >>> memory.store.get(("memories", "ada"), "last").value
            {'text': 'likes pizza'}
        """
        _refuse_unknown("entrypoint", langgraph.func.entrypoint, settings)
        known_store = self.store if isinstance(store, NotProvided) else store
        make = langgraph.func.entrypoint(
            checkpointer=self.checkpointer if isinstance(checkpointer, NotProvided) else checkpointer,  # type: ignore[arg-type]  # a graph takes True and False too
            store=known_store,
            **settings,
        )

        def decorate(function: Callable[..., Any]) -> Any:
            return make(injectable(function, decorator="memory.entrypoint", one_input=True, store=known_store))

        return decorate if func is None else decorate(func)

    @overload
    def task(self, func: Callable[..., Awaitable[T]], /) -> TaskFunction[T]: ...

    @overload
    def task(self, func: Callable[..., T], /) -> TaskFunction[T]: ...

    @overload
    def task(
        self,
        func: None = None,
        /,
        *,
        name: str | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        cache_policy: CachePolicy[Any] | None = None,
        timeout: float | timedelta | TimeoutPolicy | None = None,
    ) -> TaskDecorator: ...

    def task(self, func: Any = None, /, **settings: Any) -> Any:
        """Make a task of a function, as ``langgraph.func.task`` does.

        A task is given ``store``, ``previous``, ``config``, ``runtime`` and ``writer`` by name, like a workflow; they
        are those of the workflow that calls it. The caller passes its other parameters.

        Args:
            func: The function, sync or async. Left out when there are settings: ``@memory.task(name=...)``.
            **settings: Those of LangGraph's decorator: ``name``, ``retry_policy``, ``cache_policy``, ``timeout``.

        Returns:
            The task. Calling it inside of a workflow returns a future: ``.result()`` waits for it, and so does
            ``await``.

        Raises:
            InjectionError: The function asks for something that cannot be given.

        Example:
            >>> memory = Memory()
            >>> @memory.task
            ... def recall(user_id, *, store):
            ...     return [item.value["text"] for item in store.search(("memories", user_id))]
            >>> @memory.entrypoint
            ... def workflow(user_id):
            ...     return recall(user_id).result()
            >>> workflow.invoke("ada", {"configurable": {"thread_id": "1"}})
            []
        """
        _refuse_unknown("task", langgraph.func.task, settings)
        make: Any = langgraph.func.task(**settings)

        def decorate(function: Callable[..., Any]) -> Any:
            return make(injectable(function, decorator="memory.task", one_input=False, store=self.store))

        return decorate if func is None else decorate(func)


def _refuse_unknown(name: str, decorator: Any, settings: dict[str, Any]) -> None:
    """Refuse misspelt settings: LangGraph ignores keywords that it does not know."""
    known = {p for p in inspect.signature(decorator).parameters if not p.startswith("_")} - {"kwargs"} | _DEPRECATED
    for setting in settings.keys() - known:
        raise TypeError(
            f"memory.{name}() got an unexpected setting {setting!r}; LangGraph's decorator takes "
            f"{', '.join(sorted(known - _DEPRECATED))}."
        )

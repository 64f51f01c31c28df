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

from crossthread.scopes.scope import Scope, Scoping, as_scope
from crossthread.scopes.view import ScopedStore
from crossthread.workflow.injection import injectable

if TYPE_CHECKING:
    # LangGraph has no public name for what a task's call returns. Only type checkers read this line.
    from langgraph.pregel._call import SyncAsyncFuture

T = TypeVar("T")
GraphT = TypeVar("GraphT", bound=Pregel[Any, Any, Any, Any])

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

        Examples:
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
        scope: Scoping | None = None,
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
        scope: Scoping | None = None,
        **settings: Any,
    ) -> Any:
        """Make a workflow of a function, as ``langgraph.func.entrypoint`` does, with this memory's store and threads.

        The function's first parameter is the workflow's input. It is given ``store``, ``previous``, ``config``,
        ``runtime`` and ``writer`` where it has parameters of these names, however they are annotated.

        Args:
            func: The function, sync or async. Left out when there are settings: ``@memory.entrypoint(cache=...)``.
            checkpointer: Where this workflow's threads are kept instead.
            store: The store this workflow gets instead; None leaves it to the platform that runs the graph.
            scope: Labels such as ``("memories", "{user_id}")``, or a `Scope`: all that a run reaches, in tasks and
                tools too, sees that part of the store and no other. A run without a usable id is a `ScopeError` before
                any of its code runs.
            **settings: Those of LangGraph's decorator: ``cache``, ``cache_policy``, ``context_schema``,
                ``retry_policy``, ``timeout``.

        Returns:
            The workflow, a ``Pregel``: ``invoke``, ``ainvoke``, ``stream`` and so on.

        Raises:
            InjectionError: The function asks for something that cannot be given.
            ConfigurationError: ``scope`` is none.

        Examples:
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

        own_scope = None if scope is None else as_scope(scope, lambda: known_store)
        given_store = _kind(known_store) if own_scope is None else ScopedStore

        def decorate(function: Callable[..., Any]) -> Any:
            workflow = make(injectable(function, decorator="memory.entrypoint", one_input=True, store=given_store))
            return workflow if own_scope is None else _scoped_graph(workflow, own_scope, known_store)

        return decorate if func is None else decorate(func)

    def scoped(self, graph: GraphT, *, scope: Scoping) -> GraphT:
        """Return a compiled graph, such as an agent, all of whose runs see one user's part of its store.

        It is what ``entrypoint(scope=...)`` does, for graphs that were made elsewhere. A graph without a store is given
        this memory's. The graph given is left as it is.

        Args:
            graph: What ``StateGraph.compile`` or ``create_agent`` returned.
            scope: As in `entrypoint`.

        Raises:
            ConfigurationError: It is no graph, or scoped already; or ``scope`` is none.
        """
        return _scoped_graph(graph, as_scope(scope, lambda: self.store), self.store)

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
        scope: Scoping | None = None,
        name: str | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        cache_policy: CachePolicy[Any] | None = None,
        timeout: float | timedelta | TimeoutPolicy | None = None,
    ) -> TaskDecorator: ...

    def task(self, func: Any = None, /, *, scope: Scoping | None = None, **settings: Any) -> Any:
        """Make a task of a function, as ``langgraph.func.task`` does.

        A task is given ``store``, ``previous``, ``config``, ``runtime`` and ``writer`` by name, like a workflow; they
        are those of the workflow that calls it. The caller passes its other parameters.

        Args:
            func: The function, sync or async. Left out when there are settings: ``@memory.task(name=...)``.
            scope: As in `entrypoint`, for this task and the tasks that it starts. A task without one sees what the
                workflow sees that calls it.
            **settings: Those of LangGraph's decorator: ``name``, ``retry_policy``, ``cache_policy``, ``timeout``.

        Returns:
            The task. Calling it inside of a workflow returns a future: ``.result()`` waits for it, and so does
            ``await``.

        Raises:
            InjectionError: The function asks for something that cannot be given.

        Examples:
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
        own_scope = None if scope is None else as_scope(scope, lambda: self.store)
        given_store = _kind(self.store) if own_scope is None else ScopedStore

        def decorate(function: Callable[..., Any]) -> Any:
            function = injectable(function, decorator="memory.task", one_input=False, store=given_store)
            if own_scope is None:
                make: Any = langgraph.func.task(**settings)
                return make(function)
            return _scoped_task(function, own_scope, settings)

        return decorate if func is None else decorate(func)


def _kind(store: BaseStore | None) -> type[BaseStore] | None:
    return None if store is None else type(store)


# Scopes stand on what is private to LangGraph; who uses none does not need it.


def _scoped_graph(graph: GraphT, scope: Scope, store: BaseStore | None) -> GraphT:
    from crossthread.workflow.scoping import scoped_graph

    return scoped_graph(graph, scope, store)


def _scoped_task(function: Callable[..., Any], scope: Scope, settings: dict[str, Any]) -> Any:
    from crossthread.workflow.scoping import ScopedTask

    return ScopedTask(function, scope, settings)


def _refuse_unknown(name: str, decorator: Any, settings: dict[str, Any]) -> None:
    """Refuse misspelt settings: LangGraph ignores keywords that it does not know."""
    known = {p for p in inspect.signature(decorator).parameters if not p.startswith("_")} - {"kwargs"} | _DEPRECATED
    for setting in settings.keys() - known:
        raise TypeError(
            f"memory.{name}() got an unexpected setting {setting!r}; LangGraph's decorator takes "
            f"{', '.join(sorted(known - _DEPRECATED))}."
        )

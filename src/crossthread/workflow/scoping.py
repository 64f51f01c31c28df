"""Scoped workflows, graphs and tasks: what they run sees a view of its user's memories in the place of the store.

A graph is given its view before its run begins, so LangGraph itself hands it to all that the run reaches: tasks, nodes,
tools, nested graphs, ``get_store()``. A scoped task begins in the middle of a run, and hands the view on itself.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from copy import copy
from typing import Any, ClassVar, TypeVar, cast

import langgraph.func
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.config import get_config
from langgraph.pregel import Pregel
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from crossthread import _langgraph
from crossthread._text import UNHOLDABLE
from crossthread.errors import ConfigurationError, ScopeError
from crossthread.namespaces import Namespace
from crossthread.scopes.scope import Scope, view_for_run, whole_store
from crossthread.workflow.caching import scoped_cache, scoped_policy

GraphT = TypeVar("GraphT", bound=Pregel[Any, Any, Any, Any])

# Graphs


class _ScopedRuns(Pregel[Any, Any, Any, Any]):
    """The two methods that every way to run a graph goes through.

    Settings stand on the class: ``Pregel.copy`` gives every attribute of an object to the constructor.
    """

    _scope: ClassVar[Scope]

    def stream(
        self,
        input: Any,  # noqa: A002 - LangGraph's name
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        **settings: Any,
    ) -> Iterator[Any]:
        config, context = _begin(self, self._scope, config, context)
        return super().stream(input, config, context=context, **settings)

    def astream(
        self,
        input: Any,  # noqa: A002 - LangGraph's name
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        **settings: Any,
    ) -> AsyncIterator[Any]:
        config, context = _begin(self, self._scope, config, context)
        return super().astream(input, config, context=context, **settings)


def scoped_graph(graph: GraphT, scope: Scope, store: BaseStore | None) -> GraphT:
    """Return a graph whose runs see a view of its store; the graph given is left as it is.

    Args:
        graph: A workflow or a compiled graph.
        scope: Whose part of the store a run sees.
        store: The store where the graph has none.

    Raises:
        ConfigurationError: It is no graph, or scoped already.
        RuntimeError: This release of LangGraph cannot be relied on to hand the view on.
    """
    if not isinstance(graph, Pregel):
        raise ConfigurationError(f"{graph!r} is not a workflow or a compiled graph of LangGraph.")
    if isinstance(graph, _ScopedRuns):
        raise ConfigurationError(f"This graph is scoped already, by {graph._scope!r}; scope the one it was made of.")
    _langgraph.check()
    scoped, kind = copy(graph), type(graph)
    names = {"__doc__": kind.__doc__, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    scoped.__class__ = type(kind.__name__, (_ScopedRuns, kind), {**names, "_scope": scope})
    if scoped.store is None:
        scoped.store = store
    return scoped


def _begin(
    graph: Pregel[Any, Any, Any, Any], scope: Scope, config: RunnableConfig | None, context: Any
) -> tuple[RunnableConfig, Any]:
    """Return the config and the context with which a run sees its user's part of the store."""
    merged = _langgraph.merged_config(graph.config, config)
    context = _langgraph.coerced_context(graph.context_schema, context)
    runtime = _langgraph.runtime_of(merged) or Runtime()
    store = whole_store(runtime.store)
    if store is None:
        store = graph.store
    if store is None:
        raise ScopeError(f"The scope {scope.labels!r} has no store: this graph has none, and its platform gives none.")
    # LangGraph takes an empty context for none, and the caller's in its place.
    namespace = scope.resolve(merged, context=context or None)
    cache = _langgraph.cache_of(merged)
    cache = scoped_cache(graph.cache if cache is None else cache, namespace)
    runtime = runtime.override(store=view_for_run(store, namespace))
    return _langgraph.seeded(_with_ids(config, scope, namespace), runtime, cache=cache), context


def _with_ids(config: RunnableConfig | None, scope: Scope, namespace: Namespace) -> RunnableConfig:
    """Return a config by whose metadata the run's thread is found, wherever the ids come from."""
    # LangGraph drops NULs from metadata, and no database has lone surrogates: an id must not turn into another's.
    ids = {field: id_ for field, id_ in (scope.ids(namespace) or {}).items() if not UNHOLDABLE.search(id_)}
    found: dict[str, Any] = {**(config or {})}
    found["metadata"] = {**(found.get("metadata") or {}), **ids}
    return cast(RunnableConfig, found)


# Tasks


class ScopedTask:
    """A task that sees a view of the run's store, whatever the workflow sees that calls it."""

    def __init__(self, function: Callable[..., Any], scope: Scope, settings: dict[str, Any]) -> None:
        self._scope, self._settings = scope, settings
        self._function = _within(scope, function)
        self._task: Any = langgraph.func.task(**settings)(self._function)
        functools.update_wrapper(self, self._function)  # as LangGraph does, which may have renamed it

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Start the task; injected parameters are left out.

        Raises:
            ScopeError: The run does not say whose memories it is about; the task has not begun.
        """
        namespace = self._scope.resolve(get_config())
        policy = self._settings.get("cache_policy")
        if policy is None:
            return self._task(*args, **kwargs)
        settings = {**self._settings, "cache_policy": scoped_policy(policy, namespace)}
        task: Any = langgraph.func.task(**settings)(self._function)
        return task(*args, **kwargs)

    def clear_cache(self, cache: Any) -> None:
        """Remove the task's results from a cache, those of every scope."""
        self._task.clear_cache(cache)

    async def aclear_cache(self, cache: Any) -> None:
        """Do what `clear_cache` does, without blocking the event loop."""
        await self._task.aclear_cache(cache)


def _within(scope: Scope, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that does what ``function`` does, and whose run sees the view of a scope."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):

        @functools.wraps(function)
        async def acall(*args: Any, **kwargs: Any) -> Any:
            token = var_child_runnable_config.set(_swap(scope, kwargs))
            try:
                return await function(*args, **kwargs)
            finally:
                var_child_runnable_config.reset(token)

        return _named(acall, function)

    @functools.wraps(function)
    def scall(*args: Any, **kwargs: Any) -> Any:
        token = var_child_runnable_config.set(_swap(scope, kwargs))
        try:
            return function(*args, **kwargs)
        finally:
            var_child_runnable_config.reset(token)

    return _named(scall, function)


def _named(wrapper: Any, function: Any) -> Callable[..., Any]:
    """Give a wrapper the name under which LangGraph would know the function: partials and objects have none."""
    if not hasattr(function, "__name__"):
        inner = getattr(function, "func", type(function))
        wrapper.__name__ = wrapper.__qualname__ = inner.__name__
    return cast(Callable[..., Any], wrapper)


def _swap(scope: Scope, kwargs: dict[str, Any]) -> RunnableConfig:
    """Return the running config with a scope's view in it; put it into the injected arguments, too."""
    config = get_config()
    before = _langgraph.runtime_of(config) or Runtime()
    view = view_for_run(scope.store_for(before.store), scope.resolve(config))
    after = before.override(store=view)
    config = _seed_task(scope, config, after, view.namespace)
    for name, value in kwargs.items():
        if name == "store" and value is before.store:
            kwargs[name] = view
        elif isinstance(value, Runtime) and value.store is before.store:
            kwargs[name] = value.override(store=view)
        elif name == "config" and _langgraph.runtime_of(value) is not None:
            kwargs[name] = _seed_task(scope, value, after, view.namespace)
    return config


def _seed_task(scope: Scope, config: RunnableConfig, runtime: Runtime[Any], namespace: Namespace) -> RunnableConfig:
    """Return a config with a runtime, from which tasks are started within the scope."""
    cache = scoped_cache(_langgraph.cache_of(config), namespace)
    start = _langgraph.call_of(config)
    if start is None:
        return _langgraph.seeded(config, runtime, cache=cache)

    # LangGraph takes a nested task's store from the loop that runs it, which knows of no scope.
    def start_within(function: Any, *args: Any, **settings: Any) -> Any:
        policy = scoped_policy(settings.pop("cache_policy", None), namespace)
        return start(_within(scope, function), *args, cache_policy=policy, **settings)

    return _langgraph.seeded(config, runtime, cache=cache, call=start_within)

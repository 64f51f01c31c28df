"""All that is private to LangGraph and that scopes stand on, in one place. Imports nothing of ours.

LangGraph hands a run's store on in a `Runtime` that travels in the run's config, under a key of its own. Scopes put a
view there before the run begins; `tests/scopes/test_private_names.py` fails when a name moves. This file is loaded when
the first scope is used, so that everything else works with a LangGraph that has moved them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph._internal._config import ensure_config
from langgraph._internal._constants import CONF, CONFIG_KEY_CACHE, CONFIG_KEY_CALL, CONFIG_KEY_RUNTIME
from langgraph.config import get_config
from langgraph.pregel.main import _coerce_context
from langgraph.runtime import Runtime

SIGNED_IN_USER = "langgraph_auth_user"
"""Where the LangGraph server puts who signed in; a user object, or a dict."""

SIGNED_IN_USER_ID = "langgraph_auth_user_id"


def running_config() -> RunnableConfig | None:
    """Return the config of the run that calls this, or None outside of one."""
    try:
        return get_config()
    except RuntimeError:
        return None


def merged_config(own: RunnableConfig | None, given: RunnableConfig | None) -> RunnableConfig:
    """Return the config that a graph with a config of its ``own`` will run with: inherited, own, and given."""
    return ensure_config(own, given)


def configurable_of(config: RunnableConfig | Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return ``config["configurable"]``, empty where there is none."""
    return cast(Mapping[str, Any], (config or {}).get(CONF) or {})


def runtime_of(config: RunnableConfig | Mapping[str, Any] | None) -> Runtime[Any] | None:
    """Return the runtime that a config carries, or None."""
    found = configurable_of(config).get(CONFIG_KEY_RUNTIME)
    if found is None or isinstance(found, Runtime):
        return found
    # What makes graphs on a server may put an object there that has a context and a store, and nothing else.
    return Runtime(context=getattr(found, "context", None), store=getattr(found, "store", None))


def cache_of(config: RunnableConfig) -> Any:
    """Return the cache that a config says a run uses, or None."""
    return configurable_of(config).get(CONFIG_KEY_CACHE)


def call_of(config: RunnableConfig) -> Callable[..., Any] | None:
    """Return what starts tasks in a run, or None where there are none to start."""
    return configurable_of(config).get(CONFIG_KEY_CALL)


def seeded(
    config: RunnableConfig | None,
    runtime: Runtime[Any],
    *,
    cache: Any = None,
    call: Callable[..., Any] | None = None,
) -> RunnableConfig:
    """Return a copy of a config that carries a runtime, a cache or None, and a starter of tasks where one is given."""
    # Where no cache is said, LangGraph takes a nested graph's own, whose keys know of no scope.
    configurable = {**configurable_of(config), CONFIG_KEY_RUNTIME: runtime, CONFIG_KEY_CACHE: cache}
    if call is not None:
        configurable[CONFIG_KEY_CALL] = call
    return cast(RunnableConfig, {**(config or {}), CONF: configurable})


def coerced_context(schema: type[Any] | None, context: Any) -> Any:
    """Return a run's context as its schema makes it of what the caller gave."""
    return _coerce_context(schema, context)


@cache
def check() -> None:
    """Run a small workflow once, to be sure that this LangGraph takes the store of a run from where `seeded` puts it.

    Raises:
        RuntimeError: It does not; a workflow would be given everybody's store instead of its user's.
    """
    from contextvars import Context

    from langgraph.config import get_store
    from langgraph.func import entrypoint, task
    from langgraph.store.memory import InMemoryStore
    from langsmith import tracing_context

    everybody, own = InMemoryStore(), InMemoryStore()

    @task
    def reached() -> Any:
        return get_store()

    @entrypoint(store=everybody)
    def workflow(_: str) -> list[Any]:
        return [get_store(), reached().result()]

    def run() -> list[Any]:
        with tracing_context(enabled=False):  # it is no run of the user's
            return cast(list[Any], workflow.invoke("", seeded(None, Runtime(store=own))))

    if any(store is not own for store in Context().run(run)):
        raise RuntimeError(
            "This release of LangGraph does not let crossthread scope the store of a run, so scopes are refused; "
            "install one that it is tested with, or a newer crossthread."
        )

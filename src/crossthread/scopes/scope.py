"""Scope: a template over who a run is for, and the view of a store that it leads to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from langchain_core.runnables import RunnableConfig
from langgraph.store.base import BaseStore

from crossthread.errors import ScopeError
from crossthread.namespaces import Namespace
from crossthread.scopes.template import Template
from crossthread.scopes.view import ScopedStore


class Scope:
    """A part of a store for each user: labels with fields that every run fills in, ``("memories", "{user_id}")``.

    Each field is an id: of the user whom the platform signed in (``{user_id}`` is their identity), or else of the run's
    ``context``, or else of ``config["configurable"]``. Any non-empty string is an id. What a label cannot hold is
    percent-encoded, so that ``bob@example.com`` is ``bob@example%2Ecom`` in the store and two ids never share a
    namespace; ids that need no encoding stay as they are.

    Args:
        *labels: At least one; with at most one field each.
        store: The store that `bind` makes views of where none is given and no run has one; or what returns it.

    Raises:
        ConfigurationError: The labels are no template.

    Examples:
        >>> scope = Scope("memories", "{user_id}")
        >>> scope.resolve({"configurable": {"user_id": "bob@example.com"}})
        ('memories', 'bob@example%2Ecom')
    """

    def __init__(self, *labels: str, store: BaseStore | Callable[[], BaseStore | None] | None = None) -> None:
        self._template = Template(labels)
        self._home = store

    def __repr__(self) -> str:
        return f"Scope({', '.join(map(repr, self.labels))})"

    @property
    def labels(self) -> Namespace:
        """The template, label by label."""
        return self._template.labels

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields, in order."""
        return self._template.fields

    def resolve(self, config: RunnableConfig | Mapping[str, Any] | None = None, *, context: Any = None) -> Namespace:
        """Return the namespace for one user.

        Args:
            config: A run's config, or one like it: ``{"configurable": {"user_id": "ada"}}``. None: that of the run
                that calls this, if any.
            context: A run's context: a dict or TypedDict, dataclass, pydantic model, or any object with attributes.
                None: that of the run.

        Raises:
            ScopeError: A field has no id, or one that is empty or no text.
        """
        from crossthread import _langgraph
        from crossthread.scopes.identity import find_ids

        if config is None:
            config = _langgraph.running_config()
        return self._template.namespace(find_ids(self.fields, self.labels, config, context))

    def bind(
        self,
        config: RunnableConfig | Mapping[str, Any] | None = None,
        *,
        store: BaseStore | None = None,
        context: Any = None,
    ) -> ScopedStore:
        """Return the view of one user's part of a store, the same that a scoped workflow is given.

        Args:
            config: As in `resolve`.
            store: The store; a view makes the scope relative to it. None: that of the run, or else this scope's own.
            context: As in `resolve`.

        Raises:
            ScopeError: A field has no usable id, or there is no store.
        """
        from crossthread import _langgraph

        if config is None:
            config = _langgraph.running_config()
        namespace = self.resolve(config, context=context)
        if store is None:
            runtime = _langgraph.runtime_of(config)
            store = self.store_for(None if runtime is None else runtime.store)
        return ScopedStore(store, namespace)

    def store_for(self, given: BaseStore | None) -> BaseStore:
        """Return the whole store that this scope is about where a run has the one ``given``, which may be a view.

        Raises:
            ScopeError: The run has none, and this scope has none of its own.
        """
        store = whole_store(given)
        if store is None:
            store = self._home() if callable(self._home) else self._home
        if store is None:
            raise ScopeError(f"The scope {self.labels!r} has no store: give one to bind(store=...), or to Memory().")
        return store

    def ids(self, namespace: Sequence[str]) -> dict[str, str] | None:
        """Return the ids that a namespace of this scope, or below one, belongs to; None for other namespaces.

        It undoes `resolve`: with ``memory.store.list_namespaces(prefix=("memories",))`` it tells who has memories.
        """
        return self._template.ids(tuple(namespace))


Scoping: TypeAlias = Scope | Sequence[str]
"""What ``scope=`` takes: a scope, or its labels."""


def as_scope(given: Any, home: Callable[[], BaseStore | None]) -> Scope:
    """Return a scope for what ``scope=`` was given.

    Raises:
        ConfigurationError: It is no template.
    """
    if isinstance(given, Scope):
        return given if given._home is not None else Scope(*given.labels, store=home)
    return Scope(*Template(given).labels, store=home)  # a text is refused: it would be taken for its characters


def whole_store(store: BaseStore | None) -> BaseStore | None:
    """Return what is below the view that a scoped workflow put in the place of a run's store.

    A scope says where in the whole store its users' memories are, so inside a scoped workflow it means the same place
    as outside. A view that somebody else made is a whole store of its own: nothing reaches around it.
    """
    return store._store if isinstance(store, ScopedStore) and store._of_run else store


def view_for_run(store: BaseStore, namespace: Namespace) -> ScopedStore:
    """Return the view that takes the place of a run's store."""
    view = ScopedStore(store, namespace)
    view._of_run = True
    return view

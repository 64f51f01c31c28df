"""Whose run this is: finds the ids that a scope's fields name. Reads what it is given, runs nothing.

The first source that names an id decides: the user whom the platform signed in, then the run's context, then
``config["configurable"]``, which on a server is what the client says of itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from crossthread import _langgraph
from crossthread.errors import ScopeError
from crossthread.namespaces import Namespace

USER_FIELD = "user_id"
"""The field that a signed-in user's identity fills."""

_USER_FIELDS = (USER_FIELD, _langgraph.SIGNED_IN_USER_ID)


def find_ids(fields: Iterable[str], labels: Namespace, config: Any, context: Any) -> dict[str, str]:
    """Return the id of each field.

    Args:
        fields: The names of the fields.
        labels: The scope, for messages.
        config: The run's config, or None.
        context: The run's context: a mapping, or an object with attributes; None: that of the config's runtime.

    Raises:
        ScopeError: A field has no id, or one that is empty or no text; the message names the field.
    """
    configurable = _langgraph.configurable_of(config)
    runtime = _langgraph.runtime_of(config)
    if context is None and runtime is not None:
        context = runtime.context
    user = configurable.get(_langgraph.SIGNED_IN_USER)
    if user is None and runtime is not None and runtime.server_info is not None:
        user = runtime.server_info.user
    return {field: _find(field, labels, configurable, context, user) for field in fields}


def _find(field: str, labels: Namespace, configurable: Mapping[str, Any], context: Any, user: Any) -> str:
    found = _of_user(field, user)
    if found is None and field in _USER_FIELDS and user is None:
        found = configurable.get(_langgraph.SIGNED_IN_USER_ID) or None
    if found is None and context is not None:
        found = _of(context, field)
    if found is None:
        found = configurable.get(field)
    if found is None:
        raise ScopeError(
            f"The scope {labels!r} needs {field!r}, and this run names none: give it in context=, or as "
            f"config['configurable'][{field!r}].",
            field=field,
        )
    if not isinstance(found, str):
        raise ScopeError(
            f"The scope {labels!r} needs {field!r} as text, and this run gives {found!r}, a "
            f"{type(found).__qualname__}; ids are strings, so pass str(...) of it, the same way everywhere.",
            field=field,
        )
    if not found:
        raise ScopeError(f"The scope {labels!r} needs {field!r}, and this run gives an empty one.", field=field)
    return str.__str__(found)  # an enum's own str() may say something else


def _of_user(field: str, user: Any) -> Any:
    """Return what the signed-in user says: their identity, or what else the platform knows of them."""
    if user is None:
        return None
    if field not in _USER_FIELDS:
        return _of(user, field)
    identity = _of(user, "identity")
    if identity is None or identity == "":
        # A platform without sign-in has a user all the same, who is nobody.
        return None if _of(user, "is_authenticated") is False else ""
    return identity


def _of(source: Any, name: str) -> Any:
    if isinstance(source, Mapping):
        return source.get(name)
    found = getattr(source, name, None)
    if found is not None or not (hasattr(source, "__getitem__") and hasattr(source, "__contains__")):
        return found
    try:  # users on LangGraph's server are read by key, too
        return source[name]
    except (KeyError, TypeError, IndexError):
        return None

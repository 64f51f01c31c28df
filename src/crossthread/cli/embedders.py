"""What ``--embed`` names: the offline model, one of a provider, or a function of the user's own."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from crossthread.errors import ConfigurationError

LOCAL = "local"
LOCAL_MODELS = ("local", "wordllama:l2_supercat_256")
"""What stores know the model of ``crossthread[local]`` by."""


def loaded(index: dict[str, Any]) -> Any:
    """Return an ``index=`` with what makes vectors in place of its name."""
    if "embed" in index:
        index = {**index, "embed": embedder(index["embed"])}
    return index


def embedder(name: str) -> Any:
    """Return what a name stands for: ``local``, ``provider:model``, ``module:function``, or ``module.function``.

    A module is looked for in the current folder, too, after all others.

    Raises:
        ConfigurationError: It is none of these.
    """
    module, colon, attribute = name.partition(":")
    if name == LOCAL:
        return name
    if not colon:
        module, _, attribute = name.rpartition(".")
        if not module:
            raise ConfigurationError(
                f"--embed {name}: there is no such model; local, provider:model and module:function are understood."
            )
    elif not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        return name  # the model of a provider
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        if colon and (isinstance(error, ImportError) or find_spec("langchain") is not None):
            return name  # providers have models whose names could be those of functions
        raise ConfigurationError(f"--embed {name}: it cannot be imported ({error}).") from error
    return found() if isinstance(found, type) else found

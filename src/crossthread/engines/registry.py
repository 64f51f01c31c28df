"""Finds the engine for a URL or path; other packages add theirs by the entry-point group crossthread.engines."""

from __future__ import annotations

import os
import re
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from crossthread._clock import Clock
from crossthread.engines.base import Engine
from crossthread.errors import ConfigurationError

# Ours are named here too, so that they are found in a checkout that is not installed, without searching for packages.
_OURS = {
    "memory": "crossthread.engines.memory:MemoryEngine",
    "sqlite": "crossthread.engines.sqlite.engine:SQLiteEngine",
    "postgresql": "crossthread.engines.postgres.engine:PostgresEngine",
    "postgres": "crossthread.engines.postgres.engine:PostgresEngine",
}
_EXTRAS = {"postgresql": "postgres", "postgres": "postgres"}  # the extra that an engine of ours needs
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def engine_for(url: Any, *, clock: Clock | None = None) -> Engine:
    """Return the engine, not yet open, for ``":memory:"``, a path, or a URL such as ``sqlite:///agent.db``.

    Raises:
        ConfigurationError: It is neither, or no installed package knows the scheme.
    """
    if isinstance(url, os.PathLike):
        url = os.fspath(url)
    if not isinstance(url, str) or not url or "\x00" in url:
        raise ConfigurationError(f"A store is opened by ':memory:', a path or a URL, not {url!r}.")
    if url.startswith("file:"):
        raise ConfigurationError(
            f"{url!r} is a URI of SQLite's own, whose settings are not for a store; write the path alone, or "
            "sqlite:///relative.db or sqlite:////absolute.db. A file whose name begins so is './file:...'."
        )
    if url in (":memory:", "memory://"):
        return _engine_class("memory").from_url(url, clock=clock)
    try:
        os.fsencode(url)
    except UnicodeEncodeError:
        raise ConfigurationError(f"{url!r} holds half of a surrogate pair, which no path has.") from None
    match = _SCHEME.match(url)
    return _engine_class(match.group(1).lower() if match else "sqlite").from_url(url, clock=clock)


def _engine_class(scheme: str) -> type[Engine]:
    if scheme in _OURS:
        module, name = _OURS[scheme].split(":")
        try:
            found: type[Engine] = getattr(import_module(module), name)
        except ImportError as error:
            if scheme not in _EXTRAS:
                raise
            raise ConfigurationError(
                f"{scheme}:// needs packages that are not installed ({error}): "
                f"pip install 'crossthread[{_EXTRAS[scheme]}]'."
            ) from error
        return found
    theirs = entry_points(group="crossthread.engines", name=scheme)
    for entry in theirs:
        loaded: type[Engine] = entry.load()
        return loaded
    known = ", ".join(f"{name}://" for name in sorted(_OURS))
    raise ConfigurationError(f"No engine is installed for {scheme}:// URLs; known here: a path, ':memory:', {known}.")

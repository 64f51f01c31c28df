"""Loaders for ``langgraph.json``: a store and a checkpointer of a server, set by environment variables.

    {"store": {"path": "crossthread.deploy.store"}, "checkpointer": {"path": "crossthread.deploy.checkpointer"}}

LangGraph's server enters each once in every thread that needs it, and hands over no settings.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, cast

from langgraph.checkpoint.base import BaseCheckpointSaver

from crossthread.checkpointing.base import SharedSaver
from crossthread.checkpointing.opening import open_checkpointer
from crossthread.errors import ConfigurationError
from crossthread.settings import IndexConfig
from crossthread.store import MemoryStore
from crossthread.telemetry import instrument
from crossthread.ttl import TTLConfig

logger = logging.getLogger("crossthread.deploy")

_PREFIX = "CROSSTHREAD_"


@asynccontextmanager
async def store() -> AsyncIterator[MemoryStore]:
    """Open the store that environment variables describe, for as long as the block lasts.

    ``CROSSTHREAD_URL`` is where it is: a path, ``sqlite:////absolute/path`` or ``postgresql://user@host/db``. The
    keys of ``index=`` and ``ttl=`` have variables of the same names: ``CROSSTHREAD_EMBED``, ``CROSSTHREAD_DEFAULT_TTL``
    and so on; see the deployment guide.

    Raises:
        ConfigurationError: A variable is missing or cannot be used; the message names it.
        StoreError: The file or the server cannot be opened.
    """
    opened = await asyncio.to_thread(_open_store, os.environ)
    try:
        yield opened
    finally:
        await opened.aclose()


@asynccontextmanager
async def checkpointer() -> AsyncIterator[BaseCheckpointSaver[str]]:
    """Open the checkpointer in the place of the store, or where ``CROSSTHREAD_CHECKPOINT_URL`` says.

    Raises:
        ConfigurationError: A variable is missing or cannot be used; the message names it.
        StoreError: The file or the server cannot be opened.
    """
    opened = await asyncio.to_thread(_open_checkpointer, os.environ)
    try:
        yield opened
    finally:
        await opened.aclose()


def _open_store(environment: Mapping[str, str]) -> MemoryStore:
    _warn_of_unknown(environment)
    url = _url(environment, "URL")
    telemetry = _read(environment, _TELEMETRY)
    index, ttl, others = (_read(environment, readers) for readers in (_INDEX, _TTL, _OTHERS))
    try:
        opened = MemoryStore(url, index=cast(IndexConfig, index) or None, ttl=cast(TTLConfig, ttl) or None, **others)
    except ConfigurationError as error:
        variables = ", ".join(sorted(name for name in environment if name in _KNOWN))
        raise ConfigurationError(f"{error} The store was set by {variables}.") from error
    if telemetry.get("telemetry"):
        try:
            instrument(opened)
        except ConfigurationError as error:
            opened.close()
            raise ConfigurationError(f"{error} It was asked for by {_PREFIX}TELEMETRY.") from error
    return opened


def _open_checkpointer(environment: Mapping[str, str]) -> SharedSaver:
    opened = open_checkpointer(
        _url(environment, "CHECKPOINT_URL" if _PREFIX + "CHECKPOINT_URL" in environment else "URL")
    )
    assert isinstance(opened, SharedSaver)  # the others are not reached by a URL that lasts
    return opened


def _url(environment: Mapping[str, str], name: str) -> str:
    url = environment.get(_PREFIX + name, "").strip()
    if not url:
        raise ConfigurationError(
            f"{_PREFIX}{name} is not set; name the place of the memories, such as /data/agent.db or "
            "postgresql://user@host/db."
        )
    if url == ":memory:" or url.startswith("memory:"):
        raise ConfigurationError(
            f"{_PREFIX}{name}={url}: the server opens a store in each of its threads, and these would not share their "
            "memories; name a file or a server."
        )
    return url


def _read(environment: Mapping[str, str], readers: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    found = {}
    for name, read in readers.items():
        text = environment.get(_PREFIX + name.upper(), "").strip()
        if text:
            try:
                found[name] = read(text)
            except ValueError as error:
                raise ConfigurationError(f"{_PREFIX}{name.upper()}={text}: {error}") from error
    return found


def _truth(text: str) -> bool:
    truths = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in truths:
        raise ValueError("must be true or false")
    return truths[text.lower()]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _embed(text: str) -> Any:
    """Return what a name stands for: ``local``, ``provider:model``, or ``package.module.attribute``."""
    if ".py:" in text:
        raise ValueError("name the module, not its file: package.module.attribute")
    if ":" in text or "." not in text:
        return text
    module, _, attribute = text.rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot be imported ({error})") from error


_INDEX: dict[str, Callable[[str], Any]] = {
    "embed": _embed,
    "embed_timeout_seconds": float,
    "dims": int,
    "fields": _names,
    "mode": str,
    "language": str,
    "hybrid_weight": float,
    "vector_memory_mb": float,
    "filter_fields": _names,
    "model": str,
}

_TTL: dict[str, Callable[[str], Any]] = {
    "default_ttl": float,
    "refresh_on_read": _truth,
    "sweep_interval_minutes": float,
    "omit_expired": _truth,
}

_OTHERS: dict[str, Callable[[str], Any]] = {"durability": str}

_TELEMETRY: dict[str, Callable[[str], Any]] = {"telemetry": _truth}

_KNOWN = {_PREFIX + name.upper() for name in ("url", "checkpoint_url", *_INDEX, *_TTL, *_OTHERS, *_TELEMETRY)}


def _warn_of_unknown(environment: Mapping[str, str]) -> None:
    unknown = sorted(name for name in environment if name.startswith(_PREFIX) and name not in _KNOWN)
    if unknown:
        logger.warning("crossthread.deploy knows no %s; it knows %s.", ", ".join(unknown), ", ".join(sorted(_KNOWN)))

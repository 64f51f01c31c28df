"""Finds the checkpointer for a URL or path. Imports what an extra brings only where it is asked for."""

from __future__ import annotations

import os
import sys
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver

from crossthread.checkpointing.sqlite import DurableSaver, has_threads
from crossthread.engines.base import Engine
from crossthread.engines.memory import MemoryEngine
from crossthread.engines.registry import engine_for
from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.errors import ConfigurationError

_POSTGRES = "crossthread.engines.postgres.engine"


def open_checkpointer(url: str | os.PathLike[str] | Engine) -> BaseCheckpointSaver[str]:
    """Open a checkpointer in the place where `MemoryStore` keeps memories for the same url.

    Raises:
        ConfigurationError: There is no checkpointer for such a place, or a package that it needs is missing.
        StoreError: The file cannot be opened, or the server cannot be reached.
    """
    engine = url if isinstance(url, Engine) else engine_for(url)
    if isinstance(engine, MemoryEngine):
        return InMemorySaver()
    if isinstance(engine, SQLiteEngine):
        return DurableSaver(engine.path)
    # There is no such engine where its module was not imported, and the module needs psycopg.
    if _POSTGRES in sys.modules and isinstance(engine, sys.modules[_POSTGRES].PostgresEngine):
        try:
            from crossthread.checkpointing.postgres import DurablePostgresSaver
        except ImportError as error:
            raise ConfigurationError(
                f"A checkpointer on PostgreSQL needs packages that are not installed ({error}): "
                "pip install 'crossthread[postgres]'."
            ) from error
        return DurablePostgresSaver(engine)
    raise ConfigurationError(
        f"crossthread has no checkpointer for {url!r}; give Memory one of LangGraph's: checkpointer=..., or None."
    )


def find_checkpointer(url: str | os.PathLike[str] | Engine) -> BaseCheckpointSaver[str] | None:
    """Open the checkpointer in the place of a url if there is one; creates nothing.

    Raises:
        ConfigurationError: A package that it needs is missing.
        StoreError: The file cannot be opened, or the server cannot be reached.
    """
    engine = url if isinstance(url, Engine) else engine_for(url)
    if isinstance(engine, SQLiteEngine):
        return DurableSaver(engine.path) if has_threads(engine.path) else None
    if _POSTGRES in sys.modules and isinstance(engine, sys.modules[_POSTGRES].PostgresEngine):
        engine.sets_up_itself = False
        saver: Any = open_checkpointer(engine)
        found: BaseCheckpointSaver[str] | None = saver if saver.is_set_up else None
        if found is None:
            saver.close()
        return found
    return None

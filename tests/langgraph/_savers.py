"""What the tests of checkpointers share: places to keep threads in, and small workflows that are kept there."""

import contextlib
import itertools
import os
import sqlite3
from typing import Annotated, Any, NamedTuple, TypedDict

import psycopg
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph

from crossthread.checkpointing.postgres import DurablePostgresSaver
from crossthread.checkpointing.sqlite import DurableSaver
from crossthread.engines.postgres.engine import PostgresEngine
from servers import schema_for, server_url


class Place(NamedTuple):
    """Where a checkpointer keeps its threads."""

    saver: type[DurableSaver | DurablePostgresSaver]
    url: str

    def open(self, **arguments: Any) -> Any:
        return self.saver(self.url, **arguments)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return what a statement returns behind the checkpointer's back; {writes} is the table of writes."""
        if self.saver is DurableSaver:
            with contextlib.closing(sqlite3.connect(self.url, isolation_level=None)) as other:
                return other.execute(sql.format(writes="writes")).fetchall()
        with connect(self.url) as other:
            found = other.execute(sql.format(writes="checkpoint_writes"))
            return found.fetchall() if found.description else []


def place(kind: str, folder: Any) -> Place:
    return Place(DurableSaver, os.fspath(folder / "agent.db")) if kind == "file" else server_place(folder)


def server_place(folder: Any) -> Place:
    url = server_url()
    own = f"schema={schema_for(folder)}&pool_size=4"  # with nothing in it, not even a store that is distributed
    return Place(DurablePostgresSaver, f"{url}{'&' if '?' in url else '?'}{own}")


def connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect to the schema of a store's url."""
    engine = PostgresEngine.from_url(url)
    return psycopg.connect(engine.conninfo, autocommit=True, options=f"-csearch_path={engine.schema}")


def thread(name: Any = "1") -> Any:
    return {"configurable": {"thread_id": str(name)}}


def counter(saver: Any) -> Any:
    @entrypoint(checkpointer=saver)
    def count(text: str, *, previous: Any) -> int:
        return (previous or 0) + 1

    return count


def acounter(saver: Any) -> Any:
    @entrypoint(checkpointer=saver)
    async def count(text: str, *, previous: Any) -> int:
        return (previous or 0) + 1

    return count


def delta_graph(saver: Any, frequency: int = 100) -> Any:
    def extend(state: list, updates: list[list]) -> list:
        return [*state, *itertools.chain.from_iterable(updates)]

    channel = DeltaChannel(extend, list, snapshot_frequency=frequency)
    builder = StateGraph(TypedDict("State", {"items": Annotated[list, channel]}))
    builder.add_node("node", lambda state: {"items": [len(state["items"])]})
    builder.add_edge(START, "node")
    return builder.compile(checkpointer=saver)


def put(
    saver: Any,
    name: str = "1",
    parent: Any = None,
    run_id: str = "run",
    values: Any = None,
    namespace: str = "",
    **more: Any,
) -> Any:
    """Save a checkpoint; ``more`` is metadata."""
    values = values or {}
    versions = {channel: saver.get_next_version(None, None) for channel in values}
    checkpoint = {**empty_checkpoint(), "channel_values": values, "channel_versions": versions}
    config = {"thread_id": name, "checkpoint_ns": namespace, **({"checkpoint_id": parent} if parent else {})}
    metadata = {"source": "loop", "step": 0, "parents": {}, "run_id": run_id, **more}
    return saver.put({"configurable": config}, checkpoint, metadata, versions)


async def collect(stream: Any) -> list[Any]:
    return [part async for part in stream]

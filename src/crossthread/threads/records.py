"""What is told of threads: `ThreadInfo` and `ThreadStep`. Reads LangGraph's checkpoints; asks no checkpointer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple

# The channels of LangGraph's functional API. It has no public names for them; tests compare with what runs are given.
_INPUT, _RESULT, PREVIOUS = "__start__", "__end__", "__previous__"

_GREGORIAN = datetime(1582, 10, 15, tzinfo=UTC)  # where the time of a UUID begins, RFC 9562, section 5.1


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """A thread, as `Threads.list` tells of it."""

    thread_id: str
    """Its id, as in ``config["configurable"]["thread_id"]``."""
    checkpoint_id: str
    """The id of its last step."""
    created_at: datetime
    """When its first step that is still there was saved, in UTC."""
    updated_at: datetime
    """When its last step was saved, in UTC."""
    metadata: Mapping[str, Any]
    """Those of its last step: ``source``, ``step`` and the strings, numbers and truth values of the run's
    ``config["configurable"]`` and ``config["metadata"]``, such as ``user_id``."""

    @property
    def config(self) -> RunnableConfig:
        """The config that goes on with this thread."""
        return {"configurable": {"thread_id": self.thread_id}}


@dataclass(frozen=True, slots=True)
class ThreadStep:
    """A checkpoint of a thread, as `Threads.history` tells of it."""

    thread_id: str
    """The thread's id."""
    checkpoint_id: str
    """The checkpoint's id."""
    parent_id: str | None
    """The id of the checkpoint that this one follows; None for the first."""
    created_at: datetime
    """When it was saved, in UTC."""
    metadata: Mapping[str, Any]
    """``source``, ``step``, and what the run's config told."""
    input: Any
    """What the run was given, in the step that begins it; None in the others."""
    result: Any
    """What the workflow returned last; None in the threads of graphs."""
    previous: Any
    """What the workflow saved last, which its next turn gets as ``previous``; None in the threads of graphs."""
    values: Mapping[str, Any]
    """A graph's state, as it is saved with this step; empty in the threads of workflows."""

    @property
    def source(self) -> str:
        """Where it comes from: ``"input"``, ``"loop"``, ``"update"`` or ``"fork"``."""
        return str(self.metadata.get("source", ""))

    @property
    def step(self) -> int:
        """Its number: -1 for a thread's first input, then one more each time."""
        return int(self.metadata.get("step", -1))

    @property
    def config(self) -> RunnableConfig:
        """The config that goes on from this step, in the same thread."""
        return {"configurable": {"thread_id": self.thread_id, "checkpoint_ns": "", "checkpoint_id": self.checkpoint_id}}


def step_of(found: CheckpointTuple) -> ThreadStep:
    """Return what a checkpoint tells."""
    values = found.checkpoint["channel_values"]
    parent = found.parent_config
    return ThreadStep(
        thread_id=found.config["configurable"]["thread_id"],
        checkpoint_id=found.config["configurable"]["checkpoint_id"],
        parent_id=parent["configurable"].get("checkpoint_id") if parent else None,
        created_at=datetime.fromisoformat(found.checkpoint["ts"]),
        metadata={**found.metadata},
        input=values.get(_INPUT),
        result=values.get(_RESULT),
        previous=values.get(PREVIOUS),
        values={name: _plain(value) for name, value in values.items() if _is_state(name)},
    )


def _is_state(channel: str) -> bool:
    return not channel.startswith(("__", "branch:to:"))


def _plain(value: Any) -> Any:
    # A DeltaChannel's value is wrapped where it is saved whole, in a class without a public name.
    return value.value if type(value).__name__ == "_DeltaSnapshot" else value


def time_of(checkpoint_id: str) -> datetime | None:
    """Return the time in an id as LangGraph makes them, a UUID of version 6; None for any other id."""
    try:
        found = UUID(checkpoint_id)
    except ValueError:
        return None
    if found.version != 6:
        return None
    high, middle, low = found.int >> 96, found.int >> 80 & 0xFFFF, found.int >> 64 & 0xFFF
    return _GREGORIAN + timedelta(microseconds=(high << 28 | middle << 12 | low) // 10)

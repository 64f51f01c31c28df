"""Checked by mypy and never run: the types that a user of `Memory` sees."""

from dataclasses import dataclass
from typing import Any, assert_type

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from crossthread import Memory, MemoryStore

memory = Memory("agent.db", index={"embed": "local"})
assert_type(memory.store, MemoryStore)
assert_type(memory.checkpointer, BaseCheckpointSaver[str])
assert_type(Memory().store, MemoryStore)
assert_type(Memory(store=InMemoryStore()).store, InMemoryStore)
assert_type(Memory(store=InMemoryStore()).checkpointer, None)
assert_type(Memory("a.db", checkpointer=InMemorySaver()).checkpointer, InMemorySaver)
assert_type(Memory(store=None, checkpointer=None).store, None)


def takes(memory: Memory) -> MemoryStore:
    return memory.store


@dataclass
class Context:
    user: str


@memory.task
def count(text: str, *, store: BaseStore) -> int:
    return len(text)


@memory.task(name="other")
async def acount(text: str, *, store: BaseStore) -> int:
    return len(text)


@memory.entrypoint
def workflow(text: str, *, store: BaseStore | None, previous: int | None) -> int:
    return assert_type(count(text).result(), int)


@memory.entrypoint(context_schema=Context)
async def aworkflow(text: str) -> int:
    return assert_type(await acount(text), int)


assert_type(workflow, Pregel[Any, None, Any, Any])
assert_type(aworkflow, Pregel[Any, Context, Any, Any])
Memory("a.db", store=InMemoryStore(), index={"embed": "local"})  # type: ignore[call-overload]
memory.task(retry_polcy=None)  # type: ignore[call-overload]

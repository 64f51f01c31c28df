"""A user's module as LangGraph misses it: every annotation is text, and some names exist for type checkers only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.func import entrypoint
from langgraph.store.memory import InMemoryStore

from crossthread import Memory

if TYPE_CHECKING:
    from langgraph.runtime import Runtime
    from langgraph.store.base import BaseStore
    from langgraph.types import StreamWriter

memory = Memory(store=InMemoryStore())


@memory.task
def remember(text: str, store: BaseStore | None = None) -> int:
    assert store is not None
    store.put(("memories",), text, {"text": text})
    return len(store.search(("memories",), limit=100))


@memory.entrypoint
def workflow(
    inputs: dict[str, str],
    *,
    store: BaseStore | None = None,
    previous: int | None,
    config: dict[str, Any],
    runtime: Runtime[None],
    writer: StreamWriter | None,
) -> entrypoint.final[str, int]:
    assert store is not None
    assert store is runtime.store
    assert writer is not None
    writer({"asked": inputs["text"]})
    saved = remember(inputs["text"]).result()
    return entrypoint.final(value=f"{config['configurable']['thread_id']}: {saved}, {previous}", save=saved)


@memory.entrypoint
async def aworkflow(text: str, store: BaseStore | None = None) -> int:
    assert store is not None
    return await remember(text)

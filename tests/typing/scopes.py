"""Checked by mypy and never run: the types that a user of scopes, tools and middleware sees."""

from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

from langchain.agents import create_agent
from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore, Item, SearchItem

from crossthread import Memory, Scope, ScopedStore

memory = Memory("agent.db")
scope = memory.scope("memories", "{user_id}")
assert_type(scope, Scope)
view = assert_type(scope.bind({"configurable": {"user_id": "ada"}}), ScopedStore)
assert_type(scope.resolve(context={"user_id": "ada"}), tuple[str, ...])
assert_type(scope.ids(("memories", "ada")), dict[str, str] | None)
store: BaseStore = view
assert_type(view.search((), query="tea", mode="keyword", explain=True), list[SearchItem])
assert_type(view.get((), "k"), Item | None)
assert_type(view.update((), "k", lambda value: value), Item)
assert_type(view.count(), int)
view.search((), mode="keywords")  # type: ignore[arg-type]


@dataclass
class Context:
    user_id: str


@memory.entrypoint(scope=("memories", "{user_id}"), context_schema=Context)
def workflow(text: str, *, store: ScopedStore) -> int:
    return assert_type(count(text).result(), int)


@memory.entrypoint(scope=scope)
async def aworkflow(text: str, *, store: ScopedStore) -> int:
    return assert_type(await acount(text), int)


@memory.task(scope=scope)
def count(text: str, *, store: ScopedStore) -> int:
    return len(text)


@memory.task(scope=["memories", "{user_id}"], name="other")
async def acount(text: str, *, store: BaseStore) -> int:
    return len(text)


assert_type(workflow, Pregel[Any, Context, Any, Any])
assert_type(aworkflow, Pregel[Any, None, Any, Any])
memory.entrypoint(scope=3)  # type: ignore[call-overload]


class State(TypedDict):
    text: str


graph = StateGraph(State).add_edge(START, "node").compile()
assert_type(graph, CompiledStateGraph[State, None, State, State])
assert_type(memory.scoped(graph, scope=scope), CompiledStateGraph[State, None, State, State])

assert_type(memory.tools(scope=scope), list[BaseTool])


async def extract(messages: list[BaseMessage]) -> list[str]:
    return [message.text for message in messages]


create_agent("model", memory.tools(scope=scope), middleware=[memory.middleware(scope=scope, extract=extract)])
memory.middleware(scope=scope, extract=lambda messages: [{"text": messages[0].text}])
memory.middleware(scope=scope, extract=lambda messages: 3)  # type: ignore[arg-type, return-value]

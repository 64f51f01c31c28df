"""remember, recall and forget: in agents, in tool nodes, in workflows, and never anybody else's memories."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.store.base import Item
from langgraph.store.memory import InMemoryStore

from crossthread import Memory, Scope, ScopedStore, ScopeError
from crossthread.agents.memories import address_of, new_key, parsed_address
from crossthread.testing import HashEmbeddings

SCOPE = ("memories", "{user_id}")


def run(user, thread="1"):
    return {"configurable": {"thread_id": thread, "user_id": user}}


@pytest.fixture
def memory():
    with Memory(index={"embed": HashEmbeddings(), "fields": ["text"]}) as memory:
        yield memory


class CallingModel(GenericFakeChatModel):
    """A chat model that says and calls what it is told to, and keeps what it was asked."""

    asked: list[Any] = []  # noqa: RUF012 - pydantic copies it
    bound: list[Any] = []  # noqa: RUF012

    def bind_tools(self, tools: Sequence[Any], **settings: Any) -> Any:
        self.bound[:] = tools
        return self

    def _generate(self, messages: Any, *args: Any, **settings: Any) -> Any:
        self.asked.append(list(messages))
        return super()._generate(messages, *args, **settings)


def calling(*said):
    """Return a model that says each of these: a text, or the name and the arguments of a tool."""
    messages = [
        AIMessage(one)
        if isinstance(one, str)
        else AIMessage("", tool_calls=[{"name": one[0], "args": one[1], "id": "1"}])
        for one in said
    ]
    return CallingModel(messages=iter(messages), asked=[], bound=[])


def by_name(memory, scope=SCOPE):
    return {tool.name: tool for tool in memory.tools(scope=scope)}


def use(tools, asynchronous, name, arguments, config):
    if asynchronous:
        return asyncio.run(tools[name].ainvoke(arguments, config))
    return tools[name].invoke(arguments, config)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_by_themselves(memory, asynchronous):
    tools = by_name(memory)
    ada = run("ada")
    said = use(tools, asynchronous, "remember", {"text": " The user likes green tea. "}, ada)
    key = new_key({"text": "The user likes green tea."})
    assert said == f"Remembered, with the key {key}."
    use(tools, asynchronous, "remember", {"text": "The user likes old trains."}, ada)
    use(tools, asynchronous, "remember", {"text": "the user likes GREEN tea."}, ada)  # the same again
    assert memory.store.count(("memories", "ada")) == 2
    recalled = use(tools, asynchronous, "recall", {"query": "tea", "limit": 1}, ada)
    assert recalled.splitlines()[1:] == [f"- [{key}] the user likes GREEN tea."]
    assert use(tools, asynchronous, "recall", {"query": "tea"}, run("bob")) == "Nothing is remembered about that."
    changed = use(tools, asynchronous, "remember", {"text": "The user likes black tea.", "key": f"[{key}]"}, ada)
    assert changed.startswith("Changed")
    assert memory.store.get(("memories", "ada"), key).value == {"text": "The user likes black tea."}
    assert "no memory with the key" in use(tools, asynchronous, "forget", {"key": key}, run("bob"))
    assert "no memory" in use(tools, asynchronous, "remember", {"text": "x", "key": key}, run("bob"))
    assert "empty" in use(tools, asynchronous, "remember", {"text": " "}, run("bob"))
    assert memory.store.count(("memories", "bob")) == 0
    assert use(tools, asynchronous, "forget", {"key": key}, ada) == "Forgotten: The user likes black tea."
    assert use(tools, asynchronous, "recall", {"query": ""}, ada).count("\n") == 1
    with pytest.raises(ScopeError, match="'user_id'"):
        use(tools, asynchronous, "recall", {"query": "tea"}, {})


def test_a_model_understands_what_they_take(memory):
    for tool in memory.tools(scope=SCOPE):
        schema = tool.tool_call_schema.model_json_schema()
        assert set(schema["properties"]) <= {"text", "key", "query", "limit"}
        assert tool.description
        for name, field in schema["properties"].items():
            assert field["description"], (tool.name, name)
    limit = by_name(memory)["recall"].tool_call_schema.model_json_schema()["properties"]["limit"]
    assert (limit["minimum"], limit["maximum"]) == (1, 20)


FORGED = {
    "user_id": "bob",
    "scope": ["memories", "bob"],
    "namespace": ["memories", "bob"],
    "config": {"configurable": {"user_id": "bob"}},
    "runtime": {"context": {"user_id": "bob"}},
    "store": "x",
}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_model_cannot_forge_whose_memories_they_reach(memory, asynchronous):
    bobs = ScopedStore(memory.store, ("memories", "bob"))
    bobs.put((), "secret", {"text": "The user has a secret."})
    model = calling(
        ("recall", {"query": "secret", **FORGED}),
        ("forget", {"key": "secret", **FORGED}),
        ("forget", {"key": "../bob/secret", **FORGED}),
        ("forget", {"key": "memories/bob/secret", **FORGED}),
        ("remember", {"text": "forged", "key": "secret", **FORGED}),
        ("remember", {"text": "forged", **FORGED}),
        "done",
    )
    agent = create_agent(model, memory.tools(scope=SCOPE), store=memory.store, checkpointer=memory.checkpointer)
    inputs = {"messages": [("user", "go")]}
    said = asyncio.run(agent.ainvoke(inputs, run("ada"))) if asynchronous else agent.invoke(inputs, run("ada"))
    results = [message.text for message in said["messages"] if message.type == "tool"]
    assert results[0] == "Nothing is remembered about that."
    assert all("There is no memory with the key" in result for result in results[1:5])
    assert results[5].startswith("Remembered")
    assert [(item.key, item.value) for item in bobs.search(())] == [("secret", {"text": "The user has a secret."})]
    assert [item.value for item in memory.store.search(("memories", "ada"))] == [{"text": "forged"}]


def test_a_signed_in_user_counts_in_agents_too(memory):
    model = calling(("remember", {"text": "I am Ada."}), "done")
    agent = create_agent(model, memory.tools(scope=SCOPE), store=memory.store)
    config = {"configurable": {"user_id": "bob", "langgraph_auth_user": {"identity": "ada@example.com"}}}
    agent.invoke({"messages": [("user", "go")]}, config)
    assert memory.store.count(("memories", "ada@example%2Ecom")) == 1
    assert memory.store.count() == 1


@pytest.mark.parametrize("scoped", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_in_a_tool_node(memory, asynchronous, scoped):
    builder = StateGraph(MessagesState).add_node("tools", ToolNode(memory.tools(scope=SCOPE))).add_edge(START, "tools")
    graph = builder.compile(store=memory.store)
    if scoped:
        graph = memory.scoped(graph, scope=("elsewhere", "{user_id}"))
    call = AIMessage("", tool_calls=[{"name": "remember", "args": {"text": "I am Ada."}, "id": "1"}])
    state = {"messages": [call]}
    asyncio.run(graph.ainvoke(state, run("ada"))) if asynchronous else graph.invoke(state, run("ada"))
    assert [item.value for item in memory.store.search(("memories", "ada"))] == [{"text": "I am Ada."}]
    assert memory.store.count() == 1


@pytest.mark.parametrize("asynchronous", [False, True])
def test_in_a_functional_workflow(memory, asynchronous):
    tools = by_name(memory)

    @memory.task
    def write(text):
        return tools["remember"].invoke({"text": text})

    @memory.entrypoint(scope=SCOPE)
    def workflow(text):
        return [write(text).result(), tools["recall"].invoke({"query": text})]

    @memory.entrypoint
    async def aworkflow(text):
        return [await write(text), await tools["recall"].ainvoke({"query": text})]

    for graph in (workflow, aworkflow) if asynchronous else (workflow,):
        said = asyncio.run(graph.ainvoke("Tea!", run("ada"))) if asynchronous else graph.invoke("Tea!", run("ada"))
        assert said[1].endswith("Tea!")
    assert memory.store.count(("memories", "ada")) == memory.store.count() == 1


def test_many_agents_of_many_users_at_once(memory):
    users = [f"user.{n}" for n in range(20)]

    async def one(user):
        model = calling(("remember", {"text": f"I am {user}."}), ("recall", {"query": "who am I"}), "done")
        agent = create_agent(model, memory.tools(scope=SCOPE), store=memory.store)
        said = await agent.ainvoke({"messages": [("user", "go")]}, run(user))
        return said["messages"][-2].text.splitlines()[1:]

    async def main():
        for user, recalled in zip(users, await asyncio.gather(*map(one, users)), strict=True):
            assert [line.partition("] ")[2] for line in recalled] == [f"I am {user}."]

    asyncio.run(main())


def test_over_the_stores_of_others_and_of_the_platform():
    platform = Memory(store=None, checkpointer=None)
    store = InMemoryStore()
    model = calling(("remember", {"text": "I am Ada."}), "done")
    agent = create_agent(model, platform.tools(scope=SCOPE))
    agent.copy(update={"store": store}).invoke({"messages": [("user", "go")]}, run("ada"))
    assert [item.namespace for item in store.search(())] == [("memories", "ada")]
    with pytest.raises(ScopeError, match="has no store"):
        by_name(platform)["recall"].invoke({"query": "x"}, run("ada"))


def test_memories_that_others_wrote_can_be_recalled_and_forgotten(memory):
    view = memory.scope(*SCOPE).bind(run("ada"))
    view.put(("food/likes", "a"), "x y/[z]", {"text": "two\nlines", "n": 1})
    view.put(("prefs",), "plain", {"n": 1})
    tools = by_name(memory)
    recalled = tools["recall"].invoke({"query": ""}, run("ada")).splitlines()[1:]
    assert recalled == ['- [prefs/plain] {"n": 1}', "- [food%2Flikes/a/x%20y%2F%5Bz%5D] two lines"]
    for line in recalled:
        key = line[3 : line.index("]")]
        assert tools["forget"].invoke({"key": key}, run("ada")).startswith("Forgotten")
    assert view.count() == 0


def test_what_is_recalled_is_bounded(memory):
    view = memory.scope(*SCOPE).bind(run("ada"))
    for n in range(30):
        view.put((), f"k{n}", {"text": f"{n} " + "word " * 300})
    recalled = by_name(memory)["recall"].invoke({"query": "word", "limit": 20}, run("ada"))
    assert len(recalled) < 4_200
    assert recalled.endswith("…")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_a_model_makes_up_is_answered_in_words(memory, asynchronous):
    def call(name, **arguments):
        tool = by_name(memory)[name]
        return asyncio.run(tool.ainvoke(arguments, run("ada"))) if asynchronous else tool.invoke(arguments, run("ada"))

    for key in ("%FF", "a/%FF/b", "[]", "", " ", "/", "\0", "%00/x", "\ud800"):
        assert call("forget", key=key).startswith("There is no memory")
    # Models fill in what they may leave out.
    for key in ("", "  "):
        assert call("remember", text="likes tea", key=key).startswith("Remembered, with the key")
    for text in ("\ud800", "a\0b"):
        assert call("remember", text=text).startswith("Nothing was remembered: ")
    assert [item.value for item in memory.store.search(("memories", "ada"))] == [{"text": "likes tea"}]
    assert call("remember", text="\0", key=new_key({"text": "likes tea"})).startswith("Nothing was remembered: ")
    assert "not instructions" in call("recall", query="tea").splitlines()[0]


labels = st.text(min_size=1, max_size=4).filter(lambda text: "." not in text and "\0" not in text)


@given(st.lists(labels, max_size=2).map(tuple), st.text(st.characters(), max_size=5))
def test_an_address_leads_back(namespace, key):
    now = None
    item = Item(value={}, key=key, namespace=namespace, created_at=now, updated_at=now)
    assert parsed_address(f" [{address_of(item)}] ") == (namespace, key)


def test_the_store_of_a_tool_is_that_of_its_scope():
    """A scope made by hand has no store until a memory gives it one."""
    with Memory() as memory:
        tools = by_name(memory, Scope(*SCOPE))
        tools["remember"].invoke({"text": "x"}, run("ada"))
        assert memory.store.count(("memories", "ada")) == 1

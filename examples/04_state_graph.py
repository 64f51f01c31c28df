"""A `StateGraph` with the same memory: `memory.store` and `memory.checkpointer` are plain LangGraph objects.

A node gets the store by asking for `store: BaseStore`, as in LangGraph's guide.
"""

import uuid

from langchain_core.messages import SystemMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import BaseStore

from crossthread import Memory
from crossthread.testing.chat import chat_model

model = chat_model()
memory = Memory()


def remember(state: MessagesState, config: RunnableConfig, *, store: BaseStore):
    text = state["messages"][-1].text
    if "remember" in text.lower():
        store.put(("memories", config["configurable"]["user_id"]), str(uuid.uuid4()), {"text": text})


def call_model(state: MessagesState, config: RunnableConfig, *, store: BaseStore):
    known = store.search(("memories", config["configurable"]["user_id"]))
    lines = "\n".join(f"- {item.value['text']}" for item in known)
    system = SystemMessage(f"You are a helpful assistant. The user told you earlier:\n{lines}")
    return {"messages": [model.invoke([system, *state["messages"]])]}


builder = StateGraph(MessagesState)
builder.add_node(remember)
builder.add_node(call_model)
builder.add_edge(START, "remember")
builder.add_edge("remember", "call_model")
graph = builder.compile(store=memory.store, checkpointer=memory.checkpointer)


def say(text, *, user, thread):
    config = {"configurable": {"thread_id": thread, "user_id": user}}
    state = graph.invoke({"messages": [("user", text)]}, config)
    print(f"[thread {thread}] {user}: {text}\n{'':>11}assistant: {state['messages'][-1].text}")
    return state["messages"]


say("Hi! Remember: my name is Bob", user="user-1", thread="1")
history = say("Remember that I like pizza", user="user-1", thread="1")
say("What is my name?", user="user-1", thread="2")
say("What do I like?", user="user-1", thread="2")
say("What is my name?", user="user-2", thread="3")

assert len(history) == 4  # the checkpointer kept the thread's first turn
assert memory.store.count(("memories", "user-1")) == 2
assert memory.store.count(("memories", "user-2")) == 0
memory.close()

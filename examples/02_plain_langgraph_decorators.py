"""The same chatbot with LangGraph's own decorators: `MemoryStore` goes where any LangGraph store goes.

LangGraph fills `store` by its annotation, so it must read `store: BaseStore` (`Memory`'s decorators take any spelling).
"""

import uuid

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import add_messages
from langgraph.store.base import BaseStore

from crossthread import MemoryStore
from crossthread.testing.chat import chat_model

model = chat_model()
store = MemoryStore()  # MemoryStore("agent.db") is a file


@task
def call_model(messages, user_id: str, memories: BaseStore):
    user = ("memories", user_id)
    text = messages[-1].text
    if "remember" in text.lower():
        memories.put(user, str(uuid.uuid4()), {"text": text})
    known = "\n".join(f"- {item.value['text']}" for item in memories.search(user))
    return model.invoke([SystemMessage(f"You are a helpful assistant. The user told you earlier:\n{known}"), *messages])


@entrypoint(checkpointer=InMemorySaver(), store=store)
def chat(messages, *, previous, config: RunnableConfig, store: BaseStore):
    history = add_messages(previous or [], messages)
    reply = call_model(history, config["configurable"]["user_id"], store).result()
    return entrypoint.final(value=reply, save=add_messages(history, reply))


def say(text, *, user, thread):
    reply = chat.invoke([HumanMessage(text)], {"configurable": {"thread_id": thread, "user_id": user}})
    print(f"[thread {thread}] {user}: {text}\n{'':>11}assistant: {reply.text}")


say("Hi! Remember: my name is Bob", user="user-1", thread="1")
say("What is my name?", user="user-1", thread="2")
say("What is my name?", user="user-2", thread="3")

assert [item.value["text"] for item in store.search(("memories", "user-1"))] == ["Hi! Remember: my name is Bob"]
assert store.search(("memories", "user-2")) == []
store.close()

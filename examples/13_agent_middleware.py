"""Middleware for `create_agent`: what fits the last message stands in the prompt, and each turn is learnt from.

The model calls no tool for it, and no thread keeps a copy of a memory.
"""

from langchain.agents import create_agent

from crossthread import Memory
from crossthread.testing.chat import chat_model, personal_statements

memory = Memory(index={"fields": ["text"]})


def learn(messages):
    """Return what is worth remembering of a turn; a real agent would ask a model."""
    return personal_statements(messages[0].text)


agent = create_agent(
    chat_model(),
    middleware=[memory.middleware(scope=("memories", "{user_id}"), limit=5, max_characters=500, extract=learn)],
    system_prompt="You are a helpful assistant.",
    store=memory.store,
    checkpointer=memory.checkpointer,
)


def say(user, thread, text):
    config = {"configurable": {"thread_id": thread, "user_id": user}}
    messages = agent.invoke({"messages": [("user", text)]}, config)["messages"]
    print(f"[thread {thread}] {user}: {text}\n{'':>11}assistant: {messages[-1].text}")
    return messages


say("ada", "1", "Hi! My name is Ada, and I like green tea.")
messages = say("ada", "2", "What is my name?")
say("eve", "3", "What is my name?")

assert {item.value["text"] for item in memory.store.search(("memories", "ada"))} == {
    "My name is Ada",
    "I like green tea",
}
assert [message.type for message in messages] == ["human", "ai"]  # the memories were in the prompt only
assert memory.store.count(("memories", "eve")) == 0
memory.close()

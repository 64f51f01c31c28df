"""What one thread learns, the user's other threads know; another user's memories stay apart.

This is the chatbot of LangGraph's guide to cross-thread memory (functional API), wired by `Memory`.
"""

import uuid

from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.func import entrypoint
from langgraph.graph import add_messages

from crossthread import Memory
from crossthread.testing.chat import chat_model

model = chat_model()  # plays a script, offline, unless ANTHROPIC_API_KEY or OPENAI_API_KEY is set
memory = Memory()  # Memory("agent.db") keeps everything in that file


@memory.task
def call_model(messages, *, store, config):
    user = ("memories", config["configurable"]["user_id"])
    text = messages[-1].text
    if "remember" in text.lower():
        store.put(user, str(uuid.uuid4()), {"text": text})
    known = "\n".join(f"- {item.value['text']}" for item in store.search(user))
    return model.invoke([SystemMessage(f"You are a helpful assistant. The user told you earlier:\n{known}"), *messages])


@memory.entrypoint
def chat(messages, *, previous):
    history = add_messages(previous or [], messages)
    reply = call_model(history).result()
    return entrypoint.final(value=reply, save=add_messages(history, reply))


def say(text, *, user, thread):
    reply = chat.invoke([HumanMessage(text)], {"configurable": {"thread_id": thread, "user_id": user}})
    print(f"[thread {thread}] {user}: {text}\n{'':>11}assistant: {reply.text}")


say("Hi! Remember: my name is Bob", user="user-1", thread="1")
say("What is my name?", user="user-1", thread="2")  # another thread: nothing of the conversation, all of the memories
say("What is my name?", user="user-2", thread="3")  # another user

print("\nIn the store:")
for item in memory.store.search(("memories",)):
    print(f"  {item.namespace}  {item.value}")

assert [item.value["text"] for item in memory.store.search(("memories", "user-1"))] == ["Hi! Remember: my name is Bob"]
assert memory.store.search(("memories", "user-2")) == []
memory.close()

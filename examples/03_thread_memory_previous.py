"""What one thread remembers of itself: `previous` is what the last turn saved with `entrypoint.final`.

The value is what the caller gets, the save is what the thread's next turn gets; they need not be the same.
"""

from langchain_core.messages import HumanMessage
from langgraph.func import entrypoint
from langgraph.graph import add_messages

from crossthread import Memory
from crossthread.testing.chat import chat_model

model = chat_model()
memory = Memory()


@memory.task
def call_model(messages):
    return model.invoke(messages)


@memory.entrypoint
def chat(messages, *, previous):
    history = add_messages(previous or [], messages)  # None in a thread's first turn
    reply = call_model(history).result()
    return entrypoint.final(value=reply, save=add_messages(history, reply))


@memory.entrypoint
def total(number, *, previous):
    return entrypoint.final(value=f"before: {previous or 0}", save=(previous or 0) + number)


def say(text, *, thread):
    reply = chat.invoke([HumanMessage(text)], {"configurable": {"thread_id": thread}})
    print(f"[thread {thread}] user: {text}\n{'':>11}assistant: {reply.text}")


say("Hi! I'm Bob.", thread="1")
say("What is my name?", thread="1")  # the same thread
say("What is my name?", thread="2")  # another one; nothing was put into the store

sums = [total.invoke(number, {"configurable": {"thread_id": "sums"}}) for number in (5, 3, 1)]
print(f"\nsums: {sums}")

assert sums == ["before: 0", "before: 5", "before: 8"]
assert memory.store.count() == 0
assert memory.checkpointer.get_tuple({"configurable": {"thread_id": "1"}}) is not None
assert memory.checkpointer.get_tuple({"configurable": {"thread_id": "3"}}) is None
memory.close()

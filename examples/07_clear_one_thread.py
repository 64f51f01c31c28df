"""Clear the history of one thread: the checkpointer forgets the conversation, the store keeps what was learnt."""

from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.func import entrypoint
from langgraph.graph import add_messages

from crossthread import Memory
from crossthread.testing.chat import chat_model, personal_statements

model = chat_model()
memory = Memory()
bob = ("memories", "bob")


@memory.entrypoint
def chat(text, *, previous, store):
    for statement in personal_statements(text):
        store.put(bob, statement, {"text": statement})
    known = "\n".join(f"- {item.value['text']}" for item in store.search(bob))
    system = SystemMessage(f"You are a helpful assistant. The user told you earlier:\n{known}")
    history = add_messages(previous or [], [HumanMessage(text)])
    history = add_messages(history, model.invoke([system, *history]))
    return entrypoint.final(value=history, save=history)


def say(text, *, thread):
    history = chat.invoke(text, {"configurable": {"thread_id": thread}})
    print(f"[thread {thread}, {len(history)} messages] bob: {text}\n{'':>24}assistant: {history[-1].text}")
    return history


say("Hi! My name is Bob.", thread="1")
assert len(say("I like pizza.", thread="1")) == 4
say("I live in Rome.", thread="2")

print("-- clear thread 1 --")
memory.checkpointer.delete_thread("1")
assert memory.checkpointer.get_tuple({"configurable": {"thread_id": "1"}}) is None

assert len(say("What do I like?", thread="1")) == 2  # the conversation starts anew,
assert memory.store.count(bob) == 3  # and the memories are all there;
assert len(say("Where do I live?", thread="2")) == 4  # the other thread goes on
memory.close()

"""Async workflows; streams of values, of custom events and of the model's words. The same memory serves them all."""

import asyncio

from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.func import entrypoint
from langgraph.graph import add_messages

from crossthread import Memory
from crossthread.testing.chat import chat_model, personal_statements

model = chat_model()
memory = Memory()


@memory.task
async def call_model(messages, *, store, config, writer):
    user = ("memories", config["configurable"]["user_id"])
    for statement in personal_statements(messages[-1].text):
        await store.aput(user, statement, {"text": statement})
        writer(f"learnt: {statement}")
    known = "\n".join(f"- {item.value['text']}" for item in await store.asearch(user))
    system = SystemMessage(f"You are a helpful assistant. The user told you earlier:\n{known}")
    return await model.ainvoke([system, *messages])


@memory.entrypoint
async def chat(text, *, previous):
    history = add_messages(previous or [], [HumanMessage(text)])
    reply = await call_model(history)
    return entrypoint.final(value=reply.text, save=add_messages(history, reply))


@memory.entrypoint
def recall(user_id, *, store):
    return sorted(item.value["text"] for item in store.search(("memories", user_id)))


def thread(number, user="bob"):
    return {"configurable": {"thread_id": f"{user}-{number}", "user_id": user}}


async def main():
    print("ainvoke:       ", await chat.ainvoke("Hi! My name is Bob, and I like tea.", thread(1)))
    async for value in chat.astream("What is my name?", thread(2), stream_mode="values"):
        print("astream values:", value)
    async for event in chat.astream("I live in Rome.", thread(2), stream_mode="custom"):
        print("astream custom:", event)
    words = [word.text async for word, _ in chat.astream("Where do I live?", thread(3), stream_mode="messages")]
    print("astream words: ", " | ".join(word.strip() for word in words if word))

    # Many users at once
    await asyncio.gather(*(chat.ainvoke("I like number " + name, thread(1, name)) for name in map(str, range(50))))


asyncio.run(main())

# The same objects serve synchronous callers, and another event loop.
values = [*recall.stream("bob", thread(4), stream_mode="values")]
print("stream values: ", values)
assert values == [["I like tea", "I live in Rome", "My name is Bob"]]
assert asyncio.run(recall.ainvoke("49", thread(5))) == ["I like number 49"]
assert memory.store.count(("memories",)) == 53
memory.close()

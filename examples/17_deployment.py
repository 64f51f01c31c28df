"""Deployment: what LangGraph's server does with the loaders that langgraph.json names, done by hand.

{"store": {"path": "crossthread.deploy.store"}, "checkpointer": {"path": "crossthread.deploy.checkpointer"}}
"""

import asyncio
import os
import tempfile
from pathlib import Path

from langgraph.func import entrypoint

from crossthread import Memory, deploy

memory = Memory(store=None, checkpointer=None)  # the server brings both


@memory.entrypoint(scope=("memories", "{user_id}"))
async def chat(text, *, previous, store):
    await store.aput((), text, {"text": text, "owner": "ada"})
    found = await store.asearch((), query="pet cat", limit=1)
    return entrypoint.final(value=found[0].value["text"], save=[*(previous or []), text])


async def serve():
    async with deploy.store() as store, deploy.checkpointer() as checkpointer:
        graph = chat.copy(update={"store": store, "checkpointer": checkpointer})
        ada = {"configurable": {"thread_id": "1", "user_id": "ada"}}
        await graph.ainvoke("My cat is called Turing.", ada)
        reply = await graph.ainvoke("I live in Rome.", ada)
        # POST /store/items/search, with a filter of the caller and one of an auth handler:
        both = {"$and": [{"text": {"$contains": "Rome"}}, {"owner": "ada"}]}
        found = await store.asearch(("memories",), filter=both, limit=10, offset=0, query=None, refresh_ttl=None)
        return reply, [item.value["text"] for item in found]


with tempfile.TemporaryDirectory() as folder:
    settings = {"CROSSTHREAD_URL": str(Path(folder) / "agent.db"), "CROSSTHREAD_MODE": "keyword"}
    os.environ.update(settings)
    try:
        reply, found = asyncio.run(serve())
    finally:
        for name in settings:
            del os.environ[name]
print(f"chat: {reply}\nfound: {found}")
assert reply == "My cat is called Turing."
assert found == ["I live in Rome."]

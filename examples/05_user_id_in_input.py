"""Three ways to say whose memories: in the workflow's input, in the run's context, or in the config.

The store is reached without a parameter, too: `get_store()` inside of any function that a run calls, `runtime.store`
where a function asks for the runtime.
"""

from dataclasses import dataclass

from langgraph.config import get_store
from langgraph.runtime import Runtime

from crossthread import Memory

memory = Memory()


@dataclass
class User:
    """Who is talking, given with each run."""

    user_id: str


def recall(user_id):
    """Find what is known about a user; an ordinary function, which finds the store of the run it is called in."""
    return sorted(item.value["text"] for item in get_store().search(("memories", user_id)))


@memory.entrypoint
def by_input(inputs):
    user_id, text = inputs["user_id"], inputs["text"]
    get_store().put(("memories", user_id), text, {"text": text})
    return recall(user_id)


@memory.entrypoint(context_schema=User)
def by_context(text, *, runtime: Runtime[User]):
    runtime.store.put(("memories", runtime.context.user_id), text, {"text": text})
    return recall(runtime.context.user_id)


@memory.entrypoint
def by_config(text, *, store, config):
    store.put(("memories", config["configurable"]["user_id"]), text, {"text": text})
    return recall(config["configurable"]["user_id"])


first = by_input.invoke({"user_id": "bob", "text": "likes pizza"}, {"configurable": {"thread_id": "1"}})
second = by_context.invoke("lives in Rome", {"configurable": {"thread_id": "2"}}, context=User("bob"))
third = by_config.invoke("plays chess", {"configurable": {"thread_id": "3", "user_id": "bob"}})
other = by_input.invoke({"user_id": "eve", "text": "likes tea"}, {"configurable": {"thread_id": "4"}})

print(f"user id in the input:   bob {first}")
print(f"user id in the context: bob {second}")
print(f"user id in the config:  bob {third}")
print(f"another user:           eve {other}")

assert first == ["likes pizza"]
assert second == ["likes pizza", "lives in Rome"]
assert third == ["likes pizza", "lives in Rome", "plays chess"]
assert other == ["likes tea"]
memory.close()

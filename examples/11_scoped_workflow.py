"""A scope: every run sees its own user's memories, in the workflow, in its tasks and in what these call.

Nothing in the code below the decorator names a user, so nothing can name the wrong one.
"""

from langgraph.config import get_store
from langgraph.func import task

from crossthread import Memory, ScopeError

memory = Memory()


@task  # a plain task of LangGraph's, which never heard of scopes
def note(text):
    get_store().put(("notes",), text, {"text": text})


@memory.entrypoint(scope=("memories", "{user_id}"))
def keep(text, *, store, previous):
    store.put((), "last", {"text": text})  # () is the user's own namespace, for writing too
    note(text).result()
    return sorted(item.value["text"] for item in store.search(("notes",)))


def run(user, thread):
    return {"configurable": {"thread_id": thread, "user_id": user}}


print(keep.invoke("likes tea", run("ada", "1")))
print(keep.invoke("has a cat", run("ada", "2")))
print(keep.invoke("likes wine", run("bob@example.com", "3")))

assert memory.store.list_namespaces() == [
    ("memories", "ada"),
    ("memories", "ada", "notes"),
    ("memories", "bob@example%2Ecom"),  # a label cannot hold a dot, an id can
    ("memories", "bob@example%2Ecom", "notes"),
]

try:
    keep.invoke("whose?", {"configurable": {"thread_id": "4"}})
except ScopeError as error:
    refused = error
print(f"refused: {refused}")
assert refused.field == "user_id"

# Outside of a workflow: the same view, for one user.
scope = memory.scope("memories", "{user_id}")
ada = scope.bind({"configurable": {"user_id": "ada"}})
assert ada.get((), "last").value == {"text": "has a cat"}
assert ada.list_namespaces() == [(), ("notes",)]
assert ada.forget(()) == 3
assert memory.store.count(("memories",)) == 2  # Bob's are still there
memory.close()

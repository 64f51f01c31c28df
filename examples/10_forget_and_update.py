"""Change a memory without losing somebody else's change, count memories, and forget a user for good."""

from concurrent.futures import ThreadPoolExecutor

from crossthread import ItemNotFoundError, Memory

memory = Memory()
store = memory.store


@memory.entrypoint
def visit(user_id, *, store):
    # get() and put() would lose one of two visits at once; update() reads, changes and writes as one step.
    item = store.update(("users", user_id), "visits", lambda value: {"n": value["n"] + 1}, default={"n": 0})
    return item.value["n"]


with ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda n: visit.invoke("bob", {"configurable": {"thread_id": str(n)}}), range(40)))
visits = store.get(("users", "bob"), "visits").value
print(f"40 visits, 8 at a time: {visits}")
assert visits == {"n": 40}

try:
    store.update(("users", "nobody"), "visits", lambda value: value)
except ItemNotFoundError as error:
    print(f"update without a default: {error}")
else:
    raise AssertionError("an update of nothing must say so")

store.put(("users", "bob", "notes"), "food", {"text": "likes pizza", "tags": ["food", "italian"]})
store.put(("users", "bob", "notes"), "home", {"text": "lives in Rome", "tags": ["italian"]})
store.put(("users", "eve", "notes"), "food", {"text": "likes tea", "tags": ["food"]})
print(f"notes about food: {store.count(('users',), filter={'tags': {'$contains': 'food'}})}")
assert store.count(("users",), filter={"tags": {"$contains": "food"}}) == 2

forgotten = store.forget(("users", "bob"))  # the namespace and all below it
print(f"forgotten about bob: {forgotten}; what is left: {store.list_namespaces()}")
assert forgotten == 3
assert store.count(("users", "bob")) == 0
assert store.list_namespaces() == [("users", "eve", "notes")]
memory.close()

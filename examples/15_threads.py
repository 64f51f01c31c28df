"""Threads: list whose they are, read what happened, try something else in a copy, and clear one."""

from langgraph.func import entrypoint

from crossthread import Memory

memory = Memory()


@memory.entrypoint
def shop(item, *, previous, store, config):
    basket = [*(previous or []), item]
    store.put(("memories", config["configurable"]["user_id"]), item, {"text": f"has bought {item}"})
    return entrypoint.final(value=f"{len(basket)} in the basket", save=basket)


def buy(item, *, thread, user):
    return shop.invoke(item, {"configurable": {"thread_id": thread, "user_id": user}})


buy("a bike", thread="monday", user="ada")
buy("a tent", thread="tuesday", user="bob")
buy("a bell", thread="monday", user="ada")

for thread in memory.threads.list():
    print(f"{thread.thread_id}: {thread.metadata['user_id']} has {memory.threads.previous(thread.thread_id)}")
assert [thread.thread_id for thread in memory.threads.list()] == ["monday", "tuesday"]  # used last, first
assert [thread.thread_id for thread in memory.threads.list(filter={"user_id": "bob"})] == ["tuesday"]

for step in reversed(memory.threads.history("monday")):
    print(
        f"step {step.step:>2}: " + (f"was given {step.input!r}" if step.source == "input" else f"said {step.result!r}")
    )

print("-- what if --")
memory.threads.copy("monday", "monday, with a helmet")
print(buy("a helmet", thread="monday, with a helmet", user="ada"))
assert memory.threads.previous("monday") == ["a bike", "a bell"]
assert memory.threads.previous("monday, with a helmet") == ["a bike", "a bell", "a helmet"]

print("-- clear --")
memory.threads.clear("monday")
print(buy("a lock", thread="monday", user="ada"))
assert memory.threads.previous("monday") == ["a lock"]  # the conversation starts anew,
assert memory.store.count(("memories", "ada")) == 4  # and the memories are all there
memory.close()

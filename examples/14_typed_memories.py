"""Typed memories: models in and out, for the run's user, with data that grew old."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel

from crossthread import Indexed, Memory, MemoryValidationError

memory = Memory(index={"mode": "keyword"})


class Preference(BaseModel):
    """What somebody likes."""

    topic: Annotated[str, Indexed()]
    likes: bool = True


@dataclass
class Visit:
    """A dataclass does as well."""

    times: int


preferences = memory.collection(Preference, scope=("memories", "{user_id}", "preferences"))
visits = memory.collection(Visit, scope=("memories", "{user_id}", "visits"))


@memory.entrypoint
def waiter(order):
    visit = visits.update("here", lambda seen: Visit(seen.times + 1), default=Visit(0))
    known = [hit.value.topic for hit in preferences.search(order)]
    preferences.add(Preference(topic=order))
    return f"visit {visit.times}: " + (f"as always, {known[0]}" if known else f"{order}, gladly")


def order(text, *, user, thread):
    reply = waiter.invoke(text, {"configurable": {"thread_id": thread, "user_id": user}})
    print(f"{user}: {text}\n    waiter: {reply}")
    return reply


assert order("pizza with olives", user="ada", thread="monday") == "visit 1: pizza with olives, gladly"
assert order("a pizza", user="ada", thread="friday") == "visit 2: as always, pizza with olives"
assert order("a pizza", user="bob", thread="sunday") == "visit 1: a pizza, gladly"

ada = preferences.bind({"configurable": {"user_id": "ada"}})
memory.store.put(("memories", "ada", "preferences"), "old", {"dish": "soup"})
try:
    ada.list()
except MemoryValidationError as error:
    print(f"{error.key!r} does not fit: {error.reason}")
    misfit = error.key

assert misfit == "old"

lenient = memory.collection(Preference, scope=("memories", "{user_id}", "preferences"), on_invalid="skip")
fitting = [item.value.topic for item in lenient.bind({"configurable": {"user_id": "ada"}}).list()]
print(fitting)
assert fitting == ["a pizza", "pizza with olives"]
memory.close()

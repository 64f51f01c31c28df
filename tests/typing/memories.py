"""Checked by mypy and never run: the types that a user of collections, threads and forgetting sees."""

from dataclasses import dataclass
from typing import Annotated, Any, TypedDict, assert_type

from pydantic import BaseModel

from crossthread import Collection, Forgotten, Indexed, Memory, MemoryValidationError, ThreadInfo, ThreadStep, TypedItem

memory = Memory("agent.db")


class Preference(BaseModel):
    topic: Annotated[str, Indexed()]
    likes: bool


@dataclass
class Fact:
    text: Annotated[str, Indexed()]


class Note(TypedDict):
    text: str


preferences = memory.collection(Preference, scope=("memories", "{user_id}", "preferences"))
assert_type(preferences, Collection[Preference])
assert_type(preferences.bind({"configurable": {"user_id": "ada"}}), Collection[Preference])
assert_type(preferences.add(Preference(topic="pizza", likes=True)), str)
assert_type(preferences.get("key"), Preference | None)
assert_type(preferences.search("pizza"), list[TypedItem[Preference]])
assert_type(preferences.search("pizza")[0].value, Preference)
assert_type(preferences.list()[0].value.topic, str)
assert_type(preferences.clear(), int)
nothing = Preference(topic="", likes=True)
assert_type(preferences.update("key", lambda found: found.model_copy(), default=nothing), Preference)
preferences.add(Fact("likes pizza"))  # type: ignore[arg-type]
preferences.update("key", lambda found: found.topic)  # type: ignore[arg-type, return-value]
memory.collection(Preference)  # type: ignore[call-arg]
memory.collection(Preference, scope=("m",), on_invalid="ignore")  # type: ignore[arg-type]

assert_type(memory.collection(Fact, scope=("facts",)).get("key"), Fact | None)
assert_type(memory.collection(Note, scope=memory.scope("notes")).get("key"), Note | None)


def repair(error: MemoryValidationError) -> Fact | None:
    assert_type(error.key, str)
    assert_type(error.reason, str)
    return None


memory.collection(Fact, scope=("facts",), on_invalid=repair)


async def change(fact: Fact) -> Fact:
    return fact


async def use() -> None:
    assert_type(await preferences.aget("key"), Preference | None)
    assert_type(await preferences.aadd(Preference(topic="pizza", likes=True)), str)
    assert_type((await preferences.asearch("pizza"))[0].value, Preference)
    assert_type(await memory.collection(Fact, scope=("facts",)).aupdate("key", change), Fact)
    assert_type(await memory.threads.alist(), list[ThreadInfo])


assert_type(memory.forget_user("ada", scope=("memories", "{user_id}"), threads=["1"]), Forgotten)
memory.forget_user("ada", scope=[("memories", "{user_id}"), memory.scope("notes", "{user_id}")])
memory.forget_user({"org": "a", "user_id": "b"}, scope=("{org}", "{user_id}"), threads={"user_id": "b"})
assert_type(memory.threads.list(filter={"user_id": "ada"}), list[ThreadInfo])
assert_type(memory.threads.history("1")[0], ThreadStep)
assert_type(memory.threads.previous("1"), Any)

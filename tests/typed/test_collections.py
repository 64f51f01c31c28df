"""``memory.collection``: models in and out of any store, for the run's user, sync and async."""

import asyncio
import dataclasses
import sys
import threading
import typing
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import pydantic
import pytest
import typing_extensions
from langgraph.func import entrypoint, task
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore
from pydantic import BaseModel, ConfigDict, Field

from crossthread import (
    Collection,
    ConfigurationError,
    Indexed,
    InvalidArgumentError,
    InvalidValueError,
    ItemNotFoundError,
    Memory,
    MemoryStore,
    MemoryValidationError,
    ScopeError,
)
from crossthread.testing import ManualClock

SCOPE = ("memories", "{user_id}", "preferences")
ADA = {"configurable": {"user_id": "ada"}}
BOB = {"configurable": {"user_id": "bob@example.com"}}


class Preference(BaseModel):
    """What most tests keep."""

    topic: Annotated[str, Indexed()]
    likes: bool = True
    since: date = date(2024, 1, 1)


@dataclasses.dataclass
class Fact:
    """The same as a dataclass."""

    topic: Annotated[str, Indexed()]
    likes: bool = True


class Note(typing.TypedDict):
    """The same as a TypedDict of the standard library, which pydantic itself refuses before Python 3.12."""

    topic: Annotated[str, Indexed()]
    likes: typing.NotRequired[bool]


class OtherNote(typing_extensions.TypedDict, total=False):
    """The same as one of typing_extensions."""

    topic: typing_extensions.Required[Annotated[str, Indexed()]]
    likes: bool


MODELS = [
    (Preference, Preference(topic="pizza")),
    (Fact, Fact("pizza")),
    (Note, {"topic": "pizza"}),
    (OtherNote, {"topic": "pizza", "likes": True}),
]


@pytest.fixture(params=["memory", "file", "InMemoryStore", "SqliteStore"])
def store(request, tmp_path):
    match request.param:
        case "memory":
            with MemoryStore(index={}) as store:
                yield store
        case "file":
            with MemoryStore(tmp_path / "agent.db", index={}) as store:
                yield store
        case "InMemoryStore":
            yield InMemoryStore()
        case _:
            with SqliteStore.from_conn_string(str(tmp_path / "stock.db")) as store:
                store.setup()
                yield store


def is_ours(store):
    return isinstance(store, MemoryStore)


def preferences(store, model: Any = Preference, **settings):
    return Collection(model, SCOPE, store=store, **settings).bind(ADA)


@pytest.mark.parametrize(("model", "value"), MODELS)
def test_a_model_comes_back_as_it_was(store, model, value):
    ada = preferences(store, model)
    key = ada.add(value)
    assert ada.get(key) == value
    assert type(ada.get(key)) is type(value)
    (found,) = ada.search("pizza")
    assert (found.key, found.value) == (key, value)
    assert ada.list()[0].value == value
    ada.put("own", value)
    assert ada.get("own") == value
    ada.delete("own")
    ada.delete("own")
    assert ada.get("own") is None
    assert ada.clear() == 1
    assert ada.list() == []
    assert ada.clear() == 0


@pytest.mark.parametrize(("model", "value"), MODELS)
def test_async_twins(store, model, value):
    if isinstance(store, SqliteStore):
        pytest.skip("SqliteStore has no async side")

    async def use():
        ada = preferences(store, model)
        key = await ada.aadd(value)
        assert await ada.aget(key) == value
        await ada.aput("own", value)
        assert {found.key for found in await ada.asearch("pizza")} == {key, "own"}
        assert await ada.aupdate("own", lambda found: found) == value

        async def change(found):
            await asyncio.sleep(0)
            return found

        assert await ada.aupdate("own", change) == value
        assert await ada.aupdate("new", change, default=value) == value
        assert len(await ada.alist()) == 3
        assert len(await ada.alist(limit=1, offset=1)) == 1
        await ada.adelete("own")
        assert await ada.aget("own") is None
        with pytest.raises(ItemNotFoundError):
            await ada.aupdate("own", change)
        assert await ada.aclear() == 2

    asyncio.run(use())


def test_keys_are_uuids_of_version_7_in_order():
    ada = preferences(MemoryStore())
    keys = [ada.add(Preference(topic="x")) for _ in range(200)]
    assert keys == sorted(set(keys))
    assert {uuid.UUID(key).version for key in keys} == {7}


def test_hits_have_scores_and_times():
    ada = preferences(MemoryStore(index={}))
    before = datetime.now(UTC)
    key = ada.add(Preference(topic="pizza with olives"))
    ada.add(Preference(topic="tennis"))
    (hit,) = ada.search("olives")
    assert hit.key == key
    assert hit.score > 0
    assert before <= hit.created_at == hit.updated_at <= datetime.now(UTC)
    assert [item.score for item in ada.list()] == [None, None]
    assert ada.search("olives", min_score=99.0) == []
    assert ada.search("olives", mode="keyword")[0].key == key


def test_pages_and_filters(store):
    ada = preferences(store)
    for number in range(25):
        ada.put(f"{number:02}", Preference(topic="x", likes=number % 2 == 0))
    found = [item.key for offset in range(0, 30, 10) for item in ada.list(limit=10, offset=offset)]
    assert sorted(found) == [f"{number:02}" for number in range(25)]
    if is_ours(store):
        assert found == sorted(found, reverse=True)
    assert len(ada.search(filter={"likes": False}, limit=100)) == 12
    assert ada.list(limit=0) == ada.list(offset=25) == []
    for wrong in ({"limit": -1}, {"offset": -1}, {"limit": "3"}, {"limit": True}):
        with pytest.raises(InvalidArgumentError):
            ada.list(**wrong)


def test_users_do_not_see_each_other(store):
    everybody = Collection(Preference, SCOPE, store=store)
    ada, bob = everybody.bind(ADA), everybody.bind(BOB)
    key = ada.add(Preference(topic="pizza"))
    assert bob.get(key) is None
    assert bob.list() == bob.search("pizza") == []
    bob.delete(key)
    assert bob.clear() == 0
    assert ada.get(key) is not None
    with pytest.raises(ScopeError, match="user_id"):
        everybody.list()


def test_what_lies_below_is_not_the_collections(store):
    below = Collection(Fact, (*SCOPE, "deep"), store=store).bind(ADA)
    ada = preferences(store)
    for number in range(30):
        below.put(f"below {number}", Fact("pizza"))
    keys = {ada.add(Preference(topic="pizza")) for _ in range(5)}
    for number in range(30, 60):
        below.put(f"below {number}", Fact("pizza"))
    assert {item.key for item in ada.list()} == keys
    assert {item.key for item in ada.search("pizza", limit=3)} <= keys
    assert len({item.key for offset in range(5) for item in ada.list(limit=1, offset=offset)}) == 5
    assert ada.clear() == 5
    assert len(below.list()) == 60
    assert ada.list() == []


def test_a_large_collection_is_cleared():
    with MemoryStore() as store:
        ada = preferences(store)
        below = Collection(Fact, (*SCOPE, "deep"), store=store).bind(ADA)
        for number in range(1100):
            ada.put(f"{number}", Preference(topic="x"))
            below.put(f"{number}", Fact("x"))
        assert ada.clear() == 1100
        assert store.count() == 1100


def test_inside_of_a_workflow_it_is_the_runs_users(tmp_path):
    with Memory(tmp_path / "agent.db") as memory:
        likes = memory.collection(Preference, scope=SCOPE)

        @task
        def learn(topic):
            likes.add(Preference(topic=topic))

        @memory.entrypoint
        def sync(topic):
            learn(topic).result()
            return [item.value.topic for item in likes.list()]

        @task
        async def alearn(topic):
            await likes.aadd(Preference(topic=topic))

        @memory.entrypoint
        async def anync(topic):
            await alearn(topic)
            return [item.value.topic for item in await likes.alist()]

        def config(user):
            return {"configurable": {"thread_id": user, "user_id": user}}

        assert sync.invoke("pizza", config("ada")) == ["pizza"]
        assert sync.invoke("tennis", config("bob")) == ["tennis"]
        assert asyncio.run(anync.ainvoke("tea", config("ada"))) == ["tea", "pizza"]

        async def many():
            return await asyncio.gather(*[anync.ainvoke("x", config(f"user {n}")) for n in range(30)])

        assert asyncio.run(many()) == [["x"]] * 30
        assert [item.value.topic for item in likes.bind(ADA).list()] == ["tea", "pizza"]
        with pytest.raises(ScopeError, match="user_id"):
            sync.invoke("x", {"configurable": {"thread_id": "1"}})


def test_the_runs_store_is_used_where_it_has_one():
    likes = Memory(store=None, checkpointer=None).collection(Preference, scope=SCOPE)
    store = InMemoryStore()

    @entrypoint(store=store)
    def workflow(topic):
        return likes.add(Preference(topic=topic))

    key = workflow.invoke("pizza", ADA)
    assert store.get(("memories", "ada", "preferences"), key).value["topic"] == "pizza"
    with pytest.raises(ScopeError, match="store"):
        likes.bind(ADA)
    assert likes.bind(ADA, store=store).get(key).topic == "pizza"


# Updates


def test_update_returns_what_it_wrote(store):
    ada = preferences(store)
    ada.put("a", Preference(topic="pizza"))
    assert ada.update("a", lambda found: found.model_copy(update={"likes": False})) == Preference(
        topic="pizza", likes=False
    )
    assert ada.get("a").likes is False
    assert ada.update("b", lambda found: found, default=Preference(topic="tea")).topic == "tea"
    assert ada.get("b").topic == "tea"
    with pytest.raises(ItemNotFoundError, match="'c'"):
        ada.update("c", lambda found: found)


def test_an_update_that_fails_writes_nothing(store):
    ada = preferences(store)
    ada.put("a", Preference(topic="pizza"))

    def spoil(found):
        found.topic = 7
        return found

    def fail(found):
        raise LookupError("no")

    async def change(found):
        return found

    with pytest.raises(InvalidValueError, match="topic"):
        ada.update("a", spoil)
    with pytest.raises(InvalidValueError, match="returned None"):
        ada.update("a", lambda found: None)
    with pytest.raises(LookupError):
        ada.update("a", fail)
    with pytest.raises(TypeError, match="aupdate"):
        ada.update("a", change)
    with pytest.raises(InvalidValueError):
        ada.update("b", lambda found: found, default={"topic": 7})
    assert ada.get("a") == Preference(topic="pizza")
    assert ada.get("b") is None
    assert ada.update("a", lambda found: found) == Preference(topic="pizza")  # no turn was left behind


class Count(BaseModel):
    """Counts."""

    n: int = 0


def test_of_many_updates_none_is_lost(store):
    if isinstance(store, SqliteStore):
        pytest.skip("SqliteStore is for one thread at a time")
    everybody = Collection(Count, ("counts", "{user_id}"), store=store)
    everybody.bind(ADA).put("n", Count())

    def work(_):
        for _ in range(20):
            everybody.bind(ADA).update("n", lambda count: Count(n=count.n + 1))

    async def awork():
        async def change(count):
            await asyncio.sleep(0)
            return Count(n=count.n + 1)

        await asyncio.gather(*[everybody.bind(ADA).aupdate("n", change) for _ in range(20)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    asyncio.run(awork())
    assert everybody.bind(ADA).get("n").n == 100


# What does not fit


class Strict(BaseModel):
    """A model in which every mistake counts."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    name: str
    when: datetime
    price: Decimal
    tags: frozenset[str] = frozenset()
    pair: tuple[int, str] = (1, "a")
    colour: "Colour" = None  # type: ignore[assignment]


class Colour(Enum):
    """Two colours."""

    RED = "red"
    BLUE = "blue"


Strict.model_rebuild()


def test_strict_models_with_rich_fields(store):
    value = Strict(
        name="x", when=datetime(2024, 1, 2, tzinfo=UTC), price=Decimal("1.10"), tags=frozenset("ab"), colour=Colour.RED
    )
    ada = preferences(store, Strict, version=3)
    assert ada.get(ada.add(value)) == value


class Aliased(BaseModel):
    """A model whose fields have other names outside."""

    inner: str = Field(alias="outerName")
    other: str = Field(default="x", validation_alias="in", serialization_alias="out")


def test_aliases_do_not_reach_the_store(store):
    ada = preferences(store, Aliased)
    key = ada.add(Aliased.model_validate({"outerName": "a", "in": "b"}))
    assert store.get(("memories", "ada", "preferences"), key).value == {"inner": "a", "other": "b"}
    assert (ada.get(key).inner, ada.get(key).other) == ("a", "b")
    assert len(ada.search(filter={"inner": "a"})) == 1


@pytest.mark.parametrize(
    "value", [{"topic": 7}, {}, None, Preference.model_construct(topic=None), {"topic": "a", "since": "x"}, "pizza"]
)
def test_what_is_no_instance_is_not_stored(store, value):
    ada = preferences(store)
    with pytest.raises(InvalidValueError):
        ada.add(value)
    with pytest.raises(InvalidValueError):
        asyncio.run(ada.aput("a", value)) if not isinstance(store, SqliteStore) else ada.put("a", value)
    assert ada.list() == []


def test_what_makes_an_instance_is_stored_as_one(store):
    ada = preferences(store)
    key = ada.add({"topic": "pizza"})
    assert ada.get(key) == Preference(topic="pizza")


class Preferred(Preference):
    """A subclass with more in it."""

    strength: int = 3


class Renamed(Preference):
    """A subclass with nothing more."""


class Computed(BaseModel):
    """A model that writes more than it reads."""

    model_config = ConfigDict(extra="forbid")
    topic: str

    @pydantic.computed_field
    def length(self) -> int:
        return len(self.topic)


def test_no_field_is_lost_without_a_word(store):
    ada = preferences(store)
    with pytest.raises(InvalidValueError, match="strength"):
        ada.add(Preferred(topic="pizza"))
    assert ada.get(ada.add(Renamed(topic="pizza"))) == Preference(topic="pizza")


def test_what_is_computed_is_not_stored(store):
    ada = preferences(store, Computed)
    key = ada.add(Computed(topic="pizza"))
    assert ada.get(key).length == 5
    assert store.get(("memories", "ada", "preferences"), key).value == {"topic": "pizza"}


def stored(store, key, value):
    store.put(("memories", "ada", "preferences"), key, value)


def test_stored_data_that_do_not_fit_are_an_error_with_key_and_reason(store):
    ada = preferences(store)
    stored(store, "bad", {"topic": ["no"], "likes": "perhaps"})
    with pytest.raises(MemoryValidationError) as caught:
        ada.get("bad")
    assert caught.value.key == "bad"
    assert caught.value.reason.startswith("topic: Input should be a valid string; likes: Input should be")
    assert caught.value.value == {"topic": ["no"], "likes": "perhaps"}
    assert isinstance(caught.value.__cause__, pydantic.ValidationError)
    assert "'bad'" in str(caught.value)
    for call in (ada.list, lambda: ada.search(), lambda: ada.update("bad", lambda found: found)):
        with pytest.raises(MemoryValidationError):
            call()
    assert ada.clear() == 1


def test_only_what_is_on_the_page_can_be_an_error():
    store = MemoryStore()
    ada = preferences(store)
    stored(store, "bad", {})
    ada.put("good", Preference(topic="pizza"))
    assert [item.key for item in ada.list(limit=1)] == ["good"]
    ada.put("late", Preference(topic="pizza"))
    with pytest.raises(MemoryValidationError):
        ada.list(offset=1)


def test_skipping_fills_the_page(store):
    ada = preferences(store, on_invalid="skip")
    for number in range(30):
        stored(store, f"{number:02}", {"topic": "pizza"} if number % 3 == 0 else {"topic": None})
    assert len(ada.list(limit=10)) == 10
    pages = [item.key for offset in range(0, 10, 2) for item in ada.list(limit=2, offset=offset)]
    assert sorted(pages) == [f"{number:02}" for number in range(0, 30, 3)]
    assert ada.get("01") is None
    with pytest.raises(MemoryValidationError):  # nothing is lost by writing over what cannot be read
        ada.update("01", lambda found: found, default=Preference(topic="x"))


def test_a_function_repairs_or_skips(store):
    asked = []

    def repair(error):
        asked.append((error.key, error.reason, error.value))
        return Preference(topic=error.value["name"]) if "name" in error.value else None

    ada = preferences(store, on_invalid=repair)
    stored(store, "old", {"name": "pizza"})
    stored(store, "odd", {"x": 1})
    assert ada.get("old") == Preference(topic="pizza")
    assert ada.get("odd") is None
    assert [item.key for item in ada.list()] == ["old"]
    assert asked[0] == ("old", "topic: Field required", {"name": "pizza"})
    assert ada.update("old", lambda found: found.model_copy(update={"likes": False})).likes is False
    assert store.get(("memories", "ada", "preferences"), "old").value["topic"] == "pizza"
    with pytest.raises(MemoryValidationError):
        ada.update("odd", lambda found: found)


# Versions


class Old(BaseModel):
    """The first version."""

    name: str


class New(BaseModel):
    """The third version, which knows of the others."""

    __memory_version__ = 3

    first: str
    last: str
    age: int | None = None

    @staticmethod
    def __memory_upgrade__(value: dict[str, Any], version: int) -> dict[str, Any]:
        if version < 2:
            value["first"], _, value["last"] = value.pop("name").partition(" ")
        value.setdefault("age", None)
        return value


def test_older_versions_are_upgraded_when_they_are_read(store):
    Collection(Old, SCOPE, store=store).bind(ADA).put("a", Old(name="Ada Lovelace"))
    stored(store, "b", {"first": "Bob", "last": "Ross", "__version__": 2})
    people = preferences(store, New)
    assert people.get("a") == New(first="Ada", last="Lovelace")
    assert {item.value.first for item in people.list()} == {"Ada", "Bob"}
    assert store.get(("memories", "ada", "preferences"), "a").value == {
        "name": "Ada Lovelace"
    }  # reading writes nothing
    people.update("a", lambda found: found.model_copy(update={"age": 36}))
    assert store.get(("memories", "ada", "preferences"), "a").value == {
        "first": "Ada",
        "last": "Lovelace",
        "age": 36,
        "__version__": 3,
    }
    assert people.get("a").age == 36


def test_a_version_can_be_given_to_the_collection(store):
    def upgrade(value, version):
        assert version == 1
        return {"topic": value["what"]}

    stored(store, "a", {"what": "pizza"})
    notes = preferences(store, Note, version=2, upgrade=upgrade)
    assert notes.get("a") == {"topic": "pizza"}
    notes.put("b", {"topic": "tea"})
    assert store.get(("memories", "ada", "preferences"), "b").value == {"topic": "tea", "__version__": 2}
    assert notes.get("b") == {"topic": "tea"}


def test_versions_that_cannot_be_read_are_told():
    store = MemoryStore()
    people = preferences(store, New)
    stored(store, "newer", {"first": "a", "last": "b", "__version__": 4})
    stored(store, "odd", {"first": "a", "last": "b", "__version__": "x"})
    stored(store, "broken", {"nothing": 1})
    for key, reason in {
        "newer": "it is of version 4, and this is version 3",
        "odd": "its version is no number: 'x'",
        "broken": "the upgrade from version 1 to 3 failed with KeyError: 'name'",
    }.items():
        with pytest.raises(MemoryValidationError) as caught:
            people.get(key)
        assert caught.value.reason == reason
    assert preferences(store, New, on_invalid="skip").list() == []


@pytest.mark.parametrize("settings", [{"version": 0}, {"version": "2"}, {"version": True}, {"upgrade": print}])
def test_versions_make_sense(settings):
    with pytest.raises(ConfigurationError):
        preferences(MemoryStore(), **settings)


# What is searched


class City(BaseModel):
    """Nested."""

    name: Annotated[str, Indexed()]
    code: str = "secret"


class Place(BaseModel):
    """Marks in every position."""

    title: Annotated[str, Indexed()]
    maybe: Annotated[str, Indexed()] | None = None
    perhaps: Annotated[str | None, Indexed()] = None
    tags: Annotated[list[str], Indexed] = []
    marked: list[Annotated[str, Indexed()]] = []
    limited: Annotated[str, Field(max_length=99), Indexed()] = "limited"
    home: City | None = None
    cities: list[City] = []
    parent: "Place | None" = None
    hidden: str = "hidden"


FULL = Place(
    title="alpha",
    maybe="beta",
    perhaps="gamma",
    tags=["delta", "epsilon"],
    marked=["zeta"],
    limited="eta",
    home=City(name="theta"),
    cities=[City(name="iota"), City(name="kappa", code="lambda")],
    parent=Place(title="mu"),
)


def test_marked_fields_are_searched_and_no_others():
    ada = preferences(MemoryStore(index={}), Place)
    ada.add(FULL)
    for word in ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"):
        assert len(ada.search(word)) == 1, word
    for word in ("hidden", "secret", "lambda", "title"):
        assert ada.search(word) == [], word


@pytest.mark.parametrize(("model", "value"), MODELS)
def test_marks_work_in_every_kind_of_model(model, value):
    ada = preferences(MemoryStore(index={"fields": ["nothing"]}), model)
    ada.add(value)
    assert len(ada.search("pizza")) == 1


def test_updates_keep_what_is_searched():
    ada = preferences(MemoryStore(index={"fields": ["nothing"]}))
    ada.put("a", Preference(topic="pizza"))
    ada.update("a", lambda found: found.model_copy(update={"topic": "tennis"}))
    assert len(ada.search("tennis")) == 1
    assert ada.search("pizza") == []


class Unmarked(BaseModel):
    """No marks."""

    text: str
    other: str = "tennis"


def test_without_marks_the_store_decides():
    ada = preferences(MemoryStore(index={"fields": ["text"]}), Unmarked)
    ada.add(Unmarked(text="pizza"))
    assert len(ada.search("pizza")) == 1
    assert ada.search("tennis") == []


def test_index_says_it_for_a_model_of_others():
    store = MemoryStore(index={})
    ada = preferences(store, Unmarked, index=["other"])
    ada.add(Unmarked(text="pizza"))
    assert ada.search("pizza") == []
    assert len(ada.search("tennis")) == 1
    silent = Collection(Unmarked, ("silent", "{user_id}"), store=store, index=False).bind(ADA)
    silent.add(Unmarked(text="pizza"))
    assert silent.search("pizza") == []


# Life


def test_ttl_and_renewal():
    clock = ManualClock()
    store = MemoryStore(ttl={"default_ttl": 10.0}, clock=clock)
    ada = preferences(store)
    for key in "abc":
        ada.put(key, Preference(topic="x"))
    ada.put("short", Preference(topic="x"), ttl=1)
    ada.put("for ever", Preference(topic="x"), ttl=None)
    clock.advance(minutes=2)
    assert ada.get("short") is None
    assert [item.key for item in ada.list(offset=1, limit=1)] == ["c"]  # the only one that is renewed
    clock.advance(minutes=9)
    assert [item.key for item in ada.list()] == ["for ever", "c"]


# Mistakes


@pytest.mark.parametrize(
    "settings", [{"on_invalid": "ignore"}, {"on_invalid": None}, {"index": "text"}, {"index": True}]
)
def test_settings_that_make_no_sense(settings):
    with pytest.raises(ConfigurationError):
        preferences(MemoryStore(), **settings)


def test_a_model_must_be_an_object(store):
    numbers = preferences(store, list[int])
    with pytest.raises(InvalidValueError, match="written as list"):
        numbers.add([1, 2])
    with pytest.raises(ConfigurationError, match="no model that pydantic"):
        preferences(store, threading.Lock)


class OldInside(typing.TypedDict):
    n: int


@dataclasses.dataclass
class WithOldInside:
    inner: OldInside


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic takes them from Python 3.12 on")
def test_a_typed_dict_that_pydantic_refuses_inside_of_a_model_is_told(store):
    with pytest.raises(ConfigurationError, match="typing_extensions.TypedDict"):
        preferences(store, WithOldInside)


class Dotted(BaseModel):
    """A union with the next."""

    kind: typing.Literal["dotted"] = "dotted"
    text: Annotated[str, Indexed()]


class Dashed(BaseModel):
    """A union with the last."""

    kind: typing.Literal["dashed"] = "dashed"
    words: Annotated[list[str], Indexed()]


def test_a_union_of_models():
    ada: Any = preferences(MemoryStore(index={}), Dotted | Dashed)
    ada.add(Dotted(text="pizza"))
    ada.add(Dashed(words=["tea", "pizza"]))
    assert [item.value for item in ada.search("tea")] == [Dashed(words=["tea", "pizza"])]
    assert len(ada.search("pizza")) == 2


def test_a_key_with_a_name_of_ours_is_refused():
    model = typing_extensions.TypedDict("Own", {"__version__": str})
    with pytest.raises(InvalidValueError, match="__version__"):
        preferences(MemoryStore(), model).add({"__version__": "x"})


def test_local_models_with_postponed_annotations_are_told(tmp_path):
    code = """
from __future__ import annotations
import dataclasses
def make():
    class Inner: pass
    @dataclasses.dataclass
    class Local:
        inner: Inner
    return Local
"""
    space: dict[str, Any] = {"__name__": __name__}
    exec(code, space)
    with pytest.raises(ConfigurationError, match="define it in a module"):
        preferences(MemoryStore(), space["make"]())


def test_repr_names_model_and_place():
    likes = Collection(Preference, SCOPE)
    assert repr(likes) == "Collection(Preference, Scope('memories', '{user_id}', 'preferences'))"
    assert "'ada'" in repr(likes.bind(ADA, store=MemoryStore()))
    assert likes.model is Preference
    assert likes.scope.labels == SCOPE

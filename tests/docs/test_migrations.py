"""What the pages of docs/migrate say of LangGraph's stores, asked of these stores, and of ours.

LangGraph mends its stores. So a page names the release that it was found with, and another one is not asked; whoever
raises the number finds out here which sentences still hold.
"""

import asyncio
import itertools
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from importlib.metadata import version
from typing import Any, NamedTuple

import pytest
from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore
from pages import ROOT

from crossthread import MemoryStore
from crossthread.testing import HashEmbeddings

PAGES = {
    "memory": ("from-inmemorystore.md", "langgraph-checkpoint"),
    "sqlite": ("from-sqlitestore.md", "langgraph-checkpoint-sqlite"),
    "postgres": ("from-postgresstore.md", "langgraph-checkpoint-postgres"),
}
ADA = ("memories", "ada")
RAISES = "raises"
INDEX = {"index": {"dims": 64, "embed": HashEmbeddings(), "fields": ["text"]}}
TAGS = {"index": {"dims": 64, "embed": HashEmbeddings(), "fields": ["tags[*]"]}}


class Claim(NamedTuple):
    """A question to a store, and the answers; a store that is not named has ours."""

    ask: Callable[[Any], Any]
    ours: Any
    memory: Any = None
    sqlite: Any = None
    postgres: Any = None
    settings: dict[str, Any] = {}  # noqa: RUF012 - never changed


def found(*values, **search):
    """Put values under the keys 0, 1, ... and search."""

    def ask(store):
        for key, value in enumerate(values):
            store.put(ADA, str(key), value)
        return sorted(int(item.key) for item in store.search(ADA, **search))

    return ask


def order(store):
    for key in ("a", "b", "a"):
        store.put(ADA, key, {})
    return [item.key for item in store.search(ADA)]


def keeps_created_at(store):
    store.put(ADA, "a", {})
    first = store.get(ADA, "a").created_at
    store.put(ADA, "a", {"n": 1})
    return store.get(ADA, "a").created_at == first


def has_microseconds(store):
    for key in "abc":  # one of them may be a whole second
        store.put(ADA, key, {})
    return any(item.updated_at.microsecond for item in store.search(ADA))


def changed_by_the_caller(store):
    store.put(ADA, "a", {"n": 1})
    store.get(ADA, "a").value["n"] = 2
    return store.get(ADA, "a").value["n"]


def ghosts(store):
    store.get(("read",), "k")
    store.put(("emptied",), "k", {})
    store.delete(("emptied",), "k")
    return sorted(store.list_namespaces())


def batch_checks(store):
    store.batch([PutOp(("a.b",), "k", {})])


def hits(store):
    return [item.key for item in store.search(ADA, query="pizza")]


def not_indexed_any_more(store):
    store.put(ADA, "a", {"text": "likes pizza"})
    store.put(ADA, "a", {"text": "secret"}, index=False)
    return [item.key for item in store.search(ADA, query="pizza") if item.score]


def shorter_list(store):
    store.put(ADA, "a", {"tags": ["chess", "pizza"]})
    store.put(ADA, "a", {"tags": ["chess"]})
    return any(item.score > 0.9 for item in store.search(ADA, query="pizza"))


def key_used_again(store):
    store.put(ADA, "a", {"text": "likes pizza"})
    store.delete(ADA, "a")
    store.put(ADA, "a", {"text": "secret"}, index=False)
    return [item.key for item in store.search(ADA, query="pizza") if item.score]


def equal_texts(store):
    store.batch([PutOp(ADA, "a", {"text": "same"}), PutOp(ADA, "b", {"text": "same"})])
    return len(store.search(ADA))


def pages_with_items_that_are_not_indexed(store):
    for key in range(3):
        store.put(ADA, f"text {key}", {"text": "pizza"})
        store.put(ADA, f"other {key}", {"text": "x"}, index=False)
    keys = [hit.key for offset in (0, 4, 8) for hit in store.search(ADA, query="pizza", limit=4, offset=offset)]
    return len(keys) == len(set(keys))


def pages_with_items_of_many_texts(store):
    for key in range(5):
        store.put(ADA, f"many {key}", {"tags": [f"pizza {n}" for n in range(30)]})
        store.put(ADA, f"one {key}", {"tags": ["pizza and tea"]})
    keys = {hit.key for at in (0, 3, 6, 9) for hit in store.search(ADA, query="pizza", limit=3, offset=at)}
    return len(keys) == 10


def the_last_put_fails(store):
    """What a batch with a value that cannot be stored leaves of the item that its first operation deletes."""
    store.put(ADA, "old", {})
    with pytest.raises(Exception):  # noqa: B017, PT011 - each store has another
        store.batch([PutOp(ADA, "old", None), PutOp(ADA, "new", {"n": object()})])
    return [item.key for item in store.search(ADA)]


def expired(store):
    store.put(ADA, "a", {}, ttl=0.001)  # minutes
    time.sleep(0.1)  # their clocks cannot be set
    return store.get(ADA, "a", refresh_ttl=False) is not None


def query_model(store):
    store.put(ADA, "a", {"text": "x"})
    before = len(EMBEDDINGS.queries)
    store.search(ADA, query="hello")
    return len(EMBEDDINGS.queries) - before


EMBEDDINGS = HashEmbeddings()


def zero_vector_first(store):
    store.put(ADA, "zero", {"text": "zero"})
    store.put(ADA, "right", {"text": "right"})
    return store.search(ADA, query="right")[0].key


ZERO = {
    "index": {
        "dims": 2,
        "embed": lambda texts: [[0.0, 0.0] if "zero" in text else [1.0, 0.5] for text in texts],
        "fields": ["text"],
    }
}


def numbers(store):
    store.put(ADA, "a", {"n": 1e16})
    return type(store.get(ADA, "a").value["n"]).__name__


def stored_as(value):
    def ask(store):
        store.put(ADA, "a", {"x": value})
        return type(store.get(ADA, "a").value["x"]).__name__

    return ask


CLAIMS = {
    "numbers are numbers": Claim(found({"n": 9}, {"n": 10}, filter={"n": {"$lt": 10}}), [0], postgres=[]),
    "a range passes over items without the field": Claim(
        found({"n": 9}, {}, filter={"n": {"$lt": 10}}), [0], memory=RAISES, postgres=[]
    ),
    "a range passes over other types": Claim(
        found({"n": 9}, {"n": "many"}, filter={"n": {"$lt": 10}}), [0], memory=RAISES, sqlite=[0, 1], postgres=[]
    ),
    "dotted paths": Claim(
        found({"user": {"plan": "pro"}}, {}, filter={"user.plan": "pro"}), [0], memory=[], postgres=[]
    ),
    "nested objects": Claim(
        found({"user": {"plan": "pro", "n": 1}}, filter={"user": {"plan": "pro"}}), [0], sqlite=RAISES, postgres=RAISES
    ),
    "$in": Claim(
        found({"t": "x"}, {"t": "y"}, filter={"t": {"$in": ["x"]}}), [0], memory=RAISES, sqlite=RAISES, postgres=RAISES
    ),
    "$or": Claim(
        found({"t": "x"}, {"t": "y"}, filter={"$or": [{"t": "x"}]}), [0], memory=[], sqlite=RAISES, postgres=[]
    ),
    "$and": Claim(
        found({"t": "x"}, {"t": "y"}, filter={"$and": [{"t": "x"}]}), [0], memory=[], sqlite=RAISES, postgres=[]
    ),
    "newest first": Claim(order, ["a", "b"], memory=["a", "b"], sqlite=["b", "a"]),
    "created_at stays": Claim(keeps_created_at, True, memory=False),
    "microseconds": Claim(has_microseconds, True, sqlite=False),
    "values are copies": Claim(changed_by_the_caller, 1, memory=2),
    "no ghosts": Claim(ghosts, [], memory=[("emptied",), ("read",)]),
    "batches are checked": Claim(batch_checks, RAISES, memory="nothing"),
    "negative limits": Claim(found({}, {}, limit=-1), RAISES, memory=[0], sqlite=[0, 1]),
    "a datetime is refused": Claim(stored_as(datetime(2026, 1, 1)), RAISES, memory="datetime", sqlite="str"),
    "a tuple is refused": Claim(stored_as((1, 2)), RAISES, memory="tuple", sqlite="list", postgres="list"),
    "NaN is refused": Claim(stored_as(float("nan")), RAISES, memory="float", sqlite="NoneType"),
    "a float comes back as one": Claim(numbers, "float", postgres="int"),
    "not indexed is not found": Claim(
        not_indexed_any_more, [], memory=["a"], sqlite=["a"], postgres=["a"], settings=INDEX
    ),
    "a key used again": Claim(key_used_again, [], sqlite=["a"], settings=INDEX),
    "a list that got shorter": Claim(shorter_list, False, memory=True, postgres=True, settings=TAGS),
    "equal texts in a batch": Claim(equal_texts, 2, memory=RAISES, settings=INDEX),
    "pages and items that are not indexed": Claim(
        pages_with_items_that_are_not_indexed, True, memory=False, settings=INDEX
    ),
    "pages and items of many texts": Claim(
        pages_with_items_of_many_texts, True, sqlite=False, postgres=False, settings=TAGS
    ),
    "a batch is whole": Claim(the_last_put_fails, ["old"], postgres=[]),
    "what expired is gone": Claim(expired, False, memory=RAISES, sqlite=True, postgres=True),
    "embed_query for queries": Claim(
        query_model, 1, sqlite=0, postgres=0, settings={"index": {"dims": 64, "embed": EMBEDDINGS, "fields": ["text"]}}
    ),
    "a zero vector is not first": Claim(zero_vector_first, "right", postgres="zero", settings=ZERO),
}


@pytest.fixture
def peer(request, tmp_path):
    """Open stores of LangGraph: ``peer("memory", **settings)``; skip where it is another release than the page's."""
    count = itertools.count()
    with ExitStack() as stack:

        def opened(kind, **settings):
            page, package = PAGES[kind]
            named = re.search(rf"{package} ([\d.]+\d)", ROOT.joinpath("docs", "migrate", page).read_text("utf-8"))
            assert named, f"{page} does not say which release of {package} it is about"
            if version(package) != named[1]:
                pytest.skip(f"{page} is about {package} {named[1]}, and this is {version(package)}")
            if kind == "memory":
                return InMemoryStore(**settings)
            if kind == "sqlite":
                if not hasattr(sqlite3.Connection, "enable_load_extension"):
                    pytest.skip("this Python's sqlite3 does not load extensions")
                from langgraph.store.sqlite import SqliteStore

                path = str(tmp_path / f"{next(count)}.db")
                store: Any = stack.enter_context(SqliteStore.from_conn_string(path, **settings))
            else:
                from langgraph.store.postgres import PostgresStore

                from servers import own_database

                url = stack.enter_context(own_database(tmp_path))
                store = stack.enter_context(PostgresStore.from_conn_string(url, **settings))
            store.setup()
            return store

        yield opened


def answer(claim, store):
    try:
        result = claim.ask(store)
    except Exception:  # whatever a store or its driver raises
        return RAISES
    return "nothing" if result is None else result


@pytest.mark.parametrize("name", CLAIMS)
def test_ours(name, tmp_path):
    claim = CLAIMS[name]
    with MemoryStore(tmp_path / "agent.db", **claim.settings) as store:
        assert answer(claim, store) == claim.ours


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(kind, name, id=f"{kind}: {name}")
        for kind in PAGES
        for name in CLAIMS
        if getattr(CLAIMS[name], kind) is not None
    ],
)
def test_theirs(kind, name, peer):
    claim = CLAIMS[name]
    assert answer(claim, peer(kind, **claim.settings)) == getattr(claim, kind)


def test_one_class_for_sync_and_async(peer):
    with pytest.raises(NotImplementedError):
        asyncio.run(peer("sqlite").aget(ADA, "a"))


def test_which_fields_are_indexed(peer):
    """SqliteStore embeds the whole value, whatever ``fields`` says."""
    embeddings = HashEmbeddings()
    peer("sqlite", index={"dims": 64, "embed": embeddings, "fields": ["text"]}).put(ADA, "a", {"text": "x", "id": 7})
    assert '"id"' in embeddings.calls[0][0]

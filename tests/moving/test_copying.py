"""Copies between our engines, and from LangGraph's stores and worse ones."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langgraph.store.base import BaseStore, InvalidNamespaceError, PutOp
from langgraph.store.memory import InMemoryStore

from crossthread import (
    IncompleteCopyError,
    IndexMismatchError,
    InvalidArgumentError,
    MemoryStore,
    UnsupportedError,
    acopy_store,
    copy_store,
    export_lines,
    import_lines,
)
from crossthread.engines.memory import MemoryEngine
from crossthread.engines.sqlite import ranking
from crossthread.moving import foreign
from crossthread.testing import HashEmbeddings, ManualClock
from servers import own_database, store_url

INDEX = {"embed": HashEmbeddings(), "dims": 64, "fields": ["text"]}


def copied(is_async: bool, *arguments: Any, **settings: Any) -> Any:
    if is_async:
        return asyncio.run(acopy_store(*arguments, **settings))
    return copy_store(*arguments, **settings)


def url_of(kind: str, folder: Any) -> Any:
    return {"memory": ":memory:", "sqlite": folder / f"{random.random()}.db", "postgres": None}[kind] or store_url(
        folder
    )


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("kind", "other"),
    [("memory", "sqlite"), ("sqlite", "postgres"), ("postgres", "memory"), ("sqlite", "sqlite")],
)
def test_between_our_engines(tmp_path, is_async, kind, other):
    clock = ManualClock()
    embeddings = HashEmbeddings()
    with (
        MemoryStore(url_of(kind, tmp_path), index=INDEX, clock=clock) as source,
        MemoryStore(url_of(other, tmp_path), index={**INDEX, "embed": embeddings}, clock=clock) as target,
    ):
        for n in range(1300):
            clock.advance(seconds=1)
            ttl = 1_000 if n % 3 else None
            index = [None, False, ["title"]][n % 3]
            op = PutOp(("m", str(n % 7)), str(n), {"text": f"tea {n}", "title": f"roses {n}"}, index=index, ttl=ttl)
            source.batch([op])
        told = []
        result = copied(is_async, source, target, progress=lambda *numbers: told.append(numbers))
        assert (result.items, result.written) == (1300, 1300)
        assert told == [(500, 1300), (1000, 1300), (1300, 1300)]
        assert target.records(limit=2000) == source.records(limit=2000)
        assert not embeddings.calls
        assert [hit.key for hit in target.search(("m",), query="tea 33", refresh_ttl=False)] == [
            hit.key for hit in source.search(("m",), query="tea 33", refresh_ttl=False)
        ]
        assert copied(is_async, source, target).equal == 1300
        source.put(("m", "3"), "3", {"text": "changed"})
        target.put(("m", "4"), "4", {"text": "changed there"})
        result = copied(is_async, source, target)
        assert (result.written, result.equal, result.kept) == (1, 1298, 1)
        assert target.verify()


def test_a_part(tmp_path):
    with MemoryStore() as source, MemoryStore(tmp_path / "agent.db") as target:
        for name in [("m", "ada"), ("m", "ada", "x"), ("m", "adam"), ("n",)]:
            source.put(name, "k", {"n": 1})
        assert copy_store(source, target, ("m", "ada")).items == 2
        assert target.list_namespaces() == [("m", "ada"), ("m", "ada", "x")]


def test_other_models():
    small = {"embed": HashEmbeddings(8), "dims": 8, "fields": ["text"], "model": "small"}
    with (
        MemoryStore(index=small) as source,
        MemoryStore(index={**INDEX, "model": "large"}) as target,
        MemoryStore() as plain,
    ):
        source.put(("m",), "k", {"text": "green tea"})
        copy_store(source, target)
        assert target.search(("m",), query="green tea")[0].score == 1.0
        assert copy_store(source, plain).written == 1
        assert plain.stats().model == "small"
        target.put(("m",), "own", {"text": "roses"})
        with pytest.raises(IndexMismatchError, match=r"'large' \(64 dimensions\).*'small' \(8 dimensions\)"):
            copy_store(target, plain)
        assert copy_store(target, plain, vectors=False).written == 1


def test_wrong_arguments():
    with MemoryStore() as store, MemoryStore() as other:
        for wrong in ({"existing": "no"}, {"on_error": "no"}, {"ttl": -1}):
            with pytest.raises(InvalidArgumentError):
                copy_store(store, other, **wrong)
        with pytest.raises(InvalidNamespaceError):
            copy_store(store, other, ("a.b",))
        with pytest.raises(InvalidArgumentError, match="the same store"):
            copy_store(store, store)
        with pytest.raises(InvalidArgumentError, match="source must be a BaseStore"):
            copy_store({}, other)
        with pytest.raises(UnsupportedError, match="InMemoryStore"):
            copy_store(store, InMemoryStore())


# From LangGraph's own stores

NAMES = [("m",), ("m", "ada"), ("m", "ada", "x"), ("mm",), ("n", "eve")]


def fill(store: BaseStore, each: int = 30) -> dict[Any, Any]:
    values = {(name, f"k{n}"): {"text": f"tea {n}", "n": n} for n in range(each) for name in NAMES}
    for (name, key), value in values.items():
        store.put(name, key, value)
    return values


def contents(store: BaseStore) -> dict[Any, Any]:
    return {(item.namespace, item.key): item.value for item in store.search((), limit=100_000)}


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def theirs(request, tmp_path):
    """One of LangGraph's stores."""
    if request.param == "memory":
        yield InMemoryStore()
    elif request.param == "sqlite":
        from langgraph.store.sqlite import SqliteStore

        with SqliteStore.from_conn_string(str(tmp_path / "theirs.db")) as store:
            store.setup()
            yield store
    else:
        from langgraph.store.postgres import PostgresStore

        with own_database(tmp_path) as url, PostgresStore.from_conn_string(url) as store:
            store.setup()
            yield store


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("page", [7, 5000])
def test_from_langgraphs_stores(theirs, tmp_path, monkeypatch, is_async, page):
    """Every item with its times, whatever the pages are."""
    monkeypatch.setattr(foreign, "_ITEMS_AT_ONCE", page)
    monkeypatch.setattr(foreign, "_NAMES_AT_ONCE", page)
    values = fill(theirs)
    with MemoryStore(tmp_path / "agent.db", index=INDEX) as target:
        result = copied(is_async, theirs, target)
        assert (result.items, result.written) == (len(values), len(values))
        assert contents(target) == values
        for (name, key), _ in list(values.items())[::17]:
            item, their_item = target.get(name, key), theirs.get(name, key)
            stamp = their_item.updated_at
            stamp = stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
            assert abs((item.updated_at - stamp).total_seconds()) < 0.001  # whole seconds may be those of several items
        assert target.search(("m", "ada"), query="tea 7", limit=1)[0].value["n"] == 7
        again = copied(is_async, theirs, target)
        assert (again.written, again.equal) == (0, len(values))
        assert target.verify()
    with MemoryStore() as part:
        assert copied(is_async, theirs, part, ("m", "ada")).items == 60


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_from_langgraphs_async_stores(tmp_path, kind):
    """Stores that are bound to one event loop are copied in it."""

    async def main(target: MemoryStore) -> dict[Any, Any]:
        if kind == "sqlite":
            from langgraph.store.sqlite.aio import AsyncSqliteStore

            opened = AsyncSqliteStore.from_conn_string(str(tmp_path / "theirs.db"))
        else:
            from langgraph.store.postgres.aio import AsyncPostgresStore

            opened = AsyncPostgresStore.from_conn_string(database)
        async with opened as store:
            await store.setup()
            values = {(name, f"k{n}"): {"n": n} for n in range(5) for name in NAMES}
            for (name, key), value in values.items():
                await store.aput(name, key, value)
            assert (await acopy_store(store, target)).written == len(values)
        return values

    with MemoryStore(tmp_path / "agent.db") as target:
        if kind == "postgres":
            with own_database(tmp_path) as database:
                values = asyncio.run(main(target))
        else:
            values = asyncio.run(main(target))
        assert contents(target) == values


class Worse(InMemoryStore):
    """A store that cuts pages short, forgets what it has given, and gives what is not asked for."""

    def __init__(self, *, shortest: int = 3, shuffles: bool = False, knows_offsets: bool = True) -> None:
        super().__init__()
        self.shortest, self.shuffles, self.knows_offsets = shortest, shuffles, knows_offsets
        self.chance = random.Random(1)

    def search(self, prefix: Any, /, *, limit: int = 10, offset: int = 0, **settings: Any) -> Any:
        # Like a prefix that is compared as text.
        found = [
            item for item in super().search((), limit=10**6) if ".".join(item.namespace).startswith(".".join(prefix))
        ]
        if self.shuffles:  # ties in an order of their own in every query
            self.chance.shuffle(found)
        if limit < 100:
            limit = min(limit, self.shortest)
        return found[offset if self.knows_offsets else 0 :][:limit]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "settings",
    [{}, {"shortest": 1}, {"shuffles": True}, {"shuffles": True, "shortest": 50}, {"knows_offsets": False}],
    ids=str,
)
def test_from_stores_that_cannot_page(tmp_path, monkeypatch, is_async, settings):
    monkeypatch.setattr(foreign, "_ITEMS_AT_ONCE", 50)
    monkeypatch.setattr(foreign, "_NAMES_AT_ONCE", 2)
    store = Worse(**settings)
    if is_async:

        async def asearch(*arguments: Any, **more: Any) -> Any:
            raise NotImplementedError

        monkeypatch.setattr(store, "asearch", asearch)
    values = fill(store, each=20)
    with MemoryStore(tmp_path / "agent.db") as target:
        if settings.get("knows_offsets", True):
            copied(is_async, store, target)
            assert contents(target) == values
        else:
            with pytest.raises(IncompleteCopyError, match="repeats items of"):
                copied(is_async, store, target)


def test_items_that_these_stores_cannot_hold():
    store = InMemoryStore()
    store.put(("m",), "good", {"n": 1})
    store.put(("m",), "bad", {"when": datetime(2026, 1, 1)})
    with MemoryStore() as target:
        with pytest.raises(InvalidArgumentError, match=r"\('m',\) 'bad' cannot be copied: value\['when'\]: datetime"):
            copy_store(store, target)
        result = copy_store(store, target, on_error="skip")
        assert (result.items, result.skipped) == (1, 1)
        assert [(one.namespace, one.key) for one in result.bad] == [(("m",), "bad")]
        assert "datetime is not JSON" in result.bad[0].reason


def test_a_time_to_live_for_what_does_not_tell_it():
    clock = ManualClock()
    store = InMemoryStore()
    store.put(("m",), "k", {"n": 1})
    with MemoryStore(clock=clock) as target:
        copy_store(store, target, ttl=5)
        assert target.record(("m",), "k").ttl == 5
        clock.advance(minutes=5)
        assert target.get(("m",), "k") is None


class Leaky(MemoryEngine):
    """An engine that loses every other item that comes in."""

    def run_all(self, batches: Any) -> Any:
        kept = [batch._replace(commands=batch.commands[::2]) if batch.writes else batch for batch in batches]
        answers = super().run_all(kept)
        return [
            found if isinstance(found, BaseException) or len(found) == len(batch.commands) else found * 2
            for found, batch in zip(answers, batches, strict=True)
        ]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("source", [InMemoryStore, MemoryStore])
def test_a_copy_that_lacks_items_says_so(source, is_async):
    store = source()
    for n in range(10):
        store.put(("m",), str(n), {"n": n})
    with MemoryStore(Leaky()) as target, pytest.raises(IncompleteCopyError, match=r"has 10 items below \(\).* has 5"):
        copied(is_async, store, target)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("source", [InMemoryStore, MemoryStore])
def test_what_is_over_in_the_target_is_not_missing(source, is_async):
    """It was written later, and stays until a sweep: nothing was lost on the way, as trying again would suggest."""
    clock = ManualClock()
    store = source()
    store.put(("m",), "k", {"n": 1})
    clock.now_us = int((store.get(("m",), "k").updated_at + timedelta(minutes=1)).timestamp() * 1e6)
    with MemoryStore(MemoryEngine(clock=clock)) as target:
        target.put(("m",), "k", {"n": 2}, ttl=1)
        clock.advance(minutes=2)
        assert copied(is_async, store, target).kept == 1
        target.sweep_ttl()
        assert copied(is_async, store, target).written == 1


def test_an_item_with_another_text_takes_the_time_of_one_that_another_object_has_just_put(tmp_path):
    """Whoever put it knows its vector by its time; the text that stands there now has another one."""
    index = {"embed": HashEmbeddings(16), "fields": ["text"]}
    path = tmp_path / "agent.db"
    with MemoryStore(path, index=index) as store, MemoryStore(path, index=index) as other:
        store.put(("m",), "k", {"text": "green tea"})
        import_lines(other, [line.replace("green tea", "black coffee") for line in export_lines(other)])
        store.put(("m",), "new", {"text": "green tea"})
        store.batch([PutOp(("m",), str(n), {"text": f"green tea {n or ''}".strip()}) for n in range(30)])
        hits = {hit.key: hit.score for hit in other.search(("m",), query="green tea", limit=100)}
        assert hits["new"] == hits["0"] == pytest.approx(1, abs=1e-5)
        assert hits["k"] < 0.99
        assert store.verify().ok


def test_a_time_that_another_item_takes_in_the_middle_of_a_search(tmp_path, monkeypatch):
    """A search whose vectors are in memory reads the rows of its hits by their times: these must be of one state."""
    index = {"embed": HashEmbeddings(16), "fields": ["text"]}
    path = tmp_path / "agent.db"
    with MemoryStore(path, index=index) as store, MemoryStore(path, index=index) as other:
        store.put(("ada",), "tea", {"text": "green tea"})
        store.put(("ada",), "train", {"text": "old trains"})
        lines = [line.replace('"ada"', '"bob"') for line in export_lines(store, ("ada",))]
        assert store.search(("ada",), query="green tea", limit=1)[0].key == "tea"
        best = ranking.scan.best

        def in_the_middle(*args: Any, **kwargs: Any) -> Any:
            monkeypatch.setattr(ranking.scan, "best", best)
            hits = best(*args, **kwargs)
            other.delete(("ada",), "train")
            assert import_lines(other, lines).written == 2
            return hits

        monkeypatch.setattr(ranking.scan, "best", in_the_middle)
        assert [hit.namespace for hit in store.search(("ada",), query="old trains", limit=1)] == [("ada",)]

"""ScopedStore: a part of any store as a store of its own, and no way out of it."""

import asyncio
import contextlib
import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.store.base import GetOp, InvalidNamespaceError, ListNamespacesOp, MatchCondition, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import AsyncSqliteStore, SqliteStore

from crossthread import InvalidArgumentError, Memory, MemoryStore, Scope, ScopedStore, ScopeError
from crossthread.operations.commands import Count, Forget, Sweep
from crossthread.operations.plan import ConditionalPutOp
from crossthread.testing import HashEmbeddings, ManualClock
from crossthread.testing.strategies import namespaces

STORES = ["ours", "file", "langgraph's", "langgraph's sqlite"]


@contextlib.contextmanager
def opened(kind, tmp_path):
    if kind == "langgraph's":
        yield InMemoryStore()
    elif kind == "langgraph's sqlite":
        with SqliteStore.from_conn_string(":memory:") as store:
            store.setup()
            yield store
    else:
        with MemoryStore(":memory:" if kind == "ours" else tmp_path / "agent.db") as store:
            yield store


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    with opened(request.param, tmp_path) as store:
        yield store


def both(store, *namespaces):
    return [ScopedStore(store, namespace) for namespace in namespaces]


def test_namespaces_are_relative_in_and_out(store):
    (ada,) = both(store, ("memories", "ada"))
    ada.put((), "name", {"n": 1})
    ada.put(("food", "liked"), "pizza", {"n": 2})
    assert ada.get((), "name").namespace == ()
    assert ada.get(["food", "liked"], "pizza").value == {"n": 2}
    assert {(item.namespace, item.key) for item in ada.search(())} == {((), "name"), (("food", "liked"), "pizza")}
    assert [item.namespace for item in ada.search(("food",), filter={"n": 2})] == [("food", "liked")]
    assert ada.list_namespaces() == [(), ("food", "liked")]
    assert ada.namespace == ("memories", "ada")
    assert store.get(("memories", "ada"), "name").namespace == ("memories", "ada")
    assert store.get(("memories", "ada", "food", "liked"), "pizza").value == {"n": 2}
    ada.delete((), "name")
    assert store.get(("memories", "ada"), "name") is None


def test_the_same_in_async_code(tmp_path):
    async def use(store):
        ada = ScopedStore(store, ("memories", "ada"))
        await ada.aput((), "name", {"n": 1})
        await ada.aput(("food",), "pizza", {"n": 2})
        assert (await ada.aget((), "name")).namespace == ()
        assert {item.namespace for item in await ada.asearch(())} == {(), ("food",)}
        assert await ada.alist_namespaces(max_depth=1) == [(), ("food",)]
        await ada.adelete(("food",), "pizza")
        if not isinstance(store, InMemoryStore):  # which lists namespaces that are empty
            assert await ada.alist_namespaces() == [()]
        assert [item.namespace for item in await store.asearch(())] == [("memories", "ada")]

    async def main():
        await use(MemoryStore())
        await use(InMemoryStore())
        async with AsyncSqliteStore.from_conn_string(str(tmp_path / "theirs.db")) as store:
            await store.setup()
            await use(store)

    asyncio.run(main())


def test_a_batch_of_all_operations(store):
    ada, bob = both(store, ("memories", "ada"), ("memories", "bob"))
    bob.put(("food",), "pizza", {"n": 9})
    ada.put(("food",), "pizza", {"n": 2})
    ops = [
        GetOp(("food",), "pizza"),
        SearchOp(()),
        PutOp((), "name", {"n": 1}),
        ListNamespacesOp((MatchCondition("prefix", ("food",)),), None, 10, 0),
        PutOp(("food",), "pizza", None),
    ]
    for view in (ada, ScopedStore(ScopedStore(store, ("memories",)), ("bob",))):
        got, found, nothing, listed, gone = view.batch(ops)
        assert (got.namespace, nothing, gone, listed) == (("food",), None, None, [("food",)])
        assert [(item.namespace, item.value["n"]) for item in found] == [(("food",), got.value["n"])]
    assert [(item.namespace, item.key) for item in store.search(("memories", "ada"))] == [(("memories", "ada"), "name")]
    assert asyncio.run(abatch_on(InMemoryStore())) == asyncio.run(abatch_on(MemoryStore())) == [{"n": 1}, ["a"], [()]]


async def abatch_on(store):
    view = ScopedStore(store, ("u",))
    assert await view.abatch([PutOp((), "a", {"n": 1})]) == [None]
    got, found, listed = await view.abatch([GetOp((), "a"), SearchOp(()), ListNamespacesOp()])
    return [got.value, [item.key for item in found], listed]


@pytest.mark.parametrize("bad", [("a.b",), ("",), "ada", ("a\0",), (1,), None])
def test_an_address_that_is_none_is_refused_everywhere(store, bad):
    (ada,) = both(store, ("memories", "ada"))
    for call in (
        lambda: ada.put(bad, "k", {}),
        lambda: ada.get(bad, "k"),
        lambda: ada.delete(bad, "k"),
        lambda: ada.search(bad),
        lambda: ada.batch([PutOp(bad, "k", {})]),
        lambda: ada.batch([GetOp(bad, "k")]),
        lambda: ada.batch([SearchOp(bad)]),
    ):
        with pytest.raises((InvalidNamespaceError, TypeError)):
            call()
    assert store.search(()) == []


@pytest.mark.parametrize("op", [Count("", None), Forget(""), Sweep(), ConditionalPutOp(PutOp((), "k", {}), -1), "get"])
def test_a_batch_takes_nothing_that_could_reach_further(op):
    with MemoryStore() as store:
        store.put(("memories", "bob"), "k", {})
        with pytest.raises(InvalidArgumentError, match="Not an operation"):
            ScopedStore(store, ("memories", "ada")).batch([op])
        assert store.count() == 1


def test_what_langgraph_keeps_for_itself_is_nothing_special_below_a_view(store):
    (ada,) = both(store, ("memories", "ada"))
    ada.put(("langgraph",), "k", {"n": 1})
    assert ada.get(("langgraph",), "k").value == {"n": 1}


def test_a_view_begins_somewhere():
    for bad in ((), ("a.b",), "ada"):
        with pytest.raises(InvalidNamespaceError):
            ScopedStore(MemoryStore(), bad)
    with pytest.raises(InvalidArgumentError, match="stands for any label"):
        ScopedStore(MemoryStore(), ("memories", "*"))
    with pytest.raises(InvalidArgumentError, match="not a LangGraph store"):
        ScopedStore(None, ("a",))


# Neighbours whose names look alike

ALIKE = ["bob", "bobby", "bo", "BOB", "b%25b", "b_b", "%25", "bob2", "bób"]


def test_neighbours_whose_names_look_alike_find_their_own_and_all_of_it(store):
    views = {name: ScopedStore(store, ("memories", name)) for name in ALIKE}
    for i in range(7):
        for name, view in views.items():
            view.put(("notes", f"n{i}"), "k", {"of": name, "i": i})
    for name, view in views.items():
        assert {item.value["of"] for item in view.search((), limit=100)} == {name}
        pages = [view.search((), limit=3, offset=offset) for offset in (0, 3, 6, 9)]
        assert [len(page) for page in pages] == [3, 3, 1, 0]
        assert sorted(item.value["i"] for page in pages for item in page) == list(range(7))
        assert view.search((), limit=2, filter={"i": 3})[0].value == {"of": name, "i": 3}
        assert view.search((), limit=0) == []
        assert view.list_namespaces() == [("notes", f"n{i}") for i in range(7)]
        assert view.list_namespaces(max_depth=1) == [("notes",)]
        assert view.list_namespaces(limit=2, offset=5) == [("notes", "n5"), ("notes", "n6")]
        assert view.list_namespaces(prefix=("notes", "*"), suffix=("n1",)) == [("notes", "n1")]
    for arguments in ({"limit": -1}, {"offset": -1}):
        for call in (
            lambda a=arguments: views["bob"].search((), **a),
            lambda a=arguments: views["bob"].list_namespaces(**a),
        ):
            with pytest.raises(ValueError, match="negative"):
                call()


def test_a_suffix_matches_below_the_view_only(store):
    (ada,) = both(store, ("memories", "ada"))
    ada.put((), "k", {})
    ada.put(("x",), "k", {})
    ada.put(("memories", "ada"), "k", {})
    assert ada.list_namespaces(suffix=("ada",)) == [("memories", "ada")]
    assert ada.list_namespaces(suffix=("ada", "x")) == []
    assert ada.list_namespaces(suffix=("*", "x")) == []
    assert ada.list_namespaces(suffix=("*",)) == [("memories", "ada"), ("x",)]
    assert ada.list_namespaces(prefix=("memories",), max_depth=1) == [("memories",)]


def test_a_list_longer_than_a_page(tmp_path, monkeypatch):
    monkeypatch.setattr("crossthread.scopes.view._NAMES_AT_ONCE", 3)
    with opened("langgraph's sqlite", tmp_path) as store:
        bob, bobby = both(store, ("memories", "bob"), ("memories", "bobby"))
        for i in range(8):
            bob.put((str(i),), "k", {})
            bobby.put((str(i),), "k", {})
        assert bob.list_namespaces() == [(str(i),) for i in range(8)]


# The view is not the store


def test_what_a_view_returns_is_not_what_the_store_keeps():
    store = InMemoryStore()
    (ada,) = both(store, ("memories", "ada"))
    ada.put((), "k", {"n": 1})
    ada.get((), "k").namespace = ("elsewhere",)
    assert ada.search(())[0].namespace == ()
    assert store.get(("memories", "ada"), "k").namespace == ("memories", "ada")


def test_views_nest(store):
    (ada,) = both(store, ("memories", "ada"))
    food = ScopedStore(ada, ("food",))
    food.put(("liked",), "pizza", {"n": 1})
    assert food.search(())[0].namespace == ("liked",)
    assert ada.search(())[0].namespace == ("food", "liked")
    assert store.search(())[0].namespace == ("memories", "ada", "food", "liked")
    assert food.list_namespaces() == [("liked",)]
    assert [item.namespace for item in food.batch([SearchOp(())])[0]] == [("liked",)]


def test_views_of_the_same_part_are_equal():
    one, other = MemoryStore(), MemoryStore()
    a, b = both(one, ("a",), ("a",))
    assert a == b
    assert hash(a) == hash(b)
    assert a != ScopedStore(one, ("b",))
    assert a != ScopedStore(other, ("a",))
    assert ScopedStore(a, ("b",)) == ScopedStore(b, ("b",))
    assert a != "a"
    assert "('a',)" in repr(a)
    assert bool(a)  # LangGraph asks a store whether it is one by its truth


# What is beyond BaseStore


def test_what_a_memory_store_has_beyond_langgraph_is_there():
    memory = MemoryStore(index={"embed": HashEmbeddings(), "fields": ["text"]})
    for view in (ScopedStore(memory, ("memories", "ada")), ScopedStore(ScopedStore(memory, ("memories",)), ("eve",))):
        view.put(("food",), "a", {"text": "green tea", "n": 1})
        view.put((), "b", {"text": "old trains", "n": 2})
        hits = view.search((), query="tea", mode="keyword")
        assert [(hit.namespace, hit.key) for hit in hits] == [(("food",), "a")]
        (hit,) = view.search(("food",), query="tea", mode="hybrid", hybrid_weight=0.3, explain=True)
        assert hit.namespace == ("food",)
        assert list(hit.terms) == ["tea"]
        assert "namespace=['food']" in repr(hit)
        assert view.search((), query="tea", min_score=5) == []
        assert view.count() == 2
        assert view.count(("food",)) == view.count(filter={"n": 2}) == 1
        changed = view.update(("food",), "a", lambda value: {**value, "n": 3})
        assert (changed.namespace, changed.value["n"]) == (("food",), 3)
        assert view.update((), "c", lambda value: value, default={"n": 0}).namespace == ()
        assert view.forget(("food",)) == 1
        assert [item.key for item in view.search(())] == ["c", "b"]
    assert ScopedStore(memory, ("memories", "ada")).forget(()) == 2
    assert memory.count() == 2


def test_and_in_async_code():
    async def main():
        memory = MemoryStore(index={})
        view = ScopedStore(memory, ("memories", "ada"))
        await memory.aput(("memories", "bob"), "a", {"$": "tea"})
        await view.aput(("food",), "a", {"text": "green tea"})

        async def change(value):
            return {"text": "black tea"}

        assert (await view.aupdate(("food",), "a", change)).namespace == ("food",)
        hits = await view.asearch((), query="tea", mode="keyword", explain=True)
        assert [hit.value for hit in hits] == [{"text": "black tea"}]
        assert await view.acount(("food",)) == 1
        assert await view.aforget(()) == 1
        assert await memory.acount() == 1

    asyncio.run(main())


def test_what_the_store_below_has_not_is_named():
    for view in (ScopedStore(InMemoryStore(), ("a",)), ScopedStore(ScopedStore(InMemoryStore(), ("a",)), ("b",))):
        for call in (
            lambda v=view: v.count(),
            lambda v=view: v.forget(()),
            lambda v=view: v.update((), "k", dict),
            lambda v=view: v.search((), query="x", mode="keyword"),
        ):
            with pytest.raises(NotImplementedError, match="InMemoryStore"):
                call()


def test_time_to_live_is_that_of_the_store_below():
    clock = ManualClock()
    memory = MemoryStore(ttl={"default_ttl": 30, "refresh_on_read": False}, clock=clock)
    view = ScopedStore(memory, ("u",))
    assert view.supports_ttl
    view.ttl_config["default_ttl"] = 0.001  # a copy
    view.put((), "usual", {})
    view.put((), "long", {}, ttl=60)
    view.put((), "ever", {}, ttl=None)
    clock.advance(minutes=31)
    assert {item.key for item in view.search(())} == {"long", "ever"}
    clock.advance(minutes=31)
    assert [item.key for item in view.search(())] == ["ever"]
    plain = ScopedStore(InMemoryStore(), ("u",))
    assert (plain.supports_ttl, plain.ttl_config) == (False, None)
    with pytest.raises(NotImplementedError, match="TTL is not supported by InMemoryStore"):
        plain.put((), "k", {}, ttl=1)
    with pytest.raises(NotImplementedError, match="TTL is not supported by InMemoryStore"):
        asyncio.run(plain.aput((), "k", {}, ttl=1))
    plain.put((), "k", {}, ttl=None)


def test_a_view_has_the_methods_of_the_store_and_nothing_to_close_or_sweep():
    for name in ("search", "asearch", "update", "aupdate", "forget", "aforget", "count", "acount"):
        of_view, of_store = (inspect.signature(getattr(kind, name)) for kind in (ScopedStore, MemoryStore))
        assert of_view == of_store, name
    for name in ("close", "setup", "sweep_ttl", "start_ttl_sweeper"):
        assert not hasattr(ScopedStore, name)


# Binding


def test_bind_gives_the_view_of_one_user():
    with Memory() as memory:
        scope = memory.scope("memories", "{user_id}")
        ada = scope.bind({"configurable": {"user_id": "ada"}})
        assert ada == scope.bind(context={"user_id": "ada"}) == ScopedStore(memory.store, ("memories", "ada"))
        ada.put((), "k", {"n": 1})
        assert memory.store.get(("memories", "ada"), "k").value == {"n": 1}
        assert scope.bind({"configurable": {"user_id": "bob"}}).search(()) == []
        other = InMemoryStore()
        assert scope.bind(context={"user_id": "ada"}, store=other) == ScopedStore(other, ("memories", "ada"))
        below = Scope("food").bind(store=ada)
        below.put((), "pizza", {})
        assert memory.store.get(("memories", "ada", "food"), "pizza") is not None


def test_bind_without_a_user_or_a_store():
    with pytest.raises(ScopeError, match="'user_id'"):
        Memory().scope("memories", "{user_id}").bind()
    with pytest.raises(ScopeError, match="has no store"):
        Scope("memories", "{user_id}").bind(context={"user_id": "ada"})
    with pytest.raises(ScopeError, match="has no store"):
        Memory(store=None).scope("memories", "{user_id}").bind(context={"user_id": "ada"})


# Whatever is done through one view


SOME_IDS = ["a", "a.b", "b", "%", "*", "_", "a%2Eb", "A", "\ud800", "langgraph", "aa", "a*", "?"]
# LangGraph's database cannot hold halves of surrogate pairs.
inside = namespaces(min_size=0).map(lambda namespace: tuple(label.replace("\ud800", "s") for label in namespace))
conditions = st.lists(st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), inside), max_size=2).map(tuple)
keys = st.sampled_from(["k", "l"])
numbers = st.sampled_from([0, 1, 2, 5, 100])
operations = st.one_of(
    st.tuples(inside, keys, st.sampled_from([{"mine": True}, None])).map(lambda drawn: PutOp(*drawn)),
    st.tuples(inside, keys).map(lambda drawn: GetOp(*drawn)),
    st.tuples(inside, st.sampled_from([None, {"mine": True}, {"$or": [{}, {"mine": False}]}]), numbers, numbers).map(
        lambda drawn: SearchOp(*drawn)
    ),
    st.tuples(conditions, st.sampled_from([None, 1, 2]), numbers, numbers).map(lambda drawn: ListNamespacesOp(*drawn)),
)
beyond = st.one_of(
    st.tuples(st.sampled_from(["forget", "count"]), inside),
    st.tuples(st.just("update"), inside, keys),
)


def absolute(template, id_):
    return Scope(*template).resolve({"configurable": {"user_id": id_}})


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("template", [("m", "{user_id}"), ("{user_id}",), ("x-{user_id}",)])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_nothing_done_through_one_users_view_reaches_anothers(kind, template, data, tmp_path_factory):
    """The view of one user answers as a store that has nobody else in it, and leaves what others have as it was."""
    me = data.draw(st.sampled_from(SOME_IDS))
    others = [id_ for id_ in SOME_IDS if id_ != me]
    theirs = data.draw(st.lists(st.tuples(st.sampled_from(others), inside, keys), min_size=1, max_size=6))
    with opened(kind, tmp_path_factory.mktemp("isolation")) as store, MemoryStore() as alone:
        for id_, namespace, key in theirs:
            ScopedStore(store, absolute(template, id_)).put(namespace, key, {"mine": False})
        before = {
            (i.namespace, i.key): (i.value, i.updated_at) for i in store.search((), limit=1000, refresh_ttl=False)
        }
        mine, oracle = ScopedStore(store, absolute(template, me)), ScopedStore(alone, ("only",))
        ours = isinstance(store, MemoryStore)
        for _ in range(data.draw(st.integers(1, 8))):
            if ours and data.draw(st.booleans()):
                method, *arguments = data.draw(beyond)
                if method == "update":
                    arguments.append(lambda value: {"mine": True, "n": value.get("n", 0) + 1})
                    mine.update(*arguments, default={})
                    oracle.update(*arguments, default={})
                else:
                    assert getattr(mine, method)(*arguments) == getattr(oracle, method)(*arguments)
                continue
            ops = data.draw(st.lists(operations, min_size=1, max_size=3))
            if not ours:
                ops = [op._replace(filter=None) if isinstance(op, SearchOp) else op for op in ops]
                ops = ops[:1]  # what a batch's reads see of its writes is each store's own matter
            if not ours and isinstance(ops[0], SearchOp):
                # As is the order.
                got = [
                    {(i.namespace, i.key) for i in view.search(ops[0].namespace_prefix, limit=100)}
                    for view in (mine, oracle)
                ]
                assert got[0] == got[1]
                assert len(mine.batch(ops)[0]) == len(oracle.batch(ops)[0])
                continue
            if isinstance(store, InMemoryStore) and isinstance(ops[0], ListNamespacesOp):
                continue  # it lists what is empty, too
            later = kind != "langgraph's sqlite" and data.draw(st.booleans())
            results = asyncio.run(mine.abatch(ops)) if later else mine.batch(ops)
            assert [plain(r) for r in results] == [plain(r) for r in oracle.batch(ops)]
        after = {(i.namespace, i.key): (i.value, i.updated_at) for i in store.search((), limit=1000, refresh_ttl=False)}
        prefix = mine.namespace
        assert {at: v for at, v in after.items() if at[0][: len(prefix)] != prefix} == before


def plain(result):
    if isinstance(result, list):
        return [plain(one) for one in result]
    return (result.namespace, result.key, result.value) if hasattr(result, "key") else result

"""Contract section 10, continued: opening and closing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.store.base import GetOp

from crossthread.errors import StoreClosedError
from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import Caller, OpenRaw, OpenStore, SuiteBase, index_of, keys, needs


class Closing(SuiteBase):
    """Opening and closing a store, and what is still there afterwards."""

    @needs("closing")
    def test_a_closed_store_says_so(self, memories: Caller) -> None:
        """Every method of a closed store raises StoreClosedError, and closing it again is fine."""
        memories.put(("c",), "k", {"text": "tea"})
        memories.close()
        memories.close()
        calls: list[Callable[[], Any]] = [
            lambda: memories.put(("c",), "k", {"n": 1}),
            lambda: memories.get(("c",), "k"),
            lambda: memories.delete(("c",), "k"),
            lambda: memories.search(("c",)),
            lambda: memories.search(("c",), query="tea"),
            lambda: memories.list_namespaces(),
            lambda: memories.batch([GetOp(("c",), "k")]),
        ]
        for call in calls:
            with pytest.raises(StoreClosedError):
                call()

    @needs("closing", "extras", "ttl")
    def test_a_closed_store_says_so_for_the_extras(self, store: Caller) -> None:
        """What goes beyond BaseStore raises StoreClosedError as well."""
        store.close()
        calls: list[Callable[[], Any]] = [
            lambda: store.forget(()),
            lambda: store.count(),
            lambda: store.update(("c",), "k", lambda value: value, default={}),
            lambda: store.sweep_ttl(),
            lambda: store.setup(),
        ]
        for call in calls:
            with pytest.raises(StoreClosedError):
                call()

    @needs("closing")
    def test_closing_from_the_other_side(self, open_raw: OpenRaw) -> None:
        """close() and aclose() close for both ways of calling, in any order."""
        first, second = open_raw(), open_raw()
        asyncio.run(first.aput(("c",), "k", {"n": 1}))
        first.close()
        with pytest.raises(StoreClosedError):
            asyncio.run(first.aget(("c",), "k"))
        asyncio.run(second.aclose())
        with pytest.raises(StoreClosedError):
            second.get(("c",), "k")
        asyncio.run(first.aclose())
        second.close()

    @needs("closing")
    def test_with(self, open_raw: OpenRaw) -> None:
        """A with block gives the store and closes it at the end, after an error too."""
        with open_raw() as store:
            store.put(("c",), "k", {"n": 1})
            assert store.get(("c",), "k").value == {"n": 1}
        with pytest.raises(StoreClosedError):
            store.get(("c",), "k")
        with pytest.raises(LookupError), open_raw() as store:
            raise LookupError
        with pytest.raises(StoreClosedError):
            store.get(("c",), "k")

    @needs("closing")
    def test_async_with(self, open_raw: OpenRaw) -> None:
        """An async with block does the same."""

        async def main() -> Any:
            async with open_raw() as store:
                await store.aput(("c",), "k", {"n": 1})
                assert (await store.aget(("c",), "k")).value == {"n": 1}
            return store

        store = asyncio.run(main())
        with pytest.raises(StoreClosedError):
            store.get(("c",), "k")

    @needs("closing")
    def test_closing_while_it_is_used(self, open_raw: OpenRaw) -> None:
        """Calls under way when the store is closed finish or raise StoreClosedError; none hangs."""
        store = open_raw()

        async def main() -> list[Any]:
            tasks = [asyncio.create_task(store.aput(("c",), str(n), {"n": n})) for n in range(200)]
            await asyncio.sleep(0)
            await store.aclose()
            return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)

        results = asyncio.run(main())
        assert all(result is None or isinstance(result, StoreClosedError) for result in results)

    @needs("closing", "reopening")
    def test_what_returned_is_there(self, open_store: OpenStore) -> None:
        """A store opened again holds all that was written, and no more."""
        first = open_store()
        first.together([("put", ("c", str(n % 3)), str(n), {"n": n}) for n in range(60)])
        first.delete(("c", "0"), "0")
        before = first.search((), limit=100)
        first.close()
        store = open_store()
        assert store.search((), limit=100) == before
        assert len(before) == 59
        assert store.list_namespaces() == [("c", "0"), ("c", "1"), ("c", "2")]

    @needs("reopening")
    def test_two_objects_on_one_place(self, open_store: OpenStore) -> None:
        """Two stores open on one place see each other's writes at once, vectors included."""
        settings = {"index": index_of(HashEmbeddings())}
        one, two = open_store(**settings), open_store(**settings)
        one.put(("c",), "one", {"text": "green tea"})
        assert two.get(("c",), "one").value == {"text": "green tea"}
        assert keys(two.search(("c",), query="green tea")) == ["one"]
        two.put(("c",), "two", {"text": "old trains"})
        two.put(("c",), "one", {"text": "red roses"})
        assert keys(one.search(("c",), query="old trains", limit=1)) == ["two"]
        assert one.search(("c",), query="red roses")[0].score > 0.99
        one.delete(("c",), "two")
        assert two.search(("c",), query="old trains")[0].key == "one"
        assert two.list_namespaces() == one.list_namespaces() == [("c",)]

    @needs("closing")
    def test_setup_may_be_called(self, store: Caller) -> None:
        """Opening is enough; setup() does no harm, as often as it is called."""
        store.put(("c",), "k", {"n": 1})
        store.setup()
        store.setup()
        assert store.get(("c",), "k").value == {"n": 1}

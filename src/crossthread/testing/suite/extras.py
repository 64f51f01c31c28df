"""What these stores do beyond BaseStore: forget(), count() and update()."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.store.base import InvalidNamespaceError, PutOp

from crossthread.errors import InvalidFilterError, InvalidValueError, ItemNotFoundError
from crossthread.testing.clock import ManualClock
from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import Caller, OpenRaw, OpenStore, SuiteBase, index_of, keys, needs

TREE = [("u",), ("u", "ada"), ("u", "ada", "notes"), ("u", "adam"), ("ua",), ("v",)]


def _add(number: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(value: dict[str, Any]) -> dict[str, Any]:
        return {**value, "n": value["n"] + number}

    return change


class Forgetting(SuiteBase):
    """Erasing namespaces, and counting."""

    @pytest.fixture
    def populated(self, memories: Caller) -> Caller:
        """Two items in each of several namespaces."""
        memories.batch(
            [PutOp(name, key, {"text": f"tea {key}", "n": n}) for name in TREE for n, key in enumerate("xy")]
        )
        return memories

    @needs("extras")
    def test_forget_erases_a_namespace_and_all_below(self, populated: Caller) -> None:
        """It returns how many items it erased; neighbours whose labels only begin alike stay."""
        assert populated.forget(("u", "ada")) == 4
        assert populated.list_namespaces() == sorted(set(TREE) - {("u", "ada"), ("u", "ada", "notes")})
        assert populated.forget(("u", "ada")) == 0
        assert populated.forget(("u",)) == 4
        assert populated.list_namespaces() == [("ua",), ("v",)]
        assert populated.forget(()) == 4
        assert populated.search(()) == []

    @needs("extras", "semantic")
    def test_forgotten_texts_are_not_found(self, populated: Caller) -> None:
        """The vectors go with the items, and do not come back with the key."""
        populated.forget(("u",))
        assert {hit.namespace for hit in populated.search((), query="tea", limit=100)} == {("ua",), ("v",)}
        populated.put(("u",), "x", {"n": 1})
        assert populated.search(("u",), query="tea") == []

    @needs("extras", "semantic", "reopening")
    def test_a_repeated_search_follows_forget(self, open_store: OpenStore) -> None:
        """The same query before and after each forget, by this object or another, at prefixes above and below."""
        settings = {"index": index_of(HashEmbeddings())}
        stores = [open_store(**settings), open_store(**settings)]
        stores[0].batch([PutOp(name, "k", {"text": "green tea"}) for name in TREE])
        left = set(TREE)
        for n, prefix in enumerate([(), ("u", "adam"), ("u", "ada"), ("v",), ("u",), ()]):
            if n:
                stores[n % 2].forget(prefix)
                left = {name for name in left if name[: len(prefix)] != prefix}
            for store in stores:
                for asked in [(), *TREE]:
                    found = {hit.namespace for hit in store.search(asked, query="green tea", limit=100)}
                    assert found == {name for name in left if name[: len(asked)] == asked}

    @needs("extras", "semantic")
    def test_a_repeated_search_follows_forget_in_one_object(self, populated: Caller) -> None:
        """A namespace that was searched, forgotten from above, and searched again is empty."""
        for prefix in [("u", "ada", "notes"), ("u", "ada"), ("u",), ()]:
            for asked in [(), *TREE]:
                populated.search(asked, query="tea", limit=100)
            populated.forget(prefix)
            for asked in [(), *TREE]:
                for hit in populated.search(asked, query="tea", limit=100):
                    assert hit.namespace[: len(prefix)] != prefix

    @needs("extras")
    @pytest.mark.parametrize("label", ["%", "_", "*", "?", "[a]", "\\", "'"])
    def test_forget_knows_no_wildcards(self, populated: Caller, label: str) -> None:
        """No character erases more than it names."""
        populated.put((label,), "k", {"n": 1})
        assert populated.forget((label,)) == 1
        assert populated.count() == 12

    @needs("extras", "strict_addresses")
    @pytest.mark.parametrize("prefix", [("",), ("a.b",), ("a\0",), (1,), "abc"], ids=repr)
    def test_bad_prefixes_are_refused(self, populated: Caller, prefix: Any) -> None:
        """Both forget and count refuse labels that put refuses; nothing is erased."""
        with pytest.raises(InvalidNamespaceError):
            populated.forget(prefix)
        with pytest.raises(InvalidNamespaceError):
            populated.count(prefix)
        assert populated.count() == 12

    @needs("extras")
    def test_count(self, populated: Caller) -> None:
        """It counts the items under a prefix that match a filter."""
        assert populated.count() == populated.count(()) == 12
        assert populated.count(("u",)) == 8
        assert populated.count(["u", "ada"]) == 4
        assert populated.count(("nowhere",)) == 0
        assert populated.count(("u",), filter={"n": {"$gte": 1}}) == 4
        assert populated.count(filter={"n": 7}) == 0
        with pytest.raises(InvalidFilterError):
            populated.count((), filter={"n": {"$no": 1}})

    @needs("extras", "ttl", "clock")
    def test_expired_items_do_not_count(self, timed: Caller, clock: ManualClock) -> None:
        """It counts live items, and refreshes none."""
        timed.put(("t",), "a", {"n": 1}, ttl=2)
        timed.put(("t",), "b", {"n": 1})
        clock.advance(minutes=1)
        assert timed.count() == 2
        clock.advance(minutes=1)
        assert timed.count() == timed.count(("t",), filter={"n": 1}) == 1


class Updating(SuiteBase):
    """Atomic read-modify-write."""

    @needs("extras")
    def test_update_changes_a_value(self, store: Caller) -> None:
        """Its change gets the value and returns the new one; update returns the item as it is now stored."""
        store.put(("u",), "k", {"n": 1, "other": [1]})
        before = store.get(("u",), "k")
        item = store.update(("u",), "k", _add(2))
        assert item.value == {"n": 3, "other": [1]}
        assert (item.namespace, item.key) == (("u",), "k")
        assert item.created_at == before.created_at
        assert item.updated_at > before.updated_at
        assert store.get(("u",), "k") == item

    @needs("extras")
    def test_change_works_on_a_copy(self, store: Caller) -> None:
        """What change keeps or spoils of its argument, or of what it returned, does not reach the store."""
        store.put(("u",), "k", {"l": [1]})
        kept: list[dict[str, Any]] = []

        def spoil(value: dict[str, Any]) -> dict[str, Any]:
            kept.append(value)
            value["l"].append(2)
            return {"l": [9]}

        item = store.update(("u",), "k", spoil)
        kept[0]["l"].append(3)
        item.value["l"].append(4)
        assert store.get(("u",), "k").value == {"l": [9]}

    @needs("extras")
    def test_a_missing_item(self, store: Caller) -> None:
        """Without a default, update of a missing item raises ItemNotFoundError, a KeyError, and never calls change."""
        with pytest.raises(ItemNotFoundError) as caught:
            store.update(("u",), "missing", lambda value: pytest.fail("called"))
        assert isinstance(caught.value, KeyError)
        assert "missing" in str(caught.value)
        assert store.list_namespaces() == []

    @needs("extras")
    def test_a_default_stands_in(self, store: Caller) -> None:
        """With a default, change gets a copy of it when the item is missing."""
        default = {"n": 0, "l": []}

        def change(value: dict[str, Any]) -> dict[str, Any]:
            value["n"] += 1
            value["l"].append(value["n"])
            return value

        assert store.update(("u",), "k", change, default=default).value == {"n": 1, "l": [1]}
        assert store.update(("u",), "k", change, default=default).value == {"n": 2, "l": [1, 2]}
        assert default == {"n": 0, "l": []}

    @needs("extras")
    @pytest.mark.parametrize("result", [None, 5, "x", [1], {"n": {1}}, {"n": float("nan")}], ids=repr)
    def test_what_is_no_value_is_refused(self, store: Caller, result: Any) -> None:
        """A change that returns no JSON object raises InvalidValueError, and nothing is written."""
        store.put(("u",), "k", {"n": 1})
        before = store.get(("u",), "k")
        with pytest.raises(InvalidValueError):
            store.update(("u",), "k", lambda value: result)
        assert store.get(("u",), "k") == before

    @needs("extras")
    def test_a_change_that_raises_writes_nothing(self, store: Caller) -> None:
        """The error of change surfaces unchanged, and the store goes on."""
        store.put(("u",), "k", {"n": 1})
        error = LookupError("no")

        def change(value: dict[str, Any]) -> dict[str, Any]:
            value["n"] = 99
            raise error

        with pytest.raises(LookupError) as caught:
            store.update(("u",), "k", change)
        assert caught.value is error
        assert store.get(("u",), "k").value == {"n": 1}
        assert store.update(("u",), "k", _add(1)).value == {"n": 2}

    @needs("extras", "strict_addresses")
    @pytest.mark.parametrize("namespace", [(), ("",), ("a.b",), "abc"], ids=repr)
    def test_bad_addresses_are_refused(self, store: Caller, namespace: Any) -> None:
        """An update refuses the namespaces that put refuses."""
        with pytest.raises(InvalidNamespaceError):
            store.update(namespace, "k", _add(1), default={"n": 0})

    @needs("extras", "semantic")
    def test_an_updated_text_is_found(self, memories: Caller) -> None:
        """An update replaces the vectors, and takes index= like put."""
        memories.put(("u",), "k", {"text": "green tea"})
        memories.update(("u",), "k", lambda value: {"text": "old trains"})
        assert memories.search(("u",), query="old trains")[0].score > 0.99
        memories.update(("u",), "k", lambda value: {"title": "red roses"}, index=["title"])
        assert memories.search(("u",), query="red roses")[0].score > 0.99
        memories.update(("u",), "k", lambda value: value, index=False)
        assert memories.search(("u",), query="red roses") == []

    @needs("extras", "semantic", "transactions")
    def test_a_failing_model_stops_an_update(self, open_store: OpenStore) -> None:
        """If the new text cannot be embedded, the old item stays."""

        class Picky(HashEmbeddings):
            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                if "poison" in texts:
                    raise ConnectionError("not this one")
                return super().embed_documents(texts)

        store = open_store(index=index_of(Picky()))
        store.put(("u",), "k", {"text": "green tea"})
        before = store.get(("u",), "k")
        with pytest.raises(ConnectionError):
            store.update(("u",), "k", lambda value: {"text": "poison"})
        assert store.get(("u",), "k") == before
        assert keys(store.search(("u",), query="green tea")) == ["k"]

    @needs("extras", "ttl", "clock")
    def test_update_takes_a_ttl(self, timed: Caller, clock: ManualClock) -> None:
        """ttl= gives the updated item its time; an expired item is missing."""
        timed.put(("u",), "k", {"n": 1})
        timed.update(("u",), "k", _add(1), ttl=1)
        clock.advance(minutes=1)
        with pytest.raises(ItemNotFoundError):
            timed.update(("u",), "k", _add(1))
        assert timed.update(("u",), "k", _add(1), default={"n": 10}).value == {"n": 11}

    @needs("extras", "ttl", "clock")
    def test_an_expired_item_that_is_shown_can_be_updated(self, open_store: OpenStore, clock: ManualClock) -> None:
        """With omit_expired false, update sees an expired item as the other reads do."""
        store = open_store(clock=clock, ttl={"omit_expired": False, "refresh_on_read": False})
        store.put(("u",), "k", {"n": 1}, ttl=1)
        clock.advance(minutes=5)
        assert store.update(("u",), "k", _add(1)).value == {"n": 2}

    @needs("extras")
    def test_no_update_is_lost(self, store: Caller) -> None:
        """Updates at once, from threads or tasks, of one item and of several, all count."""
        calls = [("update", ("u", str(n % 3)), "k", _add(1)) for n in range(150)]
        for n in range(3):
            store.put(("u", str(n)), "k", {"n": 0})
        results = store.together(calls)
        assert all(not isinstance(result, Exception) for result in results)
        assert [store.get(("u", str(n)), "k").value["n"] for n in range(3)] == [50, 50, 50]
        assert sorted(item.value["n"] for item in results[::3]) == list(range(1, 51))

    @needs("extras")
    def test_no_update_between_read_and_write(self, store: Caller) -> None:
        """A put that happens while change runs is not overwritten blindly: change sees it on its next try."""
        store.put(("u",), "k", {"n": 0})
        seen: list[int] = []

        def change(value: dict[str, Any]) -> dict[str, Any]:
            seen.append(value["n"])
            if len(seen) == 1:
                # Another thread's write. A store that locks instead lets it wait, so do not wait for it.
                thread = threading.Thread(target=store.store.put, args=(("u",), "k", {"n": 100}))
                threads.append(thread)
                thread.start()
                thread.join(0.2)
            return {"n": value["n"] + 1}

        threads: list[threading.Thread] = []
        store.update(("u",), "k", change)
        threads[0].join(10)
        assert (seen, store.get(("u",), "k").value["n"]) in [([0, 100], 101), ([0], 100)]

    @needs("extras", "any_loop")
    def test_change_may_be_async(self, open_raw: OpenRaw) -> None:
        """The async update takes an async change, and loses nothing with it."""
        store = open_raw()

        async def change(value: dict[str, Any]) -> dict[str, Any]:
            await asyncio.sleep(0)
            return {"n": value["n"] + 1}

        async def main() -> None:
            await asyncio.gather(*(store.aupdate(("u",), "k", change, default={"n": 0}) for _ in range(50)))

        asyncio.run(main())
        assert store.get(("u",), "k").value == {"n": 50}

    @needs("extras", "any_loop")
    def test_threads_and_tasks_update_together(self, open_raw: OpenRaw) -> None:
        """Sync updates in threads and async ones in loops of other threads all count."""
        store = open_raw()
        store.put(("u",), "k", {"n": 0})

        def in_thread() -> None:
            for _ in range(20):
                store.update(("u",), "k", _add(1))

        async def in_loop() -> None:
            await asyncio.gather(*(store.aupdate(("u",), "k", _add(1)) for _ in range(20)))

        threads = [threading.Thread(target=in_thread) for _ in range(3)]
        threads += [threading.Thread(target=lambda: asyncio.run(in_loop())) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.get(("u",), "k").value == {"n": 120}

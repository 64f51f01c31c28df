"""Contract section 10: sync and async callers, threads and event loops, one or many at once."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from langgraph.store.base import BaseStore

from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import Caller, OpenRaw, OpenStore, SuiteBase, index_of, keys, needs


class Calling(SuiteBase):
    """Who may call a store, from where, and how many at once."""

    def test_it_is_a_base_store(self, open_raw: OpenRaw) -> None:
        """LangGraph recognises the store as one of its own."""
        assert isinstance(open_raw(), BaseStore)

    @needs("any_loop")
    def test_sync_and_async_see_the_same_items(self, open_raw: OpenRaw) -> None:
        """What one way of calling wrote, the other reads."""
        store = open_raw()
        store.put(("c",), "sync", {"n": 1})

        async def main() -> Any:
            await store.aput(("c",), "async", {"n": 2})
            return await store.aget(("c",), "sync")

        assert asyncio.run(main()).value == {"n": 1}
        assert store.get(("c",), "async").value == {"n": 2}

    @needs("any_loop")
    def test_event_loops_in_turn(self, open_raw: OpenRaw) -> None:
        """One object outlives the loops it is used in."""
        store = open_raw()
        for n in range(4):
            asyncio.run(store.aput(("c",), str(n), {"n": n}))
            assert asyncio.run(store.aget(("c",), str(n))).value == {"n": n}
        assert len(asyncio.run(store.asearch(("c",)))) == 4

    @needs("any_loop")
    def test_event_loops_at_once(self, open_raw: OpenRaw) -> None:
        """Loops in several threads use one object at the same time, with a model too."""
        store = open_raw(index=index_of(HashEmbeddings()))
        barrier = threading.Barrier(4)
        failures: list[BaseException] = []

        async def main(thread: int) -> None:
            barrier.wait(10)
            for _ in range(3):
                await asyncio.gather(
                    *(store.aput(("c", str(thread)), str(n), {"text": f"tea {thread} {n}"}) for n in range(25))
                )
                found = await asyncio.gather(*(store.aget(("c", str(thread)), str(n)) for n in range(25)))
                assert [item.value["text"] for item in found] == [f"tea {thread} {n}" for n in range(25)]
                assert len(await store.asearch(("c", str(thread)), query="tea", limit=100)) == 25

        def run(thread: int) -> None:
            try:
                asyncio.run(main(thread))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(store.search(("c",), limit=1_000)) == 100

    @needs("any_loop")
    def test_sync_calls_inside_a_running_loop(self, open_raw: OpenRaw) -> None:
        """A sync call from a coroutine works, between async ones."""
        store = open_raw()

        async def main() -> list[str]:
            await store.aput(("c",), "one", {"n": 1})
            store.put(("c",), "two", {"n": 2})
            await store.aput(("c",), "three", {"n": 3})
            return keys(store.search(("c",)))

        assert set(asyncio.run(main())) == {"one", "two", "three"}

    @needs("any_loop")
    def test_an_object_made_inside_a_loop(self, open_raw: OpenRaw) -> None:
        """Where the object was made does not matter, nor in which thread."""

        async def make() -> Any:
            store = open_raw()
            await store.aput(("c",), "k", {"n": 1})
            return store

        store = asyncio.run(make())
        assert store.get(("c",), "k").value == {"n": 1}
        threads = [threading.Thread(target=store.put, args=(("c",), str(n), {"n": n})) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.search(("c",))) == 4

    @needs("any_loop")
    def test_many_calls_at_once(self, store: Caller) -> None:
        """A thousand writes and reads at once all succeed, and each gets its own answer."""
        count = 1_000
        assert store.together([("put", ("c", str(n % 10)), str(n), {"n": n}) for n in range(count)]) == [None] * count
        items = store.together([("get", ("c", str(n % 10)), str(n)) for n in range(count)])
        assert [item.value["n"] for item in items] == list(range(count))
        mixed = store.together(
            [
                ("delete", ("c", str(n % 10)), str(n)) if n % 2 else ("get", ("c", str(n % 10)), str(n))
                for n in range(count)
            ]
        )
        assert [item.value["n"] for item in mixed[::2]] == list(range(0, count, 2))
        assert len(store.search(("c",), limit=count)) == count // 2

    @needs("any_loop", "strict_addresses", "filters")
    def test_a_wrong_call_harms_no_other(self, store: Caller) -> None:
        """Of many calls at once, the wrong ones raise, and only they."""
        calls: list[tuple[Any, ...]] = [("put", ("c",), str(n), {"n": n}) for n in range(30)]
        calls[3] = ("put", ("c",), "bad", {"n": object()})
        calls[11] = ("put", ("c.d",), "bad", {"n": 1})
        calls[20] = ("batch", ["no op"])
        results = store.together(calls)
        assert [n for n, result in enumerate(results) if isinstance(result, ValueError)] == [3, 11, 20]
        assert len(store.search(("c",), limit=100)) == 27

    @needs("any_loop")
    def test_a_cancelled_call_harms_no_other(self, open_raw: OpenRaw) -> None:
        """Cancelling one coroutine leaves the others, and the store, as they are."""
        store = open_raw()

        async def main() -> None:
            tasks = [asyncio.create_task(store.aput(("c",), str(n), {"n": n})) for n in range(50)]
            await asyncio.sleep(0)
            for task in tasks[::5]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for n, result in enumerate(results):
                assert result is None or (n % 5 == 0 and isinstance(result, asyncio.CancelledError))
            found = await asyncio.gather(*(store.aget(("c",), str(n)) for n in range(50)))
            assert all(found[n] for n in range(50) if n % 5)
            # A cancelled put happened, or did not; it is never half there.
            assert {item.key for item in await store.asearch(("c",), limit=100)} == {item.key for item in found if item}
            await store.aput(("c",), "after", {"n": 1})

        asyncio.run(main())
        assert store.get(("c",), "after") is not None

    @needs("any_loop", "semantic")
    def test_the_event_loop_is_not_blocked(self, open_raw: OpenRaw) -> None:
        """While a sync model thinks, other tasks of the loop go on."""
        go_on = threading.Event()
        waited: list[bool] = []

        def embed(texts: list[str]) -> list[list[float]]:
            waited.append(go_on.wait(10))
            return HashEmbeddings().embed_documents(texts)

        store = open_raw(index=index_of(embed))

        async def main() -> None:
            async def others() -> None:
                await asyncio.sleep(0.01)
                go_on.set()

            await asyncio.gather(store.aput(("c",), "k", {"text": "tea"}), others())
            go_on.clear()
            await asyncio.gather(store.asearch(("c",), query="tea"), others())

        asyncio.run(main())
        assert waited
        assert all(waited)

    @needs("any_loop", "semantic")
    def test_nothing_is_locked_while_a_model_thinks(self, open_store: OpenStore) -> None:
        """Other threads read and write while a text is being embedded."""
        done: list[str] = []

        def embed(texts: list[str]) -> list[list[float]]:
            if "slow" in texts:

                def others() -> None:
                    store.store.put(("c",), "plain", {"n": 1})
                    assert store.store.get(("c",), "plain")
                    store.store.put(("c",), "fast", {"text": "fast"})
                    done.append("others")

                thread = threading.Thread(target=others)
                thread.start()
                thread.join(10)
                done.append("slow")
            return HashEmbeddings().embed_documents(texts)

        store = open_store(index=index_of(embed))
        store.put(("c",), "slow", {"text": "slow"})
        assert done == ["others", "slow"]
        assert set(keys(store.search(("c",)))) == {"plain", "fast", "slow"}

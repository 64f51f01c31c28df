"""Defects that were found once: each had to fail before it was mended, on whichever engine had it."""

from __future__ import annotations

import asyncio
import enum
import threading
from typing import Any

import pytest
from langgraph.store.base import PutOp

from crossthread.errors import EmbeddingError, StoreClosedError
from crossthread.testing.clock import ManualClock
from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import Caller, OpenRaw, OpenStore, SuiteBase, index_of


class Colour(str, enum.Enum):
    """Text whose str() and format() say something else than its characters."""

    RED = "red"


class Reported(SuiteBase):
    """What users of other releases, reviewers and fuzzers ran into."""

    def test_an_enum_label_is_its_text(self, store: Caller) -> None:
        """A label that is a subclass of str means its characters, also when it is the first of its kind."""
        store.put((Colour.RED, "x"), "k", {"n": 1})
        assert store.list_namespaces() == [("red", "x")]
        assert store.get(("red", "x"), "k").value == {"n": 1}
        assert type(store.search(("red",))[0].namespace[0]) is str

    def test_update_finds_what_put_wrote_under_an_odd_key(self, store: Caller) -> None:
        """BaseStore makes text of keys by str(); update() does so too."""
        for key in (Colour.RED, 7, None):
            store.put(("k",), key, {"n": 1})
            assert store.update(("k",), key, lambda value: {"n": value["n"] + 1}).value == {"n": 2}

    @pytest.mark.parametrize(
        "filter_",
        [
            {"$or": [{"n": i} for i in range(1500)]},
            {"$and": [{"n": {"$ne": -i - 1}} for i in range(1500)]},
            {f"field{i}": None for i in range(1500)} | {"n": 7},
            {"$or": [{f"f{i}": {"$in": [str(j) for j in range(100)]}} for i in range(90)] + [{"n": 7}]},
        ],
        ids=["or", "and", "fields", "parameters"],
    )
    def test_a_filter_may_be_large(self, store: Caller, filter_: dict[str, Any]) -> None:
        """No database's limit on expressions or parameters reaches the caller."""
        store.put(("f",), "k", {"n": 7})
        assert [item.key for item in store.search(("f",), filter=filter_)] == ["k"]

    @pytest.mark.parametrize("minutes", [1e305, 10**400, 1e18])
    def test_a_life_beyond_every_calendar(self, timed: Caller, minutes: float) -> None:
        """Any positive duration is allowed; a very long one does not end."""
        timed.put(("t",), "k", {"n": 1}, ttl=minutes)
        assert timed.get(("t",), "k") is not None

    def test_the_same_text_scores_one(self, memories: Caller) -> None:
        """A text found by itself scores exactly 1.0, so that min_score=1.0 finds it."""
        for i in range(50):
            text = f"sentence number {i} about something else"
            memories.put(("s",), "k", {"text": text})
            assert [hit.score for hit in memories.search(("s",), query=text, min_score=1.0)] == [1.0]

    @pytest.mark.parametrize("answer", [{0: [1.0]}, {1.0}, "text", None, 3, [[10**400]], [["1"]]], ids=repr)
    def test_odd_answers_of_an_embedder(self, open_store: OpenStore, answer: Any) -> None:
        """What is no list of vectors is an EmbeddingError, and nothing is written."""
        store = open_store(index=index_of(lambda texts: answer, dims=1))
        with pytest.raises(EmbeddingError):
            store.put(("e",), "k", {"text": "tea"})
        assert store.get(("e",), "k") is None

    def test_an_embedder_that_raises_stop_iteration(self, open_store: OpenStore) -> None:
        """It ends in an error, not in waiting for ever."""

        def embed(texts: list[str]) -> list[list[float]]:
            raise StopIteration

        store = open_store(index=index_of(embed))
        with pytest.raises(EmbeddingError):
            store.put(("e",), "k", {"text": "tea"})

    def test_many_updates_of_one_item_take_turns(self, open_raw: OpenRaw) -> None:
        """Five hundred updates at once call the function about as often, not thousands of times."""
        store = open_raw()
        calls = []

        def change(value: dict[str, Any]) -> dict[str, Any]:
            calls.append(value["n"])
            return {"n": value["n"] + 1}

        async def main() -> None:
            await asyncio.gather(*[store.aupdate(("u",), "k", change, default={"n": 0}) for _ in range(500)])

        asyncio.run(main())
        assert store.get(("u",), "k").value == {"n": 500}
        assert len(calls) < 1000

    def test_a_cancelled_update_lets_the_others_go_on(self, open_raw: OpenRaw) -> None:
        """Cancelling the one whose turn it is, or one that waits, blocks nobody."""
        store = open_raw()

        async def main() -> None:
            entered = asyncio.Event()

            async def slow(value: dict[str, Any]) -> dict[str, Any]:
                entered.set()
                await asyncio.sleep(60)
                return value

            first = asyncio.create_task(store.aupdate(("u",), "k", slow, default={}))
            await entered.wait()
            others = [
                asyncio.create_task(store.aupdate(("u",), "k", lambda value: {"n": value.get("n", 0) + 1}, default={}))
                for _ in range(5)
            ]
            await asyncio.sleep(0)
            others[0].cancel()
            first.cancel()
            done = await asyncio.wait_for(asyncio.gather(*others[1:]), 10)
            assert [item.value["n"] for item in done] == [1, 2, 3, 4]

        asyncio.run(main())

    def test_callers_that_fail_together_get_errors_of_their_own(self, open_raw: OpenRaw) -> None:
        """No exception object is shared, or tracebacks of strangers would be mixed."""
        store = open_raw(index=index_of(lambda texts: [[1.0, 2.0] for _ in texts], dims=2))
        store.put(("e",), "k", {"text": "tea"})

        async def main() -> list[Any]:
            puts = [store.aput(("e",), str(i), {"x": {1}}) for i in range(50)]
            return await asyncio.gather(*puts, return_exceptions=True)

        errors = asyncio.run(main())
        assert len({id(error) for error in errors}) == 50

    def test_nothing_starts_after_close(self, open_raw: OpenRaw) -> None:
        """The sweeper, and an empty batch, are refused like any other call."""
        store = open_raw()
        store.close()
        for call in (store.start_ttl_sweeper, lambda: store.batch([]), lambda: store.update(("u",), "k", dict)):
            with pytest.raises(StoreClosedError):
                call()

    @pytest.mark.parametrize("interval", [-1, "soon", 1e300])
    def test_a_sweep_interval_that_was_spoilt_later(self, open_raw: OpenRaw, interval: Any) -> None:
        """Changing ttl_config to nonsense neither stops the sweeper's thread nor lets it run hot."""
        store = open_raw(ttl={"sweep_interval_minutes": 60})
        swept = []

        def sweep() -> int:
            swept.append(1)
            return 0

        store.sweep_ttl = sweep
        store.ttl_config["sweep_interval_minutes"] = interval
        store.stop_ttl_sweeper()
        running = store.start_ttl_sweeper()
        threading.Event().wait(0.05)
        assert not running.done()
        assert not swept
        assert store.stop_ttl_sweeper()

    def test_the_loop_is_not_blocked_by_a_large_batch(self, open_raw: OpenRaw) -> None:
        """While twenty thousand puts are checked and stored, other tasks of the loop go on."""
        store = open_raw(index=index_of(HashEmbeddings()))
        ops = [PutOp(("b", str(i % 10)), str(i), {"text": f"note {i % 50}"}) for i in range(20_000)]

        async def main() -> int:
            beats = 0
            batch = asyncio.create_task(store.abatch(ops))
            while not batch.done():
                await asyncio.sleep(0.001)
                beats += 1
            await batch
            return beats

        assert asyncio.run(main()) > 20
        assert store.count() == 20_000

    def test_a_life_that_ended_is_not_renewed(self, timed: Caller, clock: ManualClock) -> None:
        """What was read at the last moment and renewed too late stays gone."""
        timed.put(("t",), "k", {"n": 1}, ttl=1)
        clock.advance(minutes=1, microseconds=-1)
        assert timed.get(("t",), "k", refresh_ttl=False) is not None
        clock.advance(microseconds=1)
        assert timed.get(("t",), "k") is None
        assert timed.get(("t",), "k") is None

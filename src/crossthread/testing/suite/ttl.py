"""Contract section 8: items that expire, reads that keep them alive, and the sweeper."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from langgraph.store.base import GetOp, ListNamespacesOp, PutOp, SearchOp

from crossthread.testing.clock import ManualClock
from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import Caller, OpenRaw, OpenStore, SuiteBase, index_of, keys, needs

_MINUTE_US = 60_000_000


class TimeToLive(SuiteBase):
    """Time to live."""

    @needs("ttl", "clock")
    @pytest.mark.parametrize("minutes", [1, 2.5, 0.001, 100_000])
    def test_an_item_expires_to_the_microsecond(self, timed: Caller, clock: ManualClock, minutes: float) -> None:
        """ttl= works without settings: the item lives for exactly its minutes, then it is gone for every read."""
        timed.put(("t",), "k", {"n": 1}, ttl=minutes)
        timed.put(("t",), "stays", {"n": 1})
        clock.advance(microseconds=round(minutes * _MINUTE_US) - 1)
        assert timed.get(("t",), "k", refresh_ttl=False).value == {"n": 1}
        assert keys(timed.search(("t",), refresh_ttl=False)) == ["stays", "k"]
        clock.advance(microseconds=1)
        assert timed.get(("t",), "k", refresh_ttl=False) is None
        assert timed.get(("t",), "k") is None
        assert keys(timed.search(("t",))) == ["stays"]
        assert keys(timed.search(("t",), filter={"n": 1})) == ["stays"]
        got, hits = timed.batch([GetOp(("t",), "k"), SearchOp(("t",))])
        assert got is None
        assert keys(hits) == ["stays"]

    @needs("ttl", "clock")
    def test_an_expired_item_is_gone_for_lists(self, timed: Caller, clock: ManualClock) -> None:
        """A namespace whose items have all expired is not listed."""
        timed.put(("t", "gone"), "k", {"n": 1}, ttl=1)
        timed.put(("t", "here"), "k", {"n": 1}, ttl=2)
        clock.advance(minutes=1)
        assert timed.list_namespaces() == [("t", "here")]
        assert timed.batch([ListNamespacesOp()]) == [[("t", "here")]]

    @needs("ttl", "clock", "semantic")
    def test_an_expired_item_is_no_hit(self, open_store: OpenStore, clock: ManualClock) -> None:
        """Expired items take no place in a semantic search."""
        store = open_store(clock=clock, index=index_of(HashEmbeddings()))
        store.batch([PutOp(("t",), f"gone {n}", {"text": "green tea"}, ttl=1) for n in range(20)])
        store.put(("t",), "here", {"text": "old trains"}, ttl=2)
        clock.advance(minutes=1)
        assert keys(store.search(("t",), query="green tea", limit=1)) == ["here"]

    @needs("ttl", "clock")
    def test_zero_expires_at_once(self, timed: Caller) -> None:
        """A ttl of 0 is over as soon as it is written, and replaces what was there."""
        timed.put(("t",), "k", {"n": 1})
        timed.put(("t",), "k", {"n": 2}, ttl=0)
        assert timed.get(("t",), "k") is None
        assert timed.list_namespaces() == []

    @needs("ttl")
    @pytest.mark.parametrize("ttl", [-1, -0.001, float("nan"), True, "5", [1]], ids=repr)
    def test_a_ttl_that_makes_no_sense(self, store: Caller, ttl: Any) -> None:
        """A negative ttl, or one that is no number, raises ValueError, in batch too, and nothing is written."""
        with pytest.raises(ValueError, match="ttl"):
            store.put(("t",), "k", {"n": 1}, ttl=ttl)
        with pytest.raises(ValueError, match="ttl"):
            store.batch([PutOp(("t",), "l", {"n": 1}), PutOp(("t",), "k", {"n": 1}, ttl=ttl)])
        assert store.search(()) == []

    @needs("ttl", "clock")
    @pytest.mark.parametrize("read", ["get", "search", "query", "batch get", "batch search"])
    def test_a_read_refreshes(self, open_store: OpenStore, clock: ManualClock, read: str) -> None:
        """A read starts an item's time anew, as often as it happens, also with a very short ttl."""
        store = open_store(clock=clock, index=index_of(HashEmbeddings()) if read == "query" else None)
        reads: dict[str, Any] = {
            "get": lambda: store.get(("t",), "k"),
            "search": lambda: store.search(("t",)),
            "query": lambda: store.search(("t",), query="green tea"),
            "batch get": lambda: store.batch([GetOp(("t",), "k")])[0],
            "batch search": lambda: store.batch([SearchOp(("t",))])[0],
        }
        ttl = 0.001
        store.put(("t",), "k", {"text": "green tea"}, ttl=ttl)
        for _ in range(4):
            clock.advance(microseconds=59_999)
            assert reads[read]()
        clock.advance(microseconds=60_000)
        assert not reads[read]()

    @needs("ttl", "clock")
    @pytest.mark.parametrize("default", [True, False, None])
    @pytest.mark.parametrize("given", [True, False, None])
    @pytest.mark.parametrize("read", ["get", "search"])
    def test_who_decides_about_refreshing(
        self, open_store: OpenStore, clock: ManualClock, default: bool | None, given: bool | None, read: str
    ) -> None:
        """refresh_ttl= of the call decides, else refresh_on_read of the store, else it is true."""
        store = open_store(clock=clock, **({} if default is None else {"ttl": {"refresh_on_read": default}}))
        store.put(("t",), "k", {"n": 1}, ttl=10)
        clock.advance(minutes=6)
        assert store.get(("t",), "k", refresh_ttl=given) if read == "get" else store.search(("t",), refresh_ttl=given)
        clock.advance(minutes=6)
        refreshed = given if given is not None else default is not False
        assert (store.get(("t",), "k", refresh_ttl=False) is not None) == refreshed

    @needs("ttl", "clock", "newest_first")
    def test_a_refresh_touches_only_what_came_back(self, timed: Caller, clock: ManualClock) -> None:
        """Items that a search matched but did not return, or that were filtered out, are not refreshed."""
        timed.batch([PutOp(("t",), key, {"n": n}, ttl=10) for n, key in enumerate("abcd")])
        clock.advance(minutes=6)
        assert keys(timed.search(("t",), limit=1, offset=1)) == ["c"]
        assert keys(timed.search(("t",), filter={"n": 0})) == ["a"]
        clock.advance(minutes=6)
        assert keys(timed.search(("t",), refresh_ttl=False)) == ["c", "a"]

    @needs("ttl", "clock")
    def test_ops_of_one_batch_refresh_apart(self, timed: Caller, clock: ManualClock) -> None:
        """In a batch, each op's refresh_ttl holds for the items of that op alone."""
        timed.batch([PutOp(("t", key), key, {"n": 1}, ttl=10) for key in "abcd"])
        clock.advance(minutes=6)
        timed.batch(
            [
                GetOp(("t", "a"), "a", refresh_ttl=True),
                GetOp(("t", "b"), "b", refresh_ttl=False),
                SearchOp(("t", "c"), refresh_ttl=True),
                SearchOp(("t", "d"), refresh_ttl=False),
            ]
        )
        clock.advance(minutes=6)
        assert set(keys(timed.search(("t",), refresh_ttl=False))) == {"a", "c"}

    @needs("ttl", "clock")
    def test_a_refresh_moves_no_time_and_no_order(self, timed: Caller, clock: ManualClock) -> None:
        """Refreshing changes neither the times of an item nor the order of a search."""
        timed.put(("t",), "a", {"n": 1}, ttl=10)
        timed.put(("t",), "b", {"n": 1}, ttl=10)
        before = timed.search(("t",))
        clock.advance(minutes=1)
        timed.get(("t",), "a")
        assert timed.search(("t",)) == before

    @needs("ttl", "clock")
    def test_a_read_and_a_write_in_one_batch(self, timed: Caller, clock: ManualClock) -> None:
        """A write decides an item's time to live, also when its batch reads the item; reads beside writes refresh."""
        timed.batch([PutOp(("t", key), key, {"n": 1}, ttl=10) for key in ("k", "got", "found", "left")])
        clock.advance(minutes=6)
        timed.batch(
            [
                GetOp(("t", "k"), "k"),
                GetOp(("t", "got"), "got"),
                SearchOp(("t", "found")),
                PutOp(("t", "k"), "k", {"n": 2}, ttl=1),
            ]
        )
        clock.advance(minutes=1)
        assert timed.get(("t", "k"), "k") is None
        clock.advance(minutes=5)
        assert set(keys(timed.search(("t",), refresh_ttl=False))) == {"got", "found"}

    @needs("ttl", "clock")
    def test_the_default_ttl(self, open_store: OpenStore, clock: ManualClock) -> None:
        """A put without ttl takes the default, one with None lives for ever, one with a number has its own."""
        store = open_store(clock=clock, ttl={"default_ttl": 10, "refresh_on_read": False})
        store.put(("t",), "default", {"n": 1})
        store.put(("t",), "never", {"n": 1}, ttl=None)
        store.put(("t",), "own", {"n": 1}, ttl=20)
        store.put(("t",), "was own", {"n": 1}, ttl=20)
        store.put(("t",), "was own", {"n": 2})
        store.put(("t",), "was never", {"n": 1}, ttl=None)
        store.put(("t",), "was never", {"n": 2})
        clock.advance(minutes=10)
        assert set(keys(store.search(("t",)))) == {"never", "own"}
        clock.advance(minutes=10)
        assert keys(store.search(("t",))) == ["never"]

    @needs("ttl", "clock")
    def test_a_put_without_ttl_ends_an_earlier_one(self, timed: Caller, clock: ManualClock) -> None:
        """Without a default, a put without ttl makes an item live for ever."""
        timed.put(("t",), "k", {"n": 1}, ttl=1)
        timed.put(("t",), "k", {"n": 2})
        clock.advance(minutes=1_000_000)
        assert timed.get(("t",), "k").value == {"n": 2}

    @needs("ttl", "clock")
    def test_a_changed_ttl_config_takes_effect(self, open_store: OpenStore, clock: ManualClock) -> None:
        """The settings in ttl_config may be changed, or given later, while the store is open."""
        store = open_store(clock=clock, ttl={"default_ttl": 10})
        store.store.ttl_config["default_ttl"] = 1
        store.store.ttl_config["refresh_on_read"] = False
        store.put(("t",), "k", {"n": 1})
        clock.advance(minutes=0.5)
        assert store.get(("t",), "k")
        clock.advance(minutes=0.5)
        assert store.get(("t",), "k") is None
        store.store.ttl_config["omit_expired"] = False
        assert store.get(("t",), "k").value == {"n": 1}
        store.store.ttl_config = {"default_ttl": 3}
        store.put(("t",), "l", {"n": 1})
        clock.advance(minutes=3)
        assert store.search(("t",)) == []

    @needs("ttl", "clock")
    def test_expired_items_can_be_shown(self, open_store: OpenStore, clock: ManualClock) -> None:
        """With omit_expired false, an expired item stays visible until it is swept."""
        store = open_store(clock=clock, ttl={"omit_expired": False, "refresh_on_read": False})
        store.put(("t",), "k", {"n": 1}, ttl=1)
        clock.advance(minutes=5)
        assert store.get(("t",), "k").value == {"n": 1}
        assert keys(store.search(("t",))) == ["k"]
        assert store.list_namespaces() == [("t",)]
        assert store.sweep_ttl() == 1
        assert store.get(("t",), "k") is None
        assert store.list_namespaces() == []

    @needs("ttl", "clock")
    def test_a_sweep_counts_what_it_deletes(self, timed: Caller, clock: ManualClock) -> None:
        """sweep_ttl returns exactly how many items it deleted; nothing else deletes expired ones."""
        assert timed.sweep_ttl() == 0
        timed.batch([PutOp(("t",), str(n), {"n": n}, ttl=1) for n in range(7)])
        timed.batch([PutOp(("t",), f"later {n}", {"n": n}, ttl=2) for n in range(3)])
        timed.put(("t",), "stays", {"n": 1})
        assert timed.sweep_ttl() == 0
        clock.advance(minutes=1)
        timed.put(("t",), "another", {"n": 1})
        timed.search(("t",))
        timed.get(("t",), "0")
        timed.list_namespaces()
        assert timed.sweep_ttl() == 7
        assert timed.sweep_ttl() == 0
        assert len(timed.search(("t",), limit=100, refresh_ttl=False)) == 5
        clock.advance(minutes=2)
        assert timed.sweep_ttl() == 3
        assert set(keys(timed.search(("t",)))) == {"stays", "another"}

    @needs("ttl", "clock")
    def test_an_expired_item_can_be_written_again(self, timed: Caller, clock: ManualClock) -> None:
        """A put on the address of an expired item, swept or not, makes a new item that lives its own time."""
        for sweep in (False, True):
            timed.put(("t",), "k", {"n": 1}, ttl=1)
            clock.advance(minutes=1)
            if sweep:
                assert timed.sweep_ttl() == 1
            timed.put(("t",), "k", {"n": 2})
            clock.advance(minutes=5)
            item = timed.get(("t",), "k")
            assert item.value == {"n": 2}
            assert item.created_at == item.updated_at
            timed.delete(("t",), "k")

    @needs("ttl", "clock", "semantic")
    def test_a_sweep_takes_the_vectors_along(self, open_store: OpenStore, clock: ManualClock) -> None:
        """After a sweep and a re-use of the key, no old vector is found."""
        store = open_store(clock=clock, index=index_of(HashEmbeddings()))
        store.put(("t",), "k", {"text": "green tea"}, ttl=1)
        clock.advance(minutes=1)
        assert store.sweep_ttl() == 1
        store.put(("t",), "k", {"text": "green tea"}, index=False)
        assert store.search(("t",), query="green tea") == []

    @needs("ttl", "clock", "reopening", "closing")
    def test_times_to_live_survive_a_restart(self, open_store: OpenStore, clock: ManualClock) -> None:
        """A store opened again expires what was due, and refreshes by the item's own ttl."""
        first = open_store(clock=clock)
        first.put(("t",), "short", {"n": 1}, ttl=1)
        first.put(("t",), "long", {"n": 1}, ttl=10)
        first.close()
        clock.advance(minutes=6)
        store = open_store(clock=clock)
        assert keys(store.search(("t",))) == ["long"]
        clock.advance(minutes=6)
        assert keys(store.search(("t",))) == ["long"]
        assert store.sweep_ttl() == 1

    @needs("ttl")
    def test_langgraph_is_told(self, open_raw: OpenRaw) -> None:
        """supports_ttl is true, so that BaseStore lets ttl= through."""
        assert open_raw().supports_ttl is True

    @needs("ttl", "clock", "closing")
    def test_the_sweeper_runs_by_itself(self, open_raw: OpenRaw, clock: ManualClock) -> None:
        """With sweep_interval_minutes, a fraction of one too, expired items go away, and close() ends the thread."""
        threads = set(threading.enumerate())
        store = open_raw(clock=clock, ttl={"sweep_interval_minutes": 0.0005, "omit_expired": False})
        store.put(("t",), "k", {"n": 1}, ttl=0)
        _wait_until(lambda: store.get(("t",), "k", refresh_ttl=False) is None)
        store.close()
        _wait_until(lambda: set(threading.enumerate()) <= threads)

    @needs("ttl", "clock", "closing")
    def test_the_sweeper_can_be_started_and_stopped(self, open_raw: OpenRaw, clock: ManualClock) -> None:
        """start_ttl_sweeper and stop_ttl_sweeper may each be called twice, and in turn."""
        store = open_raw(clock=clock, ttl={"omit_expired": False})
        assert store.stop_ttl_sweeper() is True
        for _ in range(2):
            first = store.start_ttl_sweeper(sweep_interval_minutes=0.0005)
            second = store.start_ttl_sweeper(sweep_interval_minutes=0.0005)
            store.put(("t",), "k", {"n": 1}, ttl=0)
            _wait_until(lambda: store.get(("t",), "k", refresh_ttl=False) is None)
            assert store.stop_ttl_sweeper(timeout=5) is True
            assert store.stop_ttl_sweeper(timeout=5) is True
            assert first.done()
            assert second.done()
        store.put(("t",), "k", {"n": 1}, ttl=0)
        assert store.get(("t",), "k", refresh_ttl=False) is not None

    @needs("ttl", "strict_settings")
    @pytest.mark.parametrize(
        ("settings", "named"),
        [
            ({"default_tll": 5}, "default_tll"),
            ({"default_ttl": -1}, "default_ttl"),
            ({"default_ttl": "5"}, "default_ttl"),
            ({"sweep_interval_minutes": -1}, "sweep_interval_minutes"),
            ({"refresh_on_read": "yes"}, "refresh_on_read"),
        ],
        ids=repr,
    )
    def test_ttl_settings_that_cannot_be_used(self, open_raw: OpenRaw, settings: dict[str, Any], named: str) -> None:
        """An unknown key or a value of no use in ttl= is an error that names it."""
        with pytest.raises(ValueError, match=named):
            open_raw(ttl=settings)


def _wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "waited for too long"
        time.sleep(0.005)

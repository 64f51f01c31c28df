"""Clocks that are wrong: set back or forward an hour while a store is open, and different ones of two stores."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import PutOp

from crossthread import MemoryStore
from crossthread.testing import HashEmbeddings, ManualClock
from servers import store_url

ADA = ("memories", "ada")
INDEX: Any = {"embed": HashEmbeddings(dims=8), "dims": 8, "fields": ["text"], "mode": "hybrid"}
PLACES = ["memory", "file", "server"]
SHARED = PLACES[1:]


def open_at(place: str, tmp_path: Path, clock: ManualClock, **settings: Any) -> MemoryStore:
    where = {"memory": ":memory:", "file": tmp_path / "agent.db"}.get(place) or store_url(tmp_path)
    return MemoryStore(where, index=INDEX, clock=clock, **settings)


def check_order(store: MemoryStore, written: list[str]) -> None:
    """What was written is found newest first, and each write is later than the one before."""
    latest = list(dict.fromkeys(reversed(written)))
    found = store.search(ADA, limit=1000, refresh_ttl=False)
    assert [item.key for item in found] == latest
    assert all(later.updated_at > earlier.updated_at for later, earlier in pairwise(found))
    assert all(item.created_at <= item.updated_at for item in found)
    assert store.verify().problems == ()


@pytest.mark.parametrize("place", PLACES)
def test_order_and_content_stay_while_the_clock_jumps(tmp_path, place):
    clock = ManualClock()
    written: list[str] = []
    with open_at(place, tmp_path, clock) as store:
        for jump in (0, -60, 1, 60, 60, -60, -180, 5, 0):
            clock.advance(minutes=jump)
            for key in ("a", "b", f"{len(written)}", "a"):
                before = store.get(ADA, key)
                store.put(ADA, key, {"text": f"tea {key}", "n": len(written)})
                written.append(key)
                now = store.get(ADA, key)
                assert now.value["n"] == len(written) - 1
                if before is not None:
                    assert now.created_at == before.created_at
                    assert now.updated_at > before.updated_at
            store.batch([PutOp(ADA, key, {"text": f"roses {key}"}) for key in "cde"])
            written += "cde"
            store.update(ADA, "count", lambda value: {"n": value["n"] + 1}, default={"n": 0})
            written.append("count")
            check_order(store, written)
            # What was written last is found by its words and its meaning, whatever the clock says.
            store.put(ADA, "last", {"text": f"train {len(written)}"})
            written.append("last")
            for mode in ("keyword", "semantic", "hybrid"):
                assert store.search(ADA, query=f"train {len(written) - 1}", mode=mode, limit=1)[0].key == "last"
        assert store.get(ADA, "count").value == {"n": 9}


@pytest.mark.parametrize("place", PLACES)
def test_a_life_is_measured_by_the_clock_as_it_is(tmp_path, place):
    """A clock that is set back prolongs lives by as much, one that is set forward shortens them."""
    clock = ManualClock()
    with open_at(place, tmp_path, clock, ttl={"refresh_on_read": False}) as store:
        store.put(ADA, "for ever", {"text": "tea"})
        store.put(ADA, "brief", {"text": "tea"}, ttl=10)
        clock.advance(minutes=-60)
        store.put(ADA, "brief and later", {"text": "tea"}, ttl=10)
        assert store.sweep_ttl() == 0
        assert store.count() == 3
        clock.advance(minutes=10, microseconds=-1)
        assert store.count() == 3
        clock.advance(microseconds=1)
        assert {item.key for item in store.search(ADA)} == {"for ever", "brief"}
        assert store.sweep_ttl() == 1
        clock.advance(minutes=60)
        assert [item.key for item in store.search(ADA)] == ["for ever"]
        assert store.search(ADA, query="tea")[0].key == "for ever"
        assert len(store.search(ADA, query="tea")) == 1
        clock.advance(minutes=-60)
        store.put(ADA, "renewed", {"text": "tea"}, ttl=10)
        clock.advance(minutes=-60)
        assert store.get(ADA, "renewed", refresh_ttl=True)
        clock.advance(minutes=10)
        assert store.get(ADA, "renewed") is None
        store.put(ADA, "renewed", {"text": "new"})
        assert store.get(ADA, "renewed").created_at == store.get(ADA, "renewed").updated_at
        clock.advance(minutes=200)
        assert store.sweep_ttl() == 1  # "brief"
        assert {item.key for item in store.search(ADA)} == {"for ever", "renewed"}
        assert store.verify().problems == ()


@pytest.mark.parametrize("place", PLACES)
def test_the_sweeper_goes_on_while_the_clock_jumps(tmp_path, place):
    clock = ManualClock()
    with open_at(place, tmp_path, clock, ttl={"sweep_interval_minutes": 0.0005, "omit_expired": False}) as store:
        for jump in (-60, 60, -120, 180):
            store.put(ADA, "k", {"text": "tea"}, ttl=1)
            clock.advance(minutes=jump)
            clock.advance(minutes=-jump)
            clock.advance(minutes=1)
            deadline = time.monotonic() + 20
            while store.get(ADA, "k", refresh_ttl=False) is not None:
                assert time.monotonic() < deadline, "the sweeper stands still"
                time.sleep(0.01)


@pytest.mark.parametrize("place", SHARED)
def test_stores_with_different_clocks_keep_one_order(tmp_path, place):
    """Of two machines, or two containers with one file, one is an hour ahead."""
    clocks = [ManualClock(), ManualClock()]
    clocks[1].advance(minutes=60)
    stores = [open_at(place, tmp_path, clock) for clock in clocks]
    written: list[str] = []
    try:
        for n in range(24):
            store, other = stores[n % 2], stores[1 - n % 2]
            if n == 12:
                clocks[1].advance(minutes=-120)
            for key in ("shared", f"{n}"):
                store.put(ADA, key, {"text": f"tea {n}", "n": n})
                written.append(key)
                assert other.get(ADA, key).value["n"] == n
                (hit,) = other.search(ADA, query=f"tea {n}", mode="keyword", filter={"n": n}, limit=1)
                assert hit.value["n"] == n
            check_order(other, written)
            other.update(ADA, "count", lambda value: {"n": value["n"] + 1}, default={"n": 0})
            written.append("count")
            check_order(store, written)
        assert stores[0].get(ADA, "count").value == {"n": 24}
    finally:
        for store in stores:
            store.close()

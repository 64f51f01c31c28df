"""Contract section 4: when an item was made and last written, and that an update leaves nothing old behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from langgraph.store.base import PutOp

from crossthread.testing.clock import ManualClock
from crossthread.testing.suite.harness import Caller, OpenStore, SuiteBase, keys, needs


def _at(clock: ManualClock) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=clock())


class Times(SuiteBase):
    """Times of items, and replacing them."""

    def test_times_are_utc(self, store: Caller) -> None:
        """Both times are timezone-aware UTC and lie in the time of the call."""
        before = datetime.now(UTC)
        store.put(("a",), "k", {"n": 1})
        after = datetime.now(UTC)
        for item in (store.get(("a",), "k"), store.search(("a",))[0]):
            for time in (item.created_at, item.updated_at):
                assert time.utcoffset() == timedelta(0)
                assert before <= time <= after

    @needs("ordered_times")
    def test_an_update_keeps_created_at(self, store: Caller) -> None:
        """created_at survives updates; updated_at moves forward with each of them, however fast they come."""
        store.put(("a",), "k", {"n": 0})
        first = store.get(("a",), "k")
        times = [first.updated_at]
        for n in range(1, 50):
            store.put(("a",), "k", {"n": n})
            item = store.get(("a",), "k")
            assert item.created_at == first.created_at
            times.append(item.updated_at)
        assert all(earlier < later for earlier, later in pairwise(times))

    @needs("ordered_times")
    def test_reading_moves_no_time(self, store: Caller) -> None:
        """Neither get nor search changes an item's times."""
        store.put(("a",), "k", {"n": 0})
        before = store.get(("a",), "k")
        store.search(("a",))
        assert store.get(("a",), "k") == before

    @needs("ordered_times", "clock")
    def test_times_are_true_to_the_microsecond(self, timed: Caller, clock: ManualClock) -> None:
        """The times of an item are those of the clock, with microseconds."""
        clock.now_us += 123_457
        timed.put(("a",), "k", {"n": 0})
        created = _at(clock)
        clock.advance(microseconds=1)
        timed.put(("a",), "k", {"n": 1})
        for item in (timed.get(("a",), "k"), timed.search(("a",))[0]):
            assert item.created_at == created
            assert item.updated_at == created + timedelta(microseconds=1)

    @needs("ordered_times", "clock")
    def test_a_clock_that_stands_still(self, timed: Caller) -> None:
        """Even if the clock does not move, every put of an item carries a later time than the one before."""
        times = []
        for n in range(5):
            timed.put(("a",), "k", {"n": n})
            times.append(timed.get(("a",), "k").updated_at)
        assert len(set(times)) == 5
        assert times == sorted(times)

    @needs("ordered_times", "newest_first", "clock")
    def test_a_clock_that_steps_back(self, timed: Caller, clock: ManualClock) -> None:
        """A clock set back does not reorder memories: no later write carries an earlier updated_at."""
        timed.put(("a",), "one", {"n": 1})
        clock.advance(minutes=-60)
        timed.put(("a",), "two", {"n": 2})
        clock.advance(minutes=-60)
        timed.batch([PutOp(("a",), "three", {"n": 3}), PutOp(("b",), "four", {"n": 4})])
        timed.put(("a",), "one", {"n": 5})
        hits = timed.search(())
        assert keys(hits) == ["one", "four", "three", "two"]
        times = [hit.updated_at for hit in hits]
        assert times == sorted(times, reverse=True)
        assert hits[0].updated_at > hits[0].created_at
        assert all(hit.created_at <= hit.updated_at for hit in hits)

    @needs("ordered_times", "newest_first", "clock", "reopening", "closing")
    def test_a_clock_that_stepped_back_while_the_store_was_closed(
        self, open_store: OpenStore, clock: ManualClock
    ) -> None:
        """The order of writes survives a restart with a clock that is behind."""
        store = open_store(clock=clock)
        store.put(("a",), "one", {"n": 1})
        first = store.get(("a",), "one").updated_at
        store.close()
        clock.advance(minutes=-60)
        store = open_store(clock=clock)
        store.put(("a",), "two", {"n": 2})
        assert keys(store.search(("a",))) == ["two", "one"]
        assert store.get(("a",), "two").updated_at >= first

    @needs("ordered_times", "clock")
    def test_a_deleted_item_starts_anew(self, timed: Caller, clock: ManualClock) -> None:
        """A key that was deleted and is used again has a new created_at."""
        timed.put(("a",), "k", {"n": 0})
        timed.delete(("a",), "k")
        clock.advance(minutes=1)
        timed.put(("a",), "k", {"n": 1})
        item = timed.get(("a",), "k")
        assert item.created_at == item.updated_at == _at(clock)

    @needs("semantic", "fresh_vectors")
    def test_index_false_removes_the_vectors(self, memories: Caller) -> None:
        """An update with index=False leaves no vector of the earlier value."""
        memories.put(("a",), "k", {"text": "green tea"})
        memories.put(("a",), "k", {"text": "green tea"}, index=False)
        assert memories.search(("a",), query="green tea") == []
        assert keys(memories.search(("a",))) == ["k"]
        memories.put(("a",), "k", {"text": "green tea"})
        assert keys(memories.search(("a",), query="green tea")) == ["k"]

    @needs("semantic", "fresh_vectors")
    def test_a_shrunken_list_keeps_no_vectors(self, memories: Caller) -> None:
        """Vectors of list elements that an update removed are gone; those that stayed still count."""
        index = ["notes[*]"]
        memories.put(("a",), "k", {"notes": ["green tea", "old trains", "red roses"]}, index=index)
        memories.put(("a",), "k", {"notes": ["red roses"]}, index=index)
        (hit,) = memories.search(("a",), query="green tea")
        assert hit.score < 0.5
        assert memories.search(("a",), query="red roses")[0].score > 0.99
        memories.put(("a",), "k", {"notes": []}, index=index)
        assert memories.search(("a",), query="red roses") == []

    @needs("semantic", "fresh_vectors")
    def test_a_deleted_key_leaves_no_vector(self, memories: Caller) -> None:
        """Delete and re-use of a key, apart or in one batch, bring no old vector back."""
        memories.put(("a",), "k", {"text": "green tea"})
        memories.delete(("a",), "k")
        assert memories.search(("a",), query="green tea") == []
        memories.put(("a",), "k", {"other": 1})
        assert memories.search(("a",), query="green tea") == []
        memories.put(("a",), "k", {"text": "green tea"})
        memories.batch([PutOp(("a",), "k", None), PutOp(("a",), "k", {"text": "old trains"})])
        (hit,) = memories.search(("a",), query="green tea")
        assert hit.score < 0.5

    @needs("semantic", "fresh_vectors")
    def test_an_update_has_the_vectors_of_its_value_only(self, memories: Caller) -> None:
        """After an update the earlier text is not found, nor after one that lacks the field or has it blank."""
        memories.put(("a",), "k", {"text": "green tea"})
        memories.put(("a",), "k", {"text": "old trains"})
        assert memories.search(("a",), query="green tea")[0].score < 0.5
        assert memories.search(("a",), query="old trains")[0].score > 0.99
        for value in ({"other": "x"}, {"text": None}, {"text": "  \n"}, {"text": ""}):
            memories.put(("a",), "k", {"text": "old trains"})
            memories.put(("a",), "k", value)
            assert memories.search(("a",), query="old trains") == []

"""Exports and imports: what comes back, what is left alone, what is refused, and what searches find afterwards."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from langgraph.store.base import InvalidNamespaceError, PutOp

from crossthread.errors import ImportLineError, IndexMismatchError, SchemaVersionError
from crossthread.moving.exporting import aexport_lines, export_lines
from crossthread.moving.importing import Imported, aimport_lines, import_lines
from crossthread.store import MemoryStore
from crossthread.testing.clock import ManualClock
from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import Caller, OpenStore, SuiteBase, index_of, keys, needs

HEADER = {"format": "crossthread-export", "version": 1}


def exported(store: Caller, *prefix: str, **settings: Any) -> list[str]:
    """Export a store the way the test calls it."""

    async def lines() -> list[str]:
        return [line async for line in aexport_lines(store.store, prefix, **settings)]

    return store.runner.run(lines()) if store.is_async else list(export_lines(store.store, prefix, **settings))


def imported(store: Caller, lines: Iterable[str], **settings: Any) -> Imported:
    """Import into a store the way the test calls it."""
    if store.is_async:
        return store.runner.run(aimport_lines(store.store, lines, **settings))
    return import_lines(store.store, lines, **settings)


def line(key: Any = "k", *, at: str = "2026-01-02T03:04:05.000006+00:00", **more: Any) -> str:
    """Return the line of an item."""
    told = {"namespace": ["m"], "key": key, "value": {"text": f"tea {key}"}, "created_at": at, "updated_at": at}
    return json.dumps({**told, **more})


def lines_of(*items: str, **header: Any) -> list[str]:
    """Return an export of these items."""
    return [json.dumps({**HEADER, **header}), *items]


class Moving(SuiteBase):
    """Exports and imports."""

    @pytest.fixture
    def other(self, clock: ManualClock) -> Any:
        """A store of another engine, with the same settings as `memories`."""
        with MemoryStore(index=index_of(HashEmbeddings()), clock=clock) as store:
            yield store

    def _filled(self, open_store: OpenStore, clock: ManualClock) -> Caller:
        store = open_store(index=index_of(HashEmbeddings()), clock=clock)
        ops = [
            PutOp(("m", "ada"), "tea", {"text": "green tea", "n": 1}),
            PutOp(("m", "ada"), "none", {"text": "never found"}, index=False),
            PutOp(("m", "ada", "x"), "other", {"text": "tea", "title": "old trains"}, index=["title"]),
            PutOp(("m", "bob"), "odd", {"text": "a", "o": {"a.b": "dotted roses"}}, index=["o.*"]),
            PutOp(("m", "bob"), "\ud800\0 key", {"text": 'line\u2028break \x85 and \\ " \n too'}),
            PutOp(("m", "eve"), "short", {"text": "short life"}, ttl=10),
            PutOp(("z",), "last", {"numbers": [1, 1.5, -(2**63), None, True]}),
        ]
        for op in ops:
            clock.advance(seconds=7)
            store.batch([op])
        clock.advance(minutes=3)
        store.put(("m", "ada"), "tea", {"text": "black tea", "n": 2})
        return store

    @needs("records", "semantic", "keywords", "ttl", "clock")
    @pytest.mark.parametrize("vectors", [True, False])
    def test_there_and_back(self, open_store: OpenStore, clock: ManualClock, other: MemoryStore, vectors: bool) -> None:
        """Out of the store, into another one, and back after all was erased: records and searches are as they were."""
        store = self._filled(open_store, clock)
        records, queries = store.records(vectors=True), ["green tea", "old trains", "dotted roses", "never found"]

        def search(query: str, mode: Any) -> list[Any]:
            return store.search((), query=query, mode=mode, refresh_ttl=False)  # type: ignore[no-any-return]

        found = {query: [(hit.key, hit.score) for hit in search(query, "semantic")] for query in queries}
        words = {query: keys(search(query, "keyword")) for query in queries}
        there = exported(store, vectors=vectors)
        assert len(there) == 1 + len(records)
        assert all(one.endswith("\n") and len(one.splitlines()) == 1 for one in there)
        result = import_lines(other, there)
        assert (result.items, result.written, result.equal, result.kept) == (7, 7, 0, 0)
        back = list(export_lines(other, vectors=vectors))
        assert back[1:] == there[1:]
        assert store.forget(()) == 7
        assert imported(store, back).written == 7
        again = store.records(vectors=True)
        assert again == records
        for old, new in zip(records, again, strict=True):
            assert (old.vectors is None) == (new.vectors is None)
            if old.vectors is not None:
                np.testing.assert_allclose(new.vectors, old.vectors, atol=1e-6)
        for query in queries:
            hits = search(query, "semantic")
            assert [(hit.key, pytest.approx(hit.score, abs=1e-5)) for hit in hits] == found[query]
            assert keys(search(query, "keyword")) == words[query]
        assert store.verify()
        clock.advance(minutes=10)
        assert store.get(("m", "eve"), "short") is None
        assert store.sweep_ttl() == 1

    @needs("records", "semantic", "ttl", "clock")
    def test_twice_is_once(self, open_store: OpenStore, clock: ManualClock) -> None:
        """What is there is not written again; what was interrupted goes on."""
        store = self._filled(open_store, clock)
        lines, records = exported(store), store.records()
        result = imported(store, lines)
        assert (result.written, result.equal) == (0, 7)
        assert store.records() == records
        for end in range(1, len(lines) + 1):
            store.forget(())
            assert imported(store, lines[:end]).written == end - 1
            result = imported(store, lines)
            assert (result.written, result.equal) == (len(lines) - end, end - 1)
            assert store.records() == records
        assert store.verify()

    @needs("records", "semantic")
    def test_vectors_go_along(self, open_store: OpenStore, other: MemoryStore) -> None:
        """With vectors nothing is embedded by the store that takes them; without, only what is new to it."""
        embeddings = HashEmbeddings()
        other.batch([PutOp(("m",), str(n), {"text": f"tea {n}"}) for n in range(5)])
        store = open_store(index=index_of(embeddings))
        imported(store, export_lines(other, vectors=True))
        assert not embeddings.calls
        assert store.search(("m",), query="tea 3")[0].key == "3"
        store.forget(())
        imported(store, export_lines(other))
        assert sorted(text for call in embeddings.calls for text in call) == [f"tea {n}" for n in range(5)]
        assert store.search(("m",), query="tea 3")[0].score == 1.0

    @needs("records", "semantic", "reopening")
    def test_a_store_without_index_loses_nothing(self, open_store: OpenStore, other: MemoryStore) -> None:
        """Vectors, their model and words come along, so that whoever opens it with the settings finds all."""
        other.batch([PutOp(("m",), str(n), {"text": f"tea {n}"}) for n in range(5)])
        plain = open_store()
        imported(plain, export_lines(other, vectors=True))
        assert [(one.index, one.hashes) for one in plain.records()] == [
            (one.index, one.hashes) for one in other.records()
        ]
        assert plain.stats().dims == 64
        store = open_store(index=index_of(HashEmbeddings()))
        assert store.search(("m",), query="tea 3")[0].score == 1.0
        assert store.search(("m",), query="3", mode="keyword")[0].key == "3"
        assert store.verify()

    @needs("records", "semantic")
    def test_items_of_long_ago_are_found_at_once(self, open_store: OpenStore) -> None:
        """What comes in behind what was searched and written before is in every search, and in its place by time."""
        store = open_store(index=index_of(HashEmbeddings()))
        store.batch([PutOp(("m",), f"now {n}", {"text": f"coffee {n}"}) for n in range(40)])
        for round_ in range(4):
            for mode in ("semantic", "keyword", "hybrid"):
                store.search(("m",), query="tea", mode=mode, limit=100)
            lines = [
                line(f"{round_} {n}", at=f"200{round_}-01-02T03:04:05.0000{n:02}+00:00") for n in range(30, 10, -1)
            ]
            imported(store, lines_of(*lines))
            for mode in ("semantic", "keyword", "hybrid"):
                hits = store.search(("m",), query="tea", mode=mode, limit=1000)
                assert len({hit.key for hit in hits if "tea" in hit.value["text"]}) == 20 * (round_ + 1)
            store.put(("m",), f"now {round_}", {"text": "coffee again"})
        in_order = [item.updated_at for item in store.search(("m",), limit=1000)]
        assert in_order == sorted(in_order, reverse=True)
        assert len(in_order) == 120
        assert store.verify()

    @needs("records", "semantic")
    def test_a_time_that_comes_back_with_another_item(self, open_store: OpenStore) -> None:
        """Who has seen the item that had it before finds the one that has it now."""
        store = open_store(index=index_of(HashEmbeddings()))
        imported(store, lines_of(line("a", value={"text": "green tea"}), line("b", at="2026-02-02T00:00:00+00:00")))
        for limit in (1, 10):
            assert store.search(("m",), query="green tea", limit=limit)[0].key == "a"
        store.delete(("m",), "a")
        imported(store, lines_of(line("c", value={"text": "green roses"})))
        hit = store.search(("m",), query="green roses")[0]
        assert (hit.key, hit.value, hit.score) == ("c", {"text": "green roses"}, 1.0)
        assert all(hit.key != "a" for hit in store.search(("m",), query="green tea"))
        assert keys(store.search(("m",), query="green", mode="keyword")) == ["c"]
        imported(store, lines_of(line("c", value={"text": "old trains"})), existing="replace")
        assert store.search(("m",), query="old trains")[0].value == {"text": "old trains"}
        assert store.search(("m",), query="green", mode="keyword") == []
        assert store.verify()

    @needs("records", "clock")
    def test_later_writes_are_later(self, timed: Caller, clock: ManualClock) -> None:
        """An item of a clock that goes ahead is followed by later times only, also after it is gone."""
        timed.put(("m",), "before", {"n": 1})
        ahead = "2030-01-01T00:00:00.000000+00:00"
        imported(timed, lines_of(line("ahead", at=ahead)))
        for key in ("after", "again"):
            timed.put(("m",), key, {"n": 1})
            assert timed.get(("m",), key).updated_at > timed.get(("m",), "before").updated_at
            assert timed.get(("m",), key).updated_at.year >= 2030
            timed.delete(("m",), "ahead")
        assert keys(timed.search(("m",)))[:2] == ["again", "after"]

    @needs("records")
    def test_a_time_that_another_item_has(self, store: Caller) -> None:
        """Both are there, with that time or the next free microsecond; the second import finds them equal."""
        lines = lines_of(line("a"), line("b"), line("c"))
        assert imported(store, lines).written == 3
        records = store.records(("m",))
        assert {one.key for one in records} == {"a", "b", "c"}
        first = records[0].updated_at
        assert all(one.updated_at - first <= timedelta(microseconds=2) for one in records)
        assert imported(store, lines).equal == 3
        assert store.records(("m",)) == records

    @needs("records")
    def test_what_was_written_later_stays(self, store: Caller) -> None:
        """Unless the lines shall replace it."""
        lines = lines_of(line("k"))
        store.put(("m",), "k", {"n": "later"})
        assert imported(store, lines).kept == 1
        assert store.get(("m",), "k").value == {"n": "later"}
        assert imported(store, lines, existing="replace").written == 1
        assert store.get(("m",), "k").value == {"text": "tea k"}
        newer = line("k", at="2100-01-01T00:00:00+00:00", value={"n": 3})
        assert imported(store, lines_of(newer, line("k"))).written == 1
        assert store.get(("m",), "k").value == {"n": 3}

    @needs("records", "ttl", "clock")
    def test_what_is_over_is_swept(self, timed: Caller, clock: ManualClock) -> None:
        """An item whose time is over comes in as it is: no read finds it, and the next sweep erases it."""
        lines = lines_of(line("over", ttl=1, expires_at="2020-01-01T00:00:00+00:00"))
        assert imported(timed, lines).written == 1
        assert timed.get(("m",), "over") is None
        assert imported(timed, lines).equal == 1
        assert timed.sweep_ttl() == 1

    @needs("records")
    @pytest.mark.parametrize(
        ("bad", "why"),
        [
            ("{", "not the whole of a JSON object"),
            ("[1]", "not a JSON object"),
            ('{"namespace": ["m"]}', "lacks key, value, created_at, updated_at"),
            (line(value={"x": 2**70}), "does not fit into 64 bits"),
            (line(value={"x": "\0"}), "NUL"),
            (line(value=[1]), "must be a dict"),
            (line(value={"x": float("nan")}), "nan is not JSON"),
            (line(namespace=["a.b"]), "cannot contain a period"),
            (line(namespace=[]), "cannot be empty"),
            (line(key=7), "key must be text"),
            (line(at="yesterday"), "ISO 8601"),
            (line(at="2026-01-01T00:00:00"), "time zone"),
            (line(at="1969-01-01T00:00:00+00:00"), "years 1970 to 9998"),
            (line(created_at="2027-01-01T00:00:00+00:00"), "before it was created"),
            (line(ttl=-1, expires_at="2027-01-01T00:00:00+00:00"), "ttl must be minutes"),
            (line(ttl=1), "both are there, or none is"),
            (line(index=["text", 1]), "index must be a list of text"),
            (line(index=True), "index must be a list of text"),
            (line(vectors={"00": "AAAA"}), "32 hexadecimal digits"),
            (line(vectors={"00" * 16: "?"}), "cannot be read"),
            (line(vectors={"00" * 16: "AACAPw=="}), "4 bytes; the header says None"),
            (line(words={"terms": {"tea": 1}}), "terms and length"),
            (line(words={"terms": {"tea:1 x": 1}, "length": 1}), "small letters and digits"),
            (line(words={"terms": {"tea": 2}, "length": 1}), "2 terms and the length 1"),
            (line(words={"terms": {"tea": "2"}, "length": 1}), "whole numbers"),
            (line(surprise=1), "unknown fields: ['surprise']"),
            ("[" * 100_000, "nested too deep"),
        ],
        ids=range(27),
    )
    def test_bad_lines(self, store: Caller, bad: str, why: str) -> None:
        """They are refused with their number and the reason; or left out, and the good ones are kept."""
        lines = lines_of(line("a"), "\n", bad, line("b"))
        with pytest.raises(ImportLineError, match="Line 4 cannot be imported") as caught:
            imported(store, lines)
        assert caught.value.line == 4
        assert why in caught.value.reason
        assert keys(store.records()) == ["a"]
        result = imported(store, lines, on_error="skip")
        assert (result.items, result.written, result.equal, result.skipped) == (2, 1, 1, 1)
        assert [(one.line, why in one.reason) for one in result.bad] == [(4, True)]
        assert keys(store.search(("m",))) == ["b", "a"]

    @needs("records")
    def test_what_is_no_export(self, store: Caller) -> None:
        """It is refused as a whole, and nothing is written; so is a later version of the format."""
        for first in (
            "",
            "hello",
            "{}",
            json.dumps({**HEADER, "format": "other"}),
            json.dumps({**HEADER, "version": "1"}),
        ):
            with pytest.raises(ImportLineError, match="Line 1"):
                imported(store, [first, line()], on_error="skip")
        with pytest.raises(SchemaVersionError, match="version 2; this release reads versions up to 1"):
            imported(store, [json.dumps({**HEADER, "version": 2}), line()])
        assert store.records() == []

    @needs("records", "semantic")
    def test_vectors_of_another_model(self, open_store: OpenStore) -> None:
        """They are refused, naming both; without them the texts are embedded by the store's own model."""
        with MemoryStore(index=index_of(HashEmbeddings(8), dims=8, model="small")) as small:
            small.put(("m",), "k", {"text": "green tea"})
            lines = list(export_lines(small, vectors=True))
        store = open_store(index=index_of(HashEmbeddings(), model="large"))
        with pytest.raises(
            IndexMismatchError, match=r"'small' \(8 dimensions\).*'large' \(64 dimensions\).*vectors=False"
        ):
            imported(store, lines)
        assert store.records() == []
        assert imported(store, lines, vectors=False).written == 1
        assert store.search(("m",), query="green tea")[0].score == 1.0

    @needs("records")
    def test_progress_and_prefix(self, store: Caller) -> None:
        """A part of a store is an export, too; progress counts items, in all as far as known."""
        store.batch([PutOp(("p", str(n % 2)), str(n), {"n": n}) for n in range(1200)])
        told: list[tuple[int, int | None]] = []
        lines = exported(store, "p", "1", progress=lambda done, total: told.append((done, total)))
        assert len(lines) == 601
        assert told == [(500, 600), (600, 600)]
        store.forget(())
        told.clear()
        imported(store, lines, progress=lambda done, total: told.append((done, total)))
        assert told[-1] == (600, 600)
        assert store.count(("p",)) == 600
        with pytest.raises(InvalidNamespaceError):
            exported(store, "a.b")

    @needs("records", "any_loop")
    def test_async_lines(self, store: Caller) -> None:
        """Lines may come from an async source."""

        async def lines() -> AsyncIterator[bytes]:
            for one in lines_of(line("a"), line("b")):
                yield one.encode()

        assert store.runner.run(aimport_lines(store.store, lines())).written == 2
        assert store.count(("m",)) == 2

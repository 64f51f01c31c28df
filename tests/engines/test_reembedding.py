"""Changing the embedding model, on every engine: nothing is paid twice, nothing is lost, nobody mixes vectors."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langgraph.store.base import PutOp

from crossthread import (
    ConfigurationError,
    EmbeddingError,
    IndexMismatchError,
    InvalidArgumentError,
    MemoryStore,
    StoreBusyError,
    StoreError,
    acopy_store,
    aimport_lines,
    copy_store,
    export_lines,
    import_lines,
)
from crossthread.embedding.extract import text_hash
from crossthread.engines.memory import MemoryEngine
from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.moving import copying, exporting, importing
from crossthread.testing import HashEmbeddings
from servers import at_once, store_url

ADA, BOB = ("memories", "ada"), ("memories", "bob")
PLACES = ["memory", "sqlite", "postgres"]
WORDS = ["green tea", "old trains", "red roses", "winter", "Bob likes tea", "roses in winter", "trains"]


class Counting(Embeddings):
    """The new model; counts the documents that it is asked for, and may raise at the n-th call for some."""

    def __init__(self, dims: int = 24, at: int = 0, seconds: float = 0.0) -> None:
        self.hashes = HashEmbeddings(dims)
        self.at, self.seconds = at, seconds
        self.calls = 0
        self.paid: Counter[str] = Counter()
        self.lock = threading.Lock()

    def embed_query(self, text: str) -> Any:
        return self.hashes.embed_query(text)

    def embed_documents(self, texts: list[str]) -> Any:
        with self.lock:
            self.calls += 1
            if self.calls == self.at:
                raise ConnectionError("no model here")
        time.sleep(self.seconds)
        with self.lock:
            self.paid.update(texts)
        return self.hashes.embed_documents(texts)


@pytest.fixture(params=PLACES)
def place(request, tmp_path):
    return {"memory": ":memory:", "sqlite": str(tmp_path / "agent.db"), "postgres": None}[request.param] or store_url(
        tmp_path
    )


@pytest.fixture(params=["sync", "async"])
def call(request):
    def one(store: MemoryStore, name: str, *args: Any, **kwargs: Any) -> Any:
        if request.param == "async":
            return asyncio.run(getattr(store, f"a{name}")(*args, **kwargs))
        return getattr(store, name)(*args, **kwargs)

    return one


def old_index(**more: Any) -> Any:
    return {"embed": HashEmbeddings(16), "model": "old", "dims": 16, "fields": ["text"], "mode": "hybrid", **more}


def fill(store: MemoryStore, n: int = 40) -> None:
    store.batch([PutOp(ADA if i % 3 else BOB, f"k{i}", {"text": f"{WORDS[i % 7]} {i % 23}"}) for i in range(n)])
    store.put(ADA, "notes", {"notes": ["green tea 1", "only here"], "n": 12}, index=["notes[*]", "n"])
    store.put(ADA, "whole", {"a": {"b": [1, 2]}}, index=["a"])
    store.put(ADA, "unseen", {"text": "nobody finds this"}, index=False)
    store.put(BOB, "brief", {"text": "gone in an hour"}, ttl=60)


def results(store: MemoryStore) -> list[Any]:
    """Return what searches find, with scores."""
    asked = [(query, mode) for query in ("tea", "12", "roses in winter") for mode in ("semantic", "keyword", "hybrid")]
    return [
        [(hit.namespace, hit.key, hit.score) for hit in store.search((), query=query, mode=mode, limit=100)]
        for query, mode in asked
    ]


def content(store: MemoryStore) -> list[Any]:
    return [(i.namespace, i.key, i.value, i.created_at, i.updated_at) for i in store.search((), limit=1000)]


def fresh_results(model: Any, n: int = 40) -> list[Any]:
    with MemoryStore(index=old_index(embed=model, model="new", dims=None)) as store:
        fill(store, n)
        return results(store)


def test_afterwards_everything_is_as_if_it_had_been_put_with_the_new_model(place, call):
    seen: list[tuple[int, int]] = []
    new = Counting()
    with MemoryStore(place, index=old_index()) as store:
        fill(store)
        before, was_found = content(store), results(store)
        estimate = call(store, "estimate_reembed")
        done = call(store, "reembed", new, model="new", batch_size=4, concurrency=3, progress=lambda *n: seen.append(n))
        assert max(map(len, new.hashes.calls)) == 4
        assert content(store) == before
        found = results(store)
        assert found == fresh_results(new.hashes)
        assert found != was_found
        assert store.verify().ok
        assert max(new.paid.values()) == 1
        texts = {*new.paid}
        assert {"only here", "12", '{"b": [1, 2]}', "gone in an hour"} <= texts
        assert "nobody finds this" not in texts
        assert (done.model, done.dims, done.kept) == ("new", 24, 0)
        assert (done.texts, done.characters) == (len(texts), sum(map(len, texts)))
        assert (estimate.texts, estimate.characters, estimate.items) == (done.texts, done.characters, 43)
        assert (estimate.staged, estimate.lost) == (0, 0)
        assert [n for n, _ in seen] == sorted(n for n, _ in seen)
        assert (seen[0], seen[-1]) == ((0, 45), (45, 45))
        # This store goes on with the new model, for what is new and for what is known.
        store.put(BOB, "later", {"text": "a text of later"})
        store.put(BOB, "known", {"text": "only here"})
        assert new.paid["a text of later"] == 1
        assert new.paid["only here"] == 1
        assert store.search((), query="a text of later", mode="semantic", limit=1)[0].key == "later"
        assert store.embeddings is not None
        assert store.index_config["model"] == "new"
    if place != ":memory:":
        with pytest.raises(IndexMismatchError, match="'new', but index= asks for 'old'.*reembed"):
            MemoryStore(place, index=old_index(dims=None))
        with MemoryStore(place, index=old_index(embed=new, model="new", dims=24)) as store:
            assert store.search((), query="a text of later", mode="semantic", limit=1)[0].key == "later"


def test_a_store_opened_without_an_index_changes_the_model_for_others(place, call):
    if place == ":memory:":
        pytest.skip("a store in memory has nobody else")
    with MemoryStore(place, index=old_index()) as store:
        fill(store)
    new = Counting()
    with MemoryStore(place) as store:
        assert call(store, "reembed", {"embed": new, "model": "new"}).texts == sum(new.paid.values())
        assert store.search((), query="tea")[0].score is None  # it still has no index
        store.put(BOB, "plain", {"text": "no vector"})
    with MemoryStore(place, index=old_index(embed=new, model="new", dims=24)) as store:
        store.delete(BOB, "plain")
        assert results(store) == fresh_results(new.hashes)
        assert store.verify().ok


def test_back_and_forth_and_between_models_without_a_name(place):
    with MemoryStore(place, index=old_index(model=None)) as store:
        fill(store)
        for dims in (24, 8, 24):
            new = Counting(dims)
            assert store.reembed(new).model is None
            assert max(new.paid.values()) == 1
            assert results(store) == fresh_results(new.hashes)
            assert store.verify().ok


def test_the_model_it_has_already_is_not_paid_for_again(place):
    new = Counting()
    with MemoryStore(place, index=old_index()) as store:
        fill(store)
        store.reembed(new, model="new")
        paid = sum(new.paid.values())
        assert store.reembed(new, model="new").texts == 0
        assert sum(new.paid.values()) == paid
        assert store.reembed(new, model="new", anew=True).texts == paid
        assert results(store) == fresh_results(new.hashes)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_embedder_that_fails_at_any_call_costs_nothing_twice(place, is_async):
    """The n-th call fails for every n; then the run goes on where it ended."""
    for at in range(1, 30):
        flaky = Counting(at=at)
        url = place if "postgres" in place or place == ":memory:" else f"{place}.{at}"
        with MemoryStore(url, index=old_index()) as store:
            store.forget(())
            fill(store, 12)
            before = results(store)
            arguments = {"model": "new", "batch_size": 2, "concurrency": 2, "retries": 0}
            try:
                store.reembed(flaky, **arguments) if not is_async else asyncio.run(store.areembed(flaky, **arguments))
            except ConnectionError:
                assert flaky.calls >= at
                assert results(store) == before
                assert store.verify().ok
                estimate = store.estimate_reembed()
                assert estimate.staged == sum(flaky.paid.values())
                done = store.reembed(flaky, **arguments)
                assert done.kept >= estimate.staged
                assert done.texts == estimate.texts
            else:
                assert flaky.calls < at
            assert max(flaky.paid.values()) == 1
            assert len(store.search((), query="tea", mode="semantic", limit=100)) == 15
            assert store.verify().ok
            store.reembed(HashEmbeddings(16), model="old")
            if flaky.calls < at:
                assert at > 8
                return
    raise AssertionError("it never passed")


def test_calls_that_fail_are_repeated(place, monkeypatch):
    monkeypatch.setattr("crossthread.embedding.window.Patience.__new__.__defaults__", (0.001, 0.002))
    for is_async in (False, True):
        flaky = Counting(16, at=2)
        with MemoryStore(place, index=old_index(model=None, dims=None)) as store:
            store.forget(())
            fill(store, 12)
            if is_async:
                asyncio.run(store.areembed(flaky, batch_size=4, retries=1))
            else:
                store.reembed(flaky, batch_size=4, retries=1)
            assert max(flaky.paid.values()) == 1
            assert flaky.calls > 3


class Faults:
    """Lets the n-th batch of an engine fail, before it is executed or after it."""

    def __init__(self, engine: Any, at: int, *, after: bool) -> None:
        self.run, self.calls, self.at, self.after = engine.run, 0, at, after
        engine.run = self

    def __call__(self, batch: Any) -> Any:
        self.calls += 1
        if self.calls == self.at and not self.after:
            raise StoreBusyError("somebody else has it")
        answers = self.run(batch)
        if self.calls == self.at:
            raise StoreBusyError("it was done, and nobody was told")
        return answers


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_engine_that_fails_at_any_call_loses_nothing(place, after):
    """Either the old vectors serve or the new ones do; and the next run ends it."""
    expected = fresh_results(HashEmbeddings(24), 6)
    for at in range(1, 60):
        url = place if "postgres" in place or place == ":memory:" else f"{place}.{at}"
        new = Counting()
        with MemoryStore(url, index=old_index()) as store:
            store.forget(())
            fill(store, 6)
            old = results(store)
            faults = Faults(store._engine, at, after=after)
            passed = True
            try:
                store.reembed(new, model="new", batch_size=3, concurrency=2)
            except StoreBusyError:
                passed = False
            store._engine.run = faults.run
            assert passed == (faults.calls < at)
            try:
                assert results(store) == (expected if store._engine.space.model == "new" else old)
            except IndexMismatchError:
                assert after  # the switch was done, and this store was not told
            store.reembed(new, model="new", batch_size=3)
            # Only what a batch could not keep has to be paid for again.
            assert sum(new.paid.values()) - len(new.paid) <= (0 if after or passed else 3)
            assert results(store) == expected
            assert store.verify().ok
            store.reembed(HashEmbeddings(16), model="old")
        if passed:
            assert at > 10
            return
    raise AssertionError("it never passed")


def test_other_open_stores_are_told_and_mix_nothing(place, call):
    if place == ":memory:":
        pytest.skip("a store in memory has nobody else")
    for names in (("old", "new"), (None, None)):
        with MemoryStore(place, index=old_index(model=names[0], dims=None)) as stale:
            stale.forget(())
            stale.reembed(HashEmbeddings(16), model=names[0])
            fill(stale)
            assert stale.search(ADA, query="tea", limit=3)  # its vectors are in memory now
            with MemoryStore(place, index=old_index(model=names[0], dims=None)) as store:
                store.reembed(HashEmbeddings(16 if names[0] is None else 24), model=names[1])
                expected = results(store)
                model = "'new'" if names[0] else "a model without a name"
                for mode in ("semantic", "hybrid"):
                    with pytest.raises(IndexMismatchError, match=f"now of {model}.*Open the store again"):
                        call(stale, "search", ADA, query="tea", mode=mode)
                for text in ("a new text", "green tea 1"):
                    with pytest.raises(IndexMismatchError, match=f"now of {model}"):
                        call(stale, "put", ADA, "k", {"text": text})
                with pytest.raises(IndexMismatchError):
                    call(stale, "update", ADA, "k1", lambda value: {"text": "updated"})
                with pytest.raises(IndexMismatchError):
                    call(stale, "batch", [PutOp(ADA, "a", {"n": 1}, False), PutOp(ADA, "b", {"text": "both"})])
                assert results(store) == expected
                # What needs no vectors goes on.
                assert call(stale, "get", ADA, "k1").value == {"text": "old trains 1"}
                assert call(stale, "search", ADA, query="tea", mode="keyword")
                call(stale, "put", ADA, "plain", {"text": "seen by nobody"}, index=False)
                call(stale, "delete", ADA, "plain")
                assert results(store) == expected
                assert store.verify().ok


def test_writes_during_the_run_are_found_before_and_after(place):
    """Threads put, replace and delete all the time; what they wrote is found at once, and with new vectors later."""
    new = Counting(seconds=0.002)
    stores = [MemoryStore(place, index=old_index())]
    if place != ":memory:":
        stores.append(MemoryStore(place, index=old_index()))
    fill(stores[0], 60)
    stop = threading.Event()
    written: list[dict[str, str]] = [{} for _ in stores]
    told: list[Exception] = []

    def write(n: int) -> None:
        store, i = stores[n], 0
        while not stop.is_set():
            key, text = f"w{n}-{i % 50}", f"word{n}x{i} {WORDS[i % 7]}"
            try:
                if i % 9 == 8:
                    store.delete(ADA, f"w{n}-{i % 20}")
                    written[n].pop(f"w{n}-{i % 20}", None)
                else:
                    store.put(ADA, key, {"text": text})
                    written[n][key] = text
                    hits = store.search(ADA, query=text, mode="semantic", limit=1)
                    assert (hits[0].key, round(hits[0].score, 5)) == (key, 1.0)
            except IndexMismatchError as error:
                told.append(error)
                return
            i += 1

    threads = [threading.Thread(target=write, args=(n,)) for n in range(len(stores))]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.2)
        done = stores[0].reembed(new, model="new", batch_size=8, concurrency=2)
        time.sleep(0.2)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    with stores[0] as store:
        assert done.model == "new"
        assert len(told) == len(stores) - 1  # the other one has the old model
        assert store.verify().ok
        for found in written:
            for key, text in found.items():
                hit = store.search(ADA, query=text, mode="semantic", limit=1)[0]
                assert hit.value["text"] == text, (key, hit)
                assert round(hit.score, 5) == 1.0
    for store in stores[1:]:
        store.close()


def test_writers_that_never_rest_do_not_keep_the_switch_away(place):
    """Every pass takes longer than the writers need for more texts, until they are asked to wait."""
    new = Counting(seconds=0.03)
    with MemoryStore(place, index=old_index()) as store:
        fill(store, 5)
        stop = threading.Event()
        counts = [0, 0]

        def write(n: int) -> None:
            while not stop.is_set():
                if n:
                    asyncio.run(store.aput(BOB, f"a{counts[n]}", {"text": f"async {counts[n]}"}))
                else:
                    store.put(BOB, f"s{counts[n]}", {"text": f"sync {counts[n]}"})
                counts[n] += 1
                time.sleep(0.001)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        try:
            store.reembed(new, model="new", batch_size=4, concurrency=1)
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)
        assert all(counts)
        assert store.verify().ok
        store.put(BOB, "last", {"text": "after all"})
        hits = store.search(BOB, query="sync", mode="semantic", limit=10_000)
        assert len(hits) == store.count(BOB)


def test_what_is_erased_during_the_run_is_not_kept(place):
    """A staged vector of a text that is gone is gone with it, and not embedded where it is still to be."""
    new = Counting()
    with MemoryStore(place, index=old_index()) as store:
        fill(store)
        new.at = 5
        with pytest.raises(ConnectionError):
            store.reembed(new, model="new", batch_size=4, concurrency=1, retries=0)
        staged = store.estimate_reembed().staged
        assert staged == 16
        store.forget(())
        assert store.estimate_reembed() == type(store.estimate_reembed())(0, 0, 0, 0, 0)
        assert store.verify().ok
        fill(store, 3)
        done = store.reembed(new, model="new")
        assert done.texts == store.estimate_reembed().texts
        assert store.verify().ok


class Meanwhile(Embeddings):
    """A model during whose n-th call for documents something happens."""

    def __init__(self, dims: int, happens: Callable[[], Any], at: int = 1) -> None:
        self.hashes = HashEmbeddings(dims)
        self.happens, self.at = happens, at

    def embed_query(self, text: str) -> Any:
        return self.hashes.embed_query(text)

    def embed_documents(self, texts: list[str]) -> Any:
        self.at -= 1
        if not self.at:
            self.happens()
        return self.hashes.embed_documents(texts)


def test_an_item_that_comes_in_with_the_same_time_and_another_text(place):
    """As from an export that was edited by hand: what is staged is told apart by text, and not by time alone."""
    with MemoryStore(place, index=old_index()) as store:
        fill(store)
        store.put(ADA, "edited", {"text": "green tea"})
        edited = [line.replace('"green tea"', '"black coffee"') for line in export_lines(store)]
        seen: list[bool] = []

        def happens() -> None:
            assert import_lines(store, edited, vectors=False).written == 1

        def tell(done: int, total: int) -> None:
            seen.append(store.verify().ok)

        store.reembed(Meanwhile(24, happens), model="new", progress=tell)
        assert all(seen)
        assert store.verify().ok
        (record,) = [record for record in store.records(ADA, limit=1000, vectors=True) if record.key == "edited"]
        assert record.hashes == (text_hash("black coffee"),)
        assert len(record.vectors) == 1
        (hit,) = [
            hit for hit in store.search(ADA, query="green tea", mode="semantic", limit=1000) if hit.key == "edited"
        ]
        assert hit.score < 0.99


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("way", ["import", "copy"])
def test_what_is_moved_in_while_the_same_store_switches(place, way, is_async, monkeypatch):
    """It is embedded with the model that the store has by then."""
    monkeypatch.setattr(importing, "AT_ONCE", 10)
    monkeypatch.setattr(copying, "AT_ONCE", 10)
    with MemoryStore(index=old_index(embed=HashEmbeddings(8), model="third", dims=8)) as source:
        fill(source)
        switch = Meanwhile(16, lambda: store.reembed(HashEmbeddings(24), model="new"), at=2)
        with MemoryStore(place, index=old_index(embed=switch, dims=None)) as store:
            if way == "copy":
                done = asyncio.run(acopy_store(source, store)) if is_async else copy_store(source, store)
            else:
                lines = export_lines(source)
                done = asyncio.run(aimport_lines(store, lines)) if is_async else import_lines(store, lines)
            assert (done.written, done.skipped) == (source.stats().items, 0)
            assert store.verify().ok
            assert store.search(ADA, query="only here", mode="semantic", limit=1)[0].key == "notes"


def test_vectors_of_the_former_model_are_refused_after_the_switch(monkeypatch):
    """Lines with such vectors: no others may get in. A copy has the texts, and embeds those."""
    monkeypatch.setattr(importing, "AT_ONCE", 10)
    monkeypatch.setattr(copying, "AT_ONCE", 10)

    def tell(done: int, total: int | None) -> None:
        if store.index_config["model"] == "old":
            store.reembed(HashEmbeddings(24), model="new")

    with MemoryStore(index=old_index()) as source:
        fill(source)
        with MemoryStore(index=old_index()) as store:
            with pytest.raises(IndexMismatchError, match="vectors=False"):
                import_lines(store, export_lines(source, vectors=True), progress=tell)
            assert store.verify().ok
        with MemoryStore(index=old_index()) as store:
            assert copy_store(source, store, progress=tell).written == source.stats().items
            assert store.verify().ok
            assert {record.vectors.shape[1] for record in store.records(vectors=True) if record.hashes} == {24}


class Reversed(HashEmbeddings):
    """Another model of the same dimensions."""

    def embed_query(self, text: str) -> Any:
        return super().embed_query(text)[::-1]

    def embed_documents(self, texts: list[str]) -> Any:
        return [vector[::-1] for vector in super().embed_documents(texts)]


def nameless(embed: Any) -> Any:
    return {"embed": lambda texts: embed.embed_documents(texts), "dims": 16, "fields": ["text"]}


def test_a_source_that_changes_its_model_mixes_nothing(place, is_mixed, monkeypatch):
    """The rest of an export with vectors would be of another model; a copy goes on with the target's own model."""
    monkeypatch.setattr(copying, "AT_ONCE", 10)
    monkeypatch.setattr(exporting, "_AT_ONCE", 10)

    def tell(done: int, total: int | None) -> None:
        if done == 10:
            source.reembed(nameless(Reversed(16)))

    with MemoryStore(place, index=nameless(HashEmbeddings(16))) as source:
        fill(source)
        with MemoryStore(index=nameless(HashEmbeddings(16))) as target:
            assert copy_store(source, target, progress=tell).written == source.stats().items
            assert not is_mixed(target, HashEmbeddings(16))
        assert not is_mixed(source, Reversed(16))
        with MemoryStore() as target, pytest.raises(IndexMismatchError, match="Copy into a new store"):
            copy_store(source, target, progress=tell)
        with pytest.raises(IndexMismatchError, match="Export again"):
            list(export_lines(source, vectors=True, progress=tell))
        assert len(list(export_lines(source, progress=tell))) == 1 + source.stats().items


def test_vectors_without_a_name_are_refused_after_the_switch(monkeypatch, is_mixed):
    """As nobody can tell whether they are of the model that the store has by then."""
    monkeypatch.setattr(importing, "AT_ONCE", 10)
    with MemoryStore(index=nameless(HashEmbeddings(16))) as source:
        fill(source)
        lines = list(export_lines(source, vectors=True))

    done: list[int] = []

    def tell(*_: Any) -> None:
        if not done:
            done.append(1)
            store.reembed(nameless(Reversed(16)))

    with MemoryStore(index=nameless(HashEmbeddings(16))) as store:
        with pytest.raises(IndexMismatchError, match="vectors=False"):
            import_lines(store, lines, progress=tell)
        assert not is_mixed(store, Reversed(16))


@pytest.fixture
def is_mixed():
    def look(store: MemoryStore, model: HashEmbeddings) -> bool:
        """Whether any item with one text has another vector than that of a model."""
        found = [one for one in store.records(limit=1000, vectors=True) if len(one.hashes) == 1 and "text" in one.value]
        assert found
        expected = np.array(model.embed_documents([one.value["text"] for one in found]))
        return not np.allclose([one.vectors[0] for one in found], expected, atol=1e-5)

    return look


def test_a_run_that_another_object_ends_changes_this_store_too(place, call):
    """Two that change to the same model share one run; whoever switches, both have the new model afterwards."""
    if place == ":memory:":
        pytest.skip("one object has it alone")
    with MemoryStore(place, index=old_index()) as store, MemoryStore(place, index=old_index()) as other:
        fill(store)
        ends = Meanwhile(24, lambda: other.reembed(HashEmbeddings(24), model="new"))
        assert call(store, "reembed", ends, model="new").model == "new"
        for one in (store, other):
            assert one.search(ADA, query="only here", mode="semantic", limit=1)[0].key == "notes"
            one.put(ADA, "afterwards", {"text": "sunflowers"})
        assert store.verify().ok


def test_an_item_written_again_keeps_what_is_paid_for(place):
    new = Counting()
    with MemoryStore(place, index=old_index()) as store:
        store.put(ADA, "a", {"notes": ["one", "two", "three"]}, index=["notes[*]"])
        store.put(ADA, "b", {"text": "four"})
        with pytest.raises(ConnectionError):
            _stage_all(store, new)
        store.put(ADA, "a", {"notes": ["three", "one", "five"]}, index=["notes[*]"])
        store.put(ADA, "b", {"text": "four"})
        store.reembed(new, model="new", batch_size=1)
        assert new.paid == Counter(["one", "two", "three", "four", "five"])
        assert store.verify().ok
        assert {hit.key for hit in store.search(ADA, query="five", mode="semantic", min_score=0.99)} == {"a"}


def _stage_all(store: MemoryStore, new: Counting) -> None:
    """Make all new vectors; then the switch meets a fault."""

    def refuse(run: int, *rest: Any) -> bool:
        raise ConnectionError("at the switch")

    store._switch_over = refuse
    try:
        store.reembed(new, model="new", batch_size=1, concurrency=1)
    finally:
        del store._switch_over


def test_another_model_takes_the_place_of_an_unfinished_run(place):
    first, second = Counting(8, at=3), Counting(24)
    with MemoryStore(place, index=old_index()) as store:
        fill(store)
        with pytest.raises(ConnectionError):
            store.reembed(first, model="first", batch_size=4, concurrency=1, retries=0)
        store.reembed(second, model="new", batch_size=4)
        assert results(store) == fresh_results(second.hashes)
        first.calls = 0
        with pytest.raises(ConnectionError):
            store.reembed(first, model="first", batch_size=4, concurrency=1, retries=0)
        # The model that it has is the way to give a run up.
        assert store.reembed(second, model="new").texts == 0
        assert store.estimate_reembed().staged == 0
        assert results(store) == fresh_results(second.hashes)
        assert store.verify().ok


def test_other_dimensions_under_the_same_name_are_told_apart(place):
    with MemoryStore(place, index=old_index()) as store:
        fill(store)
        with pytest.raises(ConnectionError):
            store.reembed(Counting(8, at=3), batch_size=4, concurrency=1, retries=0)
        with pytest.raises(EmbeddingError, match="8 dimensions.*anew=True"):
            store.reembed(Counting(24), batch_size=4)
        new = Counting(24)
        store.reembed(new, batch_size=4, anew=True)
        assert results(store) == fresh_results(new.hashes)


def test_an_empty_store_changes_its_model_too(place):
    new = Counting()
    with MemoryStore(place, index=old_index()) as store:
        assert store.reembed(new, model="new").dims is None
        fill(store)
        assert results(store) == fresh_results(new.hashes)
        assert store.verify().ok


def test_only_one_run_at_a_time_in_one_object(place):
    new = Counting(seconds=0.2)
    with MemoryStore(place, index=old_index()) as store:
        fill(store)
        outcomes = at_once([lambda: store.reembed(new, model="new") for _ in range(2)])
        assert sorted(type(one).__name__ for one in outcomes) == ["Reembedded", "StoreBusyError"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 0}, InvalidArgumentError, "batch_size"),
        ({"concurrency": True}, InvalidArgumentError, "concurrency"),
        ({"retries": -1}, InvalidArgumentError, "retries"),
        ({"embed": {"embed": HashEmbeddings(8), "fields": ["other"]}}, ConfigurationError, "'fields'.*put the items"),
        ({"embed": {"embed": HashEmbeddings(8), "language": "german"}}, ConfigurationError, "'language'"),
        ({"embed": {"fields": ["text"]}}, ConfigurationError, "needs a model"),
        ({"embed": 3}, ConfigurationError, "embed"),
        ({"dims": 0}, ConfigurationError, "dims"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_happens(arguments, error, message, call):
    with MemoryStore(index=old_index()) as store:
        fill(store)
        before = results(store)
        given = {"embed": Counting(), **arguments}
        with pytest.raises(error, match=message):
            call(store, "reembed", given.pop("embed"), **given)
        assert results(store) == before
        assert store.reembed({"embed": Counting(), "fields": ["text"]}).dims == 24


def test_wrong_vectors_leave_everything_as_it_was(place):
    with MemoryStore(place, index=old_index()) as store:
        fill(store)
        before = results(store)
        calls = []

        def embed(texts):
            calls.append(texts)
            return [[1.0] * 8 for _ in texts[1:]]

        with pytest.raises(EmbeddingError, match="vectors for"):
            store.reembed(embed)
        assert results(store) == before
        assert store.verify().ok


def test_engines_of_others_say_that_they_cannot(call):
    class Other(MemoryEngine):
        can_reembed = False

    with MemoryStore(Other(), index=old_index()) as store:
        fill(store)
        for name, arguments in (("reembed", (Counting(),)), ("estimate_reembed", ())):
            with pytest.raises(StoreError, match="Other cannot change the model"):
                call(store, name, *arguments)
        assert results(store)


def test_a_closed_store_is_told(tmp_path):
    store = MemoryStore(SQLiteEngine(tmp_path / "agent.db"), index=old_index())
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.reembed(Counting())

"""The vectors that the embedded engine keeps in memory: right after every write, and however little room they have."""

import numpy as np
import pytest
from langgraph.store.base import PutOp

from crossthread import MemoryStore
from crossthread.engines.sqlite import resident
from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.engines.sqlite.limits import LIMITS
from crossthread.search.signs import Signs
from crossthread.testing import HashEmbeddings
from processes import run_python

OTHER_WRITER = """
    import sys
    from crossthread import MemoryStore
    from crossthread.testing import HashEmbeddings
    with MemoryStore(sys.argv[1], index={"embed": HashEmbeddings(dims=8)}) as store:
        store.put(("u", "1"), "other", {"text": "coffee"})
        store.put(("u", "2"), "other", {"text": "milk"})
"""


@pytest.mark.parametrize("vector_bytes", [200, 2_000, 100_000])
@pytest.mark.parametrize("listed_items", [0, 20, 2_000])
def test_a_small_budget_changes_nothing_but_the_time(tmp_path, vector_bytes, listed_items):
    embed = HashEmbeddings(dims=8)
    limits = LIMITS._replace(vector_bytes=vector_bytes, entry_bytes=0, listed_items=listed_items)
    small = MemoryStore(SQLiteEngine(tmp_path / "a.db", limits=limits), index={"embed": embed, "fields": ["a", "b"]})
    reference = MemoryStore(index={"embed": embed, "fields": ["a", "b"]})
    with small, reference:
        for i in range(60):
            for store in (small, reference):
                store.put(("n", str(i % 4)), str(i % 50), {"a": f"word{i % 7} tea", "b": f"other {i}"})
            if i % 10 == 0:
                for store in (small, reference):
                    store.delete(("n", "1"), str(i - 5))
            for prefix in ((), ("n",), ("n", "1"), ("n", "2")):
                found = [
                    [(hit.key, hit.score) for hit in s.search(prefix, query="tea word3")] for s in (small, reference)
                ]
                assert found[0] == found[1]
        assert small._engine._resident._bytes <= vector_bytes


def test_a_write_reads_no_vector_again_but_what_it_wrote(tmp_path, monkeypatch):
    read = []
    loaded = resident._Loader._with

    def counted(self, vectors, items, expected=0):
        read.append(len(items))
        return loaded(self, vectors, items, expected)

    monkeypatch.setattr(resident._Loader, "_with", counted)
    with MemoryStore(tmp_path / "agent.db", index={"embed": HashEmbeddings(dims=8)}) as store:
        for i in range(50):
            store.put(("u", str(i % 5)), str(i), {"text": f"tea {i}"})
        for prefix in ((), ("u", "1")):
            store.search(prefix, query="tea")
        assert read == [50, 10]
        store.put(("u", "1"), "new", {"text": "coffee"})
        store.delete(("u", "1"), "1")
        run_python(OTHER_WRITER, tmp_path / "agent.db")
        del read[:]
        assert [hit.key for hit in store.search(("u", "1"), query="coffee", limit=2)] == ["other", "new"]
        assert "1" not in [hit.key for hit in store.search((), query="tea", limit=100)]
        assert read == [2, 3]


def test_signs_find_what_vectors_find_in_most_cases(tmp_path):
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((40, 96))
    vectors = {f"text {i}": centres[i % 40] + 0.7 * rng.standard_normal(96) for i in range(3000)}
    index = {"embed": lambda texts: [vectors[text] for text in texts], "fields": ["text"]}
    limits = LIMITS._replace(vector_bytes=200_000, candidates=200)
    found = []
    for engine in (SQLiteEngine(tmp_path / "a.db", limits=limits), SQLiteEngine(tmp_path / "b.db")):
        with MemoryStore(engine, index=index) as store:
            store.batch([PutOp(("u", str(i % 30)), str(i), {"text": f"text {i}"}) for i in range(3000)])
            queries = [f"text {i}" for i in range(0, 3000, 100)]
            found.append([[(hit.key, hit.score) for hit in store.search((), query=query)] for query in queries])
            # A page beyond what signs choose from is exact, and filters and single namespaces are as well.
            assert len(store.search((), query="text 1", limit=2500)) == 2500
            assert len(store.search(("u", "3"), query="text 1", limit=200)) == 100
    same = sum(len(set(few) & set(all_)) for few, all_ in zip(*found, strict=True))
    assert same >= 0.95 * 10 * 30
    assert isinstance(engine._resident, resident.Resident)


def test_no_memory_at_all_is_enough(tmp_path):
    with MemoryStore(tmp_path / "agent.db", index={"embed": HashEmbeddings(dims=8), "vector_memory_mb": 0}) as store:
        for i in range(20):
            store.put(("u",), str(i), {"text": f"tea {i}"})
        assert len(store.search(("u",), query="tea 3")) == 10
        assert store._engine._resident._bytes == 0


def counted_loads(monkeypatch):
    """Return a list that grows by one whenever all vectors below a prefix are read."""
    loads = []
    load = resident._Loader.load
    monkeypatch.setattr(resident._Loader, "load", lambda loader: loads.append(loader.prefix) or load(loader))
    return loads


@pytest.mark.parametrize("texts", [1, 3])
def test_whatever_has_room_in_memory_is_read_once(tmp_path, monkeypatch, texts):
    index = {"embed": HashEmbeddings(dims=64), "fields": ["notes[*]"]}
    with MemoryStore(tmp_path / "agent.db", index=index) as store:
        store.batch([PutOp(("u",), str(i), {"notes": [f"tea {i} {n}" for n in range(texts)]}) for i in range(300)])
    loads = counted_loads(monkeypatch)
    exact = 300 * texts * (4 * 64 + 8)
    for percent in range(60, 140, 2):
        limits = LIMITS._replace(vector_bytes=exact * percent // 100, entry_bytes=0, listed_items=10)
        with MemoryStore(SQLiteEngine(tmp_path / "agent.db", limits=limits), index=index) as store:
            del loads[:]
            for i in range(4):
                assert len(store.search(("u",), query=f"tea {i}")) == 10
            assert len(loads) == 1, percent


def test_rows_of_hits_never_cost_an_entry_its_place(tmp_path, monkeypatch):
    index = {"embed": HashEmbeddings(dims=64), "fields": ["text"]}
    loads = counted_loads(monkeypatch)
    engine = SQLiteEngine(tmp_path / "agent.db", limits=LIMITS._replace(vector_bytes=100_000))
    with MemoryStore(engine, index=index) as store:
        long = "x" * 10_000
        store.batch([PutOp(("u",), str(i), {"text": f"tea {i}", "more": long}) for i in range(250)])
        for i in range(4):
            store.search(("u",), query=f"tea {i}")
        assert loads == ["u."]
        assert engine._resident._bytes <= 100_000


def test_prefixes_with_little_below_them_take_memory_as_well(tmp_path):
    limits = LIMITS._replace(vector_bytes=50_000)
    with MemoryStore(SQLiteEngine(tmp_path / "a.db", limits=limits), index={"embed": HashEmbeddings(dims=8)}) as store:
        store.put(("u", "1"), "k", {"text": "tea"})
        for i in range(200):
            store.search(("u", str(i)), query="tea")
        kept = store._engine._resident
        assert 0 < len(kept._entries) < 50
        assert 0 < kept._bytes <= 50_000
        for prefix in list(kept._entries):
            kept._keep(prefix, None)
        assert kept._bytes == 0


def test_signs_choose_enough_items_where_each_has_many_vectors(tmp_path):
    rng = np.random.default_rng(5)
    # The nearest item has more vectors than are candidates.
    near = {f"near {i}": np.eye(64)[0] + 0.1 * rng.standard_normal(64) for i in range(60)}
    far = {f"far {i}": rng.standard_normal(64) for i in range(60)}
    vectors = {**near, **far}
    index = {"embed": lambda texts: [vectors[text] for text in texts], "fields": ["notes[*]"]}
    limits = LIMITS._replace(vector_bytes=8_000, candidates=40)
    with MemoryStore(SQLiteEngine(tmp_path / "agent.db", limits=limits), index=index) as store:
        store.put(("u",), "near", {"notes": list(near)})
        for i in range(30):
            store.put(("u",), str(i), {"notes": [f"far {2 * i}", f"far {2 * i + 1}"], "odd": i % 2})
        for count in (1, 5, 10):
            assert len(store.search(("u",), query="near 3", limit=count)) == count
            assert len(store.search(("u",), query="near 3", limit=count, filter={"odd": 1})) == count
        assert isinstance(store._engine._resident._entries["u."].vectors, Signs)


def test_a_text_that_is_put_again_and_again_is_found_at_once(tmp_path):
    statements = []
    with MemoryStore(tmp_path / "agent.db", index={"embed": HashEmbeddings(dims=8), "fields": ["text"]}) as store:
        for i in range(50):
            store.put(("u",), "k", {"text": "tea", "n": i})
        connection = store._engine._pool.borrow()
        store._engine._pool.give_back(connection)
        connection.set_trace_callback(statements.append)
        store.put(("u",), "k", {"text": "tea", "n": 50})
        connection.set_trace_callback(None)
    assert statements
    assert len(statements) < 20

"""The vectors that the embedded engine keeps in memory: right after every write, and however little room they have."""

import numpy as np
import pytest
from langgraph.store.base import PutOp

from crossthread import MemoryStore
from crossthread.engines.sqlite import resident
from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.engines.sqlite.limits import LIMITS
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
    limits = LIMITS._replace(vector_bytes=vector_bytes, listed_items=listed_items)
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

"""Engines that cannot tell records; pages of large files."""

import asyncio

import pytest
from langgraph.store.base import PutOp

from crossthread import MemoryStore, UnsupportedError
from crossthread.engines.memory import MemoryEngine
from crossthread.engines.sqlite import records


class OtherEngine(MemoryEngine):
    keeps_records = False


def test_an_engine_that_cannot_tell_is_named():
    with MemoryStore(OtherEngine()) as store:
        store.put(("a",), "k", {"n": 1})
        for call in (store.records, store.stats, lambda: store.record(("a",), "k")):
            with pytest.raises(UnsupportedError, match="OtherEngine does not tell all"):
                call()
        with pytest.raises(UnsupportedError, match="OtherEngine"):
            asyncio.run(store.astats())


@pytest.mark.parametrize("few", [0, 5, 5000])
def test_a_prefix_among_many_is_read_in_the_same_order(tmp_path, monkeypatch, few):
    monkeypatch.setattr(records, "_FEW", few)
    with MemoryStore(tmp_path / "agent.db") as store:
        store.batch([PutOp((f"n{n % 3}", str(n % 7)), str(n), {"n": n}) for n in range(200)])
        for newest_first in (False, True):
            for prefix in [(), ("n1",), ("n1", "2"), ("n9",)]:
                found, after = [], None
                while page := store.records(prefix, after=after, limit=9, newest_first=newest_first):
                    found += [record.value["n"] for record in page]
                    after = page[-1]
                below = [n for n in range(200) if (f"n{n % 3}", str(n % 7))[: len(prefix)] == prefix]
                assert found == (below[::-1] if newest_first else below)


def test_a_page_of_a_large_store_is_read_along_its_order(tmp_path):
    """No page sorts, or reads again, what the pages before have read."""
    with MemoryStore(tmp_path / "agent.db") as store:
        store.batch([PutOp(("big", str(n % 50)), str(n), {"n": n}) for n in range(7000)])
        connection = store._engine._pool.borrow()
        try:
            for prefix in ("", "big.", "big.7."):
                scope, parameters, is_sorted = records._scope(connection, prefix)
                sql = records.queries.stored_below(scope, newest_first=True, vectors=True, is_sorted=is_sorted)
                plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", (*parameters, 0, 0, 10)).fetchall()
                assert not any("TEMP B-TREE" in row[3] for row in plan), plan
        finally:
            store._engine._pool.give_back(connection)

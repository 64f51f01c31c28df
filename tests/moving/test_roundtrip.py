"""Whatever a store holds: an export reads back equal on every engine, twice is once, and an interruption is none."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from langgraph.store.base import PutOp

from crossthread import MemoryStore, copy_store, export_lines, import_lines
from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.engines.sqlite.limits import LIMITS
from crossthread.moving import importing
from crossthread.testing import HashEmbeddings, ManualClock, strategies
from servers import run_sql, schema_for, server_url, with_parameters

KINDS = ["memory", "sqlite", "small", "postgres"]
QUERIES = ["green tea", "old trains", "roses"]
_SCHEMAS: set[str] = set()
_PATHS: list[Any] = [None, None, False, ["notes[*]"], ["text", "notes[*]"], ["$"], ["o.a"], []]


def puts() -> st.SearchStrategy[list[PutOp]]:
    one = st.builds(
        PutOp,
        strategies.namespaces(),
        st.one_of(strategies.keys(), strategies.hostile_texts()),
        strategies.values(),
        st.sampled_from(_PATHS),
        strategies.ttls(),
    )
    return st.lists(one, min_size=1, max_size=12)


def config(index: str | None) -> Any:
    embed = {"embed": HashEmbeddings(16), "dims": 16, "model": "hash"} if index == "vectors" else {}
    return None if index is None else {**embed, "fields": ["text"]}


@contextmanager
def opened(kind: str, name: str, index: str | None, clock: ManualClock) -> Iterator[MemoryStore]:
    """Open an empty store."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place: Any = ":memory:"
        if kind == "sqlite":
            place = folder / "agent.db"
        elif kind == "small":  # as it works with many items
            limits = LIMITS._replace(few_words=0, many_words=0, unindexed=3, listed_items=0)
            place = SQLiteEngine(folder / "agent.db", clock=clock, limits=limits)
        elif kind == "postgres":
            schema = schema_for(Path(__file__).with_name(name))
            place = with_parameters(server_url(), schema=schema, pool_size=2)
            if schema not in _SCHEMAS:
                MemoryStore(place, index=config("vectors")).close()
                _SCHEMAS.add(schema)
            run_sql(f"TRUNCATE {schema}.items, {schema}.words, {schema}.vectors")
            run_sql(f"UPDATE {schema}.state SET language = NULL, model = NULL, dims = NULL")
            run_sql(f"ALTER SEQUENCE {schema}.stamps RESTART")
        yield stack.enter_context(MemoryStore(place, index=config(index), clock=clock))


def everything(store: MemoryStore, index: str | None) -> list[Any]:
    """Return all that can be seen of a store."""
    found: list[Any] = [store.records(limit=1000)]
    for mode in {"vectors": ["semantic", "keyword", "hybrid"], "words": ["keyword"], None: []}[index]:
        for query in QUERIES:
            hits = store.search((), query=query, mode=mode, limit=1000, refresh_ttl=False)
            found.append([(hit.namespace, hit.key, pytest.approx(hit.score, abs=1e-5)) for hit in hits])
    return found


def assert_same(found: list[Any], wanted: list[Any]) -> None:
    """Compare what `everything` returns, one thing after the other."""
    for one, other in zip(found, wanted, strict=True):
        differing = [pair for pair in zip_longest(one, other) if pair[0] != pair[1]]
        assert not differing


def fill(store: MemoryStore, clock: ManualClock, ops: list[PutOp]) -> None:
    for number, op in enumerate(ops):
        clock.advance(seconds=number)
        store.batch([op])


def roundtrips(kinds: list[tuple[str, str]], examples: int) -> Any:
    """Return the decorators of a property over pairs of engines."""

    def decorated(test: Any) -> Any:
        checked = given(ops=puts(), index=st.sampled_from(["vectors", "words", None]), draw=st.data())(test)
        relaxed = settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            phases=(Phase.explicit, Phase.generate),  # to shrink takes minutes here
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.data_too_large,
                HealthCheck.function_scoped_fixture,
            ],
        )(checked)
        return pytest.mark.parametrize(("kind", "other"), kinds)(relaxed)

    return decorated


@roundtrips([("memory", "sqlite"), ("sqlite", "small"), ("small", "memory")], 12)
def test_an_export_reads_back_equal(kind, other, ops, index, draw):
    check(kind, other, ops, index, draw)


@roundtrips([("sqlite", "postgres"), ("postgres", "postgres"), ("postgres", "sqlite")], 4)
def test_an_export_reads_back_equal_with_a_server(kind, other, ops, index, draw):
    check(kind, other, ops, index, draw)


def check(kind: str, other: str, ops: list[PutOp], index: str | None, draw: Any) -> None:
    clock = ManualClock()
    vectors = draw.draw(st.booleans(), label="vectors")
    with opened(kind, "source", index, clock) as source, opened(other, "target", index, clock) as target:
        fill(source, clock, ops)
        seen = everything(source, index)
        lines = list(export_lines(source, vectors=vectors))
        # Interrupted at any line, in batches of any size, and run again.
        at = draw.draw(st.integers(1, len(lines)), label="interrupted after")
        importing.AT_ONCE = draw.draw(st.integers(1, 9), label="lines at once")
        try:
            import_lines(target, lines[:at])
            result = import_lines(target, lines)
            assert result.equal == at - 1
            assert_same(everything(target, index), seen)
            assert target.verify()
            # Twice is once.
            assert import_lines(target, lines).equal == len(lines) - 1
            assert_same(everything(target, index), seen)
        finally:
            importing.AT_ONCE = 500
        # Back again, over something else.
        back = list(export_lines(target, vectors=vectors))
        assert back[1:] == lines[1:]
        source.forget(())
        there = [(one.namespace, one.key) for one in seen[0]]
        source.batch(
            [PutOp(*at, {"text": "green"}) for at in there[: draw.draw(st.integers(0, 5), label="written since")]]
        )
        import_lines(source, back, existing="replace")
        assert source.stats().items == len(lines) - 1
        assert_same(everything(source, index), seen)
        assert source.verify()


@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(ops=puts(), more=puts(), index=st.sampled_from(["vectors", "words", None]))
def test_a_copy_into_a_store_in_use(ops, more, index):
    """What is newer stays, everything else is as in the source; another object that has searched before sees it all."""
    clock = ManualClock()
    with tempfile.TemporaryDirectory() as folder, opened("memory", "source", index, clock) as source:
        fill(source, clock, ops)
        limits = LIMITS._replace(few_words=0, many_words=0, unindexed=4, listed_items=2)
        engines = [SQLiteEngine(Path(folder) / "agent.db", clock=clock, limits=limits) for _ in range(2)]
        with (
            MemoryStore(engines[0], index=config(index)) as target,
            MemoryStore(engines[1], index=config(index)) as twin,
        ):
            clock.advance(seconds=1)  # no two have the same time
            fill(target, clock, more)
            before = {(one.namespace, one.key): one for one in target.records(limit=1000)}
            everything(twin, index)
            result = copy_store(source, target)
            wanted = before | {
                at: one
                for one in source.records(limit=1000)
                if (at := (one.namespace, one.key)) not in before or before[at].updated_at <= one.updated_at
            }
            assert result.kept == sum(wanted[one.namespace, one.key] != one for one in source.records(limit=1000))
            found = everything(twin, index)
            assert sorted((one.namespace, one.key) for one in found[0]) == sorted(wanted)
            assert all(wanted[one.namespace, one.key] == one for one in found[0])
            assert_same(everything(target, index), found)
            assert target.verify()

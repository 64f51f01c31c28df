"""Random steps on a store and on the in-memory reference with the same clock: every answer must be the same.

```python
from crossthread.testing import StoreComparison


class Comparison(StoreComparison):
    def open_store(self, folder, **settings):
        return MemoryStore(folder / "agent.db", **settings)


TestComparison = Comparison.TestCase
```
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from langgraph.store.base import GetOp, ListNamespacesOp, MatchCondition, Op, PutOp, SearchItem, SearchOp

from crossthread._clock import to_datetime
from crossthread.moving.importing import aimport_lines, import_lines
from crossthread.moving.lines import FORMAT, VERSION
from crossthread.records import Record, StoreStats
from crossthread.store import MemoryStore
from crossthread.testing import strategies
from crossthread.testing.clock import ManualClock
from crossthread.testing.embedder import HashEmbeddings

_INDEXES: list[Any] = [None, None, None, False, ["notes[*]"], ["text", "notes[*]"], ["$"], ["o.a"], []]
_TTL_CONFIGS: list[dict[str, Any] | None] = [
    None,
    {"default_ttl": 2, "refresh_on_read": True},
    {"default_ttl": 2, "refresh_on_read": False},
    {"omit_expired": False, "refresh_on_read": False},
]
_DIMS = 16
_LONG_AGO_US = 1_500_000_000_000_000
_MODES: dict[str | None, list[str | None]] = {
    "vectors": [None, "semantic", "keyword", "hybrid"],
    "words": [None, "keyword"],
    None: [None],
}
_WATCHED: list[tuple[str, ...]] = [(), ("a",), ("a", "b")]


def _puts() -> st.SearchStrategy[PutOp]:
    value = st.one_of(strategies.values(), strategies.values(), strategies.values(), st.none())
    return st.builds(
        PutOp, strategies.namespaces(), strategies.keys(), value, st.sampled_from(_INDEXES), strategies.ttls()
    )


def _searches() -> st.SearchStrategy[SearchOp]:
    return st.builds(
        SearchOp,
        strategies.namespaces(min_size=0),
        st.one_of(st.none(), strategies.filters()),
        st.sampled_from([0, 1, 2, 5, 10, 100]),
        st.sampled_from([0, 0, 1, 3]),
        st.one_of(st.none(), st.just(""), strategies.texts()),
        st.booleans(),
    )


def _lists() -> st.SearchStrategy[ListNamespacesOp]:
    path = st.lists(st.one_of(st.just("*"), strategies.labels()), min_size=1, max_size=3).map(tuple)
    conditions = st.lists(st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), path), max_size=2).map(tuple)
    return st.builds(
        ListNamespacesOp,
        conditions,
        st.one_of(st.none(), st.integers(1, 3)),
        st.sampled_from([0, 2, 100]),
        st.sampled_from([0, 1]),
    )


def _gets() -> st.SearchStrategy[GetOp]:
    return st.builds(GetOp, strategies.namespaces(), strategies.keys(), st.booleans())


class StoreComparison(RuleBasedStateMachine):
    """A hypothesis state machine; a subclass says how the store under test opens.

    Attributes:
        clock: The clock of both stores.
        folder: A folder that lives as long as the machine's run.
        can_reopen: Whether the store keeps its items when it is closed and opened again.
    """

    can_reopen = True

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        self._runner = asyncio.Runner()
        self._settings: dict[str, Any] = {}
        self._is_async = False
        self._modes: list[str | None] = [None]
        self._steps = 0
        self.store: Any = None
        self.reference: Any = None

    def open_store(self, folder: Path, **settings: Any) -> Any:
        """Open the store under test.

        Args:
            folder: A folder of its own, the same on every call of one run.
            settings: ``index=``, ``ttl=`` and ``clock=``.

        Returns:
            The store.
        """
        raise NotImplementedError("a subclass opens its store here")

    def reopen(self) -> None:
        """Close the store under test and open it again."""
        self.store.close()
        self.store = self.open_store(self.folder, **self._settings, clock=self.clock)

    def teardown(self) -> None:
        """Close everything."""
        for store in (self.store, self.reference):
            if store is not None:
                store.close()
        self._runner.close()
        self._temporary.cleanup()

    @initialize(
        ttl=st.sampled_from(_TTL_CONFIGS),
        index=st.sampled_from(["vectors", "vectors", "words", None]),
        is_async=st.booleans(),
    )
    def open_both(self, ttl: dict[str, Any] | None, index: str | None, is_async: bool) -> None:
        """Open both stores with the same settings."""
        self._modes = _MODES[index]
        embed = {"embed": HashEmbeddings(_DIMS), "dims": _DIMS} if index == "vectors" else {}
        self._settings = {"index": {**embed, "fields": ["text"]} if index else None, "ttl": ttl}
        self._is_async = is_async
        self.store = self.open_store(self.folder, **self._settings, clock=self.clock)
        self.reference = MemoryStore(":memory:", **self._settings, clock=self.clock)

    @rule(op=_puts())
    def put_or_delete(self, op: PutOp) -> None:
        """Write one item."""
        self._compare("batch", [op])

    @rule(namespace=strategies.namespaces(), key=strategies.keys(), value=strategies.values())
    def put_with_defaults(self, namespace: tuple[str, ...], key: str, value: dict[str, Any]) -> None:
        """Write one item the way users do."""
        self._compare("put", namespace, key, value)

    @rule(ops=st.lists(st.one_of(_puts(), _puts(), _puts(), _gets(), _searches(), _lists()), min_size=2, max_size=12))
    def batch(self, ops: list[Op]) -> None:
        """Reads and writes together."""
        self._compare("batch", ops)

    @rule(
        ops=st.lists(_puts(), max_size=4),
        place=st.integers(0, 4),
        bad=st.sampled_from(["value", "filter", "label", "limit"]),
    )
    def refused_batch(self, ops: list[Op], place: int, bad: str) -> None:
        """A batch with one wrong op in it."""
        wrong: dict[str, Op] = {
            "value": PutOp(("a",), "k", {"x": float("nan")}),
            "filter": SearchOp((), filter={"a": {"$no": 1}}),
            "label": PutOp(("a.b",), "k", {"x": 1}),
            "limit": SearchOp((), limit=-1),
        }
        self._compare("batch", [*ops[:place], wrong[bad], *ops[place:]])

    @rule(op=_gets())
    def get(self, op: GetOp) -> None:
        """Read one item."""
        self._compare("get", op.namespace, op.key, refresh_ttl=op.refresh_ttl)

    @rule(
        op=_searches(),
        min_score=st.sampled_from([None, None, 0.0, 0.3]),
        mode=st.integers(0, 3),
        weight=st.sampled_from([None, 0.0, 0.3, 1.0]),
    )
    def search(self, op: SearchOp, min_score: float | None, mode: int, weight: float | None) -> None:
        """Search, by filter, by meaning, by words, or all of it."""
        self._compare(
            "search",
            op.namespace_prefix,
            query=op.query,
            filter=op.filter,
            limit=op.limit,
            offset=op.offset,
            refresh_ttl=op.refresh_ttl,
            min_score=min_score,
            mode=self._modes[mode % len(self._modes)],
            hybrid_weight=weight,
            explain=mode == 3,
        )

    @rule(op=_lists())
    def list_namespaces(self, op: ListNamespacesOp) -> None:
        """List namespaces."""
        self._compare("batch", [op])

    @rule(prefix=strategies.namespaces(min_size=0), filter_=st.one_of(st.none(), strategies.filters()))
    def count(self, prefix: tuple[str, ...], filter_: dict[str, Any] | None) -> None:
        """Count items."""
        self._compare("count", prefix, filter=filter_)

    @rule(prefix=st.one_of(strategies.namespaces(), strategies.namespaces(), strategies.namespaces(min_size=0)))
    def forget(self, prefix: tuple[str, ...]) -> None:
        """Erase a part of the store."""
        self._compare("forget", prefix)

    @rule(
        namespace=strategies.namespaces(),
        key=strategies.keys(),
        changes=strategies.values(),
        default=st.sampled_from([{}, {}, None]),
    )
    def update(
        self, namespace: tuple[str, ...], key: str, changes: dict[str, Any], default: dict[str, Any] | None
    ) -> None:
        """Read, modify and write one item."""
        self._compare(
            "update",
            namespace,
            key,
            lambda value: {**value, **changes},
            **({} if default is None else {"default": default}),
        )

    @rule(
        namespace=strategies.namespaces(),
        key=strategies.keys(),
        value=strategies.values(),
        when=st.sampled_from(["long ago", "long ago", "now", "ahead"]),
        ttl=strategies.ttls(),
        index=st.sampled_from([None, False, ["text"], ["notes[0]"], ["$"]]),
        existing=st.sampled_from(["newer", "replace"]),
    )
    def take_in(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: dict[str, Any],
        when: str,
        ttl: float | None,
        index: Any,
        existing: Any,
    ) -> None:
        """Import an item with a time of its own, earlier or later than others; no two have the same."""
        self._steps += 1
        start = {"long ago": _LONG_AGO_US, "now": self.clock.now_us + 500_000, "ahead": self.clock.now_us + 10**9}[when]
        updated_at = start + 2 * self._steps
        expires_at = None if ttl is None else to_datetime(self.clock.now_us + round(ttl * 60_000_000)).isoformat()
        told = {"namespace": namespace, "key": key, "value": value, "ttl": ttl, "expires_at": expires_at}
        times = {
            "created_at": to_datetime(updated_at - 1).isoformat(),
            "updated_at": to_datetime(updated_at).isoformat(),
        }
        lines = [json.dumps({"format": FORMAT, "version": VERSION}), json.dumps({**told, **times, "index": index})]
        self._compare_outcomes("import_lines", lambda store: self.import_lines(store, lines, existing=existing))

    def import_lines(self, store: Any, lines: list[str], *, existing: Any) -> Any:
        """Import lines into a store; for subclasses whose store under test is several."""
        if self._is_async and store is self.store:
            return self._runner.run(aimport_lines(store, lines, existing=existing))
        return import_lines(store, lines, existing=existing)

    @rule(seconds=st.sampled_from([-1, 0.000001, 1, 30, 60, 200]))
    def time_passes(self, seconds: float) -> None:
        """Move the clock, mostly forward."""
        self.clock.advance(seconds=seconds)

    @precondition(lambda self: _can_reembed(self.store))
    @rule(dims=st.sampled_from([8, 16, 24]), texts=st.sampled_from([0, 1, 3, None]))
    def reembed(self, dims: int, texts: int | None) -> None:
        """Change the embedding model, or begin to: a run that is given up after some texts changes no answer."""
        if self._modes != _MODES["vectors"]:
            return
        model = f"hash-{dims}"
        for store in (self.store, self.reference):
            self._reembed(store, _Fading(dims, texts), model)
        if texts is None or self.store._engine.space.model != self.reference._engine.space.model:
            # Which texts a run begins with differs from engine to engine, and so does how far it comes.
            for store in (self.store, self.reference):
                self._reembed(store, _Fading(dims, None), model)
                assert store._engine.space.model == model, "the model was not changed"
        if self.store._engine.space.model == model:
            self._settings["index"] = {"embed": HashEmbeddings(dims), "model": model, "fields": ["text"]}

    def _reembed(self, store: Any, embed: Any, model: str) -> None:
        settings: Any = {"model": model, "batch_size": 1, "concurrency": 1, "retries": 0}
        with suppress(ConnectionError):
            if self._is_async:
                self._runner.run(store.areembed(embed, **settings))
            else:
                store.reembed(embed, **settings)

    @rule()
    def sweep(self) -> None:
        """Delete what has expired."""
        self._compare("sweep_ttl")

    @precondition(lambda self: self.can_reopen)
    @rule()
    def restart(self) -> None:
        """Close the store under test and open it again, an hour later."""
        self.clock.advance(minutes=60)
        self.reopen()

    @invariant()
    def same_content(self) -> None:
        """Both hold the same items, in the same order, with the same times, in the same namespaces."""
        if self.store is not None:
            self._compare("search", (), limit=10_000, refresh_ttl=False)
            self._compare("list_namespaces", limit=10_000)
            self._compare("records", (), limit=10_000, newest_first=bool(self._steps % 2), vectors=True)
            self._compare("stats", _WATCHED[self._steps % len(_WATCHED)])
            # The same queries after every step: what an engine keeps in memory must follow each kind of write.
            self._steps += 1
            for number, prefix in enumerate(_WATCHED, self._steps):
                mode = self._modes[number % len(self._modes)]
                self._compare("search", prefix, query="green tea", limit=10_000, refresh_ttl=False, mode=mode)

    def _compare(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Make one call on both stores and compare what they return or raise."""
        expected = _outcome(lambda: getattr(self.reference, name)(*args, **kwargs))
        if self._is_async:
            actual = _outcome(lambda: self._runner.run(self._acall(name, args, kwargs)))
        else:
            actual = _outcome(lambda: getattr(self.store, name)(*args, **kwargs))
        assert actual == expected, f"{name} differs:\n  store:     {actual}\n  reference: {expected}"

    def _compare_outcomes(self, name: str, call: Callable[[Any], Any]) -> None:
        expected, actual = (_outcome(partial(call, store)) for store in (self.reference, self.store))
        assert actual == expected, f"{name} differs:\n  store:     {actual}\n  reference: {expected}"

    async def _acall(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await getattr(self.store, f"a{name}")(*args, **kwargs)


def _can_reembed(store: Any) -> bool:
    """Whether a store is one of ours, over an engine that can change its model."""
    return isinstance(store, MemoryStore) and store._engine.can_reembed


class _Fading(HashEmbeddings):
    """Embeddings that fail for ever after some calls for documents; None: never."""

    def __init__(self, dims: int, calls: int | None) -> None:
        super().__init__(dims)
        self._left = calls

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text, or fail."""
        if self._left is not None:
            if not self._left:
                raise ConnectionError("no model here")
            self._left -= 1
        return super().embed_documents(texts)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text, or fail."""
        return self.embed_documents(texts)


def _outcome(call: Callable[[], Any]) -> Any:
    """Return what a call returns, in a form that compares types and scores as well, or the kind of error it raises."""
    try:
        result = call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return _plain(result)


def _plain(result: Any) -> Any:
    if isinstance(result, StoreStats):
        return repr(replace(result, place="", file_bytes=None))  # each has its own
    if isinstance(result, Record):
        vectors = None if result.vectors is None else result.vectors.tobytes().hex()
        return [repr(replace(result, value={})), _sorted_repr(result.value), vectors]
    if isinstance(result, list):
        return [_plain(element) for element in result]
    if hasattr(result, "updated_at"):
        fields = [
            repr(result.namespace),
            repr(result.key),
            _sorted_repr(result.value),
            result.created_at,
            result.updated_at,
        ]
        score = repr(result.score) if isinstance(result, SearchItem) else "item"
        parts = [repr(getattr(result, part, None)) for part in ("semantic", "keyword", "terms")]
        return [*map(str, fields), score, *parts]
    return repr(result)


def _sorted_repr(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_sorted_repr(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_sorted_repr, value)) + "]"
    return repr(value)

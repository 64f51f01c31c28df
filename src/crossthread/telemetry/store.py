"""A store that tells what it does: a subclass that an open store is made an object of, so that others pay nothing.

Operations get a span where they begin, batches for the engine one while their program waits for them, and the embedder
and the reranker one around each call, in the caller's context also where a thread or a loop makes the call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial, update_wrapper
from typing import Any

from langgraph.store.base import GetOp, Item, SearchItem

from crossthread._program import Program
from crossthread.batch import Model
from crossthread.embedding.base import Embedder
from crossthread.operations.commands import Batch
from crossthread.reranking import Reranker
from crossthread.store import MemoryStore
from crossthread.telemetry.operations import RETURNED, Attributes, Description, at, described, outcome
from crossthread.telemetry.recorder import Recorder
from crossthread.update import Run


def _spanned(name: str) -> Any:
    """Return a method that does what that of the store does, in a span."""

    def call(self: InstrumentedStore, *args: Any, **settings: Any) -> Any:
        with self._recorder.operation(Description(name, {})) as operation:
            result = getattr(super(InstrumentedStore, self), name)(*args, **settings)
            if name == "records":
                operation.returns({RETURNED: len(result)})
        return result

    return update_wrapper(call, getattr(MemoryStore, name))


def _aspanned(name: str) -> Any:
    async def call(self: InstrumentedStore, *args: Any, **settings: Any) -> Any:
        with self._recorder.operation(Description(name, {})) as operation:
            result = await getattr(super(InstrumentedStore, self), f"a{name}")(*args, **settings)
            if name == "records":
                operation.returns({RETURNED: len(result)})
        return result

    return update_wrapper(call, getattr(MemoryStore, f"a{name}"))


class InstrumentedStore(MemoryStore):
    """A `MemoryStore` with telemetry."""

    _recorder: Recorder
    _kind: type[MemoryStore]
    """What the store was before."""

    def _run(self, ops: Iterable[Any], *, counted: bool = True) -> list[Any]:
        ops = list(ops)
        with self._recorder.operation(described(ops, self._recorder.record_names), counted=counted) as operation:
            results = super()._run(ops)
            operation.returns(outcome(ops, results))
        return results

    async def _arun(self, ops: Iterable[Any], *, counted: bool = True) -> list[Any]:
        ops = list(ops)
        with self._recorder.operation(described(ops, self._recorder.record_names), counted=counted) as operation:
            results = await super()._arun(ops)
            operation.returns(outcome(ops, results))
        return results

    def _program(self, ops: list[Any], model: Model) -> Program[list[Any]]:
        return watched(super()._program(ops, model), self._recorder, self._recorder.here())

    def _perform(self, request: Any) -> Any:
        if isinstance(request, Run):  # a part of an update
            return self._run(request.ops, counted=False)
        return super()._perform(request)

    async def _aperform(self, request: Any) -> Any:
        if isinstance(request, Run):
            return await self._arun(request.ops, counted=False)
        return await super()._aperform(request)

    def get(self, namespace: tuple[str, ...], key: str, *, refresh_ttl: bool | None = None) -> Item | None:
        """Do what `MemoryStore.get` does."""
        with self._recorder.operation(self._at("get", namespace, key)) as operation:
            item = super().get(namespace, key, refresh_ttl=refresh_ttl)
            operation.returns(outcome([GetOp(namespace, key)], [item]))
        return item

    def update(self, namespace: tuple[str, ...], key: str, *args: Any, **settings: Any) -> Item:
        """Do what `MemoryStore.update` does."""
        with self._recorder.operation(self._at("update", namespace, key)):
            return super().update(namespace, key, *args, **settings)

    async def aupdate(self, namespace: tuple[str, ...], key: str, *args: Any, **settings: Any) -> Item:
        """Do what `MemoryStore.aupdate` does."""
        with self._recorder.operation(self._at("update", namespace, key)):
            return await super().aupdate(namespace, key, *args, **settings)

    def _watched_embedder(self, embedder: Embedder) -> Embedder:
        return WatchedEmbedder(embedder, self._recorder)

    def _at(self, name: str, namespace: Any, key: Any) -> Description:
        return at(name, namespace, key, self._recorder.record_names)

    # What is no batch. Async forms that call these in a thread, with the context of their caller, have no own span.

    areembed = _aspanned("reembed")
    backup = _spanned("backup")
    estimate_reembed = _spanned("estimate_reembed")
    erase_traces = _spanned("erase_traces")
    record = _spanned("record")
    arecord = _aspanned("record")
    records = _spanned("records")
    reembed = _spanned("reembed")
    arecords = _aspanned("records")
    stats = _spanned("stats")
    astats = _aspanned("stats")
    verify = _spanned("verify")

    # Being one, and ceasing to be

    @classmethod
    def make(cls, store: MemoryStore, recorder: Recorder) -> None:
        """Let a store tell a recorder what it does from now on."""
        kind = type(store)
        embedder = store._model.embedder
        if embedder is not None:
            store._model = store._model._replace(embedder=WatchedEmbedder(embedder, recorder))
        if store._reranker is not None:
            store._reranker = WatchedReranker(store._reranker, recorder)
        store._calls_ask(store._reranker)
        store._engine.on_commit = recorder.committed
        vars(store).update(_recorder=recorder, _kind=kind)
        store.__class__ = _instrumented(kind)

    def unmake(self) -> None:
        """Say nothing any more."""
        self.__class__ = self._kind  # type: ignore[assignment]
        embedder = self._model.embedder
        if isinstance(embedder, WatchedEmbedder):
            self._model = self._model._replace(embedder=embedder.embedder)
        if isinstance(self._reranker, WatchedReranker):
            self._reranker = self._reranker.reranker
        self._calls_ask(self._reranker)
        self._engine.on_commit = None


@cache
def _instrumented(kind: type[MemoryStore]) -> type[InstrumentedStore]:
    """Return the class of a store of this class that has telemetry; it has the same name."""
    return type(kind.__name__, (InstrumentedStore, kind), {"__module__": kind.__module__, "__doc__": kind.__doc__})


def watched(program: Program[Any], recorder: Recorder, parent: Any) -> Program[Any]:
    """Do what a program does, with a span for each batch while its answer is awaited.

    It may be stepped in any thread, so the parent of its spans is given.
    """
    step: Callable[[], Any] = partial(program.send, None)
    try:
        while True:
            try:
                request = step()
            except StopIteration as stop:
                return stop.value
            if isinstance(request, Batch):
                told: Attributes = {"crossthread.commands": len(request.commands), "crossthread.writes": request.writes}
                span = recorder.start("execute", told, parent)
                try:
                    answer, error = yield from _answered(request)
                    if error is not None:
                        recorder.fail(span, error)
                finally:
                    span.end()
            else:
                answer, error = yield from _answered(request)
            step = partial(program.send, answer) if error is None else partial(program.throw, error)
    finally:
        program.close()


def _answered(request: Any) -> Program[tuple[Any, BaseException | None]]:
    """Hand a request on, and return the answer or the error that comes back."""
    try:
        return (yield request), None
    except GeneratorExit:
        raise
    except BaseException as error:
        return None, error


class _Watched:
    """What an embedder and a reranker have in common: each call has a span, wherever it runs."""

    def __init__(self, recorder: Recorder, name: str) -> None:
        self._recorder = recorder
        self._name = name

    def _call(self, told: Attributes, ask: Callable[..., Any], *args: Any) -> Any:
        """Return the answer; what is still to be awaited ends the span when it was."""
        span = self._recorder.start(self._name, told)
        answer = None
        try:
            with self._recorder.current(span):
                answer = ask(*args)
        except BaseException as error:
            self._recorder.fail(span, error)
            raise
        finally:
            if not inspect.isawaitable(answer):
                span.end()
        return self._awaited(span, answer) if inspect.isawaitable(answer) else answer

    async def _awaited(self, span: Any, answer: Any) -> Any:
        try:
            with self._recorder.current(span):
                return await answer
        except BaseException as error:
            self._recorder.fail(span, error)
            raise
        finally:
            span.end()


class WatchedEmbedder(_Watched):
    """An embedder with telemetry: spans ``embed``, and how many texts it was given."""

    def __init__(self, embedder: Embedder, recorder: Recorder) -> None:
        super().__init__(recorder, "embed")
        self.embedder = embedder
        self.model = embedder.model
        self.blocks = embedder.blocks

    def embed(self, documents: list[str], queries: list[str]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Embed from sync code."""
        found: tuple[Sequence[Any], Sequence[Any]] = self._asked(self.embedder.embed, documents, queries)
        return found

    def embed_in_thread(self, documents: list[str], queries: list[str]) -> Any:
        """Embed in a thread for an async caller."""
        return self._asked(self.embedder.embed_in_thread, documents, queries)

    async def aembed(self, documents: list[str], queries: list[str]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Embed from async code."""
        found: tuple[Sequence[Any], Sequence[Any]] = await self._asked(self.embedder.aembed, documents, queries)
        return found

    def _asked(self, ask: Callable[..., Any], documents: list[str], queries: list[str]) -> Any:
        self._recorder.embedded(len(documents) + len(queries))
        told: Attributes = {
            "gen_ai.operation.name": "embeddings",
            "crossthread.documents": len(documents),
            "crossthread.queries": len(queries),
            "crossthread.characters": sum(map(len, documents)) + sum(map(len, queries)),
        }
        if self.model is not None:
            told["gen_ai.request.model"] = self.model
        return self._call(told, ask, documents, queries)


class WatchedReranker(_Watched, Reranker):
    """A reranker with telemetry: spans ``rerank``."""

    def __init__(self, reranker: Reranker, recorder: Recorder) -> None:
        super().__init__(recorder, "rerank")
        self.reranker = reranker
        self.blocks = reranker.blocks

    def rerank(self, query: str, hits: list[SearchItem]) -> list[SearchItem]:
        """Rerank from sync code."""
        found: list[SearchItem] = self._call({"crossthread.hits": len(hits)}, self.reranker.rerank, query, hits)
        return found

    def rerank_in_thread(self, query: str, hits: list[SearchItem]) -> Any:
        """Rerank in a thread for an async caller."""
        return self._call({"crossthread.hits": len(hits)}, self.reranker.rerank_in_thread, query, hits)

    async def arerank(self, query: str, hits: list[SearchItem]) -> list[SearchItem]:
        """Rerank from async code."""
        found: list[SearchItem] = await self._call({"crossthread.hits": len(hits)}, self.reranker.arerank, query, hits)
        return found

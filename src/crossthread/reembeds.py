"""The part of `MemoryStore` that changes its embedding model: checks arguments, and performs what a run asks for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from crossthread._program import adrive, drive
from crossthread.batch import Compute, Model, Pause
from crossthread.embedding.base import Embedder
from crossthread.embedding.timeout import timed_embedder
from crossthread.embedding.window import LoopWindow, Patience, ThreadWindow
from crossthread.engines.base import Engine, VectorSpace
from crossthread.errors import ConfigurationError, InvalidArgumentError, StoreBusyError, StoreError
from crossthread.operations.commands import Batch
from crossthread.operations.reembedding import Switch
from crossthread.reembedding import (
    Finish,
    Options,
    Reembedded,
    ReembedEstimate,
    Start,
    SwitchOver,
    run_estimate,
    run_reembedding,
)
from crossthread.settings import IndexSettings, parse_index

_OF_THE_MODEL = ("embed", "model", "dims", "embed_timeout_seconds")


class Reembeds:
    """What a store needs to change its embedding model."""

    _engine: Engine
    _index: IndexSettings | None
    _model: Model
    _reembedding: threading.Lock
    _switching: threading.Lock
    index_config: dict[str, Any] | None

    def reembed(
        self,
        embed: Any,
        *,
        model: str | None = None,
        dims: int | None = None,
        batch_size: int = 128,
        concurrency: int = 4,
        retries: int = 5,
        anew: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Reembedded:
        """Change the embedding model: make new vectors of all texts, and let them take the place of the old ones.

        Others go on reading and writing, in this process and in others, and searches are answered with the old vectors
        until all new ones are there, also those of texts that are written meanwhile. Then one commit switches to the
        new ones, and the old ones are dropped. New vectors are kept in the database as soon as they are made: after an
        error, a Ctrl-C or a crash, call it again, and it goes on where it ended. From the switch on this store uses
        the new model; other open stores get an `IndexMismatchError` from searches and puts that need vectors, until
        they are opened with the new model.

        The store may have been opened without ``index``; opening it with another model is refused.

        Args:
            embed: The new model, as ``index={"embed": ...}`` takes it; or all of an `IndexConfig`, in which nothing but
                the model may differ from that of this store.
            model: Its name, for functions and classes that do not tell theirs. What an unfinished run has staged is
                taken for vectors of this model if the name is the same, or if neither has one.
            dims: The dimensions of its vectors; learnt from the first when left out.
            batch_size: How many texts the embedder is given at once.
            concurrency: How many such batches are under way at the same time.
            retries: How often a call of the embedder that raised is repeated, after pauses that double, from half a
                second up to half a minute.
            anew: Embed all texts, even if the store says that it is of this model already, and whatever an unfinished
                run has staged.
            progress: Called with the number of texts that have new vectors, and of all; texts that several items have
                count as often as that, but are embedded once.

        Returns:
            What was done.

        Raises:
            ConfigurationError: ``embed`` cannot be used, or asks for more than another model.
            EmbeddingError: The embedder returned something that is not its vectors. What it raises itself reaches you
                unchanged after the last repetition.
            StoreBusyError: This object is changing its model already.
            StoreError: The engine cannot re-embed, or refused; or texts are not to be found in the values of items.
            IndexMismatchError: Somebody else has changed the model meanwhile.
        """
        embedder, settings = self._wanted(embed, model, dims)
        options = self._options(embedder, settings, batch_size, concurrency, anew, progress)
        window = ThreadWindow(embedder, _patience(retries))

        def perform(request: Any) -> Any:
            match request:
                case Batch():
                    return self._engine.run(request)
                case Start(texts):
                    return window.start(texts)
                case Finish():
                    return window.finish()
                case Compute(function):
                    return function()
                case Pause(seconds):
                    return time.sleep(seconds)
                case SwitchOver(run):
                    return self._switch_over(run, embedder, settings)
                case _:
                    raise AssertionError(f"unknown request: {request!r}")

        self._claim()
        try:
            done = drive(run_reembedding(options), perform)
            return replace(done, dims=self._engine.space.dims)
        finally:
            window.close()
            self._reembedding.release()

    async def areembed(
        self,
        embed: Any,
        *,
        model: str | None = None,
        dims: int | None = None,
        batch_size: int = 128,
        concurrency: int = 4,
        retries: int = 5,
        anew: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Reembedded:
        """Do what `reembed` does, without blocking the event loop."""
        embedder, settings = await asyncio.to_thread(self._wanted, embed, model, dims)
        options = self._options(embedder, settings, batch_size, concurrency, anew, progress)
        window = LoopWindow(embedder, _patience(retries))

        async def perform(request: Any) -> Any:
            match request:
                case Batch():
                    return await self._engine.arun(request)
                case Start(texts):
                    return window.start(texts)
                case Finish():
                    return await window.finish()
                case Compute(function):
                    return await asyncio.to_thread(function)
                case Pause(seconds):
                    return await asyncio.sleep(seconds)
                case SwitchOver(run):
                    return await asyncio.to_thread(self._switch_over, run, embedder, settings)
                case _:
                    raise AssertionError(f"unknown request: {request!r}")

        self._claim()
        try:
            done = await adrive(run_reembedding(options), perform)
            return replace(done, dims=self._engine.space.dims)
        finally:
            window.close()
            self._reembedding.release()

    def estimate_reembed(self) -> ReembedEstimate:
        """Count the texts and characters that `reembed` would embed, which is what providers bill; embeds nothing.

        It reads all items once. Texts that an unfinished run has embedded already are counted apart.

        Raises:
            StoreError: The engine cannot re-embed.
        """
        self._check_engine()
        return drive(run_estimate(self._fields(None)), self._perform_estimate)

    async def aestimate_reembed(self) -> ReembedEstimate:
        """Do what `estimate_reembed` does, without blocking the event loop."""
        return await asyncio.to_thread(self.estimate_reembed)

    def _perform_estimate(self, request: Any) -> Any:
        return request.function() if isinstance(request, Compute) else self._engine.run(request)

    def _wanted(self, embed: Any, model: str | None, dims: int | None) -> tuple[Embedder, IndexSettings]:
        """Return the new embedder, and the settings of the store with it."""
        self._check_engine()
        given: dict[str, Any] = dict(embed) if isinstance(embed, Mapping) else {"embed": embed}
        given |= {name: value for name, value in (("model", model), ("dims", dims)) if value is not None}
        if given.get("embed") is None:
            raise ConfigurationError("reembed() needs a model: embeddings, a function, or a name such as 'local'.")
        before = dict(self.index_config or {})
        kept = {name: value for name, value in before.items() if name not in ("embed", "model", "dims")}
        settings = parse_index({**kept, **given})
        assert settings is not None
        embedder = timed_embedder(settings)
        assert embedder is not None
        embedder = self._watched_embedder(embedder)
        if self._index is not None:
            for name in IndexSettings.__slots__:
                if name not in _OF_THE_MODEL and name in given and not _same(self._index, settings, name):
                    raise ConfigurationError(
                        f"reembed() changes the model and nothing else, and index[{name!r}] is not that of this store. "
                        "To index other fields or words, put the items again."
                    )
        return embedder, settings

    def _check_engine(self) -> None:
        self._check_open()
        if not self._engine.can_reembed:
            raise StoreError(
                f"{type(self._engine).__name__} cannot change the model of its vectors: it does not know the commands "
                "of crossthread.operations.reembedding. Put the items into a new store to embed them again."
            )

    def _check_open(self) -> None:
        raise NotImplementedError

    def _watched_embedder(self, embedder: Embedder) -> Embedder:
        """Return what is to be asked in an embedder's place; telemetry has something to say here."""
        return embedder

    def _options(
        self,
        embedder: Embedder,
        settings: IndexSettings,
        batch_size: int,
        concurrency: int,
        anew: bool,
        progress: Callable[[int, int], None] | None,
    ) -> Options:
        for name, number in (("batch_size", batch_size), ("concurrency", concurrency)):
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise InvalidArgumentError(f"{name} must be a whole number of at least 1, not {number!r}.")
        return Options(
            model=embedder.model,
            dims=settings.dims,
            fields=self._fields(settings),
            batch_size=batch_size,
            concurrency=concurrency,
            anew=anew,
            tell=progress or (lambda done, total: None),
        )

    def _fields(self, settings: IndexSettings | None) -> tuple[str, ...]:
        """Return where most texts are; a store without ``index`` tries the whole value, and then its parts."""
        known = self._index or settings
        return known.fields if known is not None else ("$",)

    def _claim(self) -> None:
        if not self._reembedding.acquire(blocking=False):
            raise StoreBusyError("This store is changing its model already; wait for the call of reembed() to end.")

    def _switch_over(self, run: int, embedder: Embedder, settings: IndexSettings) -> bool:
        """Let the engine switch, and this object with it; 0 for a run that has switched already."""
        with self._switching:
            if run and not self._engine.run(Batch((Switch(run),)))[0]:
                return False
            index = self._index
            language = None if index is None else index.language.name
            has_embedder = index is not None and index.embed is not None
            self._engine.open(VectorSpace(embedder.model) if has_embedder else None, language, create=False)
            if index is not None and has_embedder:
                self._take_on(index, settings)
            self._model = Model(embedder if has_embedder else None, None, self._engine.space.generation)
            return True

    def _take_on(self, index: IndexSettings, settings: IndexSettings) -> None:
        """Have settings that say of the model what is true now."""
        seconds = settings.embed_timeout_seconds
        self._index = replace(
            index, embed=settings.embed, model=settings.model, dims=None, embed_timeout_seconds=seconds
        )
        kept = {name: value for name, value in (self.index_config or {}).items() if name not in _OF_THE_MODEL}
        told = {"embed": settings.embed, "model": settings.model, "embed_timeout_seconds": seconds}
        self.index_config = {**kept, **{name: value for name, value in told.items() if value is not None}}


def _same(one: IndexSettings, other: IndexSettings, name: str) -> bool:
    if name == "language":
        return one.language.name == other.language.name
    return bool(getattr(one, name) == getattr(other, name))


def _patience(retries: int) -> Patience:
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        raise InvalidArgumentError(f"retries must be a whole number of at least 0, not {retries!r}.")
    return Patience(retries)

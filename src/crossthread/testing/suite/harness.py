"""What every part of the suite stands on: opening stores, calling them both ways, and skipping what a store lacks."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import pytest

from crossthread.testing.clock import ManualClock
from crossthread.testing.embedder import HashEmbeddings

_Test = TypeVar("_Test", bound=Callable[..., None])

CAPABILITIES = {
    "strict_addresses": "Namespaces are validated in every op, and any string is a key.",
    "strict_values": "Values that are not JSON raise InvalidValueError, naming the path.",
    "isolation": "The store never shares objects with its caller, and reading creates nothing.",
    "transactions": "A batch is written whole or not at all, whatever fails.",
    "ordered_times": "updated_at moves strictly forward, and created_at survives updates.",
    "newest_first": "A search without a query answers newest first.",
    "strict_limits": "Limits, offsets and depths that make no sense raise ValueError.",
    "filters": "The whole filter language of the contract.",
    "semantic": "Opens with index={'embed': ..., 'dims': ..., 'fields': ...}.",
    "strict_embeddings": "Vectors that are not the embedder's promise raise EmbeddingError; zero vectors score 0.0.",
    "complete_search": "Semantic hits are complete, paged without loss, and ordered with ties by newest.",
    "fresh_vectors": "Replacing an item replaces all its vectors.",
    "frugal": "Distinct texts are embedded once a batch, and texts that the store knows not at all.",
    "modes": "search() takes mode= and min_score=.",
    "keywords": "search() takes mode='keyword' and mode='hybrid'; an index without embed searches by keywords.",
    "ttl": "Takes ttl= in put() and in its settings; expired items are gone at once.",
    "clock": "Opens with clock=, a callable that returns microseconds.",
    "reopening": "A second store at the same place, after the first was closed, holds the same items.",
    "any_loop": "One object serves sync calls, threads and any number of event loops.",
    "closing": "close(), aclose(), with and async with; StoreClosedError afterwards.",
    "strict_settings": "index= and ttl= settings that cannot be used raise ConfigurationError.",
    "extras": "forget(), count() and update() with their async twins.",
    "records": "records(), record() and stats() with their async twins; exports and imports.",
}
"""What a test may need beyond a plain LangGraph store; the names for `SuiteBase.lacks`."""


def needs(*capabilities: str) -> Callable[[_Test], _Test]:
    """Name the capabilities without which a test says nothing about a store."""
    for capability in capabilities:
        if capability not in CAPABILITIES:
            raise ValueError(f"unknown capability {capability!r}")

    def mark(test: _Test) -> _Test:
        test.__needs__ = capabilities  # type: ignore[attr-defined]
        return test

    return mark


class Caller:
    """A store with its sync methods, each performed as the test's mode says: directly, or through its async twin.

    ``caller.get(...)`` is ``store.get(...)`` or ``await store.aget(...)`` in the test's one event loop.

    Attributes:
        store: The store itself.
        is_async: Whether calls go through the async methods.
        runner: The event loop of the test.
    """

    def __init__(self, store: Any, *, is_async: bool, runner: asyncio.Runner) -> None:
        self.store = store
        self.is_async = is_async
        self.runner = runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.is_async:
                return self.runner.run(self._acall(name, args, kwargs))
            return getattr(self.store, name)(*args, **kwargs)

        return call

    def together(self, calls: Sequence[tuple[Any, ...]], *, threads: int = 8) -> list[Any]:
        """Make many calls at once, from threads or in one gather; each is the method's name and its arguments.

        Returns:
            What each call returned, or the exception it raised.
        """
        if self.is_async:
            return self.runner.run(self._gather(calls))

        def call(name: str, *args: Any) -> Any:
            try:
                return getattr(self.store, name)(*args)
            except Exception as error:
                return error

        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda one: call(*one), calls))

    async def _acall(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await getattr(self.store, f"a{name}")(*args, **kwargs)

    async def _gather(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        return await asyncio.gather(
            *(self._acall(name, tuple(args), {}) for name, *args in calls), return_exceptions=True
        )


class OpenStore(Protocol):
    """Opens a store with settings, wrapped for the test's way of calling; it is closed after the test."""

    def __call__(self, **settings: Any) -> Caller: ...


class OpenRaw(Protocol):
    """Opens a store with settings, as it is; it is closed after the test."""

    def __call__(self, **settings: Any) -> Any: ...


class SuiteBase:
    """The base of all test classes: a third party says how to open its store, and what it does not offer.

    Attributes:
        lacks: Capabilities (see `CAPABILITIES`) that the store does not have, each with the reason shown for the skip.
    """

    lacks: ClassVar[dict[str, str]] = {}

    def make_store(self, tmp_path: Path, **settings: Any) -> Any:
        """Open a store; called twice in one test it must reach the same place again, unless it lacks "reopening".

        Args:
            tmp_path: An empty folder of the test.
            settings: ``index=``, ``ttl=`` and ``clock=``, only as far as the test needs them.

        Returns:
            The store, or an awaitable of it, which is awaited in the test's event loop.
        """
        raise NotImplementedError("a subclass opens its store here")

    @pytest.fixture(autouse=True)
    def _skip_what_is_lacking(self, request: pytest.FixtureRequest) -> None:
        """Skip a test that needs what the store does not offer."""
        unknown = set(self.lacks) - set(CAPABILITIES)
        assert not unknown, f"unknown capabilities in lacks: {sorted(unknown)}"
        for capability in getattr(request.function, "__needs__", ()):
            if capability in self.lacks:
                pytest.skip(f"{capability}: {self.lacks[capability]}")

    @pytest.fixture
    def runner(self) -> Iterator[asyncio.Runner]:
        """The one event loop of the test."""
        with asyncio.Runner() as runner:
            yield runner

    @pytest.fixture
    def open_raw(self, tmp_path: Path, runner: asyncio.Runner) -> Iterator[OpenRaw]:
        """Open stores that are used as they are, whichever way the test calls them."""
        opened: list[Any] = []

        def open_one(**settings: Any) -> Any:
            store = self.make_store(tmp_path, **settings)
            if inspect.isawaitable(store):
                store = runner.run(_awaited(store))
            opened.append(store)
            return store

        yield open_one
        for store in reversed(opened):
            if hasattr(store, "close"):
                store.close()

    @pytest.fixture(params=["sync", "async"])
    def is_async(self, request: pytest.FixtureRequest) -> bool:
        """Whether the test goes through the async methods; every test that opens a `Caller` runs both ways."""
        return bool(request.param == "async")

    @pytest.fixture
    def open_store(self, open_raw: OpenRaw, is_async: bool, runner: asyncio.Runner) -> OpenStore:
        """Open stores that are called the way this run of the test calls them."""

        def open_one(**settings: Any) -> Caller:
            return Caller(open_raw(**settings), is_async=is_async, runner=runner)

        return open_one

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Caller:
        """A store without settings."""
        return open_store()

    @pytest.fixture
    def embeddings(self) -> HashEmbeddings:
        """The embeddings behind `memories`."""
        return HashEmbeddings()

    @pytest.fixture
    def memories(self, open_store: OpenStore, embeddings: HashEmbeddings) -> Caller:
        """A store that indexes the field ``text``."""
        return open_store(index=index_of(embeddings))

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The clock of `timed`."""
        return ManualClock()

    @pytest.fixture
    def timed(self, open_store: OpenStore, clock: ManualClock) -> Caller:
        """A store whose time is the fixture ``clock``."""
        return open_store(clock=clock)


def index_of(embed: Any, *, dims: int = 64, fields: Sequence[str] = ("text",), **more: Any) -> Any:
    """Return index settings for an embedder."""
    return {"embed": embed, "dims": dims, "fields": list(fields), **more}


def keys(items: Sequence[Any]) -> list[str]:
    """Return the keys of items, in their order."""
    return [item.key for item in items]


async def _awaited(awaitable: Any) -> Any:
    return await awaitable

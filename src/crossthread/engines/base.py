"""The seam between the store and the places that keep memories: what an engine is, and a base for blocking ones.

An engine executes batches of commands (``operations.commands``); every rule about arguments, texts and results stands
above it. A third party registers an engine under the entry-point group ``crossthread.engines``, by the scheme of its
URLs, and proves it with ``crossthread.testing.EngineSuite``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from crossthread._clock import Clock, system_clock
from crossthread.engines._worker import Answers, Worker
from crossthread.errors import ConfigurationError, EmbeddingError, IndexMismatchError, StoreClosedError, StoreError
from crossthread.operations.commands import Answer, Batch
from crossthread.settings import Durability
from crossthread.verification import Verification

Progress = Callable[[int, int], None]
"""Told how a copy gets on: bytes copied, and bytes in all."""


class VectorSpace(NamedTuple):
    """What the vectors of a store have in common: the model that made them and their dimensions, where known.

    ``generation`` tells how often all of them were replaced (`crossthread.operations.reembedding`).
    """

    model: str | None = None
    dims: int | None = None
    generation: int = 0

    def agreed(self, other: VectorSpace, where: str) -> VectorSpace:
        """Return the space that holds both what is stored (self) and what a store asks for.

        Raises:
            IndexMismatchError: They are not the same model or have other dimensions.
        """
        for what, mine, theirs in (("model", self.model, other.model), ("dims", self.dims, other.dims)):
            if mine is not None and theirs is not None and mine != theirs:
                raise IndexMismatchError(
                    f"The vectors in {where} have {what} {mine!r}, but index= asks for {theirs!r}. Open it with the "
                    "model it was made with, or change the model of all its vectors: open it without index= and call "
                    "reembed(), or run the command: crossthread reembed."
                )
        # What is stored without a name stays nameless: nobody knows which model made it.
        return VectorSpace(self.model if self.dims else other.model, self.dims or other.dims, self.generation)

    def check(self, generation: int, named: str | None, where: str) -> None:
        """Check that vectors, made for one generation of a store by the model ``named``, are what the store has.

        Raises:
            IndexMismatchError: All vectors of the store were replaced since.
        """
        if generation != self.generation:
            new, old = (repr(model) if model else "a model without a name" for model in (self.model, named))
            raise IndexMismatchError(
                f"The vectors in {where} are now of {new} ({self.dims} dimensions): they were made anew by reembed() "
                f"after this store was opened, which still embeds with {old}. Nothing was written. Open the store "
                "again with the new model, or change all vectors back with reembed()."
            )

    def admit(self, dims: int) -> VectorSpace:
        """Return the space after vectors of ``dims`` dimensions were written to it.

        Raises:
            EmbeddingError: The space has other dimensions.
        """
        if self.dims not in (None, dims):
            raise EmbeddingError(f"The embedder returned vectors of {dims} dimensions; this store holds {self.dims}.")
        return VectorSpace(self.model, dims, self.generation)


def agreed_language(stored: str | None, wanted: str | None, where: str) -> str | None:
    """Return the language that holds both what is stored and what a store asks for; None is none yet.

    Raises:
        IndexMismatchError: They are not the same.
    """
    if stored is not None and wanted is not None and stored != wanted:
        raise IndexMismatchError(
            f"The words in {where} are of language {stored!r}, but index= asks for {wanted!r}. Open it with the "
            "language it was made with, or put the memories into a new store to index them again."
        )
    return stored or wanted


class Preferences(NamedTuple):
    """What a store would like of its engine beside what it keeps; each engine follows what it can."""

    durability: Durability = "disk"
    """What a put that returned outlives: ``disk``, a power cut; ``process``, the end of the process."""
    vector_bytes: int | None = None
    """How much memory searched vectors may take; None: as the engine thinks best."""
    filter_fields: tuple[str, ...] = ()
    """Paths that searches filter by, so often that an index pays."""


class Engine(ABC):
    """Keeps items and their vectors somewhere, and executes batches on them.

    ``run`` is called from any thread and ``arun`` from any event loop, many at a time, in one object. A failed batch
    leaves nothing of itself behind. All errors are those of ``crossthread.errors``, or ``Conflict``.
    """

    space: VectorSpace = VectorSpace()
    """The vectors that are stored; the dimensions are known from the first one on."""

    can_reembed: bool = False
    """Whether it knows the commands of `crossthread.operations.reembedding`, and the ``generation`` of batches."""

    language: str | None = None
    """The language of the words that are stored; None: none were ever."""

    sets_up_itself: bool = True
    """Whether a store that is made creates what is missing; if not, its ``setup()`` does."""

    system_name: str = ""
    """The database, as OpenTelemetry calls it (``db.system.name``); "" for the name of the class."""

    on_commit: Callable[[int], None] | None = None
    """Called after each commit that wrote with how many batches it held, where telemetry asks for it."""

    keeps_records: bool = False
    """Whether it answers `Records`, `RecordsAt` and `Stats`, and knows `Restore`. Without, a store cannot be moved."""

    def prefer(self, preferences: Preferences) -> None:
        """Take on what a store would like; called before the first `open`.

        Raises:
            ConfigurationError: The engine has no such choice, and going on without would mislead.
        """
        if preferences.durability != "disk":
            raise ConfigurationError(
                f"durability={preferences.durability!r} is a choice that only files have; leave it out here. (On a "
                "PostgreSQL server synchronous_commit, set for the role or database, is what comes near.)"
            )

    @classmethod
    @abstractmethod
    def from_url(cls, url: str, *, clock: Clock | None = None) -> Engine:
        """Return the engine for a URL or path, not yet open. ``clock`` is for tests."""

    @abstractmethod
    def open(self, space: VectorSpace | None, language: str | None = None, *, create: bool = True) -> None:
        """Make the place ready; doing it again changes nothing.

        Args:
            space: What the store knows of its vectors; None where it has no embedder.
            language: The language of its words; None where it has no index.
            create: Whether what is missing is created, or migrated. Without it, opening finds out no more than that.

        Raises:
            StoreError: It cannot be opened.
            IndexMismatchError: Its vectors are not of this space, or its words of this language.
        """

    @abstractmethod
    def run(self, batch: Batch) -> list[Answer]:
        """Execute a batch in this thread and return an answer for each command."""

    @abstractmethod
    async def arun(self, batch: Batch) -> list[Answer]:
        """Execute a batch without blocking the event loop."""

    def verify(self) -> Verification:
        """Check everything that is kept against everything else; writes go on meanwhile.

        Raises:
            StoreError: The engine has no such check.
        """
        raise StoreError(f"{type(self).__name__} cannot check what it keeps: it does not define verify().")

    def backup(self, path: Path, progress: Progress | None) -> None:
        """Copy everything to a new file, in the state of one moment; writes go on meanwhile.

        Raises:
            StoreError: What the engine keeps is not a file that could be copied.
        """
        raise StoreError(
            f"{type(self).__name__} keeps no file that could be copied to {path}; use the tools of its database."
        )

    @property
    def place(self) -> str:
        """Where the memories are; of two engines with one place, only one need `erase_traces`."""
        return f"{type(self).__name__} {id(self)}"

    @property
    def file_bytes(self) -> int | None:
        """How large the file is that the memories are in; None where there is none."""
        return None

    def erase_traces(self) -> list[str]:
        """Make the bytes of what was deleted disappear, as far as the place allows; return what may remain.

        Deleted items cannot be found by any call before. This is about what is left of them in files. The answer is in
        sentences for people; none where nothing remains.

        Raises:
            StoreError: The place refused.
        """
        return [f"{type(self).__name__} does not tell what it leaves of memories that were deleted."]

    @abstractmethod
    def close(self) -> None:
        """Finish what is under way, give everything back, and refuse from now on; may be called twice."""

    @abstractmethod
    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""


class BlockingEngine(Engine):
    """An engine that only knows how to block: async calls are run by worker threads, many waiting ones at once.

    A subclass gives `run_all`, and calls ``super().__init__`` and ``super().close``.

    Args:
        clock: For tests.
        read_threads: How many threads read for async callers.
    """

    def __init__(self, clock: Clock | None = None, *, read_threads: int = 1) -> None:
        self.clock = clock or system_clock
        self.closed = False
        self.read_threads = read_threads
        # Reads have threads of their own, so that they do not wait behind the disk of a write.
        self._readers = Worker(self.run_all, "crossthread-read", read_threads)
        self._writers = Worker(self.run_all, "crossthread-write")

    @abstractmethod
    def run_all(self, batches: Sequence[Batch]) -> list[list[Answer] | BaseException]:
        """Execute several batches of independent callers and return the answers, or the error, of each.

        All of them write or none does. The writes may share one commit, but each batch happens wholly or not at all.
        """

    def run(self, batch: Batch) -> list[Answer]:
        """Execute a batch in this thread."""
        self.check_open()
        (outcome,) = self.run_all([batch])
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def arun(self, batch: Batch) -> list[Answer]:
        """Execute a batch in a worker thread."""
        self.check_open()
        worker = self._writers if batch.writes else self._readers
        answers: list[Answer] = await worker.submit(batch)
        return answers

    def post(self, batch: Batch, receive: Callable[[Answers], None], tag: Any) -> None:
        """Hand a batch that writes to the thread that writes, where all that waits may share one commit.

        Args:
            batch: What to execute.
            receive: Called in that thread with the tags and outcomes of all batches that were executed together.
            tag: Whom it is for.
        """
        self.check_open()
        self._writers.post(batch, receive, tag)

    def check_open(self) -> None:
        """Raise `StoreClosedError` after close()."""
        if self.closed:
            raise StoreClosedError("This store is closed; open a new one to go on.")

    def close(self) -> None:
        """Refuse new calls and wait for those under way."""
        self.closed = True
        self._readers.stop()
        self._writers.stop()

    async def aclose(self) -> None:
        """Do what `close` does, in a thread."""
        import asyncio

        await asyncio.to_thread(self.close)

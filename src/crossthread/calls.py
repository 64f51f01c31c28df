"""Runs the programs of async callers in threads, so that a call costs its event loop a hand-over and a wake-up.

A program (see ``batch``) is stepped in reading threads, many at a time: planning, reading and decoding happen there.
What it writes goes to the thread of the engine that writes, what a blocking model has to answer to threads that do
nothing else, and what an async model has to answer goes back to the loop of the caller. Knows no engine by name.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from typing import Any, NamedTuple, TypeVar

from crossthread._program import Program
from crossthread.batch import Compute, Embed, Pause, Rerank
from crossthread.engines._worker import HANDED_ON, Answers, Stretch, Worker, wake
from crossthread.engines.base import BlockingEngine
from crossthread.errors import StoreClosedError
from crossthread.operations.commands import Batch
from crossthread.reranking import Reranker

_T = TypeVar("_T")

_READS_AT_ONCE = 64  # what engines may answer together; the first of them waits for the last
_READS_WITHOUT_A_PAUSE = 8
_MODEL_THREADS = min(32, (os.cpu_count() or 1) + 4)  # as many as asyncio.to_thread has
_QUICK_SECONDS = 0.001


class _ForLoop(NamedTuple):
    """As an outcome: what only the event loop of the caller can do before the program goes on."""

    perform: Callable[[], Awaitable[Any]]


class _Job:
    """A program under way, and who waits for it. One thread has it at a time, or the coroutine of its caller."""

    __slots__ = ("answer", "context", "future", "loop", "program", "request")

    def __init__(self, program: Program[Any], context: Context, loop: asyncio.AbstractEventLoop) -> None:
        self.program = program
        self.context = context
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.request: Any = None
        self.answer: Any = None  # to the latest request; an exception is thrown into the program

    def step(self) -> tuple[bool, Any]:
        """Go on to the next request; return whether the program has ended, and its outcome."""
        answer, self.answer = self.answer, None
        try:
            if isinstance(answer, BaseException):
                self.request = self.program.throw(answer)
            else:
                self.request = self.program.send(answer)
        except StopIteration as stop:
            return True, stop.value
        except BaseException as error:
            return True, error
        return False, None

    @property
    def abandoned(self) -> bool:
        """Whether the caller was cancelled; the program is closed then."""
        if not self.future.done():
            return False
        self.program.close()
        return True


class Calls:
    """The async calls of one store.

    Args:
        engine: Where batches are executed.
        reranker: What answers `Rerank`, where the store has one.
    """

    def __init__(self, engine: BlockingEngine, reranker: Reranker | None) -> None:
        self._engine = engine
        self._reranker = reranker
        # An engine that reads in several threads waits for a server, which answers many questions at once in less time.
        self._together = _READS_AT_ONCE if engine.read_threads > 1 else _READS_WITHOUT_A_PAUSE
        self._readers = Worker(self._advance, "crossthread-call", engine.read_threads, _READS_AT_ONCE)
        self._models = Worker(self._think, "crossthread-model", _MODEL_THREADS)

    def ask(self, reranker: Reranker | None) -> None:
        """Ask this reranker from now on."""
        self._reranker = reranker

    async def run(self, program: Program[_T]) -> _T:
        """Wait, without blocking the loop, for what a program returns.

        Raises:
            StoreClosedError: The store was closed in the meantime.
        """
        loop = asyncio.get_running_loop()
        job = _Job(program, copy_context(), loop)
        while True:
            self._readers.post(job, wake, job)
            outcome = await job.future
            if type(outcome) is not _ForLoop:
                return outcome  # type: ignore[no-any-return]
            try:
                job.answer = await outcome.perform()
            except Exception as error:
                job.answer = error
            except BaseException:  # cancelled
                program.close()
                raise
            job.future = loop.create_future()

    def stop(self) -> None:
        """Refuse more calls, and wait until the reading threads have done what waits; models are not waited for."""
        self._readers.stop()
        self._models.stop(wait=False)

    # In reading threads, and for its last steps in the writing one

    def _advance(self, jobs: Sequence[_Job]) -> list[Any]:
        """Take programs on as far as can be, and return an outcome for each."""
        outcomes: dict[_Job, Any] = {}
        stretch = Stretch()
        ready = list(jobs)
        while ready:
            reads: list[_Job] = []
            writes: list[_Job] = []
            thoughts: list[_Job] = []
            for job in ready:
                outcomes[job] = HANDED_ON
                if job.abandoned:
                    continue
                ended, outcome = self._to_next(job, stretch)
                request = job.request
                if ended:
                    outcomes[job] = outcome
                elif isinstance(request, Batch):
                    (writes if request.writes else reads).append(job)
                elif self._blocks(request):
                    thoughts.append(job)
                else:
                    outcomes[job] = _ForLoop(self._on_loop(request))
                stretch.pause()
            for job in thoughts:
                self._hand_on(job, self._models)
            for job in writes:
                try:
                    self._engine.post(job.request, self._written, job)
                except StoreClosedError as error:
                    wake([(job, error)])
            for start in range(0, len(reads), self._together):
                part = reads[start : start + self._together]
                for job, answer in zip(part, self._engine.run_all([job.request for job in part]), strict=True):
                    job.answer = answer
                stretch.pause()
            ready = reads
        return [outcomes[job] for job in jobs]

    def _to_next(self, job: _Job, stretch: Stretch) -> tuple[bool, Any]:
        """Go on to the next request that this thread cannot answer by itself."""
        while True:
            ended, outcome = job.step()
            if ended or not isinstance(job.request, Compute):
                return ended, outcome
            try:
                job.answer = job.request.function()
            except Exception as error:
                job.answer = error
            stretch.pause()

    def _blocks(self, request: Any) -> bool:
        match request:
            case Embed():
                return request.embedder.blocks
            case Pause():
                return False
            case Rerank():
                return self._reranker is not None and self._reranker.blocks
            case _:
                raise AssertionError(f"unknown request: {request!r}")

    def _on_loop(self, request: Embed | Rerank | Pause) -> Callable[[], Awaitable[Any]]:
        reranker = self._reranker
        if isinstance(request, Embed):
            return lambda: request.embedder.aembed(request.documents, request.queries)
        if isinstance(request, Pause):
            return lambda: asyncio.sleep(request.seconds)
        assert reranker is not None
        return lambda: reranker.arerank(*request)

    def _written(self, answers: Answers) -> None:
        """Go on after a commit."""
        for job, answer in answers:
            job.answer = answer
        jobs = [job for job, _ in answers]
        wake(zip(jobs, self._advance(jobs), strict=True))

    @staticmethod
    def _hand_on(job: _Job, worker: Worker) -> None:
        try:
            worker.post(job, wake, job)
        except StoreClosedError as error:
            wake([(job, error)])

    # In threads of models

    def _think(self, jobs: Sequence[_Job]) -> list[Any]:
        """Ask a model for each job; when it takes its time, leave the other jobs to other threads."""
        since = time.perf_counter()
        answered: list[_Job] = []
        for position, job in enumerate(jobs, 1):
            if not job.abandoned:
                try:
                    job.answer = job.context.run(self._ask, job.request)
                except BaseException as error:
                    job.answer = error
                if inspect.isawaitable(job.answer):  # of a client that belongs to the loop of its caller
                    wake([(job, _ForLoop(_given(job.answer)))])
                else:
                    answered.append(job)
            if time.perf_counter() - since > _QUICK_SECONDS:
                for job in jobs[position:]:
                    self._hand_on(job, self._models)
                break
        for job in answered:
            self._hand_on(job, self._readers)
        return [HANDED_ON] * len(jobs)

    def _ask(self, request: Embed | Rerank) -> Any:
        if isinstance(request, Embed):
            return request.embedder.embed_in_thread(request.documents, request.queries)
        assert self._reranker is not None
        return self._reranker.rerank_in_thread(*request)


def _given(awaitable: Awaitable[Any]) -> Callable[[], Awaitable[Any]]:
    return lambda: awaitable

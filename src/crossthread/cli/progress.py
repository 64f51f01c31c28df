"""How far a long command is, on stderr and only in a terminal: a bar with rate and time left, or a sign of life."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

_EVERY_SECONDS = 0.1
_QUIET_SECONDS = 0.5  # what is done sooner shows no bar


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something goes on, for the length of a ``with`` block, where nobody knows how long it takes."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True, markup=False).status(f"{what} …"):
        yield


class Progress:
    """A bar for the length of a ``with`` block.

    Args:
        what: What is being done.
        of_bytes: Whether it is counted in bytes, and not in items.
    """

    def __init__(self, what: str, *, of_bytes: bool = False) -> None:
        self._what = what
        self._of_bytes = of_bytes
        self._bar: Any = None
        self._task: Any = None
        self._shows = sys.stderr is not None and sys.stderr.isatty()
        self._begun = time.monotonic()
        self._told = 0.0

    def __enter__(self) -> Self:
        return self

    def at(self, done: int, of: int | None = None) -> None:
        """Tell how much is done, and of how much, where that is known."""
        now = time.monotonic()
        if not self._shows or now - self._begun < _QUIET_SECONDS or (now - self._told < _EVERY_SECONDS and done != of):
            return
        self._told = now
        if self._bar is None:
            self._start(of)
        self._bar.update(self._task, completed=done, total=of)

    def _start(self, of: int | None) -> None:
        from rich import progress
        from rich.console import Console

        counted: list[Any] = (
            [progress.DownloadColumn(), progress.TransferSpeedColumn()]
            if self._of_bytes
            else [progress.MofNCompleteColumn(), _rate_column()]
        )
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            *counted,
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(self._what, total=of)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _rate_column() -> Any:
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="dim")

    return Rate()

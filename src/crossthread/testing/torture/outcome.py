"""What a torture found: figures and problems, and the table of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

_PLACE = re.compile(r"(<!-- torture -->\n).*?(<!-- /torture -->)", re.DOTALL)


@dataclass
class Outcome:
    """What one torture did and found."""

    name: str
    figures: str = ""
    problems: list[str] = field(default_factory=list)
    skipped: str | None = None
    """Why it was not done."""

    @property
    def verdict(self) -> str:
        """What to say of it in a word."""
        if self.skipped is not None:
            return f"not done: {self.skipped}"
        return f"{len(self.problems)} problems" if self.problems else "nothing lost"

    def raise_if_any(self) -> None:
        """Raise AssertionError with the problems, if there are any."""
        assert not self.problems, f"{self.name}: " + "\n".join(self.problems[:20])


def table(outcomes: list[Outcome]) -> str:
    """Return a Markdown table of outcomes."""
    rows = [f"| {one.name} | {one.figures or '-'} | {one.verdict} |" for one in outcomes]
    return "\n".join(["| what | how much | result |", "| --- | --- | --- |", *rows]) + "\n"


def write_between_markers(page: Path, text: str) -> None:
    """Put text between the markers ``<!-- torture -->`` and ``<!-- /torture -->`` of a page.

    Raises:
        ValueError: The page has no such markers.
    """
    old = page.read_text("utf-8")
    new, count = _PLACE.subn(lambda match: match[1] + text + match[2], old)
    if not count:
        raise ValueError(f"{page} has no lines <!-- torture --> and <!-- /torture -->.")
    page.write_text(new, "utf-8")

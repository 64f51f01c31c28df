"""What the commands print: results on stdout, for people or as JSON; everything else on stderr.

In a terminal results are laid out and coloured; in a pipe they are lines with tabs between their parts, uncut, so that
grep, cut and sort work on them. With --json they are one JSON document, or one a line where there are several.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from crossthread.cli.showing import as_json, columns, cut, exact, plain

_FIRST_COLUMN = 24  # columns of the terminal that a table leaves to its first one
_HIGHLIGHTED = 20_000  # characters; what is longer is shown without colours, which cost time


class Output:
    """Where a command's results go.

    Args:
        json: Whether machines read it.
    """

    def __init__(self, json: bool = False) -> None:
        self.json = json
        self.in_terminal = not json and sys.stdout is not None and sys.stdout.isatty()

    @cached_property
    def console(self) -> Console:
        """The terminal. What it is given is never markup: values hold whatever people and models wrote."""
        return Console(markup=False, highlight=False, emoji=False)

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return max(20, self.console.width)

    def document(self, thing: Any) -> None:
        """Print JSON for machines, on a line."""
        print(exact(thing))

    def line(self, text: str = "", style: str | None = None) -> None:
        """Print a line for people. The text may hold anything."""
        if self.in_terminal:
            self.console.print(Text(plain(text), style=style or ""), soft_wrap=True)
        else:
            print(plain(text))

    def parts(self, *parts: tuple[str, str]) -> None:
        """Print a line of texts, each with its style, in a terminal; what is too long for it is cut."""
        text, room = Text(), self.width
        for part, style in parts:
            shown = cut(plain(part), room) if room > 1 else ""
            room -= columns(shown)
            text.append(shown, style=style)
        self.console.print(text, soft_wrap=True)

    def value(self, value: Any) -> None:
        """Print a value as JSON that can be read back."""
        text = as_json(value, indent=2)
        if self.in_terminal and len(text) <= _HIGHLIGHTED:
            self.console.print(JSONHighlighter()(Text(text)), soft_wrap=True)
        else:
            print(text)

    def row(self, *cells: str) -> None:
        """Print a line with tabs between its cells, for pipes."""
        print("\t".join(map(plain, cells)))

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> None:
        """Print rows: as a table in a terminal, as lines with tabs in a pipe.

        Where a terminal is narrow, the first column gives way, and the last ones are left out.

        Args:
            headings: Of the columns; shown in a terminal only.
            rows: A text for each column.
            numbers: Which columns stand to the right.
        """
        if not self.in_terminal:
            for row in rows:
                self.row(*row)
            return
        shown = [[plain(cell) for cell in row] for row in rows]
        widths = [max([columns(row[at]) for row in shown] + [len(heading)]) for at, heading in enumerate(headings)]
        while len(widths) > 1 and sum(widths[1:]) + 2 * len(widths) + min(widths[0], _FIRST_COLUMN) > self.width:
            widths.pop()
        first = min(widths[0], self.width - sum(widths[1:]) - 2 * len(widths) + 2)
        for row in [headings, *shown]:
            line = Text(style="bold" if row is headings else "")
            for at, width in enumerate([first, *widths[1:]]):
                cell = cut(row[at], width)
                space = " " * (width - columns(cell))
                line.append(
                    f"{'  ' if at else ''}{space}{cell}" if at in numbers else f"{'  ' if at else ''}{cell}{space}"
                )
            line.rstrip()
            self.console.print(line, soft_wrap=True)

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        """Print what belongs to names, a line for each."""
        for name, fact in facts:
            if self.in_terminal:
                self.console.print(Text.assemble((f"{name:<12}", "dim"), plain(fact)), soft_wrap=True)
            else:
                self.row(name, fact)


def note(text: str, style: str = "dim") -> None:
    """Print a remark on stderr, where it is in nobody's way."""
    if sys.stderr is None:
        return
    if sys.stderr.isatty():
        Console(stderr=True, markup=False, highlight=False, emoji=False).print(
            Text(plain(text), style=style), soft_wrap=True
        )
    else:
        print(plain(text), file=sys.stderr)


def warn(text: str) -> None:
    """Print a warning on stderr."""
    note(f"warning: {text}", style="yellow")


def read_json(text: str, what: str) -> Any:
    """Return what a JSON text says.

    Raises:
        CommandError: It is not JSON; the message says where, and how a shell is told.
        InvalidValueError: It names a field twice.
    """
    from crossthread import values
    from crossthread.cli.running import CommandError
    from crossthread.errors import InvalidValueError

    try:
        return json.loads(text, object_pairs_hook=values.once)
    except InvalidValueError:
        raise
    except ValueError as error:
        raise CommandError(
            f"{what} is not JSON: {error}", hint='in a shell, write \'{"text": "likes pizza"}\''
        ) from None
    except RecursionError:
        raise CommandError(f"{what} is nested too deeply to be read") from None

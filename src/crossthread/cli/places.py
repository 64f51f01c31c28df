"""Which store a command is about: its first argument, or CROSSTHREAD_URL. Opens nothing."""

from __future__ import annotations

import os
import re
from typing import Any

import typer
from typer.core import TyperCommand

from crossthread.cli.running import PIPE_CLOSED, WRONG, CommandError, let_pipe_go

VARIABLE = "CROSSTHREAD_URL"

_LOOKS_LIKE_A_STORE = re.compile(r"[/\\]|:|\.(?:db|sqlite3?)$", re.IGNORECASE)


class StoreCommand(TyperCommand):
    r"""A command whose first argument, STORE, may be left out where CROSSTHREAD_URL is set.

    It was left out where the other arguments are complete without it. In commands that take none or several of the
    others, the first argument is a store if it looks like one: it has ``/``, ``\`` or ``:``, or ends in ``.db``,
    ``.sqlite`` or ``.sqlite3``. No file is looked for: what a command means does not depend on what is there.
    """

    decides_by_form = True

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        for param in self._arguments():
            param.display_type_rich = _no_type  # <str> tells nobody anything

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what stands behind the name of the command in its usage."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the store where it belongs, and parse."""
        if not ctx.resilient_parsing and "--help" not in args and self._takes_store():
            args = self._with_store(ctx, [*args])
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a reader that has gone is told apart from other errors of the system."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            let_pipe_go()
            raise typer.Exit(PIPE_CLOSED) from error

    def _arguments(self) -> list[Any]:
        return [param for param in self.params if param.param_type_name == "argument"]

    def _takes_store(self) -> bool:
        return bool(arguments := self._arguments()) and arguments[0].name == "store"

    def _with_store(self, ctx: Any, args: list[str]) -> list[str]:
        url = os.environ.get(VARIABLE, "").strip()
        given = self._positional(ctx, args)
        if not url:
            if not given:
                raise CommandError(
                    "the path or the URL of a store is missing",
                    hint=f"it comes first, or is in {VARIABLE} (see {ctx.command_path} --help)",
                    code=WRONG,
                )
            return args
        return [_no_option(url), *args] if self._is_left_out(given) else args

    def _is_left_out(self, given: list[str]) -> bool:
        others = self._arguments()[1:]
        least = sum(
            argument.nargs if argument.required and argument.nargs > 0 else argument.required for argument in others
        )
        takes_several = any(argument.nargs < 0 for argument in others)
        if not takes_several and (least == len(others) or not self.decides_by_form):
            return len(given) <= len(others)
        return not given or _LOOKS_LIKE_A_STORE.search(given[0]) is None

    def _positional(self, ctx: Any, args: list[str]) -> list[str]:
        """Return the arguments that are no options and belong to none."""
        parser: Any = type(self.make_parser(ctx))(ctx)
        for param in self.get_params(ctx):
            if param.param_type_name == "option":
                param.add_to_parser(parser, ctx)
        rest: list[str] = parser.parse_args(args=[*args])[1]
        return rest


class CountingCommand(StoreCommand):
    """A command with one more argument that may be left out: with CROSSTHREAD_URL, a single argument is that one."""

    decides_by_form = False


def _no_type(ctx: Any) -> None:
    return None


def _no_option(url: str) -> str:
    return f"./{url}" if url.startswith("-") else url


def labels(namespace: str, *, empty_allowed: bool = False) -> tuple[str, ...]:
    """Return the labels of a dotted namespace; of an empty one none, where that is allowed.

    Raises:
        CommandError: It is none.
    """
    if not namespace and empty_allowed:
        return ()
    found = tuple(namespace.split("."))
    if not all(found):
        raise CommandError(
            f"{namespace!r} is no namespace", hint="its labels have one dot between them: memories.ada", code=WRONG
        )
    return found

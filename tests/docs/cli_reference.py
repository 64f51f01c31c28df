"""Writes docs/reference/cli.md, from the command line itself: ``python tests/docs/cli_reference.py --write``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"

HEAD = """\
# Command line

<!-- Made by tests/docs/cli_reference.py --write; a test compares. -->

`crossthread COMMAND [OPTIONS] STORE ...`, or `python -m crossthread`, with the extra `crossthread[cli]`. The
[guide](../guides/command-line.md) shows it at work, and tells what holds for every command: how a store and a namespace
are written, what is printed, the JSON, the exit codes. Every command has `--help`.

A variable of the environment in brackets stands for an option that is not given.
"""


def page() -> str:
    """Return the page."""
    from typer.main import get_command

    from crossthread.cli.app import app

    return "\n".join([HEAD, *_commands(get_command(app), "")]).rstrip() + "\n"


def _commands(group: Any, before: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield from _command(f"{before}{name}", command)


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    usage = " ".join(["crossthread", name, *["[OPTIONS]"] * bool(options), *map(_usage, arguments)])
    yield f"## {name}\n\n```text\n{usage}\n```\n\n{inspect.cleandoc(command.help or '')}\n"
    if arguments:
        yield "| argument | |\n| --- | --- |"
        for argument in arguments:
            yield f"| `{argument.metavar or argument.name.upper()}` | {_cell(argument.help)} |"
        yield ""
    if options:
        yield "| option | |\n| --- | --- |"
        for option in options:
            spelled = ", ".join(f"`{one}`" for one in sorted(option.opts, key=len, reverse=True))
            value = f" `{option.metavar}`" if option.metavar else ""
            variable = f" [`{option.envvar}`]" if option.envvar else ""
            default = f" Default: {_default(option)}." if _default(option) else ""
            yield f"| {spelled}{value} | {_cell(option.help)}{default}{variable} |"
        yield ""


def _usage(argument: Any) -> str:
    metavar = argument.metavar or argument.name.upper()
    return metavar if argument.required or argument.name == "store" else f"[{metavar}]"


def _default(option: Any) -> str:
    if isinstance(option.show_default, str):
        return f"`{option.show_default}`"
    return f"`{option.default}`" if option.show_default and option.default is not None else ""


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), "utf-8")
    else:
        print(page(), end="")

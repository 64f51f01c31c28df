"""The command line: its commands, in the order in which --help shows them. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import crossthread
from crossthread.cli import (
    copying,
    editing,
    erasing,
    inspecting,
    items,
    keeping,
    listing,
    moving,
    reembedding,
    searching,
    threads,
)
from crossthread.cli.places import CountingCommand, StoreCommand

_LOOK, _CHANGE, _MOVE, _TEND, _MORE = "Look", "Change", "Move", "Look after", "More"

_EPILOG = (
    "A NAMESPACE is written with dots, memories.ada. CROSSTHREAD_URL stands for STORE where that is left out. "
    "Exit codes: 0 done, 1 failed, 2 wrong command line or nobody to confirm, 3 not there, 4 damaged, 130 Ctrl-C."
)

app = typer.Typer(
    help="See, correct, move and erase what LangGraph agents remember.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"crossthread {crossthread.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, metavar="", help="Print the version.", show_default=False
        ),
    ] = False,
) -> None:
    pass


def _add(function: Any, panel: str, name: str | None = None, cls: type[StoreCommand] = StoreCommand) -> None:
    app.command(name, cls=cls, rich_help_panel=panel)(function)


_add(listing.ls, _LOOK)
_add(items.get, _LOOK)
_add(searching.search, _LOOK)
_add(listing.stats, _LOOK)
app.add_typer(threads.app, name="threads", rich_help_panel=_LOOK)
_add(items.put, _CHANGE)
_add(editing.edit, _CHANGE)
_add(items.rm, _CHANGE)
_add(erasing.forget, _CHANGE)
_add(keeping.verify, _TEND)
_add(erasing.sweep, _TEND)
_add(reembedding.reembed, _TEND)
_add(moving.export, _MOVE)
_add(moving.import_, _MOVE, "import", CountingCommand)
_add(copying.copy, _MOVE)
_add(keeping.backup, _MOVE)


_add(inspecting.ui, _MORE)


@app.command("demo", rich_help_panel=_MORE)
def demo(
    path: Annotated[
        str | None,
        typer.Option(
            "--path", metavar="FILE", help="Where the memories are kept.", show_default="./crossthread-demo.db"
        ),
    ] = None,
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="Whose memories.")] = "guest",
    new_thread: Annotated[
        bool,
        typer.Option(
            "--new-thread", metavar="", help="Start a new thread, rather than go on with the last.", show_default=False
        ),
    ] = False,
    script: Annotated[
        bool,
        typer.Option(
            "--script",
            metavar="",
            help="Play a short conversation, in a temporary file unless there is a --path.",
            show_default=False,
        ),
    ] = False,
) -> None:
    """Chat with a bot that remembers, across threads and across runs.

    Offline, it answers by a script; with ANTHROPIC_API_KEY or OPENAI_API_KEY set, and langchain and the provider's
    package installed, it is a real model. Lines may come through a pipe; with nothing to read, it plays a short
    conversation by itself.
    """
    from crossthread.cli import demo as command

    command.run(path, user, new_thread=new_thread, script=script)

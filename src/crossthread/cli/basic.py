"""The command line without the extra ``crossthread[cli]``: the demo, and what to install for the rest."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

import crossthread
from crossthread.errors import CrossthreadError

COMMANDS = (
    *("ls", "get", "search", "stats", "threads", "put", "edit", "rm", "forget", "export", "import", "copy", "backup"),
    *("verify", "sweep", "reembed", "ui"),
)
_MISSING = "this needs the command line's packages: pip install 'crossthread[cli]'"


def run(arguments: Sequence[str] | None, program: str) -> int:
    """Run a command.

    Args:
        arguments: What follows the program's name; None: those of this process.
        program: How the program was called.

    Returns:
        The exit code: 0 done, 1 an error, 2 a wrong command line, each told in a line on stderr.
    """
    arguments = sys.argv[1:] if arguments is None else [*arguments]
    if arguments and arguments[0] in COMMANDS:
        print(f"{program} {arguments[0]}: error: {_MISSING}", file=sys.stderr)
        return 1
    parser = _parser(program)
    try:
        options = parser.parse_args(arguments)
    except SystemExit as left:  # argparse has said what there is to say
        return int(left.code or 0)
    if options.command is None:
        parser.print_help()
        return 0
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal of another encoding is no reason to stop
    try:
        # Here and not above: these import LangGraph, which takes seconds, and --help needs none of it.
        from crossthread.cli import demo

        return demo.run(options.path, options.user, new_thread=options.new_thread, script=options.script)
    except CrossthreadError as error:
        print(f"{program} {options.command}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Without this, Python complains once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="A memory that lasts for LangGraph agents.",
        epilog=f"With pip install 'crossthread[cli]' there are more commands: {', '.join(COMMANDS)}.",
    )
    parser.add_argument("--version", action="version", version=f"crossthread {crossthread.__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="chat with a bot that remembers, across threads and across runs",
        description="A small chat in the terminal, with a memory that lasts. Offline, it answers by a script; with "
        "ANTHROPIC_API_KEY or OPENAI_API_KEY set, and langchain and the provider's package installed, it is a real "
        "model. Lines may come through a pipe; with nothing to read, it plays a short conversation by itself.",
    )
    demo.add_argument("--path", metavar="FILE", help="where the memories are kept (default: ./crossthread-demo.db)")
    demo.add_argument("--user", metavar="NAME", default="guest", help="whose memories (default: %(default)s)")
    demo.add_argument(
        "--new-thread", action="store_true", help="start a new thread, rather than go on with the last one"
    )
    demo.add_argument(
        "--script", action="store_true", help="play a short conversation, in a temporary file unless there is a --path"
    )
    return parser

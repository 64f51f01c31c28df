"""The command line, ``python -m crossthread``: its arguments and exit codes. What a command does stands in ``cli``."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

import crossthread

_PROG = "python -m crossthread"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: What follows the program's name; None: those of this process.

    Returns:
        The exit code: 0 done, 1 an error, told in a line on stderr. A wrong command line leaves with 2, as usual.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
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
    except crossthread.CrossthreadError as error:
        print(f"{_PROG} {options.command}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Without this, Python complains once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=_PROG, description="A memory that lasts for LangGraph agents.")
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


if __name__ == "__main__":
    sys.exit(main())

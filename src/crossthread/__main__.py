"""The command line, ``crossthread`` and ``python -m crossthread``: all of it with ``crossthread[cli]``, or the demo."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: What follows the program's name; None: those of this process.

    Returns:
        The exit code: 0 done; 1 an error, 2 a wrong command line, each told in a line on stderr; more in
        ``crossthread --help``.
    """
    try:
        return _run(arguments)
    except KeyboardInterrupt:  # while something was imported
        return 130


def _run(arguments: Sequence[str] | None) -> int:
    program = "crossthread" if os.path.basename(sys.argv[0]).startswith("crossthread") else "python -m crossthread"
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError:
        from crossthread.cli import basic

        return basic.run(arguments, program)
    from crossthread.cli import running

    return running.run(arguments, program)


if __name__ == "__main__":
    sys.exit(main())

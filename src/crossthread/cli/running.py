"""Runs the command line: whatever happens becomes an exit code and, where it is an error, one line on stderr.

Exit codes: 0 done; 1 it failed; 2 a wrong command line, or nobody there to confirm; 3 what was asked for is not there;
4 what is kept, or was read, is damaged in part; 130 Ctrl-C; 141 the reader of the pipe has gone.
"""

from __future__ import annotations

import io
import logging
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress

from crossthread.cli.showing import plain
from crossthread.errors import CrossthreadError

FAILED, WRONG, MISSING, DAMAGED, INTERRUPTED, PIPE_CLOSED = 1, 2, 3, 4, 130, 141

TRACEBACK = "CROSSTHREAD_TRACEBACK"
_PASSWORD = re.compile(r"(?P<before>://[^/@\s:]*:)(?P<secret>[^/\s]*)(?=@)")
# Of what was typed, where a slash stands in a password or is missing before it, and parts of it get into messages.
_TYPED_PASSWORD = re.compile(r"(?P<before>:/{1,2}[^/@\s:]*:)(?P<secret>\S*)(?=@)")
_PARAMETER = re.compile(r"(?P<before>\b(?:password|sslpassword)=)(?P<secret>[^&\s'\"]+)")


class CommandError(Exception):
    """A command cannot go on; the message is for people.

    Args:
        message: What is wrong.
        hint: What to do about it.
        code: The exit code.
    """

    def __init__(self, message: str, *, hint: str | None = None, code: int = FAILED) -> None:
        super().__init__(f"{message.rstrip('.')}; {hint}" if hint else message)
        self.code = code


def run(arguments: Sequence[str] | None, program: str) -> int:
    """Run a command.

    Args:
        arguments: What follows the program's name; None: those of this process.
        program: How the program was called.

    Returns:
        The exit code.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal of another encoding is no reason to stop.
            stream.reconfigure(errors="replace" if stream is sys.stdin else "backslashreplace")
    arguments = sys.argv[1:] if arguments is None else [*arguments]
    if arguments in ([], ["threads"]):
        arguments.append("--help")
    logging.getLogger("crossthread").addHandler(handler := _Warnings())
    try:
        code = _run(arguments, program)
        if sys.stdout is not None:
            sys.stdout.flush()
        return _interrupted() if code == INTERRUPTED else code
    except BrokenPipeError:
        return let_pipe_go()
    except KeyboardInterrupt:
        return _interrupted()
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        code, message = _told(error)
        command = arguments[0] if arguments and arguments[0].isalpha() else ""
        _complain(f"{f'{program} {command}'.strip()}: error: {redacted(message, arguments)}")
        return code
    finally:
        logging.getLogger("crossthread").removeHandler(handler)


def _run(arguments: list[str], program: str) -> int:
    from typer.main import get_command

    from crossthread.cli.app import app

    result = get_command(app).main(args=arguments, prog_name=program, standalone_mode=False)
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _interrupted() -> int:
    if sys.stderr is not None and sys.stderr.isatty():
        print(file=sys.stderr)  # the cursor stands behind ^C
    return INTERRUPTED


def _told(error: Exception) -> tuple[int, str]:
    """Return the exit code and the message of an error."""
    if isinstance(error, CommandError):
        return error.code, str(error)
    if hasattr(error, "exit_code") and hasattr(error, "format_message"):  # Typer's own: a wrong command line
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context is not None else ""
        return error.exit_code, f"{error.format_message().rstrip('.')}{hint}"
    if type(error).__name__ == "Abort":
        return INTERRUPTED, "stopped"
    if isinstance(error, CrossthreadError) or type(error).__name__ == "InvalidNamespaceError":
        return FAILED, str(error)
    if isinstance(error, OSError) and error.strerror:
        return FAILED, f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return FAILED, f"{type(error).__name__}: {error} ({TRACEBACK}=1 shows where)"


def redacted(message: str, arguments: Sequence[str]) -> str:
    """Return a message without the passwords of the URLs that this command was given."""
    for text in (*arguments, os.environ.get("CROSSTHREAD_URL", "")):
        for pattern in (_PASSWORD, _TYPED_PASSWORD, _PARAMETER):
            for match in pattern.finditer(text):
                for secret in (match["secret"], *match["secret"].split("/")):
                    if secret:
                        message = message.replace(secret, "***")
    for pattern in (_PASSWORD, _PARAMETER):
        message = pattern.sub(r"\g<before>***", message)
    return message


def _complain(message: str) -> None:
    if sys.stderr is not None:
        print(plain(" ".join(message.split())), file=sys.stderr)


def let_pipe_go() -> int:
    """Write to nobody from now on; return the exit code for it."""
    # The reader (head, less) has seen enough. Without this, Python complains once more when it flushes at exit.
    if sys.stdout is not None:
        with suppress(OSError, ValueError):  # no real file, as in tests
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return PIPE_CLOSED


class _Warnings(logging.Handler):
    """Shows what the library warns of, in a line on stderr."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _complain(f"warning: {redacted(record.getMessage(), sys.argv[1:])}")
        except Exception:
            self.handleError(record)

"""Asking before something is erased or replaced: shows what would happen, and takes no answer for a yes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from crossthread.cli.output import Output, note
from crossthread.cli.running import FAILED, WRONG, CommandError
from crossthread.cli.showing import plain

SHOWN = 5
"""How many keys a plan names."""


def confirmed(
    out: Output, question: str, plan: Sequence[str], facts: Mapping[str, Any], *, yes: bool, dry_run: bool
) -> bool:
    """Whether to go on with something that cannot be undone.

    Args:
        out: Where the plan goes with ``dry_run``.
        question: What would be done, as a question.
        plan: What would be done in detail, in lines.
        facts: The same for machines.
        yes: Go on without a question.
        dry_run: Only show; the answer is no.

    Raises:
        CommandError: The user said no, or there is no terminal to ask in.
    """
    if dry_run:
        if out.json:
            out.document({**facts, "dry_run": True})
        else:
            for line in plan:
                out.line(line)
            note("Nothing was changed (--dry-run).")
        return False
    if yes:
        return True
    if sys.stdin is None or not sys.stdin.isatty():
        raise CommandError(
            f"{question.rstrip('?')}: nobody can be asked here",
            hint="--yes does it, --dry-run only shows",
            code=WRONG,
        )
    for line in plan:
        note(line, style="")
    if not asked(question):
        raise CommandError("nothing was changed", code=FAILED)
    return True


def asked(question: str) -> bool:
    """Ask in the terminal; whatever is not yes is no."""
    print(f"{plain(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print(file=sys.stderr)  # Ctrl-D leaves the cursor behind the question
    return answer.strip().lower() in ("y", "yes")


def named(keys: Sequence[str], number: int) -> str:
    """Return the first of some keys in a line: ``note, food and 3 more``."""
    shown = [plain(key) or "(empty key)" for key in keys[:SHOWN]]
    left = number - len(shown)
    return ", ".join(shown) + (f" and {left:,} more" if left > 0 else "")

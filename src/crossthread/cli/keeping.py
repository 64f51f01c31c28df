"""The commands ``stats``, ``verify`` and ``backup``: how a store is, and a copy of it."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from crossthread.cli.options import Json, Store
from crossthread.cli.output import Output, note
from crossthread.cli.progress import Progress, working
from crossthread.cli.running import DAMAGED
from crossthread.cli.showing import count, size


def verify(store: Store, json: Json = False) -> None:
    """Check that what is kept is whole: every item with exactly its vectors and words, and nothing left over.

    Reads everything, while others read and write. Exits with 4 where something is wrong.
    """
    from crossthread.cli.opening import open_store

    out = Output(json)
    with open_store(store) as opened:
        with working("Checking everything"):
            report = opened.verify()
        if out.json:
            out.document({"items": report.items, "ok": report.ok, "problems": report.problems})
        else:
            for problem in report.problems:
                out.line(problem, style="red")
            if report.ok:
                out.line(f"{count(report.items, 'item')} checked: all is well.", style="green")
            else:
                note(
                    f"{count(report.items, 'item')} checked; what is wrong is above. 'crossthread export' saves what "
                    "can be read.",
                    style="red",
                )
    if not report.ok:
        raise typer.Exit(DAMAGED)


def backup(
    store: Store,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The new file.", show_default=False)],
    json: Json = False,
) -> None:
    """Copy the file of a store to a new one, in the state of one moment, while others read and write.

    Nothing is overwritten, and the copy appears under its name when it is whole and on disk.
    """
    from crossthread.cli.opening import open_store

    out = Output(json)
    with open_store(store) as opened:
        with Progress("Copying", of_bytes=True) as progress:
            opened.backup(file, progress=progress.at)
        copied = os.path.getsize(file)
        if out.json:
            out.document({"store": opened.place, "file": os.path.abspath(file), "bytes": copied})
        else:
            note(f"Copied {opened.place} to {file}: {size(copied)}.")

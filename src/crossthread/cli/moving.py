"""The commands ``export`` and ``import``: memories as lines of text."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from itertools import chain
from typing import Annotated, Any, BinaryIO

import typer

from crossthread.cli.confirming import confirmed
from crossthread.cli.options import (
    Dims,
    DryRun,
    Embed,
    Fields,
    Indexing,
    Json,
    Language,
    Model,
    NoVectors,
    Prefix,
    Replace,
    Store,
    Yes,
)
from crossthread.cli.output import Output, note
from crossthread.cli.places import labels
from crossthread.cli.progress import Progress
from crossthread.cli.running import DAMAGED, MISSING, WRONG, CommandError
from crossthread.cli.showing import count, harmless_json

_STANDARD = "-"

Vectors = Annotated[
    bool, typer.Option("--vectors", metavar="", help="Take the vectors along, so that nothing is embedded again.")
]


def export(
    store: Store,
    namespace: Prefix = "",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output.", show_default=False)
    ] = _STANDARD,
    vectors: Vectors = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Write items as JSON lines, with their times and lives: a header, then an item a line.

    A file appears under its name when it is whole; one that is there is replaced, after a question. Others may read and
    write meanwhile. With `--json`, and `--output`, a document tells how much was written.
    """
    from crossthread import export_lines
    from crossthread.cli.opening import open_store

    out = Output(json)
    prefix = labels(namespace, empty_allowed=True)
    with open_store(store) as opened, Progress("Exporting") as progress:
        if prefix and not opened.count(prefix):
            raise CommandError(f"there is nothing in {namespace} in {opened.place}", code=MISSING)
        if output != _STANDARD and os.path.realpath(output) == os.path.realpath(opened.place):
            raise CommandError(f"{output} is the store itself", hint="choose another name for the export", code=WRONG)
        lines = export_lines(opened, prefix, vectors=vectors, progress=progress.at)
        if output == _STANDARD:
            _write(lines, sys.stdout.buffer)
            return
        if os.path.exists(output) and not confirmed(
            out, f"Replace {output}?", [f"{output} is there already"], {}, yes=yes, dry_run=False
        ):
            return
        written = _write_file(lines, output)
    if out.json:
        out.document({"file": os.path.abspath(output), "items": written - 1, "vectors": vectors})
    else:
        note(f"Exported {count(written - 1, 'item')} to {output}.")


def _write(lines: Iterable[str], target: BinaryIO) -> int:
    written = 0
    for line in lines:
        target.write(harmless_json(line).encode("utf-8", "backslashreplace"))
        written += 1
    target.flush()
    return written


def _write_file(lines: Iterable[str], path: str) -> int:
    """Write lines to a file that is there as a whole or not at all, for its owner's eyes only."""
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as target:
            written = _write(lines, target)
            os.fsync(target.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
    return written


def import_(
    store: Store,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="An export; - or nothing: standard input.", show_default=False)
    ] = _STANDARD,
    replace: Replace = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", metavar="", help="Leave bad lines out, and tell them.", show_default=False)
    ] = False,
    no_vectors: NoVectors = False,
    embed: Embed = None,
    fields: Fields = None,
    language: Language = None,
    dims: Dims = None,
    model: Model = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Read what `export` wrote; items come back with their times and lives.

    What is there already, and was written later, stays, and what is there as the line says costs nothing: an import
    that was interrupted is run again. Into a store that holds something, it asks before. A bad line ends it, with all
    lines before it written, or is left out and told (`--skip-bad`, exit code 4).
    """
    from crossthread import import_lines
    from crossthread.cli.indexing import open_for_import
    from crossthread.cli.opening import is_there
    from crossthread.moving.lines import read_header

    out = Output(json)
    wanted = Indexing(embed, fields, language, dims, model)
    with ExitStack() as closing:
        source = _opened(file, closing)
        first = source.readline()
        if not first.strip():
            raise CommandError(f"{_named(file)} is empty", hint="an export begins with a header")
        header = read_header(first)
        takes_vectors = header.has_vectors and not no_vectors
        if dry_run or (is_there(store) and not yes):
            _ask(out, store, file, header, source, replace, yes=yes, dry_run=dry_run)
            if dry_run:
                return
            if _is_read_twice(file, source):
                source.seek(len(first))
        opened = closing.enter_context(open_for_import(store, wanted, brings_vectors=takes_vectors))
        with Progress("Importing") as progress:
            done = import_lines(
                opened,
                chain([first], source),
                on_error="skip" if skip_bad else "raise",
                existing="replace" if replace else "newer",
                vectors=takes_vectors,
                progress=progress.at,
            )
    facts = {name: getattr(done, name) for name in ("items", "written", "equal", "kept", "skipped")}
    if out.json:
        out.document({**facts, "bad": [{"line": line, "reason": reason} for line, reason in done.bad]})
    else:
        for line, reason in done.bad:
            note(f"line {line} was left out: {reason}", style="yellow")
        told = f"Imported {count(done.written, 'item')}"
        told += f"; {done.equal:,} were there already" if done.equal else ""
        told += f"; {done.kept:,} are newer here, and stay" if done.kept else ""
        note(f"{told}.")
    if done.skipped:
        raise typer.Exit(DAMAGED)


def _opened(file: str, closing: ExitStack) -> Any:
    if file != _STANDARD:
        return closing.enter_context(open(file, "rb"))
    if sys.stdin is None or sys.stdin.isatty():
        raise CommandError("there is nothing to import", hint="name a file, or give it through a pipe", code=WRONG)
    return getattr(sys.stdin, "buffer", sys.stdin)


def _is_read_twice(file: str, source: Any) -> bool:
    """Whether it can be looked through before it is imported: a pipe cannot, and may have the name of a file."""
    return file != _STANDARD and source.seekable()


def _named(file: str) -> str:
    return "standard input" if file == _STANDARD else file


def _ask(
    out: Output, store: str, file: str, header: Any, source: Any, replace: bool, *, yes: bool, dry_run: bool
) -> None:
    """Compare a file with what is there, and ask; of a pipe nothing can be told before it is read."""
    from crossthread.cli.opening import is_there, open_store

    facts: dict[str, Any] = {}
    plan = []
    with ExitStack() as closing:
        opened = closing.enter_context(open_store(store)) if is_there(store) else None
        if dry_run or _is_read_twice(file, source):
            facts = _compared(opened, header, source, replace)
            plan = [f"{facts[name]:,} {name}" for name in ("new", "replaced", "equal", "kept", "bad") if facts[name]]
            if not dry_run and not facts["replaced"]:
                return
        elif opened is not None and not opened.count():
            return
        place = store if opened is None else opened.place
    question = f"Import {_named(file)} into {place}, where items may be replaced?"
    if facts:
        question = f"Replace {count(facts['replaced'], 'item')} of {place} and add {facts['new']:,}?"
    confirmed(out, question, plan, facts, yes=yes, dry_run=dry_run)


def _compared(store: Any, header: Any, source: Any, replace: bool) -> dict[str, int]:
    """Return what an import would do with each line."""
    from langgraph.store.base import InvalidNamespaceError

    from crossthread import namespaces
    from crossthread._clock import to_microseconds
    from crossthread._text import unescape
    from crossthread.errors import InvalidArgumentError
    from crossthread.moving.lines import read_item

    facts = dict.fromkeys(("new", "replaced", "equal", "kept", "bad"), 0)
    with Progress("Comparing") as progress:
        for number, line in enumerate(_filled(source), start=1):
            progress.at(number, header.items)
            try:
                item = read_item(line, header.space.dims)
            except (InvalidArgumentError, InvalidNamespaceError):
                facts["bad"] += 1
                continue
            there = store and store.record(namespaces.from_text(item.namespace), unescape(item.key))
            mine = 0 if not there else to_microseconds(there.updated_at)
            if not there:
                facts["new"] += 1
            elif mine == item.updated_at:
                facts["equal"] += 1
            else:
                facts["replaced" if replace or mine < item.updated_at else "kept"] += 1
    return facts


def _filled(source: Any) -> Iterator[Any]:
    return (line for line in source if line.strip())

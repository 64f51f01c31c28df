"""The command ``copy``: from one store into another, whatever keeps them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any

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
    Replace,
    Yes,
)
from crossthread.cli.output import Output, note
from crossthread.cli.places import labels
from crossthread.cli.progress import Progress
from crossthread.cli.running import DAMAGED, MISSING, WRONG, CommandError
from crossthread.cli.showing import count, dotted, plain

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        default_factory=str,
        help="Path or URL of the store to read. May be left out where CROSSTHREAD_URL is set.",
        show_default=False,
    ),
]


def copy(
    store: Source,
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="Path or URL of the store to write.", show_default=False)
    ],
    namespace: Annotated[
        str,
        typer.Option("--namespace", metavar="NAMESPACE", help="Only this one, and all below.", show_default=False),
    ] = "",
    replace: Replace = False,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", metavar="", help="Leave out what cannot be held, and tell it.", show_default=False),
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
    """Copy items from one store into another, with their times and lives, and how they are found.

    What is in the target already, and was written later, stays, and what is there as it is costs nothing: a copy that
    was interrupted is run again. Into a store that holds something, it asks before. The numbers are compared in the
    end. The options of the index are those of the target; a new one takes over language and vectors.
    """
    from crossthread import copy_store
    from crossthread.cli.indexing import open_for_import, recorded
    from crossthread.cli.opening import is_there, open_store, place_of

    out = Output(json)
    prefix = labels(namespace, empty_allowed=True)
    wanted = Indexing(embed, fields, language, dims, model)
    with ExitStack() as closing:
        opened = closing.enter_context(open_store(store))
        number = opened.count(prefix)
        if prefix and not number:
            raise CommandError(f"there is nothing in {dotted(prefix)} in {opened.place}", code=MISSING)
        holds, place = 0, place_of(target)  # a URL itself may hold a password
        if is_there(target):
            with open_store(target) as other:
                holds = other.count()
        if place == opened.place:
            raise CommandError(f"{place} would be copied into itself", code=WRONG)
        plan = [f"{count(number, 'item')} of {opened.place}", f"{place} holds {count(holds, 'item')}"]
        facts: dict[str, Any] = {"source": opened.place, "target": place, "items": number, "target_items": holds}
        question = f"Copy {count(number, 'item')} into {place}, where older ones are replaced?"
        if (holds or dry_run) and not confirmed(out, question, plan, facts, yes=yes, dry_run=dry_run):
            return
        brings_vectors = recorded(opened).dims is not None and not no_vectors
        receiver = closing.enter_context(open_for_import(target, wanted, brings_vectors=brings_vectors))
        with Progress("Copying") as progress:
            done = copy_store(
                opened,
                receiver,
                prefix,
                vectors=not no_vectors,
                existing="replace" if replace else "newer",
                on_error="skip" if skip_bad else "raise",
                progress=progress.at,
            )
        place = receiver.place
    told = {name: getattr(done, name) for name in ("items", "written", "equal", "kept", "skipped")}
    if out.json:
        bad = [{"namespace": one.namespace, "key": one.key, "reason": one.reason} for one in done.bad]
        out.document({**told, "bad": bad, "dry_run": False})
    else:
        for one in done.bad:
            note(f"{dotted(one.namespace)} {plain(one.key)} was left out: {one.reason}", style="yellow")
        summary = f"Copied {count(done.written, 'item')} to {place}"
        summary += f"; {done.equal:,} were there already" if done.equal else ""
        summary += f"; {done.kept:,} are newer there, and stay" if done.kept else ""
        note(f"{summary}.")
    if done.skipped:
        raise typer.Exit(DAMAGED)

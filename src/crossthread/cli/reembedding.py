"""The command ``reembed``: the vectors of another model in place of those that are there."""

from __future__ import annotations

from typing import Annotated

import typer

from crossthread.cli.confirming import confirmed
from crossthread.cli.options import Dims, DryRun, Embed, Json, Model, Store, Yes
from crossthread.cli.output import Output, note
from crossthread.cli.progress import Progress, working
from crossthread.cli.running import WRONG, CommandError
from crossthread.cli.showing import count


def reembed(
    store: Store,
    embed: Embed = None,
    model: Model = None,
    dims: Dims = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", metavar="N", min=1, help="How many texts the model is given at once.")
    ] = 128,
    concurrency: Annotated[
        int, typer.Option("--concurrency", metavar="N", min=1, help="How many batches are under way at once.")
    ] = 4,
    retries: Annotated[
        int, typer.Option("--retries", metavar="N", min=0, help="How often a call that failed is repeated.")
    ] = 5,
    anew: Annotated[
        bool,
        typer.Option("--anew", metavar="", help="Embed all, even what the new model has done.", show_default=False),
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Change the embedding model: make new vectors of all texts, and switch to them when they are complete.

    Shows first how many texts and characters would be embedded, which is what providers bill. Searches go on with
    the old vectors meanwhile. What was embedded is kept: after Ctrl-C or an error, run it again, and it goes on.
    """
    from crossthread.cli.embedders import embedder
    from crossthread.cli.indexing import recorded
    from crossthread.cli.opening import open_to_change

    out = Output(json)
    if embed is None:
        raise CommandError("reembed needs the new model", hint="--embed MODEL", code=WRONG)
    new = embedder(embed)
    with open_to_change(store) as opened:
        known = recorded(opened)
        name = model or (embed if isinstance(new, str) else None)
        if name is not None and name == known.model and not anew:
            raise CommandError(f"the vectors of {opened.place} are of {name} already", hint="--anew embeds all again")
        with working("Counting texts"):
            cost = opened.estimate_reembed()
        names = ("items", "texts", "characters", "staged", "lost")
        facts = {"model_before": known.model, **{name: getattr(cost, name) for name in names}}
        plan = [f"{count(cost.texts, 'text')} of {count(cost.items, 'item')}, {count(cost.characters, 'character')}"]
        if cost.staged:
            plan.append(f"{count(cost.staged, 'text')} more were embedded by a run that did not end")
        before = f" instead of {known.model}" if known.model else ""
        question = f"Embed {count(cost.texts, 'text')} of {opened.place} with {model or embed}{before}?"
        if not confirmed(out, question, plan, facts, yes=yes, dry_run=dry_run):
            return
        try:
            with Progress("Embedding") as progress:
                done = opened.reembed(
                    new,
                    model=model,
                    dims=dims,
                    batch_size=batch_size,
                    concurrency=concurrency,
                    retries=retries,
                    anew=anew,
                    progress=progress.at,
                )
        except BaseException:
            note("What was embedded is kept, and the old vectors serve: run it again to go on.", style="yellow")
            raise
    told = {name: getattr(done, name) for name in ("model", "dims", "texts", "characters", "kept")}
    if out.json:
        out.document({"model_before": known.model, **told, "dry_run": False})
    else:
        note(f"Embedded {count(done.texts, 'text')}; all vectors are of {done.model or 'the new model'} now.")

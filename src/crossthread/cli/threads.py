"""The commands ``threads list``, ``show``, ``clear`` and ``copy``: the conversations that a checkpointer keeps."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any

import typer

from crossthread.cli.confirming import confirmed, named
from crossthread.cli.erasing import conditions
from crossthread.cli.options import DryRun, Json, Store, Yes
from crossthread.cli.output import Output, note
from crossthread.cli.places import StoreCommand
from crossthread.cli.running import MISSING, CommandError
from crossthread.cli.showing import as_json, count, exact, moment, plain

Thread = Annotated[str, typer.Argument(metavar="THREAD", help="The id of the thread.", show_default=False)]

app = typer.Typer(
    help="The threads beside the memories: list, show, clear, copy.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@app.command("list", cls=StoreCommand)
def list_threads(
    store: Store,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where", "-w", metavar="NAME=ID", help="Only those with this metadata: user_id=ada.", show_default=False
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-l", min=0, metavar="N", help="How many at the most.")] = 100,
    offset: Annotated[int, typer.Option("--offset", "-o", min=0, metavar="N", help="How many to skip.")] = 0,
    json: Json = False,
) -> None:
    """List threads, the one that was used last first."""
    from crossthread.cli.opening import open_threads

    out = Output(json)
    with ExitStack() as closing:
        threads = open_threads(store, closing)
        found: list[Any] = []
        for wanted in conditions(where or []):
            found = found or threads.list(filter=wanted or None, limit=limit, offset=offset)
        if out.json:
            for thread in found:
                out.document(_thread_facts(thread))
            return
        rows = [
            (thread.thread_id, moment(thread.updated_at), str(thread.metadata.get("step", "")), _metadata(thread))
            for thread in found
        ]
        if rows or not out.in_terminal:
            out.table(("THREAD", "LAST USED (UTC)", "STEP", "METADATA"), rows, numbers=(2,))
        else:
            out.line("There are no such threads." if where else "There are no threads.", style="dim")
        if out.in_terminal and len(found) == limit:
            note(f"{count(len(found), 'thread')}; --offset {offset + limit} shows the next.")


@app.command("show", cls=StoreCommand)
def show(
    store: Store,
    thread: Thread,
    limit: Annotated[int, typer.Option("--limit", "-l", min=0, metavar="N", help="How many steps at the most.")] = 20,
    json: Json = False,
) -> None:
    """Show the steps of a thread, the last first: what went in, what came out, what is saved."""
    from crossthread.cli.opening import open_threads

    out = Output(json)
    with ExitStack() as closing:
        threads = open_threads(store, closing)
        steps = threads.history(thread, limit=limit)
        if not steps and not threads.history(thread, limit=1):
            raise _no_such_thread(thread)
        for step in steps:
            if out.json:
                out.document(_step_facts(step))
            else:
                _show_step(out, step)
        if out.in_terminal and len(steps) == limit:
            note("There may be more: --limit shows them.")


@app.command("clear", cls=StoreCommand)
def clear(
    store: Store,
    threads: Annotated[
        list[str], typer.Argument(metavar="THREAD...", help="The ids of the threads.", show_default=False)
    ],
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Erase what is saved of threads. What their users told the store remains."""
    from crossthread.cli.opening import open_threads

    out = Output(json)
    ids = [*dict.fromkeys(threads)]
    with ExitStack() as closing:
        opened = open_threads(store, closing)
        for thread in ids:
            if not opened.history(thread, limit=1):
                raise _no_such_thread(thread)
        facts: dict[str, Any] = {"threads": ids}
        what = count(len(ids), "thread")
        if not confirmed(out, f"Erase {what}?", [named(ids, len(ids))], facts, yes=yes, dry_run=dry_run):
            return
        for thread in ids:
            opened.clear(thread)
        if out.json:
            out.document({**facts, "dry_run": False})
        else:
            note(f"Erased {what}.")


@app.command("copy", cls=StoreCommand)
def copy(
    store: Store,
    thread: Thread,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The id of the copy.", show_default=False)],
    json: Json = False,
) -> None:
    """Copy a thread with all its steps; both go on by themselves."""
    from crossthread.cli.opening import open_threads

    out = Output(json)
    with ExitStack() as closing:
        opened = open_threads(store, closing)
        if not opened.history(thread, limit=1):
            raise _no_such_thread(thread)
        opened.copy(thread, new)
        if out.json:
            out.document({"thread": thread, "copy": new})
        else:
            note(f"Copied the thread {thread} to {new}.")


def _no_such_thread(thread: str) -> CommandError:
    return CommandError(f"there is no thread {thread!r}", hint="'threads list' names them", code=MISSING)


def _metadata(thread: Any) -> str:
    told = {name: value for name, value in thread.metadata.items() if name not in ("source", "step", "parents")}
    return " ".join(f"{name}={value}" for name, value in told.items() if name != "thread_id")


def _thread_facts(thread: Any) -> dict[str, Any]:
    return {
        "thread_id": thread.thread_id,
        "checkpoint_id": thread.checkpoint_id,
        "created_at": thread.created_at,
        "updated_at": thread.updated_at,
        "metadata": dict(thread.metadata),
    }


def _step_facts(step: Any) -> dict[str, Any]:
    return {
        "thread_id": step.thread_id,
        "checkpoint_id": step.checkpoint_id,
        "parent_id": step.parent_id,
        "created_at": step.created_at,
        "source": step.source,
        "step": step.step,
        "metadata": dict(step.metadata),
        "input": readable(step.input),
        "result": readable(step.result),
        "previous": readable(step.previous),
        "values": readable(dict(step.values)),
    }


def _show_step(out: Output, step: Any) -> None:
    parts = [("input", step.input), ("result", step.result), ("previous", step.previous), *step.values.items()]
    told = [(name, readable(value)) for name, value in parts if value is not None and value != {}]
    if not out.in_terminal:
        out.row(str(step.step), moment(step.created_at), step.source, exact(dict(told)))
        return
    out.parts(
        (f"step {step.step}", "bold"), (f"  {step.source}  {moment(step.created_at)}  {step.checkpoint_id}", "dim")
    )
    for name, value in told:
        lines = value if isinstance(value, list) and value else [value]
        for number, line in enumerate(lines):
            label = f"  {plain(str(name))}: " if number == 0 else " " * (len(plain(str(name))) + 4)
            out.parts((label, "cyan"), (_said(line), ""))


def _said(value: Any) -> str:
    if isinstance(value, dict) and value.keys() == {"role", "content"} and isinstance(value["content"], str):
        return f"{value['role']}: {value['content']}"
    return value if isinstance(value, str) else as_json(value)


def readable(value: Any) -> Any:
    """Return a value of a thread as what JSON can hold; messages as what they say and who says it."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, dict):
        return {str(name): readable(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [readable(inner) for inner in value]
    if hasattr(value, "content") and hasattr(value, "type"):  # a LangChain message
        said = {"role": value.type, "content": readable(value.content)}
        calls = getattr(value, "tool_calls", None)
        return {**said, "tool_calls": readable(calls)} if calls else said
    if hasattr(value, "model_dump"):
        return readable(value.model_dump())
    return str(value)

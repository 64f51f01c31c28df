"""The commands ``forget`` and ``sweep``: what takes many items away."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import Annotated, Any

import typer

from crossthread.cli.confirming import SHOWN, confirmed, named
from crossthread.cli.options import DryRun, Json, Namespace, Store, Yes
from crossthread.cli.output import Output, note
from crossthread.cli.places import labels
from crossthread.cli.progress import working
from crossthread.cli.running import MISSING, WRONG, CommandError
from crossthread.cli.showing import count, dotted

_PAGE = 1000


def forget(
    store: Store,
    namespace: Namespace,
    threads: Annotated[
        list[str] | None,
        typer.Option(
            "--threads",
            metavar="NAME=ID",
            help="Erase the threads of this metadata, too, such as user_id=ada; again for more conditions.",
            show_default=False,
        ),
    ] = None,
    keep_traces: Annotated[
        bool,
        typer.Option(
            "--keep-traces", metavar="", help="Leave the bytes of what is erased in the file.", show_default=False
        ),
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Erase everything in a namespace and below it, so that no byte of it is left in the file.

    A SQLite file is rewritten for that: it takes a while where it is large, and room for it twice more. What may
    remain elsewhere is told.
    """
    from crossthread.cli.opening import open_store, open_threads

    out = Output(json)
    prefix, wanted = labels(namespace), conditions(threads) if threads else []
    with ExitStack() as closing:
        opened = closing.enter_context(open_store(store))
        number = opened.count(prefix)
        conversations = open_threads(store, closing) if wanted else None
        ids: list[str] = []
        if conversations is not None:
            found = [thread for one in wanted for thread in conversations.list(filter=one, limit=None)]
            ids = [*dict.fromkeys(thread.thread_id for thread in found)]
        if not number and not ids:
            raise CommandError(f"there is nothing in {dotted(prefix)} in {opened.place}", code=MISSING)
        spaces = _namespaces(opened, prefix)
        facts: dict[str, Any] = {"namespace": prefix, "items": number, "namespaces": spaces, "threads": ids}
        what = count(number, "item") + (f" and {count(len(ids), 'thread')}" if wanted else "")
        question = f"Erase {what} of {dotted(prefix)} in {opened.place}?"
        if not confirmed(out, question, _plan(opened, spaces, ids), facts, yes=yes, dry_run=dry_run):
            return
        for thread_id in ids:
            assert conversations is not None
            conversations.clear(thread_id)
        erased = opened.forget(prefix)
        remains = []
        if not keep_traces:
            with working("Erasing traces"):
                remains = opened.erase_traces()
        if out.json:
            out.document({**facts, "items": erased, "remains": remains, "dry_run": False})
            return
        threads_too = f" and {count(len(ids), 'thread')}" if wanted else ""
        note(f"Erased {count(erased, 'item')}{threads_too}.")
        for sentence in remains:
            note(f"May remain: {sentence}", style="yellow")


def conditions(texts: list[str]) -> list[dict[str, Any]]:
    """Return the metadata that ``NAME=ID`` texts may mean: as text and, where they can be read so, as numbers."""
    as_text: dict[str, Any] = {}
    as_number: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise CommandError(f"{text!r} is no metadata", hint="write NAME=ID, such as user_id=ada", code=WRONG)
        as_text[name] = as_number[name] = value
        if re.fullmatch(r"-?\d{1,18}", value):
            as_number[name] = int(value)
        elif value in ("true", "false"):
            as_number[name] = value == "true"
    return [as_text, as_number] if as_number != as_text else [as_text]


def _namespaces(store: Any, prefix: tuple[str, ...]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    while True:
        page = store.list_namespaces(prefix=prefix, limit=_PAGE, offset=len(found))
        found += page
        if len(page) < _PAGE:
            return found


def _plan(store: Any, spaces: list[tuple[str, ...]], ids: list[str]) -> list[str]:
    plan = []
    for space in spaces[:SHOWN]:
        items = [item for item in store.search(space, limit=50, refresh_ttl=False) if item.namespace == space]
        number = store.count(space)
        plan.append(f"{dotted(space)}: {count(number, 'item')}, {named([item.key for item in items], number)}")
    if len(spaces) > SHOWN:
        plan.append(f"and {count(len(spaces) - SHOWN, 'more namespace')}")
    if ids:
        plan.append(f"threads: {named(ids, len(ids))}")
    return plan


def sweep(store: Store, yes: Yes = False, dry_run: DryRun = False, json: Json = False) -> None:
    """Erase the items whose time is over. They are not found any more; this takes them out of the file."""
    from crossthread.cli.opening import open_store

    out = Output(json)
    with open_store(store) as opened:
        expired = opened.stats().expired
        question = f"Erase {count(expired, 'expired item')} of {opened.place}?"
        if expired and not confirmed(
            out, question, [count(expired, "expired item")], {"expired": expired}, yes=yes, dry_run=dry_run
        ):
            return
        swept = opened.sweep_ttl() if expired else 0
        if out.json:
            out.document({"expired": swept, "dry_run": dry_run})
        else:
            note(f"Erased {count(swept, 'expired item')}." if swept else "No item has expired.")

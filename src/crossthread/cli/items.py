"""The commands ``get``, ``put`` and ``rm``: one item at a time."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from crossthread.cli.confirming import confirmed, named
from crossthread.cli.options import (
    Dims,
    DryRun,
    Embed,
    Fields,
    Indexing,
    Json,
    Key,
    Language,
    Model,
    Namespace,
    Store,
    Yes,
)
from crossthread.cli.output import Output, note, read_json
from crossthread.cli.places import labels
from crossthread.cli.running import MISSING, CommandError
from crossthread.cli.showing import count, dotted, moment, plain, until


def get(store: Store, namespace: Namespace, key: Key, json: Json = False) -> None:
    """Print the value of an item, as JSON.

    In a terminal a line above it tells its times. Reading does not prolong the item's life.
    """
    from crossthread.cli.opening import open_store

    out = Output(json)
    with open_store(store) as opened:
        record = opened.record(labels(namespace), key)
        if record is None:
            raise no_such_item(opened, labels(namespace), key)
    if out.json:
        out.document(item_facts(record))
        return
    if out.in_terminal:
        times = f"created {moment(record.created_at)}, updated {moment(record.updated_at)} UTC"
        if record.expires_at is not None:
            times += f", expires in {until(record.expires_at)}"
        out.line(f"{dotted(record.namespace)} {plain(record.key)}: {times}", style="dim")
    out.value(record.value)


def put(
    store: Store,
    namespace: Namespace,
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="A JSON object, or - to read it.", show_default=False)],
    ttl: Annotated[
        float | None,
        typer.Option(
            "--ttl", envvar="CROSSTHREAD_DEFAULT_TTL", metavar="MINUTES", help="How long it lives.", show_default=False
        ),
    ] = None,
    no_index: Annotated[
        bool, typer.Option("--no-index", metavar="", help="Let no query find it.", show_default=False)
    ] = False,
    embed: Embed = None,
    fields: Fields = None,
    language: Language = None,
    dims: Dims = None,
    model: Model = None,
    json: Json = False,
) -> None:
    """Write an item, in place of the one that has the key already.

    A new file is a store whose items are found by words, or as the options say. In a store that is there, the item is
    found as the others are; where that needs a model that is not known here, nothing is written.
    """
    from crossthread.cli.indexing import finding, open_for_writing

    out = Output(json)
    address = labels(namespace)
    content = read_json(sys.stdin.read() if value == "-" else value, "standard input" if value == "-" else "the value")
    wanted = Indexing(embed, fields, language, dims, model)
    with open_for_writing(store, wanted, create=True, indexed=not no_index) as opened:
        before = opened.record(address, key)
        index = False if no_index else finding(opened, wanted, address, content, before)
        opened.put(address, key, content, index=[*index] if index else index, ttl=ttl)  # type: ignore[arg-type]
        if out.json:
            record = opened.record(address, key)
            out.document({"created": before is None, **(item_facts(record) if record is not None else {})})
    if not out.json:
        note(f"{'Added' if before is None else 'Replaced'} {dotted(address)} {plain(key)}.")


def rm(
    store: Store,
    namespace: Namespace,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="The keys of the items.", show_default=False)],
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Erase items, all of them or, if one is not there, none."""
    from langgraph.store.base import PutOp

    from crossthread.cli.opening import open_store

    out = Output(json)
    address, keys = labels(namespace), [*dict.fromkeys(keys)]
    with open_store(store) as opened:
        for key in keys:
            if opened.get(address, key, refresh_ttl=False) is None:
                raise no_such_item(opened, address, key)
        facts: dict[str, Any] = {"namespace": address, "keys": keys, "items": len(keys)}
        what = f"{count(len(keys), 'item')} of {dotted(address)} in {opened.place}"
        plan = [f"{dotted(address)}: {named(keys, len(keys))}"]
        if not confirmed(out, f"Erase {what}?", plan, facts, yes=yes, dry_run=dry_run):
            return
        opened.batch([PutOp(address, key, None) for key in keys])
        if out.json:
            out.document({**facts, "dry_run": False})
        else:
            note(f"Erased {what}.")


def item_facts(record: Any) -> dict[str, Any]:
    """Return an item for machines."""
    return {
        "namespace": record.namespace,
        "key": record.key,
        "value": record.value,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "expires_at": record.expires_at,
    }


def no_such_item(store: Any, namespace: tuple[str, ...], key: str) -> CommandError:
    """Return the error for an item that is not there; it tells where to look."""
    number = store.count(namespace)
    inside = f"{count(number, 'item')} in and below it" if number else "nothing at all in it"
    return CommandError(f"there is no item {key!r} in {dotted(namespace)}, and {inside}", code=MISSING)

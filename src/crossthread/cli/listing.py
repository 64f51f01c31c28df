"""The commands ``ls`` and ``stats``: what is there, and how much of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

import typer

from crossthread.cli.options import Json, Prefix, Store
from crossthread.cli.output import Output, note
from crossthread.cli.places import labels
from crossthread.cli.progress import working
from crossthread.cli.running import MISSING, CommandError
from crossthread.cli.showing import count, dotted, moment, plain, preview, size

_BRANCHES = 50  # of one namespace that are shown in a terminal
_KEYS = 20


@dataclass(slots=True)
class _Node:
    """A namespace in the tree, with all that is below it."""

    items: int = 0
    value_bytes: int = 0
    updated_at: datetime | None = None
    below: dict[str, _Node] = field(default_factory=dict)

    def add(self, space: Any) -> None:
        """Count what a namespace at or below this one holds."""
        self.items += space.items
        self.value_bytes += space.value_bytes
        self.updated_at = max(self.updated_at or space.updated_at, space.updated_at)


def ls(
    store: Store,
    namespace: Prefix = "",
    all_: Annotated[
        bool,
        typer.Option(
            "--all", "-a", metavar="", help="Show every namespace, however many there are.", show_default=False
        ),
    ] = False,
    depth: Annotated[
        int | None,
        typer.Option("--depth", "-d", min=1, metavar="N", help="Show so many levels only.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Show the namespaces as a tree, with the items in each and all below it and the size of their values.

    Of a namespace that is named, the newest items are shown, too. In a pipe, and with `--json`, each line is a
    namespace that holds items, without those below it.
    """
    from crossthread.cli.opening import open_store

    out = Output(json)
    prefix = labels(namespace, empty_allowed=True)
    with open_store(store) as opened:
        with working("Counting"):
            stats = opened.stats(prefix)
        if not stats.items:
            if prefix:
                raise CommandError(f"there is nothing in {dotted(prefix)} in {opened.place}", code=MISSING)
            if out.in_terminal:
                out.line(f"{opened.place} holds nothing yet.", style="dim")
            return
        if not out.in_terminal:
            _lines(out, stats, len(prefix) + depth if depth else None)
            return
        _show_tree(out, _tree(stats, prefix), prefix, None if all_ else _BRANCHES, depth)
        if prefix:
            _show_keys(out, opened, prefix)
        note(f"{count(stats.items, 'item')} in {count(len(stats.namespaces), 'namespace')}, {size(stats.value_bytes)}")


def _lines(out: Output, stats: Any, depth: int | None) -> None:
    nodes: dict[tuple[str, ...], tuple[_Node, int]] = {}
    for space in stats.namespaces:
        node, expiring = nodes.get(space.namespace[:depth], (_Node(), 0))
        node.add(space)
        nodes[space.namespace[:depth]] = node, expiring + space.expiring
    for namespace, (node, expiring) in sorted(nodes.items()):
        if out.json:
            out.document(
                {
                    "namespace": namespace,
                    "items": node.items,
                    "value_bytes": node.value_bytes,
                    "expiring": expiring,
                    "updated_at": node.updated_at,
                }
            )
        else:
            out.row(".".join(namespace), str(node.items), str(node.value_bytes), moment(node.updated_at))


def _tree(stats: Any, prefix: tuple[str, ...]) -> _Node:
    root = _Node()
    for space in stats.namespaces:
        node = root
        node.add(space)
        for label in space.namespace[len(prefix) :]:
            node = node.below.setdefault(label, _Node())
            node.add(space)
    return root


def _show_tree(out: Output, root: _Node, prefix: tuple[str, ...], most: int | None, depth: int | None) -> None:
    rows: list[tuple[str, _Node | None]] = [(dotted(prefix), root)] if prefix else []
    rows += _rows(root, "", most, depth, is_top=not prefix)
    out.table(
        ("NAMESPACE", "ITEMS", "SIZE", "UPDATED (UTC)"),
        [
            (name, f"{node.items:,}", size(node.value_bytes), moment(node.updated_at)) if node else (name, "", "", "")
            for name, node in rows
        ],
        numbers=(1, 2),
    )


def _rows(
    node: _Node, indent: str, most: int | None, depth: int | None, *, is_top: bool = False
) -> Iterator[tuple[str, _Node | None]]:
    if depth == 0:
        return
    names = sorted(node.below)
    shown = names if most is None or len(names) <= most else names[: most - 1]
    for name in shown:
        is_last = name == names[-1]
        branch, going_on = ("", "") if is_top else ("└─ ", "   ") if is_last else ("├─ ", "│  ")
        yield f"{indent}{branch}{plain(name)}", node.below[name]
        yield from _rows(node.below[name], indent + going_on, most, depth and depth - 1)
    if len(shown) < len(names):
        yield f"{indent}{'' if is_top else '└─ '}… {len(names) - len(shown):,} more (--all)", None


def _show_keys(out: Output, store: Any, prefix: tuple[str, ...]) -> None:
    newest = [item for item in store.search(prefix, limit=_KEYS + 1, refresh_ttl=False) if item.namespace == prefix]
    if newest:
        out.line()
    for item in newest[:_KEYS]:
        out.parts(("  ", ""), (item.key, "bold"), ("  ", ""), (preview(item.value), "dim"))
    if len(newest) > _KEYS:
        note(f"The newest {_KEYS}; 'crossthread search' shows more.")


def stats(store: Store, namespace: Prefix = "", json: Json = False) -> None:
    """Tell how much there is: items, vectors, sizes, and how items are found. Reads everything."""
    from crossthread.cli.opening import open_store

    out = Output(json)
    prefix = labels(namespace, empty_allowed=True)
    with open_store(store) as opened, working("Counting"):
        found = opened.stats(prefix)
    expiring = sum(space.expiring for space in found.namespaces)
    facts = {
        "place": found.place,
        "namespace": prefix,
        "items": found.items,
        "namespaces": len(found.namespaces),
        "expiring": expiring,
        "expired": found.expired,
        "value_bytes": found.value_bytes,
        "file_bytes": found.file_bytes,
        "vectors": found.vectors,
        "dims": found.dims,
        "model": found.model,
        "language": found.language,
    }
    if out.json:
        out.document(facts)
        return
    vectors = f"{found.vectors:,}"
    if found.dims:
        vectors += f" of {found.dims} dimensions, model {found.model or 'without a name'}"
    told = [
        ("place", found.place),
        *([("namespace", dotted(prefix))] if prefix else []),
        ("items", f"{found.items:,} in {count(len(found.namespaces), 'namespace')}"),
        ("values", size(found.value_bytes)),
        ("file", "" if found.file_bytes is None else size(found.file_bytes)),
        ("expiring", f"{expiring:,}"),
        ("expired", f"{found.expired:,}{' (sweep erases them)' if found.expired else ''}"),
        ("words", found.language or "not indexed"),
        ("vectors", vectors),
    ]
    out.facts([(name, fact) for name, fact in told if fact])

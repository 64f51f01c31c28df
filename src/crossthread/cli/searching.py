"""The command ``search``: by meaning, by words, by conditions, or simply the newest."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any, Literal

import typer

from crossthread.cli.options import Dims, Embed, Fields, Indexing, Json, Language, Model, Prefix, Store
from crossthread.cli.output import Output, note, read_json
from crossthread.cli.places import labels
from crossthread.cli.showing import columns, count, dotted, exact, moment, plain, preview

_LINES = 3  # of a value in a terminal


def search(
    store: Store,
    namespace: Prefix = "",
    query: Annotated[
        str | None, typer.Option("--query", "-q", metavar="TEXT", help="What to search for.", show_default=False)
    ] = None,
    mode: Annotated[
        Literal["semantic", "keyword", "hybrid"] | None,
        typer.Option(
            "--mode",
            envvar="CROSSTHREAD_MODE",
            metavar="MODE",
            help="semantic, keyword or hybrid: by meaning, by words, by both. If not given: hybrid where the model is "
            "known, and keyword where not.",
            show_default=False,
        ),
    ] = None,
    filter_: Annotated[
        str | None,
        typer.Option("--filter", "-f", metavar="JSON", help="Conditions on the values.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-l", min=0, metavar="N", help="How many at the most.")] = 10,
    offset: Annotated[int, typer.Option("--offset", "-o", min=0, metavar="N", help="How many to skip.")] = 0,
    min_score: Annotated[
        float | None, typer.Option("--min-score", metavar="SCORE", help="Leave out weaker hits.", show_default=False)
    ] = None,
    hybrid_weight: Annotated[
        float | None,
        typer.Option(
            "--hybrid-weight",
            envvar="CROSSTHREAD_HYBRID_WEIGHT",
            metavar="WEIGHT",
            help="How much meaning counts in a hybrid search, from 0 to 1.",
            show_default=False,
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", metavar="", help="Show the parts of the scores.", show_default=False)
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", metavar="", help="Show values as a whole.", show_default=False)
    ] = False,
    embed: Embed = None,
    fields: Fields = None,
    language: Language = None,
    dims: Dims = None,
    model: Model = None,
    json: Json = False,
) -> None:
    """Find items in a namespace and below it: the best first or, without a query, the newest.

    Words need no option: the store knows their language. Vectors need the model that made them, unless it is
    `local`, the offline one. Reading does not prolong the life of what is found.
    """
    from crossthread.cli.indexing import open_for_search
    from crossthread.cli.opening import open_store

    out = Output(json)
    prefix = labels(namespace, empty_allowed=True)
    conditions = None if filter_ is None else read_json(filter_, "the filter")
    settings: dict[str, Any] = {
        "filter": conditions,
        "limit": limit,
        "offset": offset,
        "refresh_ttl": False,
    }
    with ExitStack() as closing:
        if query:
            opened, used = open_for_search(store, Indexing(embed, fields, language, dims, model), mode)
            closing.enter_context(opened)
            settings |= {"query": query, "mode": used, "min_score": min_score, "explain": explain}
            settings["hybrid_weight"] = hybrid_weight
        else:
            opened = closing.enter_context(open_store(store))
        hits = opened.search(prefix, **settings)
        if out.json:
            for hit in hits:
                out.document(_facts(hit, explain and bool(query)))
            return
        for hit in hits:
            _show(out, hit, full=full)
        if out.in_terminal:
            if not hits:
                out.line(_nothing(opened, prefix, query, offset), style="dim")
            elif len(hits) == limit:
                note(f"{count(len(hits), 'item')}; --offset {offset + limit} shows the next.")


def _nothing(store: Any, prefix: tuple[str, ...], query: str | None, offset: int) -> str:
    number = store.count(prefix)
    if number == 0:
        return f"There is nothing in {dotted(prefix)}."
    if offset:
        return "There are no more."
    return f"None of the {count(number, 'item')} in {dotted(prefix)} matches."


def _facts(hit: Any, explained: bool) -> dict[str, Any]:
    facts = {
        "namespace": hit.namespace,
        "key": hit.key,
        "value": hit.value,
        "created_at": hit.created_at,
        "updated_at": hit.updated_at,
        "score": hit.score,
    }
    if explained:
        facts |= {"semantic": hit.semantic, "keyword": hit.keyword, "terms": hit.terms}
    return facts


def _show(out: Output, hit: Any, *, full: bool) -> None:
    score = "" if hit.score is None else f"{hit.score:.3f}"
    parts = _parts(hit)
    if not out.in_terminal:
        cells = [score, ".".join(hit.namespace), hit.key, exact(hit.value)]
        out.row(*cells, *([parts] if parts else []))
        return
    head: list[tuple[str, str]] = [] if hit.score is None else [(f"{score}  ", "bold green")]
    head += [(dotted(hit.namespace), "cyan"), ("  ", ""), (hit.key, "bold"), (f"  {moment(hit.updated_at)}", "dim")]
    out.parts(*head)
    if parts:
        out.parts(("  ", ""), (parts, "magenta"))
    if full:
        out.value(hit.value)
        return
    for line in _wrapped(preview(hit.value), out.width - 2, _LINES):
        out.parts(("  ", ""), (line, ""))


def _parts(hit: Any) -> str:
    if not hasattr(hit, "terms"):
        return ""
    found = []
    if hit.semantic is not None:
        found.append(f"meaning {hit.semantic:.3f}")
    if hit.keyword is not None:
        terms = ", ".join(f"{plain(term)} {share:.2f}" for term, share in (hit.terms or {}).items() if share)
        found.append(f"words {hit.keyword:.3f}{f' ({terms})' if terms else ''}")
    return "; ".join(found)


def _wrapped(text: str, width: int, most: int) -> list[str]:
    """Return the first lines of a text; the last one tells whether there are more."""
    lines: list[str] = []
    while text and len(lines) < most:
        if columns(text[: width * 2]) <= width:
            lines.append(text)
            break
        if len(lines) == most - 1:
            lines.append(text[: width * 2])  # cut where it is printed
            break
        end = room = 0
        for end, character in enumerate(text):  # noqa: B007
            room += columns(character)
            if room > width:
                break
        space = text.rfind(" ", end // 2, end + 1)
        end = space if space > 0 else end
        lines.append(text[:end])
        text = text[end:].lstrip(" ")
    return lines

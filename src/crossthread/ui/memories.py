"""The pages that show memories: a namespace, a search, an item. They read, and renew no item's life by that."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

from langgraph.store.base import SearchItem
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from crossthread.batch import ExplainedItem
from crossthread.errors import CrossthreadError, InvalidFilterError, UnsupportedError
from crossthread.ui import shown
from crossthread.ui.inspected import Inspected
from crossthread.ui.pages import (
    asked_key,
    asked_namespace,
    asked_number,
    framed,
    inspected,
    missing,
    text,
)

PAGE = 50
_CLAMPED = 600
_CHIP = 80
_CHIPS = 6
_MATCHES = 200
_SHOWN_JSON = 200_000


class Part(NamedTuple):
    """A bar: one part of a score."""

    name: str
    kind: str
    number: float
    width: float
    """From 0 to 100."""


class Card(NamedTuple):
    """An item in a list."""

    item: SearchItem
    main: str
    others: list[tuple[str, str]]
    parts: list[Part]
    terms: list[tuple[str, float]]
    expires_at: datetime | None = None


def show_items(request: Request) -> Response:
    """The items of a namespace, the newest first; or what a search in it finds."""
    looked_at, namespace = inspected(request), asked_namespace(request.query_params)
    query = request.query_params.get("q", "").strip()
    written = request.query_params.get("filter", "").strip()
    mode = request.query_params.get("mode", "") or (looked_at.modes[0] if looked_at.modes else "")
    number = max(asked_number(request, "page", 1), 1)
    problem = None
    found: list[SearchItem] = []
    try:
        found = _found(looked_at, namespace, query, written, mode, number)
    except CrossthreadError as error:
        if not query and not written:
            raise
        problem = str(error)
    except Exception as error:  # what a model raises is its own
        if not query:
            raise
        problem = f"The query could not be embedded. {type(error).__name__}: {error}"
    has_more = len(found) > PAGE
    return framed(
        request,
        "items.html",
        namespace,
        200 if problem is None else 400,
        title=shown.dotted(namespace),
        tab="items",
        cards=_cards(looked_at, found[:PAGE], bool(query)),
        query=query,
        written=written,
        mode=mode,
        modes=looked_at.modes,
        problem=problem,
        number=number,
        has_more=has_more,
        first=(number - 1) * PAGE + 1,
        page_size=PAGE,
        chip=_CHIP,
        chips=_CHIPS,
        clamped=_CLAMPED,
    )


def _found(
    looked_at: Inspected, namespace: tuple[str, ...], query: str, written: str, mode: Any, number: int
) -> list[SearchItem]:
    """Return a page of items, and one more if there is one."""
    return looked_at.store.search(
        namespace,
        query=query if looked_at.modes else None,
        filter=read_filter(written),
        limit=PAGE + 1,
        offset=(number - 1) * PAGE,
        refresh_ttl=False,
        mode=mode if query and looked_at.modes else None,
        explain=bool(query),
    )


def read_filter(written: str) -> dict[str, Any] | None:
    """Return a filter that somebody wrote.

    Raises:
        InvalidFilterError: It is not a JSON object.
    """
    if not written:
        return None
    try:
        found = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise InvalidFilterError(
            f'The filter is not JSON ({error}). Write it like this: {{"kind": "food", "stars": {{"$gte": 4}}}}'
        ) from error
    if not isinstance(found, dict):
        raise InvalidFilterError('A filter is a JSON object, such as {"kind": "food"}.')
    return found


def _cards(looked_at: Inspected, found: list[SearchItem], is_search: bool) -> list[Card]:
    tree = looked_at.tree()
    best = max((item.keyword or 0.0 for item in found if isinstance(item, ExplainedItem)), default=0.0)
    cards = []
    for item in found:
        main, others = shown.summary(item.value)
        parts: list[Part] = []
        terms: list[tuple[str, float]] = []
        if is_search and isinstance(item, ExplainedItem):
            parts = _parts(item, best)
            terms = sorted(item.terms.items(), key=lambda term: -term[1])
        node = tree.find(item.namespace)
        record = looked_at.store.record(item.namespace, item.key) if node is not None and node.expiring else None
        cards.append(Card(item, main, others, parts, terms, record.expires_at if record is not None else None))
    return cards


def _parts(item: ExplainedItem, best: float) -> list[Part]:
    parts = []
    if item.semantic is not None and item.keyword is not None and item.score is not None:
        parts.append(Part("together", "whole", item.score, _width(item.score)))
    if item.semantic is not None:
        parts.append(Part("meaning", "meaning", item.semantic, _width(item.semantic)))
    if item.keyword is not None:
        parts.append(Part("words", "words", item.keyword, _width(item.keyword / best if best else 0.0)))
    return parts


def _width(share: float) -> float:
    return round(min(max(share, 0.0), 1.0) * 100, 1)


def show_item(request: Request) -> Response:
    """One item, with all that is known of it."""
    looked_at, namespace = inspected(request), asked_namespace(request.query_params)
    key = asked_key(request.query_params)
    item: Any = None
    is_whole = True
    try:
        item = looked_at.store.record(namespace, key) if namespace else None
    except UnsupportedError:  # an engine of another package, which does not tell all that it keeps
        item, is_whole = looked_at.store.get(namespace, key, refresh_ttl=False), False
    if item is None:
        return missing(request, f"There is no memory {shown.plain(key)!r} in {shown.dotted(namespace)}.", namespace)
    as_json = shown.editable(item.value)
    return framed(
        request,
        "item.html",
        namespace,
        title=shown.plain(key, 60),
        item=item,
        is_whole=is_whole,
        has_words=looked_at.store.index_config is not None,
        lines=shown.outline(item.value),
        as_json=as_json[:_SHOWN_JSON],
        is_cut=len(as_json) > _SHOWN_JSON,
    )


def send_value(request: Request) -> Response:
    """One item's value as a JSON file, for values that no page can show."""
    looked_at, namespace = inspected(request), asked_namespace(request.query_params)
    item = looked_at.store.get(namespace, asked_key(request.query_params), refresh_ttl=False)
    if item is None:
        return missing(request, "There is no such memory.", namespace)
    return Response(
        json.dumps(item.value, ensure_ascii=False, indent=2),
        media_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="memory.json"'},
    )


def show_matches(request: Request) -> Response:
    """The namespaces with a name that contains a text."""
    wanted = request.query_params.get("find", "").strip()
    found, number = inspected(request).tree().matching(wanted, _MATCHES) if wanted else ([], 0)
    return framed(request, "matches.html", title="Namespaces", wanted=wanted, found=found, number=number)


def show_branch(request: Request) -> Response:
    """Some children of a namespace, as a part of the tree: what the page asks for when a branch is opened."""
    namespace = asked_namespace(request.query_params)
    rows = inspected(request).tree().level(namespace, asked_number(request, "offset", 0))
    return HTMLResponse(text(request, "branch.html", rows=rows, namespace=()))

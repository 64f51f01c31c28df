"""Reads all items of a store of somebody else through `list_namespaces` and `search`, and trusts neither with pages.

Such stores repeat and lose items between pages, cut pages short, let one label's prefix cover another's, and list
namespaces that are empty. So pages end where one is empty, each item counts once, and where a page repeated one, so
that another may have been lost, the namespace is read again in one page.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple

from langgraph.store.base import BaseStore

from crossthread.errors import IncompleteCopyError

_NAMES_AT_ONCE = 10_000
_ITEMS_AT_ONCE = 5_000

Namespace = tuple[str, ...]


class _Ask(NamedTuple):
    """The request to call a method of the store; answered with what it returns."""

    name: str
    arguments: tuple[Any, ...]
    settings: dict[str, Any]


class _Found(NamedTuple):
    """The news that items were found."""

    items: list[Any]


_Steps = Generator[_Ask | _Found, Any, None]


def pages_of(source: BaseStore, prefix: Namespace) -> Iterator[list[Any]]:
    """Yield all items below a prefix, each once."""
    steps = _steps(prefix)
    answer: Any = None
    while (step := _next(steps, answer)) is not None:
        answer = None
        if isinstance(step, _Found):
            yield step.items
        else:
            answer = getattr(source, step.name)(*step.arguments, **step.settings)


async def apages_of(source: BaseStore, prefix: Namespace) -> AsyncIterator[list[Any]]:
    """Do the same through the async methods, or in a thread where the store has none."""
    steps = _steps(prefix)
    answer: Any = None
    while (step := _next(steps, answer)) is not None:
        answer = None
        if isinstance(step, _Found):
            yield step.items
            continue
        try:
            answer = await getattr(source, f"a{step.name}")(*step.arguments, **step.settings)
        except NotImplementedError:
            call: Callable[..., Any] = getattr(source, step.name)
            answer = await asyncio.to_thread(call, *step.arguments, **step.settings)


def _next(steps: _Steps, answer: Any) -> _Ask | _Found | None:
    try:
        return steps.send(answer)
    except StopIteration:
        return None


def _steps(prefix: Namespace) -> _Steps:
    names: set[Namespace] = set()
    offset = 0
    while True:
        settings = {"prefix": prefix or None, "limit": _NAMES_AT_ONCE, "offset": offset}
        page: Sequence[Namespace] = yield _Ask("list_namespaces", (), settings)
        before = len(names)
        names.update(tuple(name) for name in page)
        if len(names) == before:  # an empty page, or one that says nothing new: there is no more to hear
            break
        offset += len(page)
    for root in _roots(names, prefix):
        yield from _below(root)


def _roots(names: set[Namespace], prefix: Namespace) -> list[Namespace]:
    """Return the namespaces below the prefix that are below no other one: a search covers all that is below them."""
    below = sorted(name for name in names if name and name[: len(prefix)] == prefix)
    roots: list[Namespace] = []
    for name in below:  # sorted, so that a namespace stands before those below it
        if not roots or name[: len(roots[-1])] != roots[-1]:
            roots.append(name)
    return roots


def _below(root: Namespace) -> _Steps:
    seen: set[int] = set()
    rows = 0
    has_repeated = False
    limit = _ITEMS_AT_ONCE
    while True:
        found: list[Any] = yield _search(root, limit, rows)
        if not found:
            break
        rows += len(found)
        new = _unseen(found, root, seen)
        has_repeated = has_repeated or len(new) < sum(_is_below(item, root) for item in found)
        if new:
            yield _Found(new)
        else:
            break  # the same again: it may not know offsets
    if not has_repeated:
        return  # as many different items as there are rows
    # Where some rows came twice, others came not at all. All of them in one page, then.
    while True:
        limit = 4 * (rows + limit)
        found = yield _search(root, limit, 0)
        new = _unseen(found, root, seen)
        if new:
            yield _Found(new)
        if len(found) < limit:
            break
    more = yield _search(root, 1, len(found))
    if more:
        raise IncompleteCopyError(
            f"The source repeats items of {root!r} on its pages and has more than one page holds, so that they cannot "
            "all be read. Copy smaller parts of it, with prefix=."
        )


def _search(root: Namespace, limit: int, offset: int) -> _Ask:
    return _Ask("search", (root,), {"limit": limit, "offset": offset, "refresh_ttl": False})


def _unseen(found: Sequence[Any], root: Namespace, seen: set[int]) -> list[Any]:
    new = []
    for item in found:
        mark = hash((tuple(item.namespace), item.key))
        if mark not in seen and _is_below(item, root):
            seen.add(mark)
            new.append(item)
    return new


def _is_below(item: Any, root: Namespace) -> bool:
    return tuple(item.namespace)[: len(root)] == root

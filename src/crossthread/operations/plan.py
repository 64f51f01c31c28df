"""Turns operations into commands: every argument rule, the last write of a key, the texts to embed. Decides only.

A plan is made before anything runs, so one bad operation refuses the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from langgraph.store.base import GetOp, ListNamespacesOp, PutOp, SearchOp

from crossthread import namespaces, values
from crossthread._text import escape, shown
from crossthread.embedding.extract import text_hash, texts_of
from crossthread.errors import InvalidArgumentError
from crossthread.filters.parse import parse_filter
from crossthread.operations.commands import (
    Command,
    Count,
    Delete,
    Forget,
    Get,
    ListNamespaces,
    Put,
    Search,
    Sweep,
)
from crossthread.settings import IndexSettings, Mode, checked_mode, checked_paths, checked_weight
from crossthread.ttl import checked_ttl

_LARGEST: Final = 2**62  # a limit beyond any database's integers means "all"


class ModalSearchOp(NamedTuple):
    """LangGraph's ``SearchOp`` with what it has no room for."""

    search: SearchOp
    mode: Mode | None = None
    min_score: float | None = None
    hybrid_weight: float | None = None
    explain: bool = False


class ConditionalPutOp(NamedTuple):
    """LangGraph's ``PutOp``, done only while the item is still the one that was read (see ``commands.Put``)."""

    put: PutOp
    expected: int


AnyOp = GetOp | SearchOp | PutOp | ListNamespacesOp | ModalSearchOp | ConditionalPutOp | Count | Forget | Sweep


class RerankedPage(NamedTuple):
    """A page to be cut from hits whose order is improved first; ``first``: of how many."""

    query: str
    first: int
    limit: int
    offset: int
    refresh_ttl: bool


@dataclass(slots=True)
class Plan:
    """What a batch will do.

    ``commands`` are the reads and the last write of each key; ``answers[i]`` is the position of the command that
    answers operation ``i``, or None. ``texts`` and ``queries`` say what to embed for the command at a position, and
    ``reranked`` which operations' hits get a better order.
    """

    commands: list[Command] = field(default_factory=list)
    answers: list[int | None] = field(default_factory=list)
    texts: dict[int, list[str]] = field(default_factory=dict)
    queries: dict[int, str] = field(default_factory=dict)
    reranked: dict[int, RerankedPage] = field(default_factory=dict)


class Planner:
    """Makes the plan of a batch, which may be given part by part.

    Args:
        index: The store's index settings.
    """

    def __init__(self, index: IndexSettings | None) -> None:
        self._index = index
        self._plan = Plan()
        self._writes: dict[tuple[str, str], tuple[Put | Delete, list[str]]] = {}

    def add(self, ops: Iterable[Any]) -> None:
        """Add operations.

        Raises:
            InvalidNamespaceError, InvalidArgumentError: An operation breaks a rule; nothing has run.
        """
        for op in ops:
            _add(self._plan, self._writes, op, self._index)

    def finish(self) -> Plan:
        """Return the plan; nothing can be added any more."""
        plan = self._plan
        for command, texts in self._writes.values():
            if texts:
                plan.texts[len(plan.commands)] = texts
            plan.commands.append(command)
        return plan


def _add(
    plan: Plan, writes: dict[tuple[str, str], tuple[Put | Delete, list[str]]], op: Any, index: IndexSettings | None
) -> None:
    answer: int | None = len(plan.commands)
    if isinstance(op, GetOp):
        plan.commands.append(get_command(*op))
    elif isinstance(op, SearchOp):
        _add_search(plan, ModalSearchOp(op), index)
    elif isinstance(op, PutOp):
        _add_write(writes, op, index, None)
        answer = None
    elif isinstance(op, ListNamespacesOp):
        plan.commands.append(_list_namespaces(op))
    elif isinstance(op, ModalSearchOp):
        _add_search(plan, op, index)
    elif isinstance(op, ConditionalPutOp):
        _add_write(writes, op.put, index, op.expected)
    elif isinstance(op, (Count, Forget, Sweep)):  # each stands alone in its batch
        plan.commands.append(op)
    else:
        raise InvalidArgumentError(f"Not an operation of a store: {shown(op)}.")
    plan.answers.append(answer)


def get_command(namespace: Any, key: Any, refresh_ttl: Any) -> Get:
    """Return the command for a ``GetOp``.

    Raises:
        InvalidNamespaceError: The namespace breaks a rule.
    """
    return Get(namespaces.to_text(namespace), _key(key), bool(refresh_ttl))


def _add_search(plan: Plan, op: ModalSearchOp, index: IndexSettings | None) -> None:
    search = op.search
    mode = checked_mode(op.mode, has_embedder=index is None or index.embed is not None)
    query = search.query
    if query is not None and not isinstance(query, str):
        raise InvalidArgumentError(f"query must be text or None, not {shown(query)}.")
    min_score = op.min_score
    if min_score is not None and (
        not isinstance(min_score, (int, float)) or isinstance(min_score, bool) or min_score != min_score
    ):
        raise InvalidArgumentError(f"min_score must be a number or None, not {shown(min_score)}.")
    weight = None if op.hybrid_weight is None else checked_weight("hybrid_weight", op.hybrid_weight)
    mode = (mode or index.mode) if index is not None and query else None
    if weight is None and index is not None:
        weight = index.hybrid_weight
    limit, offset, refresh_ttl = (
        _count("limit", search.limit),
        _count("offset", search.offset),
        bool(search.refresh_ttl),
    )
    if mode is not None and index is not None and query:
        if mode != "keyword":
            plan.queries[len(plan.commands)] = query
        if index.rerank is not None and limit:
            page = RerankedPage(query, index.rerank_first, limit, offset, refresh_ttl)
            plan.reranked[len(plan.answers)] = page
            limit, offset, refresh_ttl = min(max(index.rerank_first, offset + limit), _LARGEST), 0, False
    command = Search(
        prefix=namespaces.to_text(search.namespace_prefix, empty_allowed=True),
        where=parse_filter(search.filter),
        limit=limit,
        offset=offset,
        refresh_ttl=refresh_ttl,
        min_score=min_score,
        mode=mode,
        terms=index.language.query(query) if index is not None and query and mode in ("keyword", "hybrid") else (),
        weight=0.5 if weight is None else weight,
        explain=bool(op.explain),
    )
    plan.commands.append(command)


def _add_write(
    writes: dict[tuple[str, str], tuple[Put | Delete, list[str]]],
    op: PutOp,
    index: IndexSettings | None,
    expected: int | None,
) -> None:
    address = namespaces.to_text(op.namespace), _key(op.key)
    paths = checked_paths(op.index)
    ttl_minutes = checked_ttl(op.ttl)
    write: Put | Delete
    texts: list[str] = []
    if op.value is None:
        write = Delete(*address)
    else:
        value = values.encode(op.value)
        if index is not None and paths != ():
            # What is indexed is what a reader will see, which differs where a subclass of a type of JSON's is stored.
            stored = op.value if type(op.value) is dict and values.is_plain(op.value) else values.decode(value)
            texts = texts_of(stored, index.fields if paths is None else paths)
        words = index.language.words(texts) if index is not None and texts else None
        if index is None or index.embed is None:
            texts = []  # nothing to embed
        write = Put(*address, value, ttl_minutes, None, tuple([text_hash(text) for text in texts]), expected, words)
    writes.pop(address, None)  # the last write of a key takes its place in the order, too
    writes[address] = write, texts


def _list_namespaces(op: ListNamespacesOp) -> ListNamespaces:
    patterns = []
    for condition in op.match_conditions or ():
        if condition.match_type not in ("prefix", "suffix"):
            raise InvalidArgumentError(f"match_type must be 'prefix' or 'suffix', not {shown(condition.match_type)}.")
        labels = namespaces.checked(condition.path, empty_allowed=True)
        patterns.append(namespaces.Pattern(labels, at_end=condition.match_type == "suffix"))
    return ListNamespaces(
        patterns=tuple(patterns),
        max_depth=namespaces.checked_depth(op.max_depth),
        limit=_count("limit", op.limit),
        offset=_count("offset", op.offset),
    )


def _key(key: Any) -> str:
    return escape(str(key))  # as BaseStore does


def _count(name: str, number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool):
        raise InvalidArgumentError(f"{name} must be a whole number, not {shown(number)}.")
    if number < 0:
        raise InvalidArgumentError(f"{name} must not be negative: {shown(number)}.")
    return min(number, _LARGEST)

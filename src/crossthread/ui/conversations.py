"""The pages about threads: which there are, and what was said in one beside what is remembered of its user."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from crossthread.errors import CrossthreadError
from crossthread.scopes.template import encode_id
from crossthread.threads.records import ThreadStep
from crossthread.ui import shown
from crossthread.ui.memories import Card, read_filter
from crossthread.ui.pages import asked_number, framed, inspected, missing
from crossthread.ui.tree import Node

_THREADS = 50
_STEPS = 40
_BESIDE = 8
_PLACES = 5
_DEPTH = 40
_SHOWN = 4_000

# What LangGraph and its platform write themselves; the rest tells whose thread it is.
_TECHNICAL = {
    "source",
    "step",
    "parents",
    "thread_id",
    "run_id",
    "run_attempt",
    "graph_id",
    "assistant_id",
    "checkpoint_ns",
    "checkpoint_id",
    "langgraph_version",
    "langgraph_api_url",
    "langgraph_plan",
    "langgraph_host",
    "created_by",
    "writes",
}


class Said(NamedTuple):
    """One thing said in a thread."""

    role: str
    text: str | None
    lines: list[shown.Line]
    """The outline of what is no plain text."""
    at: datetime | None


class Beside(NamedTuple):
    """A namespace of the thread's user, with its newest memories."""

    node: Node
    cards: list[Card]


def whose(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a thread's metadata tell of its user, names with values."""
    return [
        (name, str(value))
        for name, value in metadata.items()
        if name not in _TECHNICAL and not name.startswith("__") and isinstance(value, (str, int, float))
    ]


def show_threads(request: Request) -> Response:
    """The threads, the one used last first."""
    threads, number = inspected(request).threads, max(asked_number(request, "page", 1), 1)
    written, problem = request.query_params.get("filter", "").strip(), None
    found = []
    if threads is not None:
        try:
            found = threads.list(filter=read_filter(written), limit=_THREADS + 1, offset=(number - 1) * _THREADS)
        except CrossthreadError as error:
            if not written:
                raise
            problem = str(error)
    return framed(
        request,
        "threads.html",
        status=200 if problem is None else 400,
        title="Threads",
        section="threads",
        threads=[(thread, whose(thread.metadata)) for thread in found[:_THREADS]],
        has_more=len(found) > _THREADS,
        number=number,
        written=written,
        problem=problem,
    )


def show_thread(request: Request) -> Response:
    """One thread: what was said, its steps, and the memories of whom it was with."""
    looked_at = inspected(request)
    thread_id, before = request.query_params.get("id", ""), request.query_params.get("before") or None
    if looked_at.threads is None:
        return missing(request, "There are no threads here.")
    steps = looked_at.threads.history(thread_id, limit=_STEPS + 1, before=before)
    if not steps:
        return missing(request, f"There is no thread {shown.plain(thread_id)!r}, or nothing before that step.")
    has_more, steps = len(steps) > _STEPS, steps[:_STEPS]
    known = whose(steps[0].metadata)
    return framed(
        request,
        "thread.html",
        title=shown.plain(thread_id, 60),
        section="threads",
        thread_id=thread_id,
        said=said(steps),
        steps=[(step, _told(step)) for step in steps],
        earlier=steps[-1].checkpoint_id if has_more else None,
        is_latest=before is None,
        known=known,
        beside=_beside(request, known),
        shown_characters=_SHOWN,
    )


def _beside(request: Request, known: list[tuple[str, str]]) -> list[Beside]:
    """Return the newest memories of namespaces that are named like what a thread's metadata tell."""
    looked_at = inspected(request)
    labels = {encode_id(value) for _, value in known if value}
    nodes = looked_at.tree().with_labels(labels, _PLACES) if labels else []
    found = []
    for node in nodes:
        items = looked_at.store.search(node.namespace, limit=_BESIDE, refresh_ttl=False)
        found.append(Beside(node, [Card(item, *shown.summary(item.value), [], []) for item in items]))
    return found


# What was said


def said(steps: list[ThreadStep]) -> list[Said]:
    """Return what was said in steps (the last first), in the order in which it was said.

    A graph's messages stand in its state, all of them; a workflow's turns are their inputs and results.
    """
    messages = steps[0].values.get("messages")
    if isinstance(messages, list) and messages:
        return [_message(message) for message in messages]
    found: list[Said] = []
    last_result: Any = None
    for step in reversed(steps):
        if step.source == "input" and step.input is not None:
            found.append(_entry("input", step.input, step.created_at))
            last_result = None
        elif step.result is not None and step.result is not last_result and step.source != "input":
            found.append(_entry("result", step.result, step.created_at))
            last_result = step.result
    return found


def _message(message: Any) -> Said:
    if isinstance(message, BaseMessage):
        calls = getattr(message, "tool_calls", None)
        told = str(message.text)
        lines = shown.outline({"tool_calls": jsonable(calls)}) if calls else []
        role = {"human": "user", "ai": "agent"}.get(message.type, message.type)
        return Said(role, told or None, lines, None)
    if isinstance(message, Mapping) and isinstance(message.get("content"), str):
        return Said(str(message.get("role") or message.get("type") or "message"), message["content"], [], None)
    return _entry("message", message, None)


def _entry(role: str, value: Any, at: datetime | None) -> Said:
    if isinstance(value, str):
        return Said(role, value, [], at)
    if isinstance(value, BaseMessage):
        return _message(value)._replace(at=at)
    return Said(role, None, shown.outline(jsonable(value), 100), at)


def _told(step: ThreadStep) -> list[shown.Line]:
    """Return what a step holds, as an outline."""
    held = {"input": step.input, "result": step.result, "previous": step.previous, **step.values}
    return shown.outline({name: jsonable(value) for name, value in held.items() if value is not None}, 100)


def jsonable(value: Any, depth: int = 0) -> Any:
    """Return what a checkpoint holds as JSON's own types, for reading: other objects become their fields or a text."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if depth >= _DEPTH:
        return "…"
    if isinstance(value, BaseMessage):
        told = {"role": value.type, "text": str(value.text), "tool_calls": getattr(value, "tool_calls", None) or None}
        return {name: jsonable(part, depth + 1) for name, part in told.items() if part is not None}
    if isinstance(value, BaseModel):
        return {name: jsonable(getattr(value, name, None), depth + 1) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: jsonable(getattr(value, each.name), depth + 1) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): jsonable(part, depth + 1) for name, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(part, depth + 1) for part in value]
    return f"{type(value).__name__}: {value!r}"

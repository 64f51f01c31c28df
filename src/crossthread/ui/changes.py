"""The pages that change memories: edit, delete, forget. Each shows what it would do, and refuses what has changed.

That a request may write at all, `security.Guard` has checked before it comes here.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from langgraph.store.base import PutOp
from starlette.requests import Request
from starlette.responses import Response

from crossthread._clock import to_microseconds
from crossthread.errors import InvalidArgumentError, InvalidValueError
from crossthread.namespaces import Namespace
from crossthread.operations.commands import Conflict
from crossthread.operations.plan import ConditionalPutOp
from crossthread.records import Record
from crossthread.store import MemoryStore
from crossthread.ui import shown
from crossthread.ui.pages import after, asked_key, asked_namespace, framed, inspected, link, missing
from crossthread.values import MAX_DEPTH, encode, once

_NAMED = 12
_LARGEST = 1_000_000
_SHOWN = 20_000

_CHANGED = (
    "Somebody else wrote this memory meanwhile. Its value now stands below; yours is in the field. Saving again "
    "replaces theirs by yours."
)


class Affected(NamedTuple):
    """A line of a confirmation: what goes."""

    name: str
    text: str


def _asked(request: Request) -> dict[str, str]:
    """Return what a request says: the parameters of its address, and the form of a write.

    What it is about stands in the address: a form would turn the ends of lines in a key into others.
    """
    asked = dict(request.query_params)
    return {**asked, **request.state.form} if request.method == "POST" else asked


def _refused(request: Request, namespace: Namespace) -> Response | None:
    """Return a page for an address of a change, where nothing may be changed."""
    if inspected(request).read_only:
        return missing(request, "This inspector was started with --read-only: it changes nothing.", namespace, 403)
    return None


def delete(request: Request) -> Response:
    """Ask whether one item is to be deleted; or delete it, if it is still the one that was shown."""
    asked = _asked(request)
    looked_at, namespace, key = inspected(request), asked_namespace(asked), asked_key(asked)
    if (refusal := _refused(request, namespace)) is not None:
        return refusal
    item = looked_at.store.get(namespace, key, refresh_ttl=False)
    if item is None:
        return missing(request, f"There is no memory {shown.plain(key)!r} any more.", namespace)
    seen = item.updated_at.isoformat()
    if request.method == "POST" and asked.get("seen") == seen:
        looked_at.store.delete(namespace, key)
        looked_at.changed()
        return after("/items", "deleted", ns=namespace)
    changed = "It was written meanwhile; this is how it is now." if request.method == "POST" else None
    main, others = shown.summary(item.value)
    told = main or ", ".join(f"{name}: {text}" for name, text in others[:6])
    return framed(
        request,
        "confirm.html",
        namespace,
        409 if changed else 200,
        title=f"Delete {shown.plain(key, 60)}?",
        question=f"Delete this memory of {shown.dotted(namespace)}?",
        problem=changed,
        affected=[Affected(key or "(empty key)", told)],
        further="",
        note="It cannot be brought back.",
        action=link("/delete", ns=namespace, key=key),
        hidden={"seen": seen},
        button="Delete 1 memory",
        back=link("/item", ns=namespace, key=key),
        key=key,
        one=True,
    )


def edit(request: Request) -> Response:
    """Show one item's value as JSON to be edited; or write what was made of it, if nobody wrote meanwhile."""
    asked = _asked(request)
    looked_at, namespace, key = inspected(request), asked_namespace(asked), asked_key(asked)
    if (refusal := _refused(request, namespace)) is not None:
        return refusal
    record = looked_at.store.record(namespace, key)
    if record is None:
        return missing(request, f"There is no memory {shown.plain(key)!r} any more.", namespace)
    now = shown.editable(record.value)
    written, seen, problem, status = now, record.updated_at.isoformat(), None, 200
    why_not = _why_not(looked_at.store, record, len(now))
    if request.method == "POST" and why_not is None:
        written = asked.get("value", "")
        try:
            if asked.get("seen") != seen:
                raise Conflict
            value = read_value(written)
            if encode(value) == encode(record.value):  # Python calls 1, 1.0 and true equal
                return after("/item", "unchanged", ns=namespace, key=key)
            _write(looked_at.store, record, value)
        except Conflict:
            problem, status = _CHANGED, 409
            written = asked.get("value", "")
        except InvalidValueError as error:
            problem, status = str(error), 400
        except Exception as error:  # what a model raises is its own
            problem, status = f"Nothing was written. {type(error).__name__}: {error}", 502
        else:
            looked_at.changed()
            return after("/item", "saved", ns=namespace, key=key)
    return framed(
        request,
        "edit.html",
        namespace,
        409 if why_not else status,
        title=f"Edit {shown.plain(key, 60)}",
        key=key,
        refusal=why_not,
        problem=problem,
        current=now[:_SHOWN] if status == 409 else None,
        written=written,
        seen=seen,
        height=min(max(written.count("\n") + 2, 8), 30),
        kept=_kept(record),
    )


def read_value(written: str) -> dict[str, Any]:
    """Return the value that somebody wrote as JSON.

    Raises:
        InvalidValueError: It is not a JSON object, or names a field twice, of which one would be lost.
    """
    try:
        value = json.loads(written, object_pairs_hook=once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise InvalidValueError(f"Line {error.lineno}, column {error.colno}: {error.msg}.") from error
    except RecursionError as error:
        raise InvalidValueError(f"Values nest {MAX_DEPTH} levels at most.") from error
    if not isinstance(value, dict):
        raise InvalidValueError('A value is a JSON object, such as {"text": "likes tea"}.')
    encode(value)
    return value


def _no_number(name: str) -> Any:
    raise InvalidValueError(f"{name} is not JSON; numbers are finite.")


def _why_not(store: MemoryStore, record: Record, characters: int) -> str | None:
    """Return why an item cannot be edited here without losing something; None: it can."""
    if characters > _LARGEST:
        return (
            f"This value has {characters:,} characters, too many for a field of a page. Save it as a file, change "
            "that, and put it back from Python or with the command line."
        )
    if record.hashes and store.embeddings is None:
        model = store.stats(record.namespace).model
        named = f"the model {model!r}" if model else "a model that did not tell its name"
        return (
            f"This memory is found by meaning: its vectors are of {named}, and the inspector was started without it, "
            "so an edit would lose them. Start it with the model that your program uses: crossthread ui --embed, or "
            'crossthread.ui.serve(url, index={"embed": ...}).'
        )
    if record.index is None and store.index_config is not None:
        return (
            "It cannot be told by which of its texts this memory is found, so an edit might make it unfindable. Change "
            "it with the program that wrote it: store.update(namespace, key, change, index=...)."
        )
    return None


def _kept(record: Record) -> str:
    """Return what an edit keeps, as a sentence."""
    if record.ttl is None:
        return "How it is found stays as it is."
    return f"How it is found stays as it is; it lives {shown.duration(record.ttl * 60)} from the moment you save it."


def _write(store: MemoryStore, record: Record, value: dict[str, Any]) -> None:
    """Write a value in the place of a record's, with the same ttl, found by the same texts.

    Raises:
        Conflict: Somebody else has written meanwhile.
        InvalidValueError: The value cannot be stored.
    """
    index: Any = list(record.index) if record.index else record.index
    put = PutOp(record.namespace, record.key, value, index=index, ttl=record.ttl)
    op: Any = ConditionalPutOp(put, to_microseconds(record.updated_at))
    store.batch([op])


def forget(request: Request) -> Response:
    """Ask whether a namespace is to be forgotten; or forget it, if it still holds what was shown."""
    asked = _asked(request)
    looked_at, namespace = inspected(request), asked_namespace(asked)
    if not namespace:
        raise InvalidArgumentError("The inspector forgets one namespace at a time, never the whole store.")
    if (refusal := _refused(request, namespace)) is not None:
        return refusal
    looked_at.changed()
    node = looked_at.tree().find(namespace)
    if node is None:
        return missing(request, f"There are no memories in {shown.dotted(namespace)}.", namespace)
    total = looked_at.store.count(namespace)
    newest = looked_at.store.search(namespace, limit=1, refresh_ttl=False)
    seen = " ".join([str(total), *(item.updated_at.isoformat() for item in newest)])
    if request.method == "POST" and asked.get("seen") == seen:
        number = looked_at.store.forget(namespace)
        looked_at.changed()
        return after("/items", "forgotten", number, ns=namespace[:-1])
    changed = "The memories have changed meanwhile; these are those of now." if request.method == "POST" else None
    held = node.holding()
    what = shown.counted(total, "memory", "memories")
    where = f" in {shown.counted(node.namespaces, 'namespace')}" if node.namespaces > 1 else ""
    further = shown.counted(len(held) - _NAMED, "more namespace") if len(held) > _NAMED else ""
    return framed(
        request,
        "confirm.html",
        namespace,
        409 if changed else 200,
        title=f"Forget {shown.dotted(namespace)}?",
        question=f"Forget {shown.dotted(namespace)}: {what}{where}?",
        problem=changed,
        affected=[
            Affected(shown.dotted(each.namespace), shown.counted(each.items, "memory", "memories"))
            for each in held[:_NAMED]
        ],
        further=further,
        note="They cannot be brought back.",
        action=link("/forget", ns=namespace),
        hidden={"seen": seen},
        button=f"Forget {what}",
        back=link("/items", ns=namespace),
        key="",
        one=False,
    )

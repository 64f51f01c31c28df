"""What telemetry says of operations: a name, and attributes in OpenTelemetry's words. Decides only; records nothing.

Namespaces and keys are personal data, so they are told only where the caller asks for them; queries and values never.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from langgraph.store.base import GetOp, ListNamespacesOp, PutOp, SearchOp

from crossthread import namespaces
from crossthread.operations.commands import Count, Forget, Sweep
from crossthread.operations.plan import ConditionalPutOp, ModalSearchOp

Attributes = dict[str, str | int | bool]


class Description(NamedTuple):
    """The name of an operation, as the method is called, and its attributes."""

    name: str
    attributes: Attributes


def described(ops: Sequence[Any], record_names: bool) -> Description:
    """Describe the operations of a batch; one alone is named after the method that makes it.

    Args:
        ops: LangGraph's operations, and ours.
        record_names: Whether namespaces and keys are told.
    """
    attributes: Attributes = {}
    if len(ops) == 1:
        name = _name(ops[0])
        attributes |= _of_search(ops[0])
    else:
        names = {_name(op) for op in ops}
        name = f"BATCH {names.pop()}" if len(names) == 1 else "BATCH"
        attributes["db.operation.batch.size"] = len(ops)
    if record_names:
        places = list({_place(op) for op in ops})
        if len(places) == 1 and places[0]:
            attributes["db.collection.name"] = places[0]
        keys = [_key(op) for op in ops]
        if len(keys) == 1 and keys[0] is not None:
            attributes["crossthread.key"] = keys[0]
    return Description(name, attributes)


def at(name: str, namespace: Any, key: Any, record_names: bool) -> Description:
    """Describe an operation on one item."""
    if not record_names:
        return Description(name, {})
    return Description(name, {"db.collection.name": _dotted(namespace), "crossthread.key": str(key)})


def outcome(ops: Sequence[Any], results: Sequence[Any]) -> Attributes:
    """Return what the results of operations add: how many items came back, and how many were erased."""
    found: Attributes = {}
    for op, result in zip(ops, results, strict=True):
        for attribute, count in _counts(op, result):
            found[attribute] = int(found.get(attribute, 0)) + count
    return found


RETURNED = "db.response.returned_rows"
ERASED = "crossthread.erased_items"


def _counts(op: Any, result: Any) -> Iterator[tuple[str, int]]:
    if isinstance(op, GetOp):
        yield RETURNED, 0 if result is None else 1
    elif isinstance(result, list):
        yield RETURNED, len(result)
    elif isinstance(op, (Forget, Sweep)):
        yield ERASED, result


_NAMES = {
    GetOp: "get",
    SearchOp: "search",
    ModalSearchOp: "search",
    ListNamespacesOp: "list_namespaces",
    ConditionalPutOp: "put",
    Count: "count",
    Forget: "forget",
    Sweep: "sweep_ttl",
}


def _name(op: Any) -> str:
    if isinstance(op, PutOp):
        return "delete" if op.value is None else "put"
    return _NAMES.get(type(op), "unknown")


def _of_search(op: Any) -> Attributes:
    search = op.search if isinstance(op, ModalSearchOp) else op
    if not isinstance(search, SearchOp):
        return {}
    told: Attributes = {"crossthread.search.has_query": bool(search.query)}
    told["crossthread.search.has_filter"] = bool(search.filter)
    if isinstance(search.limit, int):
        told["crossthread.search.limit"] = search.limit
    if isinstance(op, ModalSearchOp) and isinstance(op.mode, str):
        told["crossthread.search.mode"] = op.mode
    return told


def _place(op: Any) -> str:
    if isinstance(op, (GetOp, PutOp)):
        return _dotted(op.namespace)
    if isinstance(op, ConditionalPutOp):
        return _dotted(op.put.namespace)
    if isinstance(op, SearchOp):
        return _dotted(op.namespace_prefix)
    if isinstance(op, ModalSearchOp):
        return _dotted(op.search.namespace_prefix)
    if isinstance(op, (Count, Forget)):
        return _dotted(namespaces.from_text(op.prefix))
    return ""


def _key(op: Any) -> str | None:
    op = op.put if isinstance(op, ConditionalPutOp) else op
    return str(op.key) if isinstance(op, (GetOp, PutOp)) else None


def _dotted(namespace: Any) -> str:
    return ".".join(map(str, namespace)) if isinstance(namespace, (tuple, list)) else ""

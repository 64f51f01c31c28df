"""Turns the dict form of a filter into nodes; knows every operator and the shape of its operand. Decides only.

Operators are MongoDB's words with MongoDB's meaning, where LangGraph uses them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from crossthread._text import shown
from crossthread.errors import InvalidFilterError
from crossthread.filters.ast import And, Compare, Contains, Equals, Exists, Field, In, IsObject, Node, Not, Or, Ordering

MAX_DEPTH = 100
"""Levels that a filter may nest; far beyond what is written by hand, far below Python's own limit."""


def parse_filter(source: Any) -> Node | None:
    """Return the node of a filter, or None where it leaves nothing out.

    Args:
        source: The ``filter=`` argument: None, or a dict from field (or ``$and``, ``$or``, ``$not``) to condition.

    Raises:
        InvalidFilterError: It has an unknown operator, an unusable key or a wrongly shaped operand.
    """
    if source is None or source == {}:
        return None
    return _filter(source, 1)


def _filter(source: Any, depth: int) -> Node:
    """A whole filter: fields and combinators, joined by AND."""
    if not isinstance(source, Mapping):
        raise InvalidFilterError(f"A filter is a dict such as {{'kind': 'note'}}, not {_show(source)}.")
    if depth > MAX_DEPTH:
        raise InvalidFilterError(f"The filter is nested deeper than {MAX_DEPTH} levels.")
    nodes: list[Node] = []
    for key, operand in source.items():
        if key in ("$and", "$or"):
            parts = tuple([_filter(part, depth + 1) for part in _list(key, operand, "filters")])
            nodes.append(And(parts) if key == "$and" else Or(parts))
        elif key == "$not":
            nodes.append(Not(_filter(operand, depth + 1)))
        elif isinstance(key, str) and key.startswith("$"):
            raise InvalidFilterError(f"Unknown operator {shown(key)} among the fields; known here: $and, $or, $not.")
        else:
            nodes.append(Field(_path(key), _condition(operand, depth + 1)))
    return nodes[0] if len(nodes) == 1 else And(tuple(nodes))


def _condition(operand: Any, depth: int) -> Node:
    """What stands behind a field: a value, a plain object, or a map of operators."""
    if not isinstance(operand, Mapping):
        return Equals(_json(operand, depth))
    if depth > MAX_DEPTH:
        raise InvalidFilterError(f"The filter is nested deeper than {MAX_DEPTH} levels.")
    operators = [isinstance(key, str) and key.startswith("$") for key in operand]
    if not any(operators):
        fields = [Field(_path(key), _condition(sub, depth + 1)) for key, sub in operand.items()]
        return And((IsObject(), *fields))
    if not all(operators):
        raise InvalidFilterError(
            f"Operators and plain keys are mixed in {_show(operand)}; write them as two conditions."
        )
    nodes = [_operator(name, argument, depth + 1) for name, argument in operand.items()]
    return nodes[0] if len(nodes) == 1 else And(tuple(nodes))


def _operator(name: str, operand: Any, depth: int) -> Node:
    build = _OPERATORS.get(name)
    if build is None:
        raise InvalidFilterError(f"Unknown operator {shown(name)}; known for a field: {', '.join(sorted(_OPERATORS))}.")
    return build(name, operand, depth)


def _compare(name: str, operand: Any, depth: int) -> Node:
    return Compare(cast(Ordering, name), _json(operand, depth))


def _in(name: str, operand: Any, depth: int) -> Node:
    return In(tuple([_json(one, depth) for one in _list(name, operand, "values")]))


def _exists(name: str, operand: Any, depth: int) -> Node:
    if not isinstance(operand, bool):
        raise InvalidFilterError(f"$exists takes true or false, not {_show(operand)}.")
    return Exists(operand)


def _not(name: str, operand: Any, depth: int) -> Node:
    if not isinstance(operand, Mapping):
        raise InvalidFilterError(f"$not takes a filter or a map of operators, not {_show(operand)}; see $ne.")
    return Not(_condition(operand, depth))


_OPERATORS: dict[str, Callable[[str, Any, int], Node]] = {
    "$eq": lambda _, operand, depth: Equals(_json(operand, depth)),
    "$ne": lambda _, operand, depth: Not(Equals(_json(operand, depth))),
    "$gt": _compare,
    "$gte": _compare,
    "$lt": _compare,
    "$lte": _compare,
    "$in": _in,
    "$nin": lambda name, operand, depth: Not(_in(name, operand, depth)),
    "$exists": _exists,
    "$contains": lambda _, operand, depth: Contains(_json(operand, depth)),
    "$not": _not,
}


def _list(name: str, operand: Any, what: str) -> list[Any]:
    if not isinstance(operand, (list, tuple)):
        raise InvalidFilterError(f"{name} takes a list of {what}, not {_show(operand)}.")
    return list(operand)


def _path(key: Any) -> str:
    if not isinstance(key, str) or "" in key.split("."):
        raise InvalidFilterError(
            f"Invalid filter key: {shown(key)}. A key is a field name, or names joined by single dots."
        )
    return key


def _json(operand: Any, depth: int) -> Any:
    """Return a private copy of an operand in plain JSON types; numbers beyond JSON's are allowed, and never equal."""
    if depth > MAX_DEPTH:
        raise InvalidFilterError(f"The filter is nested deeper than {MAX_DEPTH} levels.")
    if operand is None or isinstance(operand, bool):
        return operand
    for plain in (str, int, float):
        if isinstance(operand, plain):
            return plain.__str__(operand) if plain is str else plain(operand)
    if isinstance(operand, (list, tuple)):
        return [_json(one, depth + 1) for one in operand]
    if isinstance(operand, Mapping) and all(isinstance(key, str) for key in operand):
        return {key: _json(one, depth + 1) for key, one in operand.items()}
    raise InvalidFilterError(f"{_show(operand)} is not a JSON value, so no field can be compared with it.")


def _show(thing: Any) -> str:
    return f"{shown(thing, 100)} ({type(thing).__name__})"

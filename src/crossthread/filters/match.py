"""What a filter means: decides whether a JSON value satisfies a node. Engines may narrow, never decide.

Source of the rules: the filter table of the contract (``docs/reference/contract.md``).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from crossthread.filters.ast import (
    MISSING,
    And,
    Compare,
    Contains,
    Equals,
    Exists,
    Field,
    In,
    IsObject,
    Node,
    Not,
    Or,
)

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}

_MANY_STEPS = 50


def matches(node: Node, value: Any) -> bool:
    """Whether ``value`` (a decoded JSON value, or `MISSING`) satisfies ``node``."""
    match node:
        case Field(path, inner):
            return matches(inner, resolve(value, path))
        case Equals(operand):
            return equals(value, operand)
        case Compare(name, operand):
            return _comparable(value, operand) and _ORDER[name](value, operand)
        case In(operands):
            return any(equals(value, operand) for operand in operands)
        case Contains(operand):
            if isinstance(value, list):
                return any(same(element, operand) for element in value)
            return isinstance(value, str) and isinstance(operand, str) and operand in value
        case Exists(present):
            return (value is not MISSING) == present
        case IsObject():
            return isinstance(value, dict)
        case And(nodes):
            return all(matches(inner, value) for inner in nodes)
        case Or(nodes):
            return any(matches(inner, value) for inner in nodes)
        case Not(inner):
            return not matches(inner, value)


def resolve(value: Any, path: str) -> Any:
    """Return what stands at a dotted path, or `MISSING`.

    At each level the longest literal key wins: ``"user.plan"`` reads the key ``user.plan`` where the object has it, and
    ``plan`` inside ``user`` otherwise.
    """
    if not isinstance(value, dict):
        return MISSING
    if path in value:
        return value[path]
    if path.count(".") > _MANY_STEPS:  # more steps than most objects have keys
        heads = [key for key in value if len(key) < len(path) and path[len(key)] == "." and path.startswith(key)]
        for head in sorted(heads, key=len, reverse=True):
            found = resolve(value[head], path[len(head) + 1 :])
            if found is not MISSING:
                return found
        return MISSING
    end = path.rfind(".")
    while end != -1:
        head = path[:end]
        if head in value:
            found = resolve(value[head], path[end + 1 :])
            if found is not MISSING:
                return found
        end = path.rfind(".", 0, end)
    return MISSING


def equals(value: Any, operand: Any) -> bool:
    """Equality as a filter means it: a missing field is null, an object matches by the operand's sub-keys."""
    if isinstance(operand, dict):
        return isinstance(value, dict) and all(equals(value.get(key, MISSING), sub) for key, sub in operand.items())
    return same(None if value is MISSING else value, operand)


def same(left: Any, right: Any) -> bool:
    """Equality of two JSON values: ``1 == 1.0``, ``True`` is not ``1``, containers are compared whole."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    return bool(left == right)


def _comparable(left: Any, right: Any) -> bool:
    if isinstance(left, str):
        return isinstance(right, str)
    return _is_number(left) and _is_number(right)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

"""The closed set of nodes that a filter is made of. Data only; `parse` makes them, `match` gives them their meaning.

A node is a condition on one JSON value, or on `MISSING` where an item has no such field.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, Literal, NamedTuple


class _Missing(Enum):
    MISSING = "missing"


MISSING: Final = _Missing.MISSING
"""Stands for the value of a field that an item does not have."""

Ordering = Literal["$gt", "$gte", "$lt", "$lte"]


class Field(NamedTuple):
    """The value at ``path`` satisfies ``node``. The steps of a path are joined by dots."""

    path: str
    node: Node


class Equals(NamedTuple):
    """Equals ``operand``: same JSON type, objects by the operand's sub-keys, lists element by element."""

    operand: Any


class Compare(NamedTuple):
    """Is a number beside a number, or a string beside a string, in this order."""

    operator: Ordering
    operand: Any


class In(NamedTuple):
    """Equals one of ``operands``."""

    operands: tuple[Any, ...]


class Contains(NamedTuple):
    """Is a list with this element, or a string with this substring."""

    operand: Any


class Exists(NamedTuple):
    """Is present (or, when false, missing). A stored null is present."""

    present: bool


class IsObject(NamedTuple):
    """Is a JSON object."""


class And(NamedTuple):
    """Every node holds; an empty one always does."""

    nodes: tuple[Node, ...]


class Or(NamedTuple):
    """Some node holds; an empty one never does."""

    nodes: tuple[Node, ...]


class Not(NamedTuple):
    """The node does not hold."""

    node: Node


Node = Field | Equals | Compare | In | Contains | Exists | IsObject | And | Or | Not

"""Narrows a search in SQL to the items that may satisfy a filter; each item found is matched again in Python.

The condition must hold for every item that satisfies the filter, and may hold for others; what SQL would answer
differently from the contract (type rules, the last digit of a number, odd keys) is left out or widened. So a filter
means the same on every engine, and SQL only saves time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import combinations, pairwise
from typing import Any, NamedTuple

from crossthread._text import UNHOLDABLE
from crossthread.filters.ast import And, Compare, Equals, Field, In, Node, Or

Condition = tuple[str, tuple[Any, ...]]
"""SQL with a ``?`` for each of its parameters, and the parameters."""

ANY: Condition = ("TRUE", ())
_MOST_STEPS = 4  # a path of four steps can be spelled in eight ways
_MOST_VALUES = 100
_MOST_PARTS = 100  # SQLite parses at most 1000 nested expressions, and a chain of ANDs counts as nested
_MOST_PARAMETERS = 400  # SQLite takes at least 999
_SQL_ORDER = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


class Dialect(NamedTuple):
    """How a database reads the column ``value``. Paths are parameters: keys never become part of SQL.

    ``text`` and ``number`` are expressions for what stands at a path, each ``?`` being the path; of values of another
    kind they may make anything that can be compared. ``path`` and ``boolean`` return parameters. ``indexed`` holds the
    paths, as ``path`` returns them, that have an index; each with how it is written there in the place of the ``?``.
    """

    text: str
    number: str
    path: Callable[[list[str]], Any]
    boolean: Callable[[bool], Any]
    indexed: Mapping[Any, str] = {}


def narrowing(node: Node | None, dialect: Dialect) -> Condition:
    """Return an SQL condition on the column ``value``, with its parameters, that every matching item satisfies."""
    condition = _narrowing(node, dialect)
    return condition if len(condition[1]) <= _MOST_PARAMETERS else ANY


def _narrowing(node: Node | None, dialect: Dialect) -> Condition:
    match node:
        case And(nodes):
            return _joined(
                " AND ", [part for part in (_narrowing(one, dialect) for one in nodes[:_MOST_PARTS]) if part != ANY]
            )
        case Or(nodes) if len(nodes) > _MOST_PARTS:
            return ANY
        case Or(nodes):
            parts = [_narrowing(part, dialect) for part in nodes]
            return ANY if ANY in parts or not parts else _joined(" OR ", parts)
        case Field(path, inner):
            parts = [_on_field(dialect.path(route), inner, dialect) for route in _routes(path)]
            return ANY if ANY in parts or not parts else _joined(" OR ", parts)
    return ANY


def _on_field(path: Any, node: Node, dialect: Dialect) -> Condition:
    match node:
        case And(nodes):
            parts = [_on_field(path, inner, dialect) for inner in nodes]
            return _joined(" AND ", [part for part in parts if part != ANY])
        case Equals(operand):
            return _equal(path, operand, dialect)
        case In(operands) if 0 < len(operands) <= _MOST_VALUES:
            parts = [_equal(path, operand, dialect) for operand in operands]
            return ANY if ANY in parts else _joined(" OR ", parts)
        case Compare(name, operand) if isinstance(operand, str) and UNHOLDABLE.search(operand) is None:
            return _at(path, dialect, dialect.text, f"{_SQL_ORDER[name]} ?", operand)
        case Compare(name, operand) if _is_number(operand):
            low, high = _around(operand)
            return _at(path, dialect, dialect.number, f"{_SQL_ORDER[name]} ?", low if name in ("$gt", "$gte") else high)
    return ANY


def _equal(path: Any, operand: Any, dialect: Dialect) -> Condition:
    if isinstance(operand, str) and UNHOLDABLE.search(operand) is None:
        return _at(path, dialect, dialect.text, "= ?", operand)
    if isinstance(operand, bool):
        return _at(path, dialect, dialect.text, "= ?", dialect.boolean(operand))
    if _is_number(operand):
        return _at(path, dialect, dialect.number, "BETWEEN ? AND ?", *_around(operand))
    return ANY


def _at(path: Any, dialect: Dialect, expression: str, condition: str, *operands: Any) -> Condition:
    if dialect.indexed and path in dialect.indexed:
        return f"{expression.replace('?', dialect.indexed[path])} {condition}", operands
    return f"{expression} {condition}", ((path,) * expression.count("?") + operands)


def indexable_paths(path: str, dialect: Dialect) -> list[Any]:
    """Return the paths, as the dialect writes them, that a filter on a dotted path looks at; [] for an odd one."""
    return [dialect.path(route) for route in _routes(path)]


def _around(number: float) -> tuple[float, float]:
    """Return bounds that hold a number however a database rounds its decimal digits."""
    try:
        wide = float(number)
    except OverflowError:
        wide = math.inf if number > 0 else -math.inf
    if math.isnan(wide):
        return math.inf, -math.inf  # equal to nothing
    slack = 4 * math.ulp(wide) if math.isfinite(wide) else 0.0
    return wide - slack, wide + slack


def _routes(path: str) -> list[list[str]]:
    """Return the keys of every way that a dotted path may be meant, or [] where a database may read it otherwise.

    ``a.b`` may be the key ``a.b``, or ``b`` inside ``a``.
    """
    if any(character in '"\\' or not character.isprintable() for character in path):
        return []
    steps = path.split(".")
    if len(steps) > _MOST_STEPS:
        return []
    routes = []
    inner = range(1, len(steps))
    for cuts in (cut for size in range(len(steps)) for cut in combinations(inner, size)):
        ends = [0, *cuts, len(steps)]
        routes.append([".".join(steps[a:b]) for a, b in pairwise(ends)])
    return routes


def _joined(word: str, parts: list[Condition]) -> Condition:
    if not parts or len(parts) > _MOST_PARTS:
        return ANY
    return f"({word.join(sql for sql, _ in parts)})", tuple(value for _, values in parts for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

"""The page with a picture of a namespace: its vectors in two dimensions, similar meanings near each other."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from crossthread.errors import UnsupportedError
from crossthread.namespaces import Namespace
from crossthread.records import Record
from crossthread.ui import shown
from crossthread.ui.pages import asked_namespace, framed, inspected, link

MOST = 1_000
"""How many memories are drawn: the newest. Beyond, points hide each other, and the page grows large."""

_WIDTH, _HEIGHT, _MARGIN = 1000, 560, 28
_COLOURS = 8
_MOST_VALUES = 40
_FEWEST = 3
_SKETCH, _ROUNDS = 12, 8
_KEY_START = re.compile(r"[^\W\d_]+")


class Point(NamedTuple):
    """A memory in the picture."""

    x: float
    y: float
    colour: int
    text: str
    meta: str
    href: str


class Swatch(NamedTuple):
    """What a colour stands for, and how many memories have it."""

    name: str
    colour: int
    number: int


def show_picture(request: Request) -> Response:
    """The memories of a namespace as points."""
    looked_at, namespace = inspected(request), asked_namespace(request.query_params)
    try:
        newest = looked_at.store.records(namespace, limit=MOST, newest_first=True, vectors=True)
    except UnsupportedError as error:
        return _nothing(request, namespace, str(error))
    drawn = [record for record in newest if record.vectors is not None and len(record.vectors)]
    if len(drawn) < _FEWEST:
        return _nothing(
            request,
            namespace,
            f"A picture is made of vectors, and {shown.counted(len(drawn), 'memory', 'memories')} here "
            f"{'has' if len(drawn) == 1 else 'have'} some; it takes {_FEWEST}. Memories get vectors where a store has "
            "an embedding model: index={'embed': ...}.",
        )
    places, share = projected(drawn)
    groups = groupings(drawn, namespace)
    by = request.query_params.get("by", "")
    if by not in groups:
        by = next(iter(groups))
    legend, colours = _coloured(groups[by])
    points = [
        Point(
            round(float(x), 1),
            round(float(y), 1),
            colours[group],
            shown.plain(shown.summary(record.value)[0] or record.key, 200),
            shown.plain(f"{'.'.join(record.namespace)} · {record.key} · {group}", 160),
            link("/item", ns=record.namespace, key=record.key),
        )
        for record, (x, y), group in zip(drawn, places, groups[by], strict=True)
    ]
    node = looked_at.tree().find(namespace)
    told = f"The two directions in which the vectors differ most; they hold {share:.0%} of all differences."
    if node is not None and node.total > len(newest):
        told += f" The newest {len(newest):,} of {node.total:,} memories are drawn."
    if len(drawn) < len(newest):
        told += f" {shown.counted(len(newest) - len(drawn), 'memory has', 'memories have')} no vector."
    return framed(
        request,
        "picture.html",
        namespace,
        title=f"Picture of {shown.dotted(namespace)}",
        tab="picture",
        points=points,
        legend=legend,
        fields=list(groups),
        by=by,
        told=told,
        width=_WIDTH,
        height=_HEIGHT,
        radius=7 if len(points) <= 300 else 5,
    )


def _nothing(request: Request, namespace: Namespace, reason: str) -> Response:
    return framed(
        request,
        "picture.html",
        namespace,
        title=f"Picture of {shown.dotted(namespace)}",
        tab="picture",
        points=[],
        reason=reason,
    )


def projected(records: list[Record]) -> tuple[np.ndarray[Any, Any], float]:
    """Return where records with vectors lie in the picture, shape (n, 2), and what share of the variance that holds.

    Principal components (Pearson 1901; Hotelling 1933). An item with several texts lies at their mean.
    """
    means = np.stack([np.asarray(record.vectors, dtype=np.float32).mean(axis=0) for record in records])
    centred = means - means.mean(axis=0)
    sizes, directions = _strongest(centred)
    if len(directions) < 2:  # vectors of one dimension
        directions = np.vstack([directions, np.zeros_like(directions)])
    directions = directions[:2]
    # A singular vector's sign is arbitrary; the picture should not turn over when one memory is added.
    strongest = np.abs(directions).argmax(axis=1)
    directions = directions * np.where(directions[[0, 1], strongest] < 0, -1.0, 1.0)[:, None]
    flat = centred @ directions.T
    variance = float((centred.astype(np.float64) ** 2).sum())
    share = float((sizes[:2] ** 2).sum()) / variance if variance else 1.0
    low, high = flat.min(axis=0), flat.max(axis=0)
    spread = np.where(high > low, high - low, 1.0)
    size = np.array([_WIDTH, _HEIGHT]) - 2 * _MARGIN
    places = np.where(high > low, (flat - low) / spread, 0.5) * size + _MARGIN
    return places, share


def _strongest(matrix: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the largest singular values of a matrix and their right singular vectors.

    Two are wanted, and all of them take half a minute where a machine is busy: so the matrix is first brought into a
    few dimensions by subspace iteration (Halko, Martinsson and Tropp, "Finding Structure with Randomness", SIAM Review
    53, 2011).
    """
    columns = matrix.shape[1]
    basis = np.random.default_rng(0).standard_normal((columns, min(_SKETCH, columns)), dtype=np.float32)
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(matrix.T @ (matrix @ basis))[0]
    _, sizes, small = np.linalg.svd(matrix @ basis, full_matrices=False)
    return sizes, small @ basis.T


def groupings(records: list[Record], namespace: Namespace) -> dict[str, list[str]]:
    """Return what points can be coloured by, the most telling first: names with a text for each record.

    Fields of the value that hold one of a few texts, numbers or truth values; where the item is; how its key begins.
    """
    fields: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for record in records for name in record.value):
        texts = [_group(record.value.get(name)) for record in records]
        number = len(set(texts))
        if 1 < number <= min(_MOST_VALUES, len(texts) / 2) and sum(text != "" for text in texts) * 10 >= len(texts):
            fields[name] = [text or "none" for text in texts]
    telling = sorted(fields, key=lambda name: (len(set(fields[name])) > _COLOURS, fields[name].count("none")))
    found = {name: fields[name] for name in telling}
    depth = len(namespace)
    below = [".".join(record.namespace[depth : depth + 1]) or "here" for record in records]
    if len(set(below)) > 1:
        found["namespace" if "namespace" not in found else "namespace (where it is)"] = below
    starts = [match.group() if (match := _KEY_START.match(record.key)) else "other" for record in records]
    found["key" if "key" not in found else "key (its beginning)"] = starts
    return found


def _group(value: Any) -> str:
    """Return the text by which a field's value is told from others; empty where it cannot be."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)[:60] if isinstance(value, (str, int)) else ""


def _coloured(groups: list[str]) -> tuple[list[Swatch], dict[str, int]]:
    """Return what colours stand for, and the colour of each group: the most frequent have their own."""
    common = Counter(groups).most_common()
    legend = [Swatch(name, colour, number) for colour, (name, number) in enumerate(common[:_COLOURS])]
    rest = sum(number for _, number in common[_COLOURS:])
    if rest:
        legend.append(Swatch("others", _COLOURS, rest))
    return legend, {name: min(place, _COLOURS) for place, (name, _) in enumerate(common)}

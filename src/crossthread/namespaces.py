"""Namespaces: what is one, its text form, and what list_namespaces matches. Decides only; touches no database.

The text form ends every label with a dot: ``("a", "b")`` is ``"a.b."``. Labels hold no dot, so the form is unambiguous,
and "this namespace and all below it" is one range of strings, ``"a." <= text < "a/"`` (``/`` follows ``.`` in Unicode):
``("a", "b")`` is inside and ``("ab",)`` is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from langgraph.store.base import InvalidNamespaceError

from crossthread._text import escape, shown, unescape
from crossthread.errors import InvalidArgumentError

Namespace = tuple[str, ...]

WILDCARD = "*"

MAX_LABELS = 100
"""Labels that a namespace may have: far beyond what anybody names, and few enough for every database's indexes."""

MAX_BYTES = 1800
"""How long a namespace may be in UTF-8, with a byte more for every label, of which each counts 200 at the most."""

_MOST_OF_A_LABEL = 200
_LARGEST_CHARACTER = 6  # bytes: five escaped, or four, and one for a label that is no longer

_LONGEST_KEPT = 1000  # characters; caches that held longer ones would have no bounds


class Pattern(NamedTuple):
    """One condition of list_namespaces: labels to match from the start or the end; ``*`` is any one label."""

    labels: Namespace
    at_end: bool

    def matches(self, namespace: Namespace) -> bool:
        """Whether ``namespace`` has these labels at its start (or end)."""
        if len(namespace) < len(self.labels):
            return False
        part = namespace[len(namespace) - len(self.labels) :] if self.at_end else namespace
        return all(want in (WILDCARD, label) for want, label in zip(self.labels, part, strict=False))


def to_text(namespace: Any, *, empty_allowed: bool = False) -> str:
    """Validate a namespace and return its text form.

    Args:
        namespace: A tuple or list of labels: non-empty strings without ``.`` and NUL.
        empty_allowed: Whether ``()`` is allowed; it stands for the whole store and has the text form ``""``.

    Raises:
        InvalidNamespaceError: It is not such a namespace.
    """
    try:
        if sum(map(len, namespace)) <= _LONGEST_KEPT:
            return _to_text(namespace, empty_allowed)
    except TypeError:  # a list, which no cache can hold; or something that is no namespace at all
        pass
    return _as_text(namespace, empty_allowed)


def _as_text(namespace: Namespace, empty_allowed: bool) -> str:
    return "".join([f"{escape(label)}." for label in checked(namespace, empty_allowed=empty_allowed)])


_to_text = lru_cache(maxsize=8192)(_as_text)


def from_text(text: str) -> Namespace:
    """Return the namespace of a text form."""
    return _from_text(text) if len(text) <= _LONGEST_KEPT else _labels(text)


def _labels(text: str) -> Namespace:
    return tuple([unescape(label) for label in text.split(".")[:-1]])


_from_text = lru_cache(maxsize=8192)(_labels)


def checked(namespace: Any, *, empty_allowed: bool = False) -> Namespace:
    """Return ``namespace`` as a tuple.

    Raises:
        InvalidNamespaceError: It is not a tuple or list of labels, or a label is not allowed.
    """
    if not isinstance(namespace, (tuple, list)):
        raise InvalidNamespaceError(
            f"A namespace is a tuple of labels, such as ('memories', 'ada'), not {shown(namespace)}."
        )
    if not namespace and not empty_allowed:
        raise InvalidNamespaceError("Namespace cannot be empty.")
    if len(namespace) > MAX_LABELS:
        raise InvalidNamespaceError(f"A namespace has at most {MAX_LABELS} labels, not {len(namespace)}.")
    for label in namespace:
        if not isinstance(label, str):
            problem = f"labels are strings, not {type(label).__name__}"
        elif not label:
            problem = "labels cannot be empty"
        elif "." in label:
            problem = "labels cannot contain a period ('.')"
        elif "\x00" in label:
            problem = "labels cannot contain NUL"
        else:
            continue
        raise InvalidNamespaceError(f"Invalid namespace label {shown(label)} in {shown(namespace)}: {problem}.")
    # Subclasses become plain text: an enum's own str() and format() may say something else.
    labels = tuple([str.__str__(label) for label in namespace])
    if sum(map(len, labels)) > MAX_BYTES // _LARGEST_CHARACTER:
        size = sum(min(_MOST_OF_A_LABEL, len(escape(label).encode())) + 1 for label in labels)
        if size > MAX_BYTES:
            raise InvalidNamespaceError(
                f"A namespace has at most {MAX_BYTES:,} bytes, not {size:,} as {shown(namespace)}. (In UTF-8; a label "
                f"counts {_MOST_OF_A_LABEL} at the most, and a byte more.)"
            )
    return labels


def text_range(prefix: str) -> tuple[str, str]:
    """Return ``(low, high)`` such that a text form lies below ``prefix`` exactly when ``low <= text < high``.

    Args:
        prefix: The text form of a namespace. ``""``, the whole store, has no such bounds: every text lies below it.
    """
    return prefix, prefix[:-1] + "/"


def literal_prefix(patterns: Iterable[Pattern]) -> str:
    """Return the text form of the longest prefix without ``*`` that every match of ``patterns`` lies below."""
    longest: Namespace = ()
    for pattern in patterns:
        if not pattern.at_end:
            labels = pattern.labels
            fixed = labels[: labels.index(WILDCARD)] if WILDCARD in labels else labels
            longest = max(longest, fixed, key=len)
    return to_text(longest, empty_allowed=True)


def listed(
    namespaces: Iterable[Namespace], patterns: Sequence[Pattern], max_depth: int | None, limit: int, offset: int
) -> list[Namespace]:
    """Return what list_namespaces answers when ``namespaces`` are those that hold a live item.

    Matches, cuts to ``max_depth`` labels, removes duplicates, sorts, and then pages.
    """
    found = {name[:max_depth] for name in namespaces if all(pattern.matches(name) for pattern in patterns)}
    return sorted(found)[offset : offset + limit]


def checked_depth(max_depth: Any) -> int | None:
    """Return ``max_depth``.

    Raises:
        InvalidArgumentError: It is neither None nor a whole number of at least one label.
    """
    if max_depth is None:
        return None
    if not isinstance(max_depth, int) or isinstance(max_depth, bool) or max_depth < 1:
        raise InvalidArgumentError(f"max_depth must be None or a whole number of at least 1, not {shown(max_depth)}.")
    return max_depth

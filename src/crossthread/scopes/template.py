"""A scope's template: labels with fields, and how ids become labels and back. Pure.

An id may be any string, a label may not: percent-encoding, as in URLs, stands in for what labels cannot hold. Ids that
need none stay as they are. The percent sign itself is always encoded, so two ids never become one label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Any, NamedTuple

from crossthread.errors import ConfigurationError
from crossthread.namespaces import WILDCARD, Namespace

# What LangGraph forbids in labels, the wildcard of list_namespaces, what escapes the next sign where LangGraph's stores
# compare with LIKE, halves of surrogate pairs, which no database holds as text, and the sign that stands in for them.
_ENCODED = re.compile(r"[.\x00*\\%\ud800-\udfff]")
_DECODED = re.compile("(?:%[0-9A-F]{2})+")

_RESERVED_ROOT = "langgraph"


def encode_id(id_: str) -> str:
    """Return an id as it stands in a label: ``"bob@example.com"`` is ``"bob@example%2Ecom"``."""
    return _ENCODED.sub(_escaped, id_)


def decode_id(text: str) -> str:
    """Return the id that `encode_id` made ``text`` of."""
    return _DECODED.sub(_unescaped, text)


def _escaped(found: re.Match[str]) -> str:
    return "".join([f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass")])


def _unescaped(found: re.Match[str]) -> str:
    # Halves of surrogate pairs were encoded one by one: together they must not become one character.
    return bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "surrogatepass")


class _Label(NamedTuple):
    """One label: fixed text, or fixed text around the id of a field."""

    before: str
    field: str | None
    after: str

    def filled(self, ids: Mapping[str, str], root: bool) -> str:
        if self.field is None:
            return self.before
        encoded = encode_id(ids[self.field])
        label = f"{self.before}{encoded}{self.after}"
        if root and label == _RESERVED_ROOT:  # LangGraph keeps this root for itself
            return f"{self.before}%{ord(encoded[0]):02X}{encoded[1:]}{self.after}"
        return label

    def read(self, label: str) -> str | None:
        """Return the encoded id in a label, or None where the label is not one of these."""
        if len(label) <= len(self.before) + len(self.after):
            return None
        if not (label.startswith(self.before) and label.endswith(self.after)):
            return None
        return label[len(self.before) : len(label) - len(self.after)]


class Template:
    """The labels of a scope, each with at most one field: ``("memories", "{user_id}")``.

    Attributes:
        labels: As they were given.
        fields: The names of the fields, in order, each once.
    """

    def __init__(self, labels: Iterable[Any]) -> None:
        if isinstance(labels, str):
            raise ConfigurationError(
                f"A scope is a tuple of labels, not the text {labels!r}; write ({labels!r},) if it has only one."
            )
        self.labels: Namespace = tuple(labels)
        if not self.labels:
            raise ConfigurationError("A scope has at least one label, such as ('memories', '{user_id}').")
        self._parts = [_parsed(label, self.labels) for label in self.labels]
        self.fields = tuple(dict.fromkeys(part.field for part in self._parts if part.field is not None))
        if self._parts[0] == (_RESERVED_ROOT, None, ""):
            raise ConfigurationError("A scope cannot begin with 'langgraph', the root that LangGraph keeps for itself.")

    def namespace(self, ids: Mapping[str, str]) -> Namespace:
        """Return the namespace for ids by field; different ids make different namespaces, none below another."""
        return tuple([part.filled(ids, root=i == 0) for i, part in enumerate(self._parts)])

    def ids(self, namespace: Namespace) -> dict[str, str] | None:
        """Return the ids that lead to a namespace or to one above it; None where no ids do."""
        if len(namespace) < len(self._parts):
            return None
        found: dict[str, str] = {}
        for part, label in zip(self._parts, namespace, strict=False):
            if part.field is None:
                if label != part.before:
                    return None
                continue
            text = part.read(label)
            try:
                id_ = None if text is None else decode_id(text)
            except UnicodeDecodeError:  # a label that no id was encoded to
                return None
            if id_ is None or found.setdefault(part.field, id_) != id_:
                return None
        exact = self.namespace(found)
        return found if exact == tuple(namespace[: len(exact)]) else None


def _parsed(label: Any, labels: Namespace) -> _Label:
    def wrong(problem: str) -> ConfigurationError:
        return ConfigurationError(f"The scope {labels!r} has the label {label!r}: {problem}.")

    if not isinstance(label, str):
        raise wrong("labels are text")
    before, field, after = "", None, ""
    try:
        parts = list(Formatter().parse(label))
    except ValueError as error:
        raise wrong(f"{error}; write {{{{ and }}}} for braces that are meant as such") from error
    for text, name, spec, conversion in parts:
        if field is None:
            before += text
        else:
            after += text
        if name is None:
            continue
        if field is not None:
            raise wrong("two fields in one label would let two ids share a namespace; give each a label of its own")
        if not name.isidentifier() or spec or conversion:
            raise wrong("a field is a plain name in braces, such as {user_id}")
        field = name
    for text in (before, after):
        if "." in text or "\x00" in text:
            raise wrong("labels cannot contain a period or NUL")
    if field is None and before in ("", WILDCARD):
        raise wrong("a label is not empty, and not '*', which stands for any label where namespaces are listed")
    return _Label(before, field, after)

"""Which texts of a value were indexed: engines keep 16 bytes of each, and here the text itself is found again. Pure.

A put indexes the store's fields or paths of its own, and no engine keeps which. But every indexed text is the text of
some part of the value, as LangGraph makes texts of parts; so the parts are tried until the hashes are accounted for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from langgraph.store.base import tokenize_path

from crossthread.embedding.extract import text_hash, texts_of

_ROOT = "$"


class IndexedText(NamedTuple):
    """A text that an item is found by."""

    hash: bytes
    text: str
    path: str | None
    """The LangGraph path that leads to it, and to no text that is not indexed; None where no path can say so."""


class Recovered(NamedTuple):
    """What `recover` found out about one item."""

    texts: tuple[IndexedText, ...]
    """In the order of the hashes."""
    missing: tuple[bytes, ...]
    """The hashes to which no part of the value belongs; none, as long as the value is what was put."""
    is_default: bool
    """Whether these are the texts at the store's fields, all of them and no others, as of a put without ``index=``."""

    @property
    def paths(self) -> tuple[str, ...] | None:
        """The paths that a put needs as ``index=`` to index the same texts; None where no list of paths can say so."""
        paths = dict.fromkeys(found.path for found in self.texts)
        if self.missing or None in paths:
            return None
        return tuple(path for path in paths if path is not None)


def recover(value: dict[str, Any], hashes: Sequence[bytes], fields: tuple[str, ...]) -> Recovered:
    """Find the texts that an item is found by.

    Args:
        value: The item's value, as it is stored.
        hashes: What is kept of its texts, see `text_hash`.
        fields: The store's own fields, where most texts are.

    Returns:
        The texts, each with a path; what could not be found is told, and never guessed.
    """
    wanted = set(hashes)
    found: dict[bytes, IndexedText] = {}
    at_fields: set[bytes] = set()
    for field in fields:
        texts = {text_hash(text): text for text in texts_of(value, (field,))}
        at_fields |= texts.keys()
        # A field whose texts are indexed in part only is not what was asked for: the parts are named one by one.
        path = field if texts.keys() <= wanted else None
        for hash_ in texts.keys() & wanted:
            if hash_ not in found or found[hash_].path is None:
                found[hash_] = IndexedText(hash_, texts[hash_], path)
    if len(found) < len(wanted) or any(one.path is None for one in found.values()):
        for text, tokens in parts_of(value):
            hash_ = text_hash(text)
            if hash_ in wanted and (hash_ not in found or found[hash_].path is None):
                found[hash_] = IndexedText(hash_, text, path_of(tokens))
                if len(found) == len(wanted) and all(one.path is not None for one in found.values()):
                    break
    return Recovered(
        texts=tuple(found[hash_] for hash_ in hashes if hash_ in found),
        missing=tuple(hash_ for hash_ in hashes if hash_ not in found),
        is_default=at_fields == wanted,
    )


def parts_of(value: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the text of every part of a value with the tokens that lead there: strings and numbers first."""
    yield from _scalars(value, ())
    yield from _containers(value, ())


def _scalars(node: Any, tokens: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    if isinstance(node, (dict, list)):
        for token, child in _children(node):
            yield from _scalars(child, (*tokens, token))
    elif node is not None:
        yield str(node), tokens


def _containers(node: Any, tokens: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    if isinstance(node, (dict, list)):
        yield json.dumps(node, sort_keys=True, ensure_ascii=False), tokens
        for token, child in _children(node):
            yield from _containers(child, (*tokens, token))


def _children(node: dict[str, Any] | list[Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        yield from ((f".{key}", child) for key, child in node.items())
    else:
        yield from ((f"[{n}]", child) for n, child in enumerate(node))


def path_of(tokens: tuple[str, ...]) -> str | None:
    """Return the LangGraph path of a part; None where a key on the way there means something else in a path."""
    if not tokens:
        return _ROOT
    path = "".join(tokens).removeprefix(".")
    names = [token.removeprefix(".") for token in tokens]
    if path == _ROOT or tokenize_path(path) != names:
        return None
    is_plain = all(token.startswith("[") or not _is_special(token[1:]) for token in tokens)
    return path if is_plain else None


def _is_special(key: str) -> bool:
    return key == "*" or (key[:1] + key[-1:]) in ("[]", "{}")

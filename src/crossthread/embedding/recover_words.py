"""Which texts of a value keywords find it by, where no hashes of texts are kept: its words tell. Pure.

Words are those of all texts together, in any order. So the likely texts are tried: the store's fields, each part of the
value by itself, and the strings and numbers in it that together have just these words.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from crossthread.embedding.extract import texts_of
from crossthread.embedding.recover import parts_of, path_of
from crossthread.search.words import Language, Words


def recover_by_words(
    value: dict[str, Any], words: Words, fields: tuple[str, ...], language: Language
) -> tuple[str, ...] | None:
    """Find the paths whose texts have these words.

    Args:
        value: The item's value, as it is stored.
        words: What keywords find it by.
        fields: The store's own fields, where most texts are.
        language: The language of the words.

    Returns:
        Paths that a put needs as ``index=`` to be found by the same words; None where none are known.
    """
    with_texts = tuple(field for field in fields if texts_of(value, (field,)))
    if with_texts and language.words(texts_of(value, fields)) == words:
        return with_texts
    some: dict[str, str] = {}
    left, length = Counter(words.counts), words.length
    for text, tokens in parts_of(value):  # strings and numbers come first, then lists and objects
        if length == 0 and some and _is_container(value, tokens):
            break
        path = path_of(tokens) if text.strip() else None
        if path is None or text in some:
            continue
        own = language.words([text])
        if own == words:
            return (path,)
        if own.length and own.length <= length and all(left[term] >= count for term, count in own.counts.items()):
            some[text] = path
            left.subtract(own.counts)
            length -= own.length
    return tuple(some.values()) if some and language.words(some) == words else None


def _is_container(node: Any, tokens: tuple[str, ...]) -> bool:
    for token in tokens:
        node = node[token[1:]] if token.startswith(".") else node[int(token[1:-1])]
    return isinstance(node, (dict, list))

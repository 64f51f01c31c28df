"""The index= argument of a store, checked and frozen. Decides only: calls no embedder, opens nothing."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from langchain_core.embeddings import Embeddings

from crossthread.errors import ConfigurationError, InvalidArgumentError

logger = logging.getLogger("crossthread")

Mode = Literal["semantic"]
"""How a query is answered. ``semantic``: by the cosine similarity of embeddings."""

EmbedFunction = Callable[[list[str]], Sequence[Any]] | Callable[[list[str]], Awaitable[Sequence[Any]]]

_IGNORED = {
    "distance_type": "similarity is always the cosine",
    "ann_index_config": "search is always exact",
}
_ROOT = "$"


class IndexConfig(TypedDict, total=False):
    """The ``index=`` argument of a store: what is made searchable, and how."""

    embed: Embeddings | EmbedFunction | str
    """What turns texts into vectors: a LangChain ``Embeddings``, a sync or async function from a list of texts to as
    many vectors (lists or arrays), a provider string such as ``"openai:text-embedding-3-small"``, or ``"local"``, the
    offline model of ``crossthread[local]``."""
    dims: int
    """Dimensions of the vectors; learnt from the first vector when left out."""
    fields: list[str] | None
    """Paths of the texts to index, in LangGraph's syntax (``text``, ``a.b``, ``a[0]``, ``a[-1]``, ``a[*].b``); ``$`` or
    None (default): the whole value as one text; ``[]``: nothing, unless a put names its own."""
    text_fields: list[str] | None
    """Another name for ``fields``."""
    mode: Mode
    """How queries are answered when the call does not say."""
    model: str
    """The name of the embedding model, for functions and classes that do not tell theirs."""
    distance_type: str
    """Accepted for LangGraph's sake, without effect."""
    ann_index_config: Mapping[str, Any]
    """Accepted for LangGraph's sake, without effect."""


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """The ``index=`` argument as the rest of the package sees it."""

    embed: Embeddings | EmbedFunction | str
    dims: int | None
    fields: tuple[str, ...]
    mode: Mode
    model: str | None


def parse_index(config: Any) -> IndexSettings | None:
    """Return the settings of an ``index=`` argument, or None where the store has none.

    Raises:
        ConfigurationError: It holds an unknown key or a value that makes no sense.
    """
    if config is None:
        return None
    if not isinstance(config, Mapping):
        raise ConfigurationError(f"index must be a dict such as {{'embed': ..., 'dims': 384}}, not {_name(config)}.")
    unknown = set(config) - set(IndexConfig.__annotations__)
    if unknown:
        known = ", ".join(IndexConfig.__annotations__)
        raise ConfigurationError(f"Unknown key in index: {', '.join(sorted(map(repr, unknown)))}; known: {known}.")
    for key in _IGNORED.keys() & config.keys():
        logger.warning("index[%r] has no effect: %s.", key, _IGNORED[key])
    embed = config.get("embed")
    if embed is None:
        raise ConfigurationError(
            "index needs 'embed': this release searches by embeddings only. See index={'embed': 'local'}."
        )
    if not isinstance(embed, (Embeddings, str)) and not callable(embed):
        raise ConfigurationError(
            f"index['embed'] must be an Embeddings, a function or a provider string, not {_name(embed)}."
        )
    model = config.get("model")
    if model is not None and (not isinstance(model, str) or not model):
        raise ConfigurationError(f"index['model'] must be the name of a model, not {model!r}.")
    return IndexSettings(
        embed=embed,
        dims=_dims(config.get("dims")),
        fields=_fields(config),
        mode=checked_mode(config.get("mode")),
        model=model,
    )


def checked_mode(mode: Any) -> Mode:
    """Return a search mode; None is the default.

    Raises:
        ConfigurationError: It is no mode of this release.
    """
    if mode is None or mode == "semantic":
        return "semantic"
    raise ConfigurationError(f"Unknown search mode {mode!r}; this release knows: 'semantic'.")


def checked_paths(index: Any) -> tuple[str, ...] | None:
    """Return the paths of a put's ``index=``: None for the store's own fields, ``()`` for none.

    Raises:
        InvalidArgumentError: It is neither None, False nor a list of paths.
    """
    if index is None:
        return None
    if index is False:
        return ()
    if not isinstance(index, (list, tuple)) or not all(isinstance(path, str) for path in index):
        raise InvalidArgumentError(f"index must be None, False or a list of paths such as ['text'], not {index!r}.")
    return tuple(index)


def _dims(dims: Any) -> int | None:
    if dims is None:
        return None
    if not isinstance(dims, int) or isinstance(dims, bool) or dims < 1:
        raise ConfigurationError(f"index['dims'] must be a whole number of at least 1, not {dims!r}.")
    return dims


def _fields(config: Mapping[str, Any]) -> tuple[str, ...]:
    given = [key for key in ("fields", "text_fields") if config.get(key) is not None]
    if len(given) == 2 and list(config["fields"]) != list(config["text_fields"]):
        raise ConfigurationError("index has both 'fields' and 'text_fields', and they differ; use 'fields'.")
    if not given:
        return (_ROOT,)
    fields = config[given[0]]
    if not isinstance(fields, (list, tuple)) or not all(isinstance(path, str) for path in fields):
        raise ConfigurationError(f"index[{given[0]!r}] must be a list of paths such as ['text'], not {fields!r}.")
    return tuple(fields)


def _name(thing: Any) -> str:
    return type(thing).__name__

"""The index= argument of a store, checked and frozen. Decides only: calls no embedder, opens nothing."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

from langchain_core.embeddings import Embeddings

from crossthread._text import shown
from crossthread.errors import ConfigurationError, InvalidArgumentError
from crossthread.search.words import Language

logger = logging.getLogger("crossthread.settings")

Mode = Literal["semantic", "keyword", "hybrid"]
"""How a query is answered. ``semantic``: by the cosine similarity of embeddings; ``keyword``: by the words that query
and item share (BM25); ``hybrid``: by both."""

Durability = Literal["disk", "process"]
"""What a put that returned outlives. ``disk``: a power cut, since it waited for the disk; ``process``: the end of the
process, however it ends, but perhaps not that of the machine."""

Reranker = Callable[[str, list[Any]], Any] | Any
"""A function from a query and hits (``SearchItem``) to hits or scores, or a LangChain ``BaseDocumentCompressor``."""

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
    offline model of ``crossthread[local]``. Without it queries are answered by keywords."""
    dims: int
    """Dimensions of the vectors; learnt from the first vector when left out."""
    fields: list[str] | None
    """Paths of the texts to index, in LangGraph's syntax (``text``, ``a.b``, ``a[0]``, ``a[-1]``, ``a[*].b``); ``$`` or
    None (default): the whole value as one text; ``[]``: nothing, unless a put names its own."""
    text_fields: list[str] | None
    """Another name for ``fields``."""
    mode: Mode
    """How queries are answered when the call does not say; ``"semantic"``, or ``"keyword"`` without ``embed``."""
    language: str
    """How words are stemmed and which are left out: a language of the Snowball project (default ``"english"``), or
    ``"simple"`` for none."""
    hybrid_weight: float
    """How much the semantic side of a hybrid search counts, from 0 to 1 (default 0.5)."""
    rerank: Reranker | None
    """Puts the first hits of a search with a query in a better order: a function of the query and the hits that returns
    hits or scores, sync or async, or a LangChain document compressor (default: none)."""
    rerank_first: int
    """How many hits are handed to ``rerank`` (default 50)."""
    vector_memory_mb: float
    """How many MiB of memory the vectors of a file may take that were searched lately (default 512). A search over more
    than that compares the signs of all vectors first, and looks at the few hundred that come nearest; up to that much
    every search is exact. Other places take no memory for it, and are always exact."""
    filter_fields: list[str]
    """Paths that ``filter=`` often names, each a field or a dotted path, for which a file gets an index (default:
    none). It makes filters on a few of very many items fast, costs a little with every put, and changes no result."""
    embed_timeout_seconds: float | None
    """How many seconds a call of ``embed`` may take (default None: as long as it likes). After that the call fails with
    `EmbeddingTimeoutError`. An async function is cancelled; a sync one cannot be ended, so it runs in a daemon thread,
    which goes on in the background."""
    model: str
    """The name of the embedding model, for functions and classes that do not tell theirs."""
    distance_type: str
    """Accepted for LangGraph's sake, without effect."""
    ann_index_config: Mapping[str, Any]
    """Accepted for LangGraph's sake, without effect."""


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """The ``index=`` argument as the rest of the package sees it."""

    embed: Embeddings | EmbedFunction | str | None
    dims: int | None
    fields: tuple[str, ...]
    mode: Mode
    model: str | None
    language: Language
    hybrid_weight: float
    rerank: Any
    rerank_first: int
    vector_bytes: int | None
    filter_fields: tuple[str, ...]
    embed_timeout_seconds: float | None


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
    if embed is not None and not isinstance(embed, (Embeddings, str)) and not callable(embed):
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
        mode=checked_mode(config.get("mode"), embed is not None) or ("keyword" if embed is None else "semantic"),
        model=model,
        language=_language(config.get("language", "english")),
        hybrid_weight=checked_weight("index['hybrid_weight']", config.get("hybrid_weight", 0.5)),
        rerank=_rerank(config.get("rerank")),
        rerank_first=_count("index['rerank_first']", config.get("rerank_first", 50)),
        vector_bytes=_mebibytes(config.get("vector_memory_mb")),
        filter_fields=_paths("filter_fields", config.get("filter_fields") or []),
        embed_timeout_seconds=_seconds("embed_timeout_seconds", config.get("embed_timeout_seconds")),
    )


def checked_mode(mode: Any, has_embedder: bool) -> Mode | None:
    """Return a search mode; None stays None.

    Raises:
        ConfigurationError: There is no such mode, or it needs an embedder.
    """
    if mode is None:
        return None
    if mode not in get_args(Mode):
        known = ", ".join(map(repr, get_args(Mode)))
        raise ConfigurationError(f"Unknown search mode {shown(mode)}; there are {known}.")
    if mode != "keyword" and not has_embedder:
        raise ConfigurationError(f"mode={mode!r} needs embeddings: index={{'embed': 'local'}}, or a model of your own.")
    found: Mode = mode
    return found


def checked_durability(durability: Any) -> Durability:
    """Return what a put that returned shall outlive.

    Raises:
        ConfigurationError: There is no such choice.
    """
    if durability not in get_args(Durability):
        known = " or ".join(map(repr, get_args(Durability)))
        raise ConfigurationError(f"durability must be {known}, not {durability!r}.")
    found: Durability = durability
    return found


def checked_weight(name: str, weight: Any) -> float:
    """Return the weight of the semantic side of a hybrid search.

    Raises:
        ConfigurationError: It is not a number from 0 to 1.
    """
    if not isinstance(weight, (int, float)) or isinstance(weight, bool) or not 0 <= weight <= 1:
        raise ConfigurationError(f"{name} must be a number from 0 to 1, not {shown(weight)}.")
    return float(weight)


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
        raise InvalidArgumentError(
            f"index must be None, False or a list of paths such as ['text'], not {shown(index)}."
        )
    return tuple(index)


def _dims(dims: Any) -> int | None:
    return None if dims is None else _count("index['dims']", dims)


def _count(name: str, number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ConfigurationError(f"{name} must be a whole number of at least 1, not {number!r}.")
    return number


def _language(name: Any) -> Language:
    if not isinstance(name, str):
        raise ConfigurationError(f"index['language'] must be a name such as 'english', not {name!r}.")
    return Language(name)


def _rerank(rerank: Any) -> Any:
    if rerank is None or callable(rerank) or hasattr(rerank, "compress_documents"):
        return rerank
    raise ConfigurationError(f"index['rerank'] must be a function or a document compressor, not {_name(rerank)}.")


def _fields(config: Mapping[str, Any]) -> tuple[str, ...]:
    given = [key for key in ("fields", "text_fields") if config.get(key) is not None]
    if len(given) == 2 and list(config["fields"]) != list(config["text_fields"]):
        raise ConfigurationError("index has both 'fields' and 'text_fields', and they differ; use 'fields'.")
    if not given:
        return (_ROOT,)
    return _paths(given[0], config[given[0]])


def _paths(name: str, paths: Any) -> tuple[str, ...]:
    if not isinstance(paths, (list, tuple)) or not all(isinstance(path, str) for path in paths):
        raise ConfigurationError(f"index[{name!r}] must be a list of paths such as ['text'], not {paths!r}.")
    return tuple(paths)


def _seconds(name: str, number: Any) -> float | None:
    if number is None:
        return None
    if not isinstance(number, (int, float)) or isinstance(number, bool) or not 0 < number <= threading.TIMEOUT_MAX:
        raise ConfigurationError(f"index[{name!r}] must be a number of seconds above 0, not {shown(number)}.")
    return float(number)


def _mebibytes(number: Any) -> int | None:
    if number is None:
        return None
    if not isinstance(number, (int, float)) or isinstance(number, bool) or not 0 <= number < math.inf:
        raise ConfigurationError(f"index['vector_memory_mb'] must be a number of MiB, not {number!r}.")
    return int(number * 2**20)


def _name(thing: Any) -> str:
    return type(thing).__name__

"""The batch program: plan, embed what is new, run, results. Written once for sync and async callers and every engine.

Embedding happens before the engine is asked to run anything, so no lock is held while a model thinks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple, cast

import numpy as np
from langgraph.store.base import Item, PutOp, SearchItem

from crossthread import values
from crossthread._clock import to_datetime
from crossthread._program import Program
from crossthread._text import escape, unescape
from crossthread.embedding.base import Embedder
from crossthread.errors import StoreBusyError
from crossthread.namespaces import from_text, to_text
from crossthread.operations.commands import (
    WRITES,
    Answer,
    Batch,
    Get,
    Held,
    KnownVectors,
    Parts,
    Put,
    Restore,
    Row,
    Search,
)
from crossthread.operations.plan import Plan, Planner, RerankedPage
from crossthread.search.vectors import Vectors, from_bytes, unit_vectors
from crossthread.settings import IndexSettings

logger = logging.getLogger("crossthread.embedding")

_SLOW_SECONDS = 5.0


class Compute(NamedTuple):
    """The request for a result that takes a while to compute, so that async callers let a thread do it.

    What takes long is asked for in parts of a few milliseconds, between which others get their turn.
    """

    function: Callable[[], Any]


class Embed(NamedTuple):
    """The request to embed distinct documents and distinct queries; answered with two lists of raw vectors."""

    embedder: Embedder
    documents: list[str]
    queries: list[str]


class Pause(NamedTuple):
    """The request to wait for some seconds."""

    seconds: float


class Model(NamedTuple):
    """Who embeds for a store, and what its vectors are; replaced as a whole when that changes."""

    embedder: Embedder | None
    dims: int | None
    """The dimensions of the store's vectors where they are known."""
    generation: int
    """See `crossthread.operations.reembedding`."""


class Rerank(NamedTuple):
    """The request for a better order of hits; answered with the hits."""

    query: str
    hits: list[SearchItem]


def run_batch(ops: Iterable[Any], index: IndexSettings | None, model: Model, omit_expired: bool) -> Program[list[Any]]:
    """Run operations together and return their results in order.

    Args:
        ops: LangGraph's operations, and ours (``operations.plan``).
        index: The store's index settings.
        model: What makes its vectors.
        omit_expired: Whether expired items are gone before they are swept.

    Raises:
        InvalidNamespaceError, InvalidArgumentError, EmbeddingError, StoreError: Nothing of the batch was written.
    """
    plan = yield from _planned(list(ops), index)
    if plan.texts or plan.queries:
        yield from embed_plan(plan, model)
    if not plan.commands:
        return [None] * len(plan.answers)
    reads = len(plan.commands)
    if plan.reranked:  # the writes, which come last, wait: an error of a reranker leaves nothing of them behind
        reads = sum(not isinstance(command, WRITES) for command in plan.commands)
    answers = yield from until_done(Batch(tuple(plan.commands[:reads]), omit_expired, model.generation))
    results = yield from _decoded(plan, answers)
    for number, page in plan.reranked.items():
        results[number] = yield from _reranked(page, results[number], omit_expired)
    if reads < len(plan.commands):
        yield from until_done(Batch(tuple(plan.commands[reads:]), omit_expired, model.generation))
    return results


_HELD_PAUSE_SECONDS = 0.02
_LONGEST_HELD_SECONDS = 30.0


def until_done(batch: Batch) -> Program[list[Answer]]:
    """Return the answers of an engine; where it keeps vectors out for a moment, ask it again."""
    waited = 0.0
    while True:
        try:
            answers: list[Answer] = yield batch
        except Held:
            if waited > _LONGEST_HELD_SECONDS:
                raise StoreBusyError(
                    f"For {_LONGEST_HELD_SECONDS:g} seconds the store took no vectors, since reembed() is about to "
                    "switch to others. Nothing was written; try again."
                ) from None
            yield Pause(_HELD_PAUSE_SECONDS)
            waited += _HELD_PAUSE_SECONDS
        else:
            return answers


def _planned(ops: list[Any], index: IndexSettings | None) -> Program[Plan]:
    """Return the plan of operations."""
    planner = Planner(index)
    if _many(ops, index is not None):
        for part in _parts(ops):
            yield Compute(partial(planner.add, part))
    else:
        planner.add(ops)
    return planner.finish()


def _decoded(plan: Plan, answers: list[Answer]) -> Program[list[Any]]:
    """Return the results that the answers so far make."""
    if not any(at is not None for at in plan.answers):  # nothing was read
        return [None] * len(plan.answers)
    if not _much(answers):
        return _results(_in_order(plan, answers))
    results: list[Any] = []
    for some in _parts(_in_order(plan, answers)):
        if not any(isinstance(answer, list) and len(answer) > _LIGHT_OPS for answer in some):
            results += yield Compute(partial(_results, some))
            continue
        for answer in some:
            if isinstance(answer, list):
                found: list[Any] = []
                for part in _parts(answer):
                    found += yield Compute(partial(_result, part))
                results.append(found)
            else:
                results += yield Compute(partial(_results, [answer]))
    return results


def _results(answers: list[Any]) -> list[Any]:
    return [_result(answer) for answer in answers]


def _parts(things: list[Any]) -> Iterator[list[Any]]:
    """Yield as many of them at a time as take a few milliseconds."""
    for start in range(0, len(things), _LIGHT_OPS):
        yield things[start : start + _LIGHT_OPS]


def _in_order(plan: Plan, answers: list[Answer]) -> list[Answer]:
    """Return the answer for each operation; None where there is none (yet)."""
    known = len(answers)
    return [None if at is None or at >= known else answers[at] for at in plan.answers]


def _reranked(page: RerankedPage, hits: list[SearchItem], omit_expired: bool) -> Program[list[SearchItem]]:
    """Return a page of hits after their order was improved; renews the life of these, and of no others."""
    first = hits[: page.first]
    if first:
        first = yield Rerank(page.query, first)
    found = [*first, *hits[page.first :]][page.offset : page.offset + page.limit]
    if page.refresh_ttl and found:
        yield Batch(tuple(Get(to_text(hit.namespace), escape(hit.key), True) for hit in found), omit_expired)
    return found


_LIGHT_OPS = 100
_LIGHT_PARTS = 20_000
_LIGHT_TEXT = 2_000  # where words are made of it: some 20 ms, if all of them are new
_LIGHT_CHARACTERS = 200_000  # some milliseconds of decoding


def _many(ops: list[Any], has_index: bool) -> bool:
    """Whether checking these operations takes so long that an event loop should not wait for it."""
    if len(ops) > _LIGHT_OPS:
        return True
    for op in ops:
        if isinstance(op, PutOp) and isinstance(op.value, dict):
            for part in op.value.values():
                if isinstance(part, (str, list, dict)) and len(part) > (_LIGHT_TEXT if has_index else _LIGHT_PARTS):
                    return True
    return False


def _much(answers: list[Answer]) -> bool:
    """Whether decoding these answers takes so long that an event loop should not wait for it."""
    characters = 0
    for answer in answers:
        if isinstance(answer, Row):
            characters += len(answer.value)
        elif isinstance(answer, list):
            if len(answer) > _LIGHT_OPS:
                return True
            characters += sum([len(row.value) for row in answer if isinstance(row, Row)])
    return characters > _LIGHT_CHARACTERS


def embed_plan(plan: Plan, model: Model) -> Program[None]:
    """Give the plan's puts and searches their vectors; asks the embedder once, for texts the store does not know."""
    dims = model.dims
    hashes: dict[str, bytes] = {}
    places: dict[str, None] = {}
    for position, texts in plan.texts.items():
        put = cast(Put | Restore, plan.commands[position])
        hashes.update(zip(texts, put.hashes, strict=True))
        places[put.namespace] = None
    known: dict[bytes, bytes] = {}
    if hashes:
        (known,) = yield Batch((KnownVectors(tuple(hashes.values()), tuple(places)),), generation=model.generation)
    vectors = {text: from_bytes(known[h]).reshape(1, -1) for text, h in hashes.items() if h in known} if known else {}
    if vectors and dims is None:
        dims = next(iter(vectors.values())).size
    documents = [text for text in hashes if text not in vectors]
    queries = list(dict.fromkeys(plan.queries.values()))
    found_queries: dict[str, Any] = {}
    if documents or queries:
        assert model.embedder is not None
        began = perf_counter()
        raw_documents, raw_queries = yield Embed(model.embedder, documents, queries)
        took = perf_counter() - began
        if took > _SLOW_SECONDS or logger.isEnabledFor(logging.DEBUG):
            level = logging.INFO if took > _SLOW_SECONDS else logging.DEBUG
            logger.log(level, "Embedding %d texts and %d queries took %.3f s", len(documents), len(queries), took)
        if documents:
            new = yield from _units(raw_documents, len(documents), dims)
            vectors.update(zip(documents, [new[n : n + 1] for n in range(len(new))], strict=True))
            dims = new.shape[1]
        if queries:
            found_queries = dict(zip(queries, unit_vectors(raw_queries, len(queries), dims), strict=True))
    if len(plan.texts) > _LIGHT_OPS:
        for part in _parts(list(plan.texts)):
            yield Compute(partial(_give_vectors, plan, part, vectors))
    else:
        _give_vectors(plan, plan.texts, vectors)
    for position, query in plan.queries.items():
        search = cast(Search, plan.commands[position])
        plan.commands[position] = Search(*search[:5], found_queries[query], *search[6:])


def _give_vectors(plan: Plan, positions: Iterable[int], vectors: dict[str, Vectors]) -> None:
    """Put the vectors of their texts, a row each, into the puts at some positions."""
    for position in positions:
        texts = plan.texts[position]
        own = vectors[texts[0]] if len(texts) == 1 else np.concatenate([vectors[text] for text in texts])
        put = cast(Put | Restore, plan.commands[position])
        plan.commands[position] = type(put)(*put[:4], own, *put[5:])  # _replace takes three times as long


def _units(raw: Any, expected: int, dims: int | None) -> Program[Vectors]:
    """Return what an embedder answered as unit vectors; many of them part by part."""
    if expected <= _LIGHT_OPS or not isinstance(raw, (list, np.ndarray)) or len(raw) != expected:
        return unit_vectors(raw, expected, dims)
    parts: list[Vectors] = []
    for start in range(0, expected, _LIGHT_OPS):
        part = raw[start : start + _LIGHT_OPS]
        parts.append((yield Compute(partial(unit_vectors, part, len(part), dims, start))))
        dims = parts[0].shape[1]
    return np.concatenate(parts)


def _result(answer: Answer) -> Any:
    if isinstance(answer, Row):
        return as_item(answer)
    if isinstance(answer, list) and answer and isinstance(answer[0], Row):
        return [as_search_item(row, value) for row, value in zip(answer, _values(answer), strict=True)]
    return answer


def _values(rows: list[Row]) -> list[Any]:
    """Return the values of rows; one list is decoded in half the time of its elements."""
    if len(rows) > _LIGHT_OPS:  # while it is decoded nobody else runs
        return [values.decode(row.value) for row in rows]
    found: list[Any] = values.decode(f"[{','.join([row.value for row in rows])}]")
    return found


def as_item(row: Row) -> Item:
    """Return LangGraph's item for a row."""
    updated_at = to_datetime(row.updated_at)
    created_at = updated_at if row.created_at == row.updated_at else to_datetime(row.created_at)
    return Item(
        value=values.decode(row.value),
        key=unescape(row.key),
        namespace=from_text(row.namespace),
        created_at=created_at,
        updated_at=updated_at,
    )


class ExplainedItem(SearchItem):
    """A hit that tells why it was found, as ``search(..., explain=True)`` returns it.

    Attributes:
        semantic: Its cosine similarity with the query, in [-1, 1]; None where vectors were not asked or it has none.
        keyword: Its BM25 score, above 0; None where words were not asked, 0 where it has none of them.
        terms: What each term of the query adds to ``keyword``.
    """

    __slots__ = ("keyword", "semantic", "terms")

    def __init__(self, parts: Parts, **fields: Any) -> None:
        super().__init__(**fields)
        self.semantic, self.keyword, self.terms = parts

    def dict(self) -> dict[str, Any]:
        """Return the item as a dict, parts included."""
        return {**super().dict(), "semantic": self.semantic, "keyword": self.keyword, "terms": self.terms}

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.dict().items())
        return f"ExplainedItem({shown})"


def as_search_item(row: Row, value: dict[str, Any]) -> SearchItem:
    """Return LangGraph's search hit for a row and its value."""
    namespace, key, _, created, updated, score, parts = row
    updated_at = to_datetime(updated)
    created_at = updated_at if created == updated else to_datetime(created)
    if parts is not None:
        return ExplainedItem(
            parts,
            namespace=from_text(namespace),
            key=unescape(key),
            value=value,
            created_at=created_at,
            updated_at=updated_at,
            score=score,
        )
    return SearchItem(from_text(namespace), unescape(key), value, created_at, updated_at, score)

"""Writes items on their way into a store of ours: what is there already is left, what is new is embedded and restored.

A program, written once for sync and async callers. It knows stores, but reads no lines and no other stores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, cast

from crossthread import values
from crossthread._clock import LAST_STAMP
from crossthread._program import Program
from crossthread.batch import Compute, Model, embed_plan, until_done
from crossthread.embedding.extract import text_hash, texts_of
from crossthread.embedding.recover import recover
from crossthread.engines.base import VectorSpace
from crossthread.errors import IndexMismatchError, UnsupportedError
from crossthread.moving.items import Moving, Space
from crossthread.operations.commands import Batch, Page, RecordsAt, Restore, Stored
from crossthread.operations.plan import Plan
from crossthread.search.vectors import from_bytes
from crossthread.search.words import Language
from crossthread.store import MemoryStore

AT_ONCE = 500
"""Items of one batch."""
_AT_A_TIME = 64  # items that are made ready in a few milliseconds

Outcome = Literal["written", "equal", "kept"]
"""What became of an item: it was written; the same was there already; what is there was written later, and stays."""


class Receiver(NamedTuple):
    """A store that takes items in.

    Attributes:
        fields: The paths that it indexes by itself.
        language: The language of its words; None where it has none.
        has_embedder: Whether it can make vectors.
        takes_vectors: Whether vectors that travel are those of its own model.
        takes_words: Whether words that travel are in its own language.
        replaces_newer: Whether an item that was written later is replaced, too.
        model: What makes its vectors, and what these were when the receiver was made; vectors that travel are of it.
    """

    fields: tuple[str, ...]
    language: Language | None
    has_embedder: bool
    takes_vectors: bool
    takes_words: bool
    replaces_newer: bool
    model: Model


def receiver_for(
    store: MemoryStore,
    space: Space,
    *,
    vectors: bool,
    replaces_newer: bool,
    source: str,
    remedy: str,
    strictly: bool = False,
) -> Receiver:
    """Prepare a store for items of another one, and say how it takes them.

    A store that was opened without ``index=`` takes over the language, and without an embedder the vectors and their
    model, so that nothing gets lost by the way in which it was opened.

    Args:
        store: The store that takes them in.
        space: What they have in common.
        vectors: Whether they bring vectors.
        replaces_newer: Whether they replace what was written later.
        source: What they come from, for messages.
        remedy: What to do where the models are not the same, for messages.
        strictly: Whether models without names may not be the same.

    Raises:
        IndexMismatchError: The vectors are of another model than the store's.
        UnsupportedError: The store's engine, of another package, cannot take items in.
    """
    engine, index, model = store._engine, store._index, store._model
    if not engine.keeps_records:
        raise UnsupportedError(
            f"{type(engine).__name__} cannot write items as they were elsewhere, so that nothing can be imported or "
            "copied into it; see Engine.keeps_records."
        )
    has_embedder = index is not None and index.embed is not None
    if vectors and not agrees(engine.space, space, strictly=strictly):
        raise IndexMismatchError(
            f"{source} have vectors of {_named(space.model, space.dims)}, and those of {store.place} are of "
            f"{_named(engine.space.model, engine.space.dims)}. {remedy}"
        )
    language = index.language if index is not None else None
    wants_space = vectors and not has_embedder and space.dims is not None
    if language is None or wants_space:
        stored = store._drive(_read_space()).language
        named = language.name if language is not None else stored or space.language
        if wants_space or (stored is None and named is not None):
            wanted = VectorSpace(space.model, space.dims) if wants_space else None
            engine.open(wanted, named, create=engine.sets_up_itself)
        language = language or (None if named is None else Language(named))
    return Receiver(
        fields=() if index is None else index.fields,
        language=language,
        has_embedder=has_embedder,
        takes_vectors=vectors,
        takes_words=language is not None and language.name == space.language,
        replaces_newer=replaces_newer,
        model=model,
    )


def agrees(own: VectorSpace, space: Space, *, strictly: bool = False) -> bool:
    """Whether vectors may be of one model: neither name nor dimensions differ, as far as both are known.

    Strictly, the names have to be known.
    """
    if strictly and (own.model is None or space.model is None):
        return False
    pairs = ((own.model, space.model), (own.dims, space.dims))
    return not any(mine is not None and theirs is not None and mine != theirs for mine, theirs in pairs)


def _named(model: str | None, dims: int | None) -> str:
    name = "a model without a name" if model is None else repr(model)
    return name if dims is None else f"{name} ({dims} dimensions)"


def _read_space() -> Program[Page]:
    (page,) = yield Batch((RecordsAt(()),))
    return cast(Page, page)


def restored_into(
    store: MemoryStore, items: Sequence[Moving], receiver: Receiver, anew: Callable[[], Receiver]
) -> Program[list[Outcome]]:
    """Write items into a store that may change its model meanwhile: then they are written with the new one.

    Args:
        store: The store.
        items: A few hundred items.
        receiver: How the store takes them.
        anew: Prepares the store again, and returns how it takes them by then. It may take vectors only if they are
            known to be of the model that the store has now.

    Returns:
        What became of each.
    """
    while True:
        try:
            return (yield from run_restore(items, receiver, store._with_dims(receiver.model)))
        except IndexMismatchError:
            if not (yield Compute(partial(_has_switched, store, receiver.model))):
                raise
            receiver = yield Compute(anew)


def _has_switched(store: MemoryStore, model: Model) -> bool:
    """Whether this very object has another model by now; waits until it has taken on one that it switches to."""
    with store._switching:
        return store._model is not model


def run_restore(items: Sequence[Moving], receiver: Receiver, model: Model) -> Program[list[Outcome]]:
    """Write items; of several at one address the last one, or the one written last.

    Args:
        items: A few hundred items.
        receiver: How the store takes them.
        model: The receiver's, with the dimensions where they are known.

    Returns:
        What became of each.

    Raises:
        EmbeddingError, StoreError, InvalidNamespaceError: Nothing of these items was written.
    """
    outcomes: list[Outcome] = ["kept"] * len(items)
    chosen: dict[tuple[str, str], int] = {}
    for position, item in enumerate(items):
        before = chosen.get(item.address)
        if before is None or receiver.replaces_newer or items[before].updated_at <= item.updated_at:
            chosen[item.address] = position
    (page,) = yield Batch((RecordsAt(tuple(chosen)),), omit_expired=False)
    there = dict(zip(chosen.values(), cast(Page, page).items, strict=True))
    plan = Plan()
    places: list[int] = []
    # In the order of their times, so that those that want the same one get it in the same order, always.
    order = sorted(chosen.values(), key=lambda position: items[position].updated_at)
    for start in range(0, len(order), _AT_A_TIME):
        part = order[start : start + _AT_A_TIME]
        yield Compute(partial(_make_ready, plan, places, outcomes, part, items, there, receiver))
    if plan.texts:
        yield from embed_plan(plan, model)
    if plan.commands:
        answers = yield from until_done(Batch(tuple(plan.commands), generation=model.generation))
        for position, answer in zip(places, answers, strict=True):
            outcomes[position] = "kept" if answer is None else "written"
    return outcomes


def _make_ready(
    plan: Plan,
    places: list[int],
    outcomes: list[Outcome],
    part: Sequence[int],
    items: Sequence[Moving],
    there: dict[int, Stored | None],
    receiver: Receiver,
) -> None:
    """Add the commands for some items, without those that need none."""
    for position in part:
        command, texts = _command(items[position], receiver)
        old = there[position]
        if old is not None:
            if _is_same(old, command, receiver):
                outcomes[position] = "equal"
                continue
            if old.row.updated_at > command.updated_at and not receiver.replaces_newer:
                continue
        if texts:
            plan.texts[len(plan.commands)] = texts
        places.append(position)
        plan.commands.append(command)


def _command(item: Moving, receiver: Receiver) -> tuple[Restore, list[str]]:
    """Return the command that writes an item, and the texts that have to be embedded for it."""
    takes_vectors = receiver.takes_vectors and item.vectors is not None
    needs_texts = receiver.language is not None and not (receiver.takes_words and item.words is not None)
    texts: list[str] = []
    if needs_texts or (receiver.has_embedder and not takes_vectors):
        texts = _texts(item, receiver)
    words = item.words if receiver.takes_words else None
    if words is None and texts and receiver.language is not None:
        words = receiver.language.words(texts)
    hashes: tuple[bytes, ...] = ()
    vectors = None
    if takes_vectors:
        hashes, texts = item.hashes, []
        vectors = from_bytes(cast(bytes, item.vectors)).reshape(len(hashes), -1)
    elif receiver.has_embedder:
        hashes = tuple([text_hash(text) for text in texts])
    else:
        texts = []
    command = Restore(
        namespace=item.namespace,
        key=item.key,
        value=item.value,
        ttl_minutes=item.ttl,
        vectors=vectors,
        hashes=hashes,
        replaces_newer=receiver.replaces_newer,
        words=words,
        created_at=item.created_at,
        updated_at=item.updated_at,
        expires_at=item.expires_at,
    )
    return command, texts


def _texts(item: Moving, receiver: Receiver) -> list[str]:
    """Return what the item is to be found by."""
    if item.texts is not None:
        return list(item.texts)
    if item.index is False:
        return []
    value: dict[str, Any] = values.decode(item.value)
    if item.index is not None:
        return texts_of(value, item.index)
    if item.hashes:
        return [one.text for one in recover(value, item.hashes, receiver.fields).texts]
    return texts_of(value, receiver.fields)


def _is_same(old: Stored, new: Restore, receiver: Receiver) -> bool:
    """Whether what is there is what would be written; a later time is that of an item that had to move."""
    row = old.row
    if (row.value, row.created_at, old.ttl_minutes) != (new.value, new.created_at, new.ttl_minutes):
        return False
    if row.updated_at < new.updated_at or _calendar(old.expires_at) != _calendar(new.expires_at):
        return False
    if receiver.language is not None and old.words != new.words:
        return False
    knows_vectors = receiver.has_embedder or new.vectors is not None
    return not knows_vectors or set(old.hashes) == set(new.hashes)


def _calendar(expires_at: int | None) -> int | None:
    """Return an expiry as an export can tell it."""
    return None if expires_at is None else min(expires_at, LAST_STAMP)

"""Carries out the writing commands on one connection: puts and deletes in one statement, whatever their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

from psycopg import errors

from crossthread import ttl
from crossthread.engines.base import VectorSpace
from crossthread.engines.postgres.addresses import Address, address
from crossthread.engines.postgres.connection import Connection, fetch
from crossthread.engines.postgres.reads import ALWAYS, Renewal
from crossthread.engines.postgres.statements import Statements, scope
from crossthread.operations.commands import (
    Answer,
    Batch,
    Conflict,
    Delete,
    Forget,
    Held,
    Put,
    Restore,
    Row,
    Sweep,
    Write,
)
from crossthread.search.words import as_column

CONFLICT, REPLACED, HELD = "CT001", "CT002", "CT003"  # what the functions of the schema raise


class Replaced(Exception):  # noqa: N818 - never reaches a caller
    """Vectors were to be written, and those of the store are of another generation by now."""


class Moment(NamedTuple):
    """When a batch happens, and until when what expires is gone by then: microseconds, None for the server's clock."""

    now: int | None
    horizon: int | None

    @classmethod
    def of(cls, now: int | None, omit_expired: bool) -> Moment:
        """Return the moment of a batch."""
        return cls(now, now if omit_expired else ALWAYS)


def write(
    connection: Connection,
    statements: Statements,
    commands: Sequence[Put | Delete],
    moment: Moment,
    generation: int,
) -> list[Answer]:
    """Write and erase items at distinct addresses, all or none, in one statement; ``generation``: of the vectors.

    Raises:
        Conflict: The item of a conditional put is another.
        Replaced, Held: Such vectors are not written any more, or not now.
    """
    places = [address(command.namespace, command.key) for command in commands]
    order = sorted(range(len(commands)), key=places.__getitem__)
    erased = [n for n in order if isinstance(commands[n], Delete)]
    written = [n for n in order if isinstance(commands[n], Put)]
    text, parameters = _one(statements, places, commands, moment, generation) or _many(
        statements,
        [places[n] for n in erased],
        {n: (places[n], cast(Put, commands[n])) for n in written},
        moment,
        generation,
    )
    with told():
        found = fetch(connection, text, parameters)
    answers: list[Answer] = [None] * len(commands)
    for n, times in zip(written, found, strict=True):
        put = cast(Put, commands[n])
        answers[n] = Row(put.namespace, put.key, put.value, *times)
    return answers


def _one(
    statements: Statements,
    places: Sequence[Address],
    commands: Sequence[Put | Delete],
    moment: Moment,
    generation: int,
) -> tuple[str, list[Any]] | None:
    """Return the statement for a plain put of one item that has one text at the most, and its parameters."""
    put = commands[0]
    if len(commands) > 1 or not isinstance(put, Put) or put.expected is not None or len(put.hashes) > 1:
        return None
    parameters = [*places[0][:3], put.value, put.ttl_minutes, places[0].full, *_words(put), *moment]
    if put.vectors is None:
        return statements.write_one, parameters
    return statements.write_one_with_vector, [*parameters, put.hashes[0], put.vectors[0], generation]


def _many(
    statements: Statements,
    erased: list[Address],
    written: dict[int, tuple[Address, Put]],
    moment: Moment,
    generation: int,
) -> tuple[str, list[Any]]:
    """Return the statement for any number of items, and its parameters.

    Args:
        statements: The texts.
        erased: The addresses to erase, sorted.
        written: The puts with their addresses, sorted by those; by their place in the batch.
        moment: When it happens.
        generation: Of the vectors.
    """
    puts = [put for _, put in written.values()]
    places = {n: number for number, n in enumerate(sorted(written))}
    parameters = [
        *_columns(erased)[:3],
        *_columns([place for place, _ in written.values()])[:3],
        [put.value for put in puts],
        [put.ttl_minutes for put in puts],
        [place.full for place, _ in written.values()],
        [places[n] for n in written],
        [put.expected for put in puts] if any(put.expected is not None for put in puts) else [],
        *map(list, zip(*map(_words, puts), strict=True)),
        *([] if puts else [[], []]),
        *moment,
    ]
    if not statements.has_vectors:
        return statements.write, parameters
    vectors = _vectors(puts)
    return statements.write, [*parameters, *vectors, generation if vectors[0] else None]


@contextmanager
def told() -> Iterator[None]:
    """Raise what a function of the schema has to say as our exceptions."""
    try:
        yield
    except errors.Error as error:
        if error.sqlstate == CONFLICT:
            raise Conflict from None
        if error.sqlstate == REPLACED:
            raise Replaced from None
        if error.sqlstate == HELD:
            raise Held from None
        raise


def restore(
    connection: Connection, statements: Statements, commands: Sequence[Restore], generation: int
) -> list[Answer]:
    """Write items as they were elsewhere, in the caller's transaction; those that are newer here are left alone.

    A few statements for any number of items: nothing is decided row by row.
    """
    places = [address(command.namespace, command.key) for command in commands]
    written: set[tuple[str, str, str]] = set()
    for replaces_newer in (False, True):
        chosen = [n for n, command in enumerate(commands) if command.replaces_newer == replaces_newer]
        chosen.sort(key=places.__getitem__)  # so that everybody locks rows in the same order
        if chosen:
            rows = [_restored_row(places[n], commands[n], statements.has_vectors) for n in chosen]
            text = statements.restore if replaces_newer else statements.restore_unless_newer
            written.update(fetch(connection, text, _transposed(rows)))
    kept = [n for n in range(len(commands)) if places[n][:3] in written]
    if not kept:
        return [None] * len(commands)
    # The rows of the items are locked now, so nobody else changes their words and vectors.
    gone = _transposed([places[n][:3] for n in kept])
    fetch(connection, statements.drop_words, gone)
    rows = [
        (*places[n][:3], commands[n].updated_at, *_words(commands[n])) for n in kept if commands[n].words is not None
    ]
    if rows:
        fetch(connection, statements.restore_words, _transposed(rows))
    if statements.has_vectors:
        fetch(connection, statements.drop_vectors, gone)
        vectors = [
            (*places[n][:3], commands[n].updated_at, hash_, vector)
            for n in kept
            if (own := commands[n].vectors) is not None
            for hash_, vector in zip(commands[n].hashes, own, strict=True)
        ]
        if vectors:
            with told():
                fetch(connection, statements.check_vectors, (generation,))
            fetch(connection, statements.restore_vectors, [*_transposed(vectors), generation])
    fetch(connection, statements.draw_later, (max(commands[n].updated_at for n in kept),))
    answers: list[Answer] = [None] * len(commands)
    for n in kept:
        command = commands[n]
        answers[n] = Row(command.namespace, command.key, command.value, command.created_at, command.updated_at)
    return answers


def _restored_row(place: Address, command: Restore, has_vectors: bool) -> tuple[Any, ...]:
    times = command.created_at, command.updated_at, command.ttl_minutes, command.expires_at
    texts = len(command.hashes) if has_vectors and command.vectors is not None else 0
    return (*place[:3], command.value, *times, place.full, texts, command.words is not None)


def _transposed(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def erase(connection: Connection, statements: Statements, command: Forget | Sweep, moment: Moment) -> int:
    """Erase a scope or what has expired; return how many items there were, for a scope the live ones."""
    if isinstance(command, Sweep):
        swept: int = fetch(connection, statements.sweep, (moment.now,))[0][0]
        return swept
    covered = scope(command.prefix)
    expiries = fetch(connection, statements.forget_items(covered), covered.parameters, planned=True)
    # Statements of their own, so that they see the words and vectors of a put that the first one had to wait for.
    fetch(connection, statements.forget_words(covered), covered.parameters, planned=True)
    if statements.has_vectors:
        fetch(connection, statements.forget_vectors(covered), covered.parameters, planned=True)
    horizon = moment.horizon
    if horizon is None:
        ((horizon,),) = fetch(connection, statements.present)
    return sum(ttl.is_live(expires_at, horizon) for (expires_at,) in expiries)


def renew(connection: Connection, statements: Statements, renewals: Sequence[Renewal], moment: Moment) -> None:
    """Let items that were read live longer; what was written, erased or expired since is left alone."""
    columns = [list(column) for column in zip(*sorted(set(renewals)), strict=True)]
    fetch(connection, statements.refresh, (*columns, *moment))


def claim_space(connection: Connection, statements: Statements, named: str | None, dims: int) -> VectorSpace:
    """Say what the first vectors of the store are, in the transaction that writes them, and return what holds now.

    Raises:
        IndexMismatchError, EmbeddingError: Others were written in the meantime, of another model or size.
    """
    fetch(connection, statements.claim_space, (named, dims))
    *_, model, stored_dims, generation = fetch(connection, statements.state)[0]
    space = VectorSpace(model, stored_dims, generation)
    return space.agreed(VectorSpace(named), "the store").admit(dims)


def first_dims(batch: Batch) -> int | None:
    """Return the dimensions of the vectors that a batch writes, None where it writes none."""
    for command in batch.commands:
        if isinstance(command, (Put, Restore)) and command.vectors is not None:
            return int(command.vectors.shape[1])
    return None


def is_plain(command: Write) -> bool:
    """Whether a command may be written together with those of others: it cannot fail for a reason of its own."""
    return isinstance(command, Delete) or (isinstance(command, Put) and command.expected is None)


def _words(put: Put | Restore) -> tuple[str | None, int | None]:
    """Return the columns ``terms`` and ``length`` of the table of words."""
    return (None, None) if put.words is None else (as_column(put.words), put.words.length)


def _columns(places: list[Address]) -> list[list[Any]]:
    return [list(column) for column in zip(*places, strict=True)] or [[], [], [], []]


def _vectors(puts: list[Put]) -> list[list[Any]]:
    owners: list[int] = []
    hashes: list[bytes] = []
    embeddings: list[Any] = []
    for number, put in enumerate(puts, 1):
        if put.vectors is not None:
            owners += [number] * len(put.hashes)
            hashes.extend(put.hashes)
            embeddings.extend(put.vectors)
    return [owners, hashes, embeddings]

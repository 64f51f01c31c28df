"""Carries out the commands that change the model: staged vectors are rows of the next generation beside the others.

A search names the generation that it wants, so that staged rows, and rows of a former generation that have yet to be
dropped, are never found; what erases an item erases all of them. The switch changes one number.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from crossthread._clock import system_clock
from crossthread.engines.base import VectorSpace
from crossthread.engines.postgres.addresses import split
from crossthread.engines.postgres.connection import NUMBERS, Connection, fetch
from crossthread.engines.postgres.statements import Statements
from crossthread.operations.reembedding import (
    Begin,
    CountTexts,
    Hold,
    IndexedItem,
    Phase,
    Progress,
    ReadProgress,
    ReadTexts,
    ReembeddingRead,
    ReembeddingWrite,
    Settle,
    Stage,
    Switch,
    TextPage,
)
from crossthread.search.vectors import to_bytes

_PHASES: tuple[Phase, ...] = ("none", "staging", "settling")
_START = ("", "", "")  # before every address


def read(connection: Connection, statements: Statements, command: ReembeddingRead) -> Any:
    """Answer a reading command."""
    progress = _progress(connection, statements)
    match command:
        case ReadProgress():
            return progress
        case CountTexts():
            if not statements.has_vectors:
                return 0, 0
            return fetch(connection, statements.count_texts, (progress.generation,), planned=True)[0]
        case ReadTexts():
            if not statements.has_vectors:
                return TextPage([], {}, None)
            return _page(connection, statements, command, progress.generation)


def write(connection: Connection, statements: Statements, command: ReembeddingWrite) -> Any:
    """Carry out a writing command, in a transaction that the caller has begun."""
    match command:
        case Begin(run, model):
            fetch(connection, statements.begin_run, (run, model))
            return _progress(connection, statements)
        case Stage():
            return _stage(connection, statements, command)
        case Hold(run, seconds):
            if statements.has_vectors:  # whoever is writing vectors has written them
                fetch(connection, statements.lock_vectors, planned=True)
            return bool(fetch(connection, statements.hold, (run, system_clock() + int(seconds * 1e6))))
        case Switch(run):
            return _switch(connection, statements, run)
        case Settle(run):
            return _settle(connection, statements, run)


def _progress(connection: Connection, statements: Statements) -> Progress:
    generation, serves, phase, *rest = fetch(connection, statements.progress)[0]
    return Progress(generation, serves, _PHASES[phase], *rest)


def _page(connection: Connection, statements: Statements, command: ReadTexts, generation: int) -> TextPage:
    text = statements.unstaged_page if command.unstaged else statements.texts_page
    found = fetch(connection, text, (*(command.after or _START), command.limit, generation), planned=True)
    if not found:
        return TextPage([], {}, None)
    places = [one[:4] for one in found]
    hashes: dict[int, list[bytes]] = {}
    columns = [list(column) for column in zip(*places, strict=True)]
    for number, hash_, _ in fetch(connection, statements.hashes_of, [*columns, generation]):
        hashes.setdefault(number, []).append(hash_)
    items = []
    for number, (home, rest, key, stamp, value, full) in enumerate(found, 1):
        namespace, name = json.loads(full) if full is not None else (home + rest, key)
        if number in hashes:  # or it was written anew since
            items.append(IndexedItem((home, rest, key, stamp), namespace, name, value, tuple(hashes[number])))
    wanted = list({hash_ for item in items for hash_ in item.hashes})
    parameters: list[Any] = [wanted, generation + 1]
    if statements.is_cluster:
        parameters.append(sorted({split(item.namespace)[0] for item in items}))
    staged = {
        hash_: to_bytes(np.frombuffer(numbers, NUMBERS))
        for hash_, numbers in fetch(connection, statements.known_vectors, parameters)
    }
    return TextPage(items, staged, places[-1][:3] if len(found) == command.limit else None, True)


def _stage(connection: Connection, statements: Statements, command: Stage) -> bool:
    rows = [
        (*item.place, hash_, vector)
        for item in command.items
        for hash_, vector in zip(item.hashes, item.vectors, strict=True)
    ]
    if rows:
        fetch(connection, statements.set_next_dims, (command.run, rows[0][5].size))
    # Until this is done nobody switches, or begins another run.
    generation, run, dims = fetch(connection, statements.lock_state)[0]
    if not run or run != command.run:
        return False
    if rows:
        VectorSpace(None, dims).admit(rows[0][5].size)
        rows.sort(key=lambda row: row[:5])
        columns = [list(column) for column in zip(*rows, strict=True)]
        fetch(connection, statements.stage, (*columns, generation + 1))
    return True


def _switch(connection: Connection, statements: Statements, run: int) -> bool:
    if not run:
        return False
    if statements.has_vectors:
        # Readers go on. Who writes vectors has committed, or finds out below the lock that there is another generation.
        fetch(connection, statements.lock_vectors, planned=True)
        generation = _progress(connection, statements).generation
        if fetch(connection, statements.missing, (generation,), planned=True)[0][0]:
            return False
    return bool(fetch(connection, statements.switch, (run,)))


def _settle(connection: Connection, statements: Statements, run: int) -> bool:
    progress = _progress(connection, statements)
    if (progress.run != run) if run else (progress.phase != "settling"):
        return False
    if statements.has_vectors:
        found = fetch(connection, statements.other_generations, (progress.generation,), planned=True)
        if found:
            homes = sorted({home for (home,) in found})
            fetch(connection, statements.drop_generations, (homes, progress.generation), planned=True)
            return True
    fetch(connection, statements.end_phase, (1 if run else 2,))
    return False

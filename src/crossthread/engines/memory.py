"""The in-memory reference engine: the contract in its plainest code, and the oracle for all other engines.

Dicts, one lock, no cleverness. It keeps values as JSON text, so that nothing is shared with a caller.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from crossthread import namespaces, ttl, values
from crossthread._clock import Clock
from crossthread._text import unescape
from crossthread.engines._fork import watch
from crossthread.engines._worker import Stretch
from crossthread.engines.base import BlockingEngine, Preferences, Progress, VectorSpace, agreed_language
from crossthread.engines.memory_staging import Indexed, Staging
from crossthread.errors import StoreError
from crossthread.filters.ast import Node
from crossthread.filters.match import matches
from crossthread.operations.commands import (
    ABSENT,
    WRITES,
    Answer,
    Batch,
    Command,
    Conflict,
    Count,
    Delete,
    Forget,
    Get,
    Held,
    KnownVectors,
    ListNamespaces,
    Measured,
    MeasuredNamespace,
    Page,
    Put,
    Records,
    RecordsAt,
    Restore,
    Row,
    Search,
    Stats,
    Stored,
    Sweep,
    scored_row,
)
from crossthread.operations.reembedding import (
    Begin,
    CountTexts,
    Hold,
    ReadProgress,
    ReadTexts,
    Settle,
    Stage,
    Switch,
)
from crossthread.search import fusion, keyword, scan
from crossthread.search.vectors import Vectors, to_bytes
from crossthread.search.words import Words
from crossthread.verification import Findings, Verification, value_problems, vector_problems, word_problems

Address = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Record:
    """An item with what belongs to it. Times are microseconds since 1970."""

    row: Row
    ttl_minutes: float | None
    expires_at: int | None
    vectors: bytes
    hashes: tuple[bytes, ...]
    words: Words | None

    def stored(self, *, vectors: bool) -> Stored:
        """Return it as an answer."""
        own = self.vectors if vectors else None
        return Stored(self.row, self.ttl_minutes, self.expires_at, self.hashes, self.words, own)


class MemoryEngine(BlockingEngine):
    """Keeps everything in this process's memory, for tests and short-lived programs."""

    system_name = "memory"
    keeps_records = True
    can_reembed = True

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._lock = threading.Lock()
        self._records: dict[str, dict[str, _Record]] = {}
        self._owners: dict[bytes, set[Address]] = {}  # text hash: the items that have it
        self._times: set[int] = set()  # the updated_at of all items
        self._last_write = 0
        self._named: str | None = None
        self._staging = Staging(0)
        self._kept_space = VectorSpace()  # of the vectors that were written; `space` is also what is asked for
        watch(self)

    def before_fork(self) -> None:
        """Let nobody be in the middle of something."""
        self._lock.acquire()

    def after_fork(self, in_child: bool) -> None:
        """Go on; a child goes on with a copy of its own."""
        self._lock.release()

    @classmethod
    def from_url(cls, url: str, *, clock: Clock | None = None) -> MemoryEngine:
        """Return a new, empty engine."""
        return cls(clock)

    def prefer(self, preferences: Preferences) -> None:
        """Nothing here outlives the process, so that every choice is kept."""

    def open(self, space: VectorSpace | None, language: str | None = None, *, create: bool = True) -> None:
        """Take on the vector space and the language; there is nothing else to prepare."""
        self.check_open()
        wanted = space or VectorSpace()
        self.space = self.space.agreed(wanted, "memory")
        self._named = wanted.model
        self.language = agreed_language(self.language, language, "memory")

    def close(self) -> None:
        """Refuse from now on, and forget everything."""
        super().close()
        with self._lock:
            self._records.clear()
            self._owners.clear()
            self._times.clear()
            self._staging = Staging(0)

    def verify(self) -> Verification:
        """Check every record, and that the owners of texts are those of the records."""
        findings = Findings()
        owners: dict[bytes, set[Address]] = {}
        with self._lock:
            self.check_open()
            for name, space in self._records.items():
                for key, record in space.items():
                    findings.items += 1
                    for problem in self._problems((name, key), record):
                        findings.add(f"{namespaces.from_text(name)} {unescape(key)!r}: {problem}.")
                    for hash_ in record.hashes:
                        owners.setdefault(hash_, set()).add((name, key))
            if owners != self._owners:
                findings.add("The index of texts does not hold exactly the texts of the items.")
            if not self._staging.vectors.keys() <= owners.keys():
                findings.add("There are staged vectors of texts that no item has.")
        return findings.report()

    def _problems(self, address: Address, record: _Record) -> Iterator[str]:
        row = record.row
        if (row.namespace, row.key) != address:
            yield f"it says that it is {row.namespace!r} {row.key!r}"
        if row.updated_at > self._last_write:
            yield f"it was written at {row.updated_at}, after the last write, {self._last_write}"
        yield from value_problems(row.value, row.created_at, row.updated_at, record.ttl_minutes, record.expires_at)
        yield from vector_problems(len(record.hashes), record.vectors, self.space.dims)
        if record.words is not None:
            yield from word_problems(record.words.counts, record.words.length)

    def backup(self, path: Path, progress: Progress | None) -> None:
        """Refuse: there is no file."""
        raise StoreError(
            f"A store in memory has no file that could be copied to {path}. Open a file instead of ':memory:', or read "
            "the items with search() and put them into a store in a file."
        )

    def erase_traces(self) -> list[str]:
        """Nothing is left of what was deleted."""
        return []

    def run_all(self, batches: Sequence[Batch]) -> list[list[Answer] | BaseException]:
        """Execute one batch after the other."""
        outcomes: list[list[Answer] | BaseException] = []
        stretch = Stretch()
        for batch in batches:
            try:
                with self._lock:
                    self.check_open()
                    outcomes.append(self._execute(batch))
                if batch.writes and self.on_commit is not None:
                    self.on_commit(1)
            except Exception as error:
                outcomes.append(error)
            stretch.pause()
        return outcomes

    def _execute(self, batch: Batch) -> list[Answer]:
        run = _Run(self, batch)
        answers: dict[int, Answer] = {}
        for position, command in enumerate(batch.commands):
            if not isinstance(command, WRITES):
                answers[position] = run.read(command)
        space, kept_space, last_write = self.space, self._kept_space, self._last_write
        try:
            run.refresh()
            for position, command in enumerate(batch.commands):
                if isinstance(command, WRITES):
                    answers[position] = run.write(command)
        except BaseException:
            run.undo()
            self.space, self._kept_space, self._last_write = space, kept_space, last_write
            raise
        run.drop_staged()
        return [answers[position] for position in range(len(batch.commands))]


class _Run:
    """One batch on an engine's records, with what is needed to take it back."""

    def __init__(self, engine: MemoryEngine, batch: Batch) -> None:
        self.engine = engine
        self.omit_expired = batch.omit_expired
        self.generation = batch.generation
        self.now = engine.clock()
        self.to_refresh: dict[Address, _Record] = {}
        self.before: dict[Address, _Record | None] = {}

    def read(self, command: Command) -> Answer:
        match command:
            case Get(namespace, key, refresh_ttl):
                found = self.live(namespace, key)
                if found is not None and refresh_ttl:
                    self.to_refresh[namespace, key] = found
                return None if found is None else found.row
            case Search():
                found_all = self.search(command)
                if command.refresh_ttl:
                    self.to_refresh.update({(r.row.namespace, r.row.key): r for r, *_ in found_all})
                return [scored_row(record.row, hit, terms, command.explain) for record, hit, terms in found_all]
            case ListNamespaces(patterns, max_depth, limit, offset):
                names = {namespaces.from_text(record.row.namespace) for record in self.below("")}
                return namespaces.listed(names, patterns, max_depth, limit, offset)
            case Count(prefix, where):
                return len(self.matching(prefix, where))
            case KnownVectors(hashes, _):
                self.check_space()
                return {hash_: self.vector_of(hash_) for hash_ in hashes if hash_ in self.engine._owners}
            case ReadProgress():
                return self.engine._staging.progress(self.engine.space.generation, self.engine.space.model)
            case CountTexts():
                texts = [hash_ for one in self.indexed() for hash_ in one.hashes]
                return len(texts), sum(hash_ in self.engine._staging.vectors for hash_ in texts)
            case ReadTexts(after, limit, unstaged):
                return self.engine._staging.page(self.indexed(), after, limit, unstaged=unstaged)
            case Records():
                return Page(self.records(command), self.engine.language, *self.engine._kept_space)
            case RecordsAt(addresses, vectors):
                at = [self.live(*address) for address in addresses]
                stored = [None if record is None else record.stored(vectors=vectors) for record in at]
                return Page(stored, self.engine.language, *self.engine._kept_space)
            case Stats(prefix):
                return self.stats(prefix)
            case _:
                raise AssertionError(f"not a read: {command!r}")

    def write(self, command: Command) -> Answer:
        match command:
            case Put():
                return self.put(command)
            case Restore():
                return self.restore(command)
            case Delete(namespace, key):
                self.replace((namespace, key), None)
                return None
            case Forget(prefix):
                live = len(self.below(prefix))
                for record in self.stored(prefix):
                    self.replace((record.row.namespace, record.row.key), None)
                return live
            case Sweep():
                expired = [record for record in self.stored("") if not ttl.is_live(record.expires_at, self.now)]
                for record in expired:
                    self.replace((record.row.namespace, record.row.key), None)
                return len(expired)
            case Begin(number, model):
                staging = self.engine._staging
                if not staging.run:
                    self.engine._staging = Staging(staging.last_run, number, model)
                return self.engine._staging.progress(self.engine.space.generation, self.engine.space.model)
            case Stage():
                return self.engine._staging.add(command, self.texts_at)
            case Hold(number, seconds):
                return self.engine._staging.hold(number, seconds)
            case Switch(number):
                return self.switch(number)
            case Settle(number):
                if number and number == self.engine._staging.run:
                    self.engine._staging = Staging(self.engine._staging.last_run)
                return False
            case _:
                raise AssertionError(f"not a write: {command!r}")

    def check_space(self) -> None:
        """Refuse vectors of another generation than the store's."""
        self.engine.space.check(self.generation, self.engine._named, "memory")

    def indexed(self) -> Iterator[Indexed]:
        """Yield the items that have texts, expired ones too."""
        for record in self.stored(""):
            if record.hashes:
                row = record.row
                yield Indexed(row.namespace, row.key, row.value, row.updated_at, record.hashes)

    def texts_at(self, place: tuple[str, str, int]) -> tuple[bytes, ...]:
        """Return the hashes of an item's texts; none where it was written anew or is gone."""
        namespace, key, updated_at = place
        record = self.engine._records.get(namespace, {}).get(key)
        return record.hashes if record is not None and record.row.updated_at == updated_at else ()

    def switch(self, number: int) -> bool:
        """Replace all vectors by the staged ones, if none is missing."""
        engine, staging = self.engine, self.engine._staging
        if not staging.run or number != staging.run:
            return False
        records = [record for record in self.stored("") if record.hashes]
        vectors = [staging.of(record.hashes) for record in records]
        if None in vectors:
            return False
        for record, own in zip(records, vectors, strict=True):
            engine._records[record.row.namespace][record.row.key] = replace(record, vectors=own or b"")
        engine.space = VectorSpace(staging.model, staging.dims, engine.space.generation + 1)
        engine._kept_space = engine.space
        engine._named = staging.model
        engine._staging = Staging(number)
        return True

    def drop_staged(self) -> None:
        """Drop the staged vectors of texts that are gone with what this batch has replaced."""
        if self.engine._staging.vectors:
            gone = {hash_ for record in self.before.values() if record is not None for hash_ in record.hashes}
            self.engine._staging.forget([hash_ for hash_ in gone if hash_ not in self.engine._owners])

    def stored(self, prefix: str) -> list[_Record]:
        """Return every record below a prefix, expired ones too."""
        spaces = self.engine._records
        return [record for name, space in spaces.items() if name.startswith(prefix) for record in space.values()]

    def is_live(self, record: _Record) -> bool:
        return not self.omit_expired or ttl.is_live(record.expires_at, self.now)

    def below(self, prefix: str) -> list[_Record]:
        return [record for record in self.stored(prefix) if self.is_live(record)]

    def live(self, namespace: str, key: str) -> _Record | None:
        record = self.engine._records.get(namespace, {}).get(key)
        return record if record is not None and self.is_live(record) else None

    def matching(self, prefix: str, where: Node | None) -> list[_Record]:
        found = self.below(prefix)
        if where is None:
            return found
        return [record for record in found if matches(where, values.decode(record.row.value))]

    def search(self, command: Search) -> list[tuple[_Record, scan.Hit | None, dict[str, float]]]:
        """Return the records of a page, with what they were found by."""
        found = self.matching(command.prefix, command.where)
        page = slice(command.offset, command.offset + command.limit)
        if command.mode is None:
            found.sort(key=lambda record: -record.row.updated_at)
            return [(record, None, {}) for record in found[page]]
        scope = self.below(command.prefix)
        places = {id(record): place for place, record in enumerate(scope)}
        allowed = np.array([places[id(record)] for record in found], dtype=np.int64)
        postings, corpus = self.postings(scope, command.terms)
        words = keyword.scored(postings, corpus, allowed)
        count = command.offset + command.limit
        if command.mode == "keyword":
            hits = keyword.best(words, count, min_score=command.min_score)
        else:
            hits = self.nearest(scope, command, words, allowed, count)
        parts = keyword.explained(postings, corpus, command.terms, [hit.id for hit in hits])
        return [(scope[hit.id], hit, parts.get(hit.id, {})) for hit in hits[page]]

    def records(self, command: Records) -> list[Stored | None]:
        """Return a page of records."""
        found = [record.stored(vectors=command.vectors) for record in self.below(command.prefix)]
        found.sort(key=lambda record: record.position, reverse=command.newest_first)
        if command.after is not None:
            after, turned = command.after, command.newest_first
            found = [one for one in found if (one.position < after if turned else one.position > after)]
        return [*found[: command.limit]]

    def stats(self, prefix: str) -> Measured:
        """Return what lies below a prefix."""
        spaces: dict[str, list[_Record]] = {}
        for record in self.below(prefix):
            spaces.setdefault(record.row.namespace, []).append(record)
        measured = [
            MeasuredNamespace(
                name,
                len(records),
                sum(len(record.row.value.encode()) for record in records),
                sum(record.expires_at is not None for record in records),
                max(record.row.updated_at for record in records),
            )
            for name, records in spaces.items()
        ]
        expired = sum(not ttl.is_live(record.expires_at, self.now) for record in self.stored(prefix))
        vectors = sum(len(record.hashes) for records in spaces.values() for record in records)
        return Measured(tuple(measured), expired, vectors, *self.engine._kept_space[:2], self.engine.language)

    def postings(self, scope: list[_Record], terms: tuple[str, ...]) -> tuple[keyword.Postings, keyword.Corpus]:
        """Return where terms occur; an item's place in the scope is its id."""
        indexed = [(place, record, record.words) for place, record in enumerate(scope) if record.words is not None]
        rows = [
            (place, record.row.updated_at, words.length, [words.counts.get(term, 0) for term in terms])
            for place, record, words in indexed
            if any(term in words.counts for term in terms)
        ]
        holding = tuple(sum(1 for *_, counts in rows if counts[n]) for n in range(len(terms)))
        corpus = keyword.Corpus(len(indexed), sum(words.length for *_, words in indexed), holding)
        return keyword.Postings.of(rows, len(terms)), corpus

    def nearest(
        self, scope: list[_Record], command: Search, words: keyword.Scored, allowed: npt.NDArray[np.int64], count: int
    ) -> list[scan.Hit]:
        """Return the best hits by vectors, or by vectors and words."""
        assert command.vector is not None
        self.check_space()
        block = scan.EMPTY
        if self.engine.space.dims is not None:
            self.engine.space.admit(command.vector.size)
            indexed = [(place, record) for place, record in enumerate(scope) if record.hashes]
            block = scan.pack(
                [place for place, _ in indexed],
                [record.row.updated_at for _, record in indexed],
                [record.vectors for _, record in indexed],
                self.engine.space.dims,
            )
        if command.mode == "semantic":
            return scan.best(block, command.vector, count, allowed=allowed, min_score=command.min_score)
        return fusion.best(
            lambda: [(block, allowed)], command.vector, words, command.weight, count, min_score=command.min_score
        )

    def vector_of(self, hash_: bytes) -> bytes:
        """Return the vector of a text that some item has."""
        namespace, key = next(iter(self.engine._owners[hash_]))
        record = self.engine._records[namespace][key]
        size = len(record.vectors) // len(record.hashes)
        start = record.hashes.index(hash_) * size
        return record.vectors[start : start + size]

    def refresh(self) -> None:
        for address, record in self.to_refresh.items():
            if record.ttl_minutes is not None:
                self.replace(address, replace(record, expires_at=ttl.expiry(self.now, record.ttl_minutes)))

    def put(self, command: Put) -> Row:
        old = self.live(command.namespace, command.key)
        if command.expected is not None and command.expected != (ABSENT if old is None else old.row.updated_at):
            raise Conflict
        stamp = max(self.now, self.engine._last_write + 1)
        created_at = stamp if old is None else old.row.created_at
        row = Row(command.namespace, command.key, command.value, created_at, stamp)
        expires_at = ttl.expiry(self.now, command.ttl_minutes)
        vectors = self.admitted(command.vectors)
        record = _Record(row, command.ttl_minutes, expires_at, vectors, command.hashes, command.words)
        self.replace((command.namespace, command.key), record)
        self.engine._last_write = stamp
        return row

    def restore(self, command: Restore) -> Row | None:
        address = command.namespace, command.key
        old = self.engine._records.get(command.namespace, {}).get(command.key)
        if old is not None and old.row.updated_at > command.updated_at and not command.replaces_newer:
            return None
        vectors = self.admitted(command.vectors)
        self.replace(address, None)
        stamp = command.updated_at
        while stamp in self.engine._times:
            stamp += 1
        row = Row(*address, command.value, command.created_at, stamp)
        record = _Record(row, command.ttl_minutes, command.expires_at, vectors, command.hashes, command.words)
        self.replace(address, record)
        self.engine._last_write = max(self.engine._last_write, stamp)
        return row

    def admitted(self, vectors: Vectors | None) -> bytes:
        """Return vectors as they are kept, after they were found to fit the store."""
        if vectors is None:
            return b""
        self.check_space()
        if self.engine._staging.is_held:
            raise Held
        self.engine.space = self.engine._kept_space = self.engine.space.admit(vectors.shape[1])
        return to_bytes(vectors)

    def replace(self, address: Address, record: _Record | None) -> None:
        """Put a record in the place of what stands at an address; None takes it away."""
        namespace, key = address
        space = self.engine._records.setdefault(namespace, {})
        old = space.pop(key, None)
        self.before.setdefault(address, old)
        if old is not None:
            self.engine._times.discard(old.row.updated_at)
        for hash_ in () if old is None else old.hashes:
            self.engine._owners[hash_].discard(address)
            if not self.engine._owners[hash_]:
                del self.engine._owners[hash_]
        if record is not None:
            space[key] = record
            self.engine._times.add(record.row.updated_at)
            for hash_ in record.hashes:
                self.engine._owners.setdefault(hash_, set()).add(address)
        if not space:
            del self.engine._records[namespace]

    def undo(self) -> None:
        """Put back everything this batch replaced."""
        before = list(self.before.items())
        for address, _ in before:  # first all of them, since an item may have taken the time of another
            self.replace(address, None)
        for address, record in before:
            self.replace(address, record)

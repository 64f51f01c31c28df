"""The connection to a server ends, stalls, or a statement fails, at each message in turn: nothing is half done.

The n-th message of an operation meets the fault, for every n until the operation passes; a proxy between the store and
a real server does it, or the server itself raises.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import GetOp, ListNamespacesOp, PutOp, SearchOp

from crossthread import Memory, MemoryStore
from crossthread.engines.postgres import connection as postgres
from crossthread.engines.postgres import engine as engines
from crossthread.engines.postgres import reads, verification, writes
from crossthread.engines.postgres import schema as schemas
from crossthread.errors import (
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from crossthread.testing import HashEmbeddings, ManualClock
from proxies import Fault, Proxy, proxy_to
from servers import run_sql, schema_for, server_url, store_url, with_parameters

LONG = bool(os.environ.get("CROSSTHREAD_LONG"))
ADA, BOB = ("memories", "ada"), ("memories", "bob")
INDEX: Any = {"embed": HashEmbeddings(dims=8), "dims": 8, "fields": ["text"], "mode": "hybrid"}
UNKNOWN = "Whether the write took effect is not known"

OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "put": lambda store: store.put(ADA, "new", {"text": "old trains"}),
    "delete": lambda store: store.delete(BOB, "1"),
    "update": lambda store: store.update(ADA, "2", lambda value: {**value, "n": value["n"] + 1}),
    "batch": lambda store: store.batch(
        [
            GetOp(BOB, "0", refresh_ttl=True),
            SearchOp(ADA, query="tea"),
            ListNamespacesOp(),
            *[PutOp(ADA, f"b{n}", {"text": f"tea {n}"}) for n in range(3)],
            PutOp(ADA, "3", None),
            PutOp(BOB, "0", {"text": "red roses"}, ttl=5),
        ]
    ),
    "forget": lambda store: store.forget(BOB),
    "sweep": lambda store: store.sweep_ttl(),
    "search": lambda store: store.search(BOB, query="roses", refresh_ttl=True),
    "get": lambda store: store.get(BOB, "1", refresh_ttl=True),
    "verify": lambda store: store.verify(),
}
READS = {"search", "get", "verify"}


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with proxy_to(server_url()) as proxy:
        yield proxy


class Place:
    """A schema, a store on it that goes through the proxy, and one that goes straight to the server."""

    def __init__(self, tmp_path: Path, proxy: Proxy, **parameters: object) -> None:
        self.clock = ManualClock()
        through = with_parameters(f"{proxy.url}&schema={schema_for(tmp_path)}", **parameters)
        self.straight = MemoryStore(store_url(tmp_path), index=INDEX, clock=self.clock)
        self.store = MemoryStore(through, index=INDEX, clock=self.clock)

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: Any) -> None:
        self.store.close()
        self.straight.close()

    def reset(self) -> None:
        self.straight.forget(())
        self.straight.batch([PutOp(ADA, f"{n}", {"text": f"tea {n}", "n": n}) for n in range(4)])
        self.straight.batch([PutOp(BOB, f"{n}", {"text": f"roses {n}"}, ttl=10) for n in range(3)])
        self.straight.put(BOB, "brief", {"text": "winter"}, ttl=1)
        self.clock.advance(minutes=2)

    def connect(self) -> None:
        """Let the store have a new connection, to which every statement is sent for the first time."""
        engine = self.store._engine
        assert isinstance(engine, engines.PostgresEngine)
        engine._pool._drop_kept()
        self.store.get(ADA, "0")

    def content(self) -> Any:
        """Return what is there, which must be sound, and what is found."""
        assert self.straight.verify().problems == ()
        everything = self.straight.search((), limit=100, refresh_ttl=False)
        found = self.straight.search((), query="tea roses trains", limit=100, refresh_ttl=False)
        rows = run_sql(f"SELECT count(*) FROM {schema_for_store(self.straight)}.items")
        return (
            sorted((item.namespace, item.key, repr(item.value)) for item in everything),
            sorted((hit.namespace, hit.key, round(hit.score, 6)) for hit in found),
            rows,
        )


def schema_for_store(store: MemoryStore) -> str:
    engine = store._engine
    assert isinstance(engine, engines.PostgresEngine)
    return engine.schema


def states(place: Place, act: Callable[[MemoryStore], Any]) -> list[Any]:
    """Return what is there before and after an operation."""
    place.reset()
    found = [place.content()]
    act(place.straight)
    return [*found, place.content()]


def check(place: Place, name: str, outcome: Any, told: str, before: Any, after: Any) -> None:
    act = OPERATIONS[name]
    found = place.content()
    if outcome is None:
        assert found == after, told
    elif UNKNOWN in str(outcome):
        assert name not in READS, told
        assert found in (before, after), told
    else:
        assert found == before, f"{told}: {outcome!r}"
    if found == before and outcome is not None:
        act(place.store)  # it works again
        assert place.content() == after, told


FAULTS: list[Fault] = ["cut before", "cut after"]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("fault", FAULTS)
def test_an_operation_is_done_or_not_whatever_message_is_lost(tmp_path, proxy, operation, fault):
    act = OPERATIONS[operation]
    errors = unheard = 0
    with Place(tmp_path, proxy) as place:
        before, after = states(place, act)
        for at in range(1, 60):
            place.reset()
            place.connect()
            proxy.arm(fault, at)
            outcome = None
            try:
                act(place.store)
            except StoreError as error:
                outcome = error
            fired = proxy.fired
            proxy.heal()
            told = f"{operation}: message {at}, {fault}: {outcome!r}"
            if outcome is not None:
                errors += 1
                assert isinstance(outcome, StoreUnavailableError), told
                unheard += place.content() == after
            check(place, operation, outcome, told, before, after)
            if not fired:
                break
        else:
            raise AssertionError("it never passed")
    assert bool(errors) == (operation not in READS)
    assert bool(unheard) == (operation not in READS and fault == "cut after")  # written, and the caller cannot know


@pytest.mark.parametrize("operation", ["put", "update", "batch", "search", "get"])
def test_the_same_through_the_async_methods(tmp_path, proxy, operation):
    class Async:
        def __init__(self, store: MemoryStore) -> None:
            self.store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self.store, f"a{name}")

    async def main(store: MemoryStore) -> Any:
        return await OPERATIONS[operation](Async(store))

    with Place(tmp_path, proxy) as place:
        before, after = states(place, OPERATIONS[operation])
        for at in range(1, 60):
            place.reset()
            asyncio.run(place.store.aget(ADA, "0"))
            proxy.arm("cut after", at)
            outcome = None
            try:
                asyncio.run(main(place.store))
            except StoreError as error:
                outcome = error
            fired = proxy.fired
            proxy.heal()
            check(place, operation, outcome, f"{operation}: message {at}: {outcome!r}", before, after)
            if not fired:
                break


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_server_that_is_gone_for_good_is_told_in_time_and_found_again(tmp_path, proxy, operation):
    act = OPERATIONS[operation]
    with Place(tmp_path, proxy, timeout_seconds=0.3) as place:
        before, after = states(place, act)
        for at in range(1, 60, 1 if LONG else 3):
            place.reset()
            place.connect()
            proxy.arm("gone", at)
            began = time.monotonic()
            outcome = None
            try:
                act(place.store)
            except StoreUnavailableError as error:
                outcome = error
            assert time.monotonic() - began < 5
            fired = proxy.fired
            assert (outcome is not None) == fired or operation in READS
            proxy.heal()
            wait_for_server(place.store)
            check(place, operation, outcome, f"{operation}: message {at}: {outcome!r}", before, after)
            if not fired:
                break


def wait_for_server(store: MemoryStore) -> None:
    """A server that could not be reached is left in peace for a moment."""
    for _ in range(100):
        try:
            store.get(ADA, "0")
            return
        except StoreUnavailableError:
            time.sleep(0.02)
    raise AssertionError("the store does not come back")


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name not in ("forget", "sweep", "verify")])
def test_a_server_that_does_not_answer_is_given_up_in_time(tmp_path, proxy, operation):
    """What passes nothing on is worse than what refuses: a connection that stays open, and silent."""
    act = OPERATIONS[operation]
    with Place(tmp_path, proxy, timeout_seconds=1, answer_timeout_seconds=0.3) as place:
        before, after = states(place, act)
        for at in range(1, 60, 1 if LONG else 2):
            place.reset()
            place.connect()
            proxy.arm("stall", at)
            began = time.monotonic()
            outcome = None
            try:
                act(place.store)
            except StoreError as error:
                outcome = error
            took = time.monotonic() - began
            fired = proxy.fired
            proxy.heal()
            told = f"{operation}: message {at}: {outcome!r}"
            assert took < 4, told
            if fired and operation not in READS:
                assert isinstance(outcome, StoreUnavailableError), told
                assert "no answer within 0.3 seconds" in str(outcome), told
            wait_for_server(place.store)
            check(place, operation, outcome, told, before, after)
            if not fired:
                break


def test_a_server_that_accepts_and_says_nothing_is_given_up_when_a_store_is_opened():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d?timeout_seconds=1&sslmode=disable"
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="127.0.0.1 cannot be opened"):
            MemoryStore(url)
        assert time.monotonic() - began < 5


def test_setting_up_is_done_or_not_whatever_message_is_lost(tmp_path, proxy):
    schema = schema_for(tmp_path)
    for fault in FAULTS:
        for at in range(1, 200, 1 if LONG else 5):
            run_sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            proxy.arm(fault, at)
            try:
                MemoryStore(f"{proxy.url}&schema={schema}", index=INDEX).close()
                outcome = None
            except StoreUnavailableError as error:
                outcome = error
            fired = proxy.fired
            proxy.heal()
            with MemoryStore(f"{proxy.url}&schema={schema}", index=INDEX) as store:
                store.put(ADA, "k", {"text": "tea"})
                assert [hit.key for hit in store.search(ADA, query="tea")] == ["k"]
                assert store.verify()
            if not fired:
                assert outcome is None
                assert at > 5
                break
        else:
            raise AssertionError("it never passed")


SAID: dict[str, type[StoreError]] = {
    "53100": StoreFullError,  # disk full
    "25006": StoreReadOnlyError,  # the server has become a standby
    "57014": StoreBusyError,  # statement_timeout
    "55P03": StoreBusyError,  # lock_timeout
    "53200": StoreError,  # out of memory
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_is_done_or_not_whatever_statement_the_server_refuses(tmp_path, monkeypatch, operation):
    """The n-th statement is replaced by one that fails on the server, so its transaction has really failed."""
    act = OPERATIONS[operation]
    fetch = postgres.fetch
    count, at, state = 0, 0, ""

    def failing(connection: Any, sql: str, parameters: Any = (), *, planned: bool = False) -> Any:
        nonlocal count
        if threading.current_thread() is acting and at and sql != "ROLLBACK":
            count += 1
            if count == at:
                sql, parameters, planned = f"DO $$ BEGIN RAISE SQLSTATE '{state}'; END $$", (), True
        return fetch(connection, sql, parameters, planned=planned)

    for module in (postgres, engines, schemas, writes, reads, verification):
        monkeypatch.setattr(module, "fetch", failing)
    acting = threading.current_thread()
    with Straight(tmp_path) as place:
        before, after = states(place, act)
        for state, expected in SAID.items() if LONG else list(SAID.items())[:3]:
            for n in range(1, 60):
                place.reset()
                count, at = 0, n
                outcome = None
                try:
                    act(place.store)
                except StoreError as error:
                    outcome = error
                reached, at = count >= n, 0
                told = f"{operation}: statement {n}, {state}: {outcome!r}"
                if outcome is not None:
                    assert isinstance(outcome, expected), told
                    assert UNKNOWN not in str(outcome), told
                check(place, operation, outcome, told, before, after)
                if not reached:
                    break
            else:
                raise AssertionError("it never passed")


class Straight(Place):
    """The same without a proxy: both stores go straight to the server."""

    def __init__(self, tmp_path: Path) -> None:
        self.clock = ManualClock()
        self.straight, self.store = (MemoryStore(store_url(tmp_path), index=INDEX, clock=self.clock) for _ in range(2))


def test_a_turn_of_a_thread_is_saved_or_not_whatever_message_is_lost(tmp_path, proxy):
    """The checkpointer on the same server."""
    schema = schema_for(tmp_path)
    with Memory(f"{proxy.url}&schema={schema}&timeout_seconds=1&answer_timeout_seconds=0.3") as memory:

        @memory.entrypoint
        def chat(message: str, *, previous: Any = None) -> list[str]:
            return [*(previous or []), message]

        for fault in ("cut before", "cut after", "stall"):
            for at in range(1, 60, 1 if fault != "stall" or LONG else 4):
                config: Any = {"configurable": {"thread_id": f"{fault} {at}"}}
                assert chat.invoke("one", config) == ["one"]
                proxy.arm(fault, at)
                try:
                    outcome: Any = chat.invoke("two", config)
                except StoreUnavailableError as error:
                    outcome = error
                fired = proxy.fired
                proxy.heal()
                for _ in range(100):
                    try:
                        found = chat.invoke("three", config)
                        break
                    except StoreUnavailableError:
                        time.sleep(0.02)
                assert found in (["one", "two", "three"], ["one", "three"]), (fault, at, outcome)
                if not isinstance(outcome, StoreError):
                    assert found == ["one", "two", "three"], (fault, at)
                if not fired:
                    break
            else:
                raise AssertionError("it never passed")

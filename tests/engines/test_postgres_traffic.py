"""What travels between a store and its server: how often the server is asked, over how many connections."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import socket
import struct
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from langgraph.store.base import GetOp, PutOp

from crossthread import MemoryStore
from crossthread.errors import StoreBusyError, StoreClosedError
from crossthread.testing import HashEmbeddings
from servers import at_once, run_sql, schema_for, server_url, store_url, wait_until, with_parameters

ADA = ("memories", "ada")
INDEX: Any = {"embed": HashEmbeddings(dims=8), "dims": 8, "fields": ["text"]}


class Relay:
    """Stands between a store and the server, and counts how often the server is asked for an answer."""

    def __init__(self, folder: str) -> None:
        self.asked = 0
        place = f"{server_url().partition('?')[0]}?host={quote(folder, safe='')}&port=5432"
        self.url = with_parameters(place, sslmode="disable", gssencmode="disable")
        with psycopg.connect(server_url()) as connection:
            self._host, self._port = connection.info.host, connection.info.port
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{folder}/.s.PGSQL.5432")
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._host.startswith("/"):
                server = socket.socket(socket.AF_UNIX)
                server.connect(f"{self._host}/.s.PGSQL.{self._port}")
            else:
                server = socket.create_connection((self._host, self._port))
            threading.Thread(target=self._pass_on, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, False), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_client: bool) -> None:
        waiting, header = b"", 4  # the first message has no type
        # One of the two directions ends first, and closes the sockets of both.
        with source, target, suppress(OSError):
            while data := source.recv(65536):
                waiting += data if is_client else b""
                while len(waiting) >= header and len(waiting) > (
                    size := struct.unpack_from(">I", waiting, header - 4)[0]
                ):
                    if header == 5:
                        self.asked += waiting[:1] in (b"S", b"Q")
                    elif len(waiting) < size:
                        break
                    waiting, header = waiting[size + header - 4 :], 5
                target.sendall(data)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def relay() -> Iterator[Relay]:
    with tempfile.TemporaryDirectory() as folder:
        relay = Relay(folder)
        relay.url = with_parameters(  # type: ignore[attr-defined]
            f"{server_url().partition('?')[0]}?host={quote(folder, safe='')}&port=5432",
            sslmode="disable",
            gssencmode="disable",
        )
        yield relay
        relay.close()


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_call_asks_the_server_once(tmp_path, relay, way):
    runner = asyncio.Runner()

    def asked(name: str, *arguments: Any, **options: Any) -> int:
        for _ in range(3):  # warm from the second one on
            before = relay.asked
            if way == "sync":
                getattr(store, name)(*arguments, **options)
            else:
                runner.run(getattr(store, f"a{name}")(*arguments, **options))
        return relay.asked - before

    url = with_parameters(relay.url, schema=schema_for(tmp_path), pool_size=1)
    with runner, MemoryStore(url, index=INDEX) as store:
        store.batch([PutOp(ADA, str(n), {"text": f"likes tea {n}", "n": n}) for n in range(100)])
        assert asked("get", ADA, "1") == 1
        assert asked("get", ADA, "missing") == 1
        assert asked("search", ADA) == 1
        assert asked("search", ADA, query="tea 3", limit=5) == 1
        assert asked("search", ("memories",), query="tea 3", limit=5) == 1
        assert asked("search", ADA, filter={"n": {"$gt": 50}}) == 1
        assert asked("search", ADA, query="tea 3", filter={"n": {"$gt": 50}}, limit=5) == 1
        assert asked("count", ADA) == 1
        assert asked("list_namespaces") == 1
        assert asked("delete", ADA, "99") == 1
        assert asked("put", ADA, "p", {"text": "likes pizza"}, index=False) == 1
        assert asked("batch", [PutOp(ADA, str(n), {"n": n}) for n in range(500)]) == 1
        assert asked("batch", [GetOp(ADA, str(n)) for n in range(50)]) == 1
        assert asked("update", ADA, "p", dict, index=False) == 2
        # With texts: which of them are known, and then the rest.
        assert asked("put", ADA, "p", {"text": "likes pizza"}) == 2
        assert asked("batch", [PutOp(ADA, str(n), {"text": f"text {n}"}) for n in range(500)]) == 2


# Connections


def connections(tmp_path: Path) -> int:
    return run_sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", f"app_{schema_for(tmp_path)}")[
        0
    ][0]


def named(tmp_path: Path, **parameters: object) -> str:
    return with_parameters(store_url(tmp_path), application_name=f"app_{schema_for(tmp_path)}", **parameters)


def test_a_hundred_threads_share_two_connections(tmp_path):
    most = 0
    with MemoryStore(named(tmp_path, pool_size=2), index=INDEX) as store, ThreadPoolExecutor(1) as watcher:

        def work(n: int) -> None:
            for i in range(5):
                store.put(ADA, f"{n}-{i}", {"text": f"text {i}"})
                assert store.get(ADA, f"{n}-{i}")
                store.search(ADA, query="text 3", limit=3)

        done = threading.Event()

        def watch() -> int:
            found = 0
            while not done.is_set():
                found = max(found, connections(tmp_path))
            return found

        watching = watcher.submit(watch)
        assert at_once([lambda n=n: work(n) for n in range(100)]) == [None] * 100
        done.set()
        most = watching.result()
        assert store.count() == 500
    assert 1 <= most <= 2


def test_a_call_that_waits_too_long_for_a_connection_says_so(tmp_path):
    with (
        MemoryStore(named(tmp_path, pool_size=1, timeout_seconds=0.2)) as store,
        psycopg.connect(server_url()) as other,
        ThreadPoolExecutor() as pool,
    ):
        store.put(ADA, "k", {"n": 1})
        other.execute(f"LOCK TABLE {schema_for(tmp_path)}.items".encode())
        waiting = pool.submit(store.get, ADA, "k")
        wait_until(lambda: run_sql("SELECT FROM pg_locks WHERE NOT granted"))
        with pytest.raises(StoreBusyError, match="All 1 connections .* were in use for 0.2 seconds"):
            store.get(ADA, "k")
        other.rollback()
        assert waiting.result(20).value == {"n": 1}
        assert store.get(ADA, "k").value == {"n": 1}


def test_twenty_thousand_gets_and_two_thousand_puts_at_once(tmp_path):
    async def work(store: MemoryStore) -> int:
        gets = [store.aget(ADA, str(n % 100)) for n in range(20_000)]
        puts = [store.aput(ADA, str(n), {"n": n}) for n in range(2_000)]
        results = await asyncio.gather(*gets, *puts)
        return sum(result is not None for result in results)

    with MemoryStore(named(tmp_path, pool_size=2)) as store:
        asyncio.run(work(store))
        assert store.count() == 2_000
        assert connections(tmp_path) <= 2


def test_several_loops_at_once_and_none_is_blocked(tmp_path):
    async def work(store: MemoryStore, n: int) -> float:
        longest = 0.0

        async def tick() -> None:
            nonlocal longest
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0)
                longest = max(longest, time.perf_counter() - before)
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        for i in range(10):
            await asyncio.gather(*(store.aput(ADA, f"{n}-{i}-{j}", {"n": n}) for j in range(10)))
            assert len(await store.asearch(ADA, filter={"n": n}, limit=1000)) == 10 * (i + 1)
        ticking.cancel()
        return longest

    with (
        MemoryStore(named(tmp_path)) as store,
        psycopg.connect(server_url()) as other,
        ThreadPoolExecutor(3) as pool,
    ):
        other.execute(f"LOCK TABLE {schema_for(tmp_path)}.items".encode())
        loops = [pool.submit(lambda n=n: asyncio.run(work(store, n))) for n in range(3)]
        time.sleep(1)  # every loop has a call that waits for the lock, and none waits itself
        other.rollback()
        assert max(loop.result(30) for loop in loops) < 0.8


def test_close_with_calls_under_way_leaves_no_connection(tmp_path):
    store = MemoryStore(named(tmp_path, pool_size=2))
    errors = []

    def work(n: int) -> None:
        try:
            while True:
                store.put(ADA, str(n), {"n": n})
                asyncio.run(store.aget(ADA, str(n)))
        except StoreClosedError:
            pass
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    store.close()
    for thread in threads:
        thread.join(20)
    assert not errors
    wait_until(lambda: connections(tmp_path) == 0)
    store.close()


def test_a_forgotten_store_closes_its_connections_without_a_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = MemoryStore(named(tmp_path), ttl={"sweep_interval_minutes": 60})
        store.put(ADA, "k", {"n": 1})
        asyncio.run(store.aget(ADA, "k"))
        assert connections(tmp_path)
        del store
        gc.collect()
        wait_until(lambda: connections(tmp_path) == 0)


def _child(store: MemoryStore, answers: Any) -> None:
    store.put(ADA, "child", {"n": 2})
    answers.put(sorted(item.key for item in asyncio.run(store.asearch(ADA))))
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own_and_the_parent_keeps_its(tmp_path):
    context = multiprocessing.get_context("fork")
    stop = threading.Event()
    with MemoryStore(named(tmp_path)) as store:
        store.put(ADA, "parent", {"n": 1})

        def write() -> None:
            while not stop.is_set():
                store.put(ADA, "busy", {"n": 1})

        writing = [threading.Thread(target=write) for _ in range(3)]
        for thread in writing:
            thread.start()
        pids = "SELECT pid FROM pg_stat_activity WHERE application_name = %s ORDER BY pid"
        for _ in range(3):
            answers = context.SimpleQueue()
            child = context.Process(target=_child, args=(store, answers))
            child.start()
            assert set(answers.get()) >= {"child", "parent"}
            child.join(20)
            assert child.exitcode == 0
        stop.set()
        for thread in writing:
            thread.join()
        mine = run_sql(pids, f"app_{schema_for(tmp_path)}")
        answers = context.SimpleQueue()
        child = context.Process(target=_child, args=(store, answers))
        child.start()
        assert answers.get() == ["busy", "child", "parent"]
        child.join(20)
        for _ in range(6):
            assert store.get(ADA, "parent").value == {"n": 1}
        assert set(mine) <= set(run_sql(pids, f"app_{schema_for(tmp_path)}"))

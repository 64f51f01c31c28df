"""What is special about our checkpointer on a server: its schema and roles, lost connections, work at the same time."""

import asyncio
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from _savers import acounter, connect, counter, put, server_place, thread
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.types import TASKS
from langgraph.func import entrypoint
from psycopg.rows import dict_row

from crossthread import (
    ConfigurationError,
    Memory,
    StoreBusyError,
    StoreError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from crossthread.checkpointing.opening import open_checkpointer
from crossthread.checkpointing.postgres import DurablePostgresSaver
from crossthread.engines.postgres.engine import PostgresEngine
from servers import other_database, run_sql, schema_for

TABLES = {"checkpoints", "checkpoint_blobs", "checkpoint_writes", "checkpoint_migrations"}


@pytest.fixture
def home(tmp_path):
    return server_place(tmp_path)


@pytest.fixture
def url(home):
    return home.url


@pytest.fixture
def saver(home):
    with home.open() as opened:
        yield opened


def tables(url):
    with connect(url) as other:
        return {row[0] for row in other.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")}


@contextmanager
def theirs(url):
    """LangGraph's own saver, as somebody would use it who has set the search path."""
    with connect(url) as connection:
        connection.row_factory = dict_row
        yield PostgresSaver(connection)


# Where the tables are


def test_urls_are_those_of_the_store(url):
    for place in (url, PostgresEngine.from_url(url), url.replace("postgresql:", "postgres:")):
        with open_checkpointer(place) as saver:
            assert isinstance(saver, DurablePostgresSaver)
            put(saver)
    assert tables(url) == TABLES


def test_schemas_do_not_share_threads(tmp_path):
    one, two = (Memory(server_place(tmp_path / name).url) for name in ("one", "two"))
    with one, two:
        assert counter(one.checkpointer).invoke("x", thread()) == 1
        assert counter(two.checkpointer).invoke("x", thread()) == 1
        assert counter(one.checkpointer).invoke("x", thread()) == 2
        two.checkpointer.delete_thread("1")
        assert counter(one.checkpointer).invoke("x", thread()) == 3


def test_an_odd_name_of_a_schema(tmp_path, url):
    name = schema_for(tmp_path)
    odd = url.replace(f"schema={name}", "schema=Test-Odd_1")
    try:
        with DurablePostgresSaver(odd) as saver:
            assert counter(saver).invoke("x", thread()) == 1
            assert counter(saver).invoke("x", thread()) == 2
    finally:
        with connect(url) as other:
            other.execute('DROP SCHEMA "Test-Odd_1" CASCADE')


def test_langgraphs_own_saver_reads_and_writes_the_same_tables(saver, url):
    assert counter(saver).invoke("x", thread()) == 1
    with theirs(url) as other:
        other.setup()
        assert counter(other).invoke("x", thread()) == 2
    assert counter(saver).invoke("x", thread()) == 3


@pytest.mark.parametrize("release", [1, 5, 8, 10])
def test_tables_that_langgraph_has_made_are_taken_over(tmp_path, url, release):
    with connect(url) as other:
        other.execute(f"CREATE SCHEMA {schema_for(tmp_path)}")
    with theirs(url) as other:
        other.MIGRATIONS = other.MIGRATIONS[:release]
        other.setup()
        if release == 10:
            counter(other).invoke("x", thread())
    with DurablePostgresSaver(url) as saver:
        assert counter(saver).invoke("x", thread()) == (2 if release == 10 else 1)
    with connect(url) as other:
        assert other.execute("SELECT max(v) FROM checkpoint_migrations").fetchone() == (9,)


def test_connections_keep_their_own_search_path(saver):
    """Behind a pooler a connection goes on to other applications."""
    put(saver)
    saver.get_tuple(thread())
    with saver._shared._pool.lend() as connection:
        assert connection.execute("SHOW search_path").fetchall() == run_sql("SHOW search_path")


def test_workers_open_a_new_schema_at_once(tmp_path, url):
    def work(n):
        with Memory(url) as memory:
            memory.store.put(("n",), str(n), {"n": n})
            return counter(memory.checkpointer).invoke("x", thread(n))

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(work, range(8))] == [1] * 8
    with connect(url) as other:
        assert other.execute("SELECT count(*) FROM checkpoint_migrations").fetchone() == (10,)


def test_explicit_setup(url):
    with Memory(f"{url}&setup=explicit") as memory:
        assert tables(url) == set()
        with pytest.raises(StoreError, match=r"no tables of a checkpointer.*Call setup\(\) on the checkpointer"):
            counter(memory.checkpointer).invoke("x", thread())
        with pytest.raises(StoreError, match="no tables of a checkpointer"):
            put(memory.checkpointer)
        memory.checkpointer.setup()
        assert tables(url) == TABLES
        assert counter(memory.checkpointer).invoke("x", thread()) == 1
        memory.setup()
        assert tables(url) > TABLES
        memory.store.put(("a",), "b", {})
    with Memory(f"{url}&setup=explicit") as memory:
        assert counter(memory.checkpointer).invoke("x", thread()) == 2


def test_setup_of_both_is_async_too(url):
    async def main():
        async with Memory(f"{url}&setup=explicit") as memory:
            await memory.asetup()
            await memory.asetup()
            await memory.store.aput(("a",), "b", {})
            return await acounter(memory.checkpointer).ainvoke("x", thread())

    assert asyncio.run(main()) == 1


def test_a_role_that_may_only_use_the_tables(tmp_path, url):
    schema, role = schema_for(tmp_path), f"{schema_for(tmp_path)}_user"
    as_role = f"{url}&options={quote(f'-crole={role}')}"
    with DurablePostgresSaver(url):
        pass
    with connect(url) as owner:
        owner.execute(f"CREATE ROLE {role}")
        try:
            with pytest.raises(StoreError, match="permission denied"):
                DurablePostgresSaver(as_role)
            unable = f"{as_role}&setup=explicit"
            with DurablePostgresSaver(unable) as saver, pytest.raises(StoreError, match="may not use the schema"):
                put(saver)
            owner.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
            owner.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}")
            for place in (as_role, f"{as_role}&setup=explicit"):
                with DurablePostgresSaver(place) as saver:
                    counter(saver).invoke("x", thread())
                    saver.copy_thread("1", "2")
                    saver.prune(["1"])
                    saver.delete_for_runs(["none"])
                    saver.delete_thread("2")
        finally:
            owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


# Servers that are not there, or go away


def test_a_server_that_cannot_be_reached_is_told(url):
    for place in ("postgresql://nobody@127.0.0.1:1/nowhere", other_database("nowhere")):
        for setup in ("automatic", "explicit"):
            with pytest.raises(StoreUnavailableError, match="nowhere"):
                DurablePostgresSaver(f"{place}{'&' if '?' in place else '?'}setup={setup}")
    with pytest.raises(ConfigurationError):
        DurablePostgresSaver("postgresql://user@host/db?no_such_option=1")


def test_idle_connections_that_were_closed_are_replaced(saver, url):
    count, acount = counter(saver), acounter(saver)
    for n in range(1, 6, 2):
        assert count.invoke("x", thread()) == n
        with saver._shared._pool.lend() as connection:
            pid = connection.info.backend_pid
        with connect(url) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert asyncio.run(acount.ainvoke("x", thread())) == n + 1


@pytest.fixture
def cut(saver, url, monkeypatch):
    """Let the server end the connection of the next calls, as many as are put into a list, at their first statement."""
    cuts = []
    cursor_of = saver._cursor

    @contextmanager
    def cursor(*, pipeline=False):
        with cursor_of(pipeline=pipeline) as found:
            if cuts:
                cuts.pop()
                with connect(url) as other:
                    other.execute("SELECT pg_terminate_backend(%s, 5000)", [found.connection.info.backend_pid])
            yield found

    monkeypatch.setattr(saver, "_cursor", cursor)
    return cuts


@pytest.mark.filterwarnings("default")
def test_a_read_is_repeated_once_and_a_write_never(saver, cut):
    config = put(saver, values={"items": [1]})
    for read in (
        lambda: saver.get_tuple(config).checkpoint["channel_values"],
        lambda: next(saver.list(thread())).checkpoint["channel_values"],
        lambda: asyncio.run(saver.aget_tuple(config)).checkpoint["channel_values"],
    ):
        cut.append(1)
        assert read() == {"items": [1]}
        assert not cut
        cut.extend([1, 1])
        with pytest.raises(StoreUnavailableError, match="was lost"):
            read()
        assert not cut
    cut.append(1)
    assert saver.get_delta_channel_history(config=config, channels=["items"]) == {"items": {"writes": []}}
    cut.extend([1, 1])
    with pytest.raises(StoreUnavailableError, match="Whether the write took effect is not known"):
        saver.put_writes(config, [("items", 2)], "task")
    assert cut == [1]
    cut.clear()
    assert saver.get_tuple(config).pending_writes == []


def test_a_server_that_can_only_be_read(saver, url):
    config = put(saver)
    with DurablePostgresSaver(f"{url}&options={quote('-cdefault_transaction_read_only=on')}") as reader:
        assert reader.get_tuple(config) is not None
        with pytest.raises(StoreReadOnlyError):
            put(reader)
        with pytest.raises(StoreReadOnlyError):
            reader.delete_thread("1")


def test_connections_that_are_all_in_use_for_too_long(saver, url):
    with DurablePostgresSaver(url.replace("pool_size=4", "pool_size=1&timeout_seconds=0.2")) as small:
        with small._cursor(), pytest.raises(StoreBusyError, match="All 1 connections"):
            small.get_tuple(thread())
        assert small.get_tuple(thread()) is None


def test_an_error_leaves_the_connection_as_it_was(url, caplog):
    with DurablePostgresSaver(url.replace("pool_size=4", "pool_size=1")) as saver:
        for _ in range(3):
            with pytest.raises(StoreError):
                saver.get_tuple({"configurable": {"thread_id": 1}})
            with pytest.raises(StoreError):
                saver.get_tuple(thread("\x00"))
            with pytest.raises(StoreError):
                put(saver, "\x00", values={"items": []})
            with pytest.raises(TypeError):
                put(saver, values={"bad": threading.Lock()})
        assert saver.get_tuple(thread()) is None
        put(saver)
    assert caplog.records == []


# At the same time


def test_async_calls_do_not_block_the_loop(saver, url):
    """Another session locks the table; the loop goes on meanwhile, and the calls succeed afterwards."""

    async def main(other):
        with other.transaction():
            other.execute("LOCK TABLE checkpoints")
            waiting = [asyncio.ensure_future(call) for call in (saver.adelete_thread("1"), saver.aget_tuple(thread()))]
            for _ in range(10):
                await asyncio.sleep(0.005)
            assert not any(each.done() for each in waiting)
        await asyncio.wait_for(asyncio.gather(*waiting), 5)

    with connect(url) as other:
        asyncio.run(main(other))


@pytest.mark.parametrize("pool_size", [1, 2])
def test_few_connections_serve_many_callers(url, pool_size):
    with DurablePostgresSaver(url.replace("pool_size=4", f"pool_size={pool_size}")) as saver:
        count = counter(saver)

        async def main():
            return await asyncio.gather(*(acounter(saver).ainvoke("x", thread(n)) for n in range(30)))

        def run(n):
            return asyncio.run(main()) if n == 0 else count.invoke("x", thread(f"own {n}"))

        with ThreadPoolExecutor(8) as pool:
            assert [*pool.map(run, range(8))] == [[1] * 30] + [1] * 7


def test_pruning_while_a_thread_goes_on_loses_nothing(saver):
    count = counter(saver)
    ready = threading.Event()

    def prune():
        while not ready.is_set():
            saver.prune(["1"])
            saver.delete_for_runs(["no such run"])

    with ThreadPoolExecutor(3) as pool:
        pruning = [pool.submit(prune) for _ in range(3)]
        try:
            for n in range(1, 40):
                assert count.invoke("x", thread()) == n
        finally:
            ready.set()
        for each in pruning:
            each.result()
    saver.prune(["1"])
    assert len([*saver.list(thread())]) == 1
    assert count.invoke("x", thread()) == 40


def test_deleting_in_every_way_at_once(saver):
    """Whoever clashes tries again; nobody is told of it."""

    def work(n):
        for _ in range(15):
            config = put(saver, str(n % 2), run_id=str(n % 3), values={"items": [n]})
            saver.put_writes(config, [("items", n)], f"task {n}")
            saver.copy_thread(str(n % 2), str((n + 1) % 2))
            saver.prune(["0", "1"])
            saver.delete_for_runs([str(n % 3)])
            saver.delete_thread(str(n % 2))

    with ThreadPoolExecutor(6) as pool:
        for each in [pool.submit(work, n) for n in range(6)]:
            each.result()


# Values, which have a table of their own


def blobs(home):
    return sorted(row[0] for row in home.rows("SELECT channel FROM checkpoint_blobs"))


def test_values_go_with_the_last_checkpoint_that_has_them(saver, home):
    first = put(saver, values={"shared": [1], "first": [1]}, run_id="1")
    again = dict(saver.get_tuple(first).checkpoint)
    shared = {"shared": again["channel_versions"]["shared"]}
    for run_id in "23":
        checkpoint = {**again, "id": f"f{run_id}", "channel_values": {"shared": [1]}, "channel_versions": shared}
        saver.put(first, checkpoint, {"run_id": run_id}, {})
    assert blobs(home) == ["first", "shared"]
    saver.copy_thread("1", "2")
    assert blobs(home) == ["first", "first", "shared", "shared"]
    saver.delete_for_runs(["1"])
    assert blobs(home) == ["shared", "shared"]
    saver.prune(["1", "2"])
    assert blobs(home) == ["shared", "shared"]
    assert saver.get_tuple(thread("2")).checkpoint["channel_values"] == {"shared": [1]}
    saver.delete_for_runs(["3"])
    assert blobs(home) == []


def test_pruning_keeps_what_older_releases_keep_with_the_parent(saver):
    """Sends that wait are among the parent's writes in checkpoints of version 3."""
    first = put(saver)
    parent = put(saver, parent=first["configurable"]["checkpoint_id"])
    saver.put_writes(parent, [(TASKS, "send")], "task")
    old = {**saver.get_tuple(parent).checkpoint, "v": 3, "id": "f" * 8, "channel_versions": {}}
    head = saver.put(parent, old, {}, {})
    for _ in range(2):
        saver.prune(["1"])
        assert saver.get_tuple(head).checkpoint["channel_values"] == {TASKS: ["send"]}
        assert saver.get_tuple(parent) is not None
        assert saver.get_tuple(first) is None


# Memory


def test_workflows_remember_threads_and_users(url):
    def workflow_of(memory):
        @memory.entrypoint
        def chat(text, *, previous, store):
            store.put(("words",), text, {"n": (previous or 0) + 1})
            return entrypoint.final(value=len(store.search(("words",))), save=(previous or 0) + 1)

        return chat

    with Memory(url) as memory:
        assert workflow_of(memory).invoke("a", thread("1")) == 1
        assert workflow_of(memory).invoke("b", thread("2")) == 2
        assert memory.store.get(("words",), "b").value == {"n": 1}
    with Memory(url) as memory:
        assert workflow_of(memory).invoke("c", thread("1")) == 3
        assert memory.store.get(("words",), "c").value == {"n": 2}


def test_async_workflows_in_several_loops_at_once(url):
    with Memory(url) as memory:

        @memory.task
        async def remember(n, store):
            await store.aput(("n", str(n)), "n", {"n": n})
            return (await store.aget(("n", str(n)), "n")).value["n"]

        @memory.entrypoint
        async def chat(n, *, previous):
            return (previous or 0) + await remember(n)

        def loop(first):
            async def main():
                for _ in range(2):
                    found = await asyncio.gather(*(chat.ainvoke(n, thread(n)) for n in range(first, first + 20)))
                return found

            return asyncio.run(main())

        with ThreadPoolExecutor(3) as pool:
            assert sum(pool.map(loop, (0, 20, 40)), []) == [2 * n for n in range(60)]  # noqa: RUF017


def test_closing_ends_every_connection_and_thread(url):
    before = set(threading.enumerate())
    memory = Memory(url)
    asyncio.run(acounter(memory.checkpointer).ainvoke("x", thread()))
    memory.close()
    assert set(threading.enumerate()) <= before
    with connect(url) as other:
        mine = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s AND pid <> pg_backend_pid()"
        assert other.execute(mine, [f"%{PostgresEngine.from_url(url).schema}%"]).fetchone() == (0,)


# Packages that are not there


@pytest.mark.parametrize("missing", ["psycopg", "langgraph.checkpoint.postgres"])
def test_without_the_extra_everything_else_works(missing, tmp_path, url):
    program = f"""
import sys
sys.modules[{missing!r}] = None
from crossthread import ConfigurationError, Memory
Memory().close()
Memory({str(tmp_path / "agent.db")!r}).close()
try:
    Memory({json.dumps(url)})
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "pip install 'crossthread[postgres]'" in done.stdout

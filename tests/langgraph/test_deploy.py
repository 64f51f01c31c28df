"""``crossthread.deploy``: what ``langgraph.json`` names, loaded and called as LangGraph's server does it.

The first half imitates the server (langgraph-api 0.16). The last test runs the server itself, where
CROSSTHREAD_TEST_LANGGRAPH names the ``langgraph`` command of an environment with crossthread and langgraph-cli[inmem].
"""

import asyncio
import importlib
import json
import logging
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.func import entrypoint
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore

from crossthread import ConfigurationError, Memory, MemoryStore, StoreClosedError
from crossthread.testing import HashEmbeddings
from servers import store_url

ADA = ("memories", "ada")
NAMES = ("crossthread.deploy.store", "crossthread.deploy.checkpointer")

embeddings = HashEmbeddings()  # for CROSSTHREAD_EMBED=test_deploy.embeddings


def load(path):
    """Find what a dotted path names, as the server does: split at the last dot, in the module's own dictionary."""
    module, attribute = path.rsplit(".", 1)
    return importlib.import_module(module).__dict__[attribute]


class Server:
    """Enters loaders as the server does: lazily, once in each thread, and leaves them at the end of its loop."""

    def __init__(self):
        self.local = threading.local()

    async def get(self, path):
        if not hasattr(self.local, "stack"):
            self.local.stack, self.local.found = AsyncExitStack(), {}
        if path not in self.local.found:
            value = load(path)
            while not hasattr(value, "__aenter__") or isinstance(value, (BaseStore, BaseCheckpointSaver)):
                value = value()
            self.local.found[path] = await self.local.stack.enter_async_context(value)
        return self.local.found[path]

    async def both(self):
        return [await self.get(name) for name in NAMES]

    async def leave(self):
        await self.local.stack.aclose()
        del self.local.stack

    def run(self, work):
        """Run an async function of store and checkpointer on a loop of its own."""

        async def loop():
            try:
                return await work(*await self.both())
            finally:
                await self.leave()

        return asyncio.run(loop())


@pytest.fixture(params=["file", "server"])
def environment(request, tmp_path, monkeypatch):
    url = str(tmp_path / "agent.db") if request.param == "file" else store_url(tmp_path)
    for name in [name for name in os.environ if name.startswith("CROSSTHREAD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CROSSTHREAD_URL", url)
    monkeypatch.setenv("CROSSTHREAD_EMBED", f"{__name__}.embeddings")
    return monkeypatch


@pytest.fixture
def clean(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("CROSSTHREAD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CROSSTHREAD_URL", str(tmp_path / "agent.db"))
    return monkeypatch


def chat(memory):
    @memory.entrypoint
    async def workflow(text, *, previous, store, config):
        user = ("memories", config["configurable"]["user_id"])
        await store.aput(user, text, {"text": text})
        found = await store.asearch(user)
        return entrypoint.final(value=len(found), save=[*(previous or []), text])

    return workflow


def config(thread, user="ada"):
    return {"configurable": {"thread_id": thread, "user_id": user}}


def test_the_calls_of_the_store_api(environment):
    async def work(store, _):
        # What the routes /store/items and /store/namespaces call, with every argument that they pass.
        await store.aput(ADA, "a", {"text": "likes pizza", "owner": "ada", "n": 9}, index=None, ttl=None)
        await store.aput(ADA, "b", {"text": "likes pasta", "owner": "bob", "n": 10}, index=["text"], ttl=5)
        await store.aput(("docs",), "c", {"text": "hello", "owner": "ada"}, index=False, ttl=None)
        item = await store.aget(ADA, "a", refresh_ttl=None)
        assert item.dict().keys() == {"namespace", "key", "value", "created_at", "updated_at"}
        assert json.loads(json.dumps(item.dict(), default=str))["value"] == {
            "text": "likes pizza",
            "owner": "ada",
            "n": 9,
        }

        async def search(given, auth, query=None, namespace=("memories",)):
            wanted = {"$and": [given, auth]} if given else auth
            found = await store.asearch(namespace, filter=wanted, limit=10, offset=0, query=query, refresh_ttl=None)
            return [one.dict()["key"] for one in found]

        assert await search({"n": {"$gt": 5}}, {"owner": "ada"}) == ["a"]
        assert await search({"n": {"$gt": 5}}, {"owner": {"$eq": "bob"}}, query="pizza") == ["b"]
        assert await search({"n": {"$gt": 9}}, {"$or": [{"owner": "ada"}, {"owner": "bob"}]}) == ["b"]
        assert await search(None, {"owner": "ada"}, query="pizza") == ["a"]
        assert await search(None, None) == ["b", "a"]
        names = await store.alist_namespaces(prefix=None, suffix=None, max_depth=None, limit=100, offset=0)
        assert names == [("docs",), ADA]
        assert await store.alist_namespaces(prefix=("memories",), suffix=("*",), max_depth=1, limit=1, offset=0) == [
            ("memories",)
        ]
        await store.adelete(ADA, "a")
        assert await store.aget(ADA, "a", refresh_ttl=False) is None

    Server().run(work)


def test_a_graph_without_a_store_takes_the_servers(environment):
    graph = chat(Memory(store=None, checkpointer=None))
    assert not isinstance(graph.store, BaseStore)  # or the server refuses it
    assert not isinstance(graph.checkpointer, BaseCheckpointSaver)

    async def work(store, checkpointer):
        copied = graph.copy(update={"store": store, "checkpointer": checkpointer})
        assert isinstance(copied, Pregel)
        assert [await copied.ainvoke(text, config("1")) for text in ("one", "two")] == [1, 2]
        assert await copied.ainvoke("three", config("2")) == 3
        assert await copied.ainvoke("one", config("3", "bob")) == 1
        state = await copied.aget_state(config("1"))
        assert state.values == 2
        return (await checkpointer.aget_tuple(config("1"))).checkpoint["channel_values"]["__previous__"]

    assert Server().run(work) == ["one", "two"]
    assert graph.store is None


def test_each_thread_of_the_server_has_its_own_and_all_share_the_memories(environment):
    server, graph = Server(), chat(Memory(store=None, checkpointer=None))
    ready, seen, errors = threading.Barrier(3), [], []

    def loop(number):
        async def work(store, checkpointer):
            assert (await server.both())[0] is store
            copied = graph.copy(update={"store": store, "checkpointer": checkpointer})
            await asyncio.to_thread(ready.wait, 30)
            runs = [copied.ainvoke(f"{number}-{turn}", config(f"{number}-{turn}")) for turn in range(10)]
            await asyncio.gather(*runs)
            await asyncio.to_thread(ready.wait, 30)
            seen.append((id(store), len(await store.asearch(ADA, limit=100))))

        try:
            server.run(work)
        except BaseException as error:
            errors.append(error)
            ready.abort()

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [count for _, count in seen] == [30, 30, 30]
    assert len({store for store, _ in seen}) == 3


def test_the_servers_end_closes_both(environment):
    kept = []

    async def work(*both):
        kept.extend(both)

    Server().run(work)
    with pytest.raises(StoreClosedError):
        kept[0].get(ADA, "a")
    with pytest.raises(StoreClosedError):
        kept[1].get_tuple(config("1"))


def test_the_checkpointer_has_every_capability_that_the_server_looks_for(environment):
    async def work(_, checkpointer):
        for name in ("aput", "aput_writes", "aget_tuple", "alist", "adelete_thread", "adelete_for_runs"):
            assert getattr(type(checkpointer), name) is not getattr(BaseCheckpointSaver, name)
        for name in ("acopy_thread", "aprune"):
            assert getattr(type(checkpointer), name) is not getattr(BaseCheckpointSaver, name)
        for strategy in ("keep_latest", "delete_all"):  # the two that the server's own calls name
            await checkpointer.aprune(["1"], strategy=strategy)

    Server().run(work)


def opened(path="crossthread.deploy.store"):
    async def use():
        async with load(path)() as found:
            return found

    return asyncio.run(use())


def test_settings_come_from_the_environment(clean):
    for name, value in {
        "EMBED": f"{__name__}.embeddings",
        "FIELDS": "text, title",
        "MODE": "hybrid",
        "LANGUAGE": "german",
        "HYBRID_WEIGHT": "0.25",
        "FILTER_FIELDS": "owner,kind",
        "VECTOR_MEMORY_MB": "64",
        "EMBED_TIMEOUT_SECONDS": "2.5",
        "DURABILITY": "process",
        "DEFAULT_TTL": "1.5",
        "REFRESH_ON_READ": "false",
        "OMIT_EXPIRED": "True",
    }.items():
        clean.setenv(f"CROSSTHREAD_{name}", value)
    store = opened()
    assert store.index_config == {
        "embed": embeddings,
        "fields": ["text", "title"],
        "mode": "hybrid",
        "language": "german",
        "hybrid_weight": 0.25,
        "filter_fields": ["owner", "kind"],
        "vector_memory_mb": 64.0,
        "embed_timeout_seconds": 2.5,
    }
    assert store.ttl_config["default_ttl"] == 1.5
    assert store.ttl_config["refresh_on_read"] is False
    assert store.ttl_config["omit_expired"] is True


def test_telemetry_is_on_where_the_environment_says_so(clean):
    for text, kind in (("true", "InstrumentedStore"), ("false", "MemoryStore")):
        clean.setenv("CROSSTHREAD_TELEMETRY", text)
        assert kind in [base.__name__ for base in type(opened()).__mro__]
    clean.setenv("CROSSTHREAD_TELEMETRY", "true")
    clean.delitem(sys.modules, "crossthread.telemetry.recorder")
    clean.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigurationError, match=r"crossthread\[otel\].*CROSSTHREAD_TELEMETRY"):
        opened()


def test_the_address_alone_is_enough(clean):
    store = opened()
    assert type(store) is MemoryStore
    assert store.index_config is None
    assert store.ttl_config is None


def test_keywords_need_no_model(clean):
    clean.setenv("CROSSTHREAD_MODE", "keyword")

    async def work(store, _):
        await store.aput(ADA, "a", {"text": "likes pizza"})
        return [item.key for item in await store.asearch(ADA, query="pizza")]

    assert Server().run(work) == ["a"]


def test_the_sweeper_of_the_store_runs_where_the_server_skips_its_own(clean):
    clean.setenv("CROSSTHREAD_SWEEP_INTERVAL_MINUTES", "0.0005")

    async def work(store, _):
        await store.aput(ADA, "a", {"text": "short"}, ttl=0.0005)
        store.ttl_config["omit_expired"] = False
        for _ in range(200):
            if await store.aget(ADA, "a", refresh_ttl=False) is None:
                return True
            await asyncio.sleep(0.05)
        return False

    assert Server().run(work)


def test_threads_may_be_kept_elsewhere(clean, tmp_path):
    clean.setenv("CROSSTHREAD_CHECKPOINT_URL", str(tmp_path / "threads.db"))
    opened("crossthread.deploy.checkpointer")
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["threads.db"]


@pytest.mark.parametrize("path", NAMES)
@pytest.mark.parametrize("url", [None, "", " ", ":memory:", "memory://"])
def test_a_place_that_lasts_is_needed(clean, path, url):
    clean.delenv("CROSSTHREAD_URL") if url is None else clean.setenv("CROSSTHREAD_URL", url)
    with pytest.raises(ConfigurationError, match="CROSSTHREAD_URL"):
        opened(path)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("DIMS", "many", "CROSSTHREAD_DIMS=many"),
        ("REFRESH_ON_READ", "maybe", "must be true or false"),
        ("EMBED", "no_such_module.embed", "cannot be imported"),
        ("EMBED", "test_deploy.nothing", "cannot be imported"),
        ("EMBED", "./src/embed.py:embed", "name the module"),
        ("EMBED", "nobody:model", "nobody:model"),
        ("MODE", "magic", "magic"),
        ("DURABILITY", "magic", "durability"),
        ("SWEEP_INTERVAL_MINUTES", "-1", "sweep_interval_minutes"),
    ],
)
def test_what_cannot_be_used_is_named(clean, name, value, told):
    clean.setenv(f"CROSSTHREAD_{name}", value)
    with pytest.raises(ConfigurationError, match=told):
        opened()


@pytest.mark.parametrize(
    ("name", "value"), [("MODE", "nonsense"), ("DURABILITY", "nonsense"), ("HYBRID_WEIGHT", "7"), ("DEFAULT_TTL", "-1")]
)
def test_what_the_store_refuses_is_told_with_the_names_of_variables(clean, name, value):
    clean.setenv(f"CROSSTHREAD_{name}", value)
    with pytest.raises(ConfigurationError, match=rf"set by .*CROSSTHREAD_{name}\b"):
        opened()


def test_a_misspelt_variable_is_told(clean, caplog):
    clean.setenv("CROSSTHREAD_EMBDE", "local")
    with caplog.at_level(logging.WARNING, "crossthread"):
        opened()
    assert "CROSSTHREAD_EMBDE" in caplog.text


def test_opening_blocks_no_event_loop(clean, monkeypatch):
    where = []
    original = MemoryStore.__init__

    def noting(self, *args, **kwargs):
        where.append(threading.current_thread())
        original(self, *args, **kwargs)

    monkeypatch.setattr(MemoryStore, "__init__", noting)
    opened()
    assert where != [threading.main_thread()]


SERVER = os.environ.get("CROSSTHREAD_TEST_LANGGRAPH")


@pytest.mark.skipif(SERVER is None, reason="CROSSTHREAD_TEST_LANGGRAPH names no langgraph command")
def test_langgraphs_own_server_runs_on_them(tmp_path):
    app = tmp_path / "app"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "graph.py").write_text(
        textwrap.dedent("""\
            from langgraph.func import entrypoint

            from crossthread import Memory

            memory = Memory(store=None, checkpointer=None)


            @memory.entrypoint
            def chat(text, *, previous, store, config):
                user = ("memories", config["configurable"]["user_id"])
                store.put(user, text, {"text": text})
                return entrypoint.final(value=len(store.search(user)), save=[*(previous or []), text])
            """)
    )
    (app / "auth.py").write_text(
        textwrap.dedent("""\
            from langgraph_sdk import Auth

            auth = Auth()


            @auth.authenticate
            async def who(authorization: str | None) -> str:
                return (authorization or "nobody").removeprefix("Bearer ")


            @auth.on.store
            async def own(ctx, value):
                return {"owner": ctx.user.identity} if "query" in value else None
            """)
    )
    settings = {
        "dependencies": ["."],
        "graphs": {"chat": "./app/graph.py:chat"},
        "env": {"CROSSTHREAD_URL": str(tmp_path / "agent.db"), "CROSSTHREAD_MODE": "keyword"},
        "store": {"path": "crossthread.deploy.store"},
        "checkpointer": {"path": "crossthread.deploy.checkpointer"},
        "auth": {"path": "./app/auth.py:auth"},
    }
    (tmp_path / "langgraph.json").write_text(json.dumps(settings))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [SERVER, "dev", "--no-browser", "--no-reload", "--port", str(port)]
    environment = {
        **os.environ,
        "LANGSMITH_TRACING": "false",
        "PYTHONPATH": str(Path(sys.modules["crossthread"].__file__).parents[1]),
    }
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)

    def call(method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": "Bearer ada", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    try:
        for _ in range(120):
            try:
                call("GET", "/ok")
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.5)
        thread = call("POST", "/threads", {})["thread_id"]
        for turn, text in enumerate(("one", "two"), 1):
            run = {"assistant_id": "chat", "input": text, "config": {"configurable": {"user_id": "ada"}}}
            assert call("POST", f"/threads/{thread}/runs/wait", run) == turn
        copied = call("POST", f"/threads/{thread}/copy")["thread_id"]
        assert len(call("GET", f"/threads/{copied}/history?limit=10")) == 4
        call("DELETE", f"/threads/{copied}")
        for key, owner, size in (("a", "ada", 9), ("b", "bob", 10)):
            item = {"namespace": ["docs"], "key": key, "value": {"text": "pizza", "owner": owner, "size": size}}
            call("PUT", "/store/items", item)
        wanted = {"namespace_prefix": ["docs"], "filter": {"size": {"$gt": 8}}, "query": "pizza"}
        assert [item["key"] for item in call("POST", "/store/items/search", wanted)["items"]] == ["a"]
        assert call("POST", "/store/namespaces", {})["namespaces"] == [["docs"], ["memories", "ada"]]
        call("DELETE", "/store/items", {"namespace": ["docs"], "key": "a"})
        assert call("GET", "/store/items?namespace=docs&key=a") is None
    finally:
        server.terminate()
        server.wait(30)
    with Memory(tmp_path / "agent.db") as memory:
        assert memory.threads.previous(thread) == ["one", "two"]
        assert memory.threads.previous(copied) is None
        assert memory.store.count(("memories", "ada")) == 2

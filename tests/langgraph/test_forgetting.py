"""``memory.forget_user``: nothing of a person is left, not in what calls return, and not in the bytes of a file."""

import asyncio
import os
import random
import re
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.func import entrypoint
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore

from crossthread import (
    ConfigurationError,
    InvalidArgumentError,
    InvalidFilterError,
    Memory,
    MemoryStore,
    ScopeError,
)
from crossthread.engines.sqlite import connection as sqlite_connection
from crossthread.engines.sqlite.engine import SQLiteEngine
from crossthread.engines.sqlite.limits import LIMITS
from crossthread.testing import HashEmbeddings
from servers import store_url

SCOPE = ("memories", "{user_id}")
ADA, BOB = "adazqxv@example.com", "bob"


class Embeddings(HashEmbeddings):
    """Remembers the bytes of every vector it made."""

    def __init__(self):
        super().__init__()
        self.made = {}

    def embed_documents(self, texts):
        vectors = super().embed_documents(texts)
        self.made.update(dict(zip(texts, vectors, strict=True)))
        return vectors


def chat(memory):
    @memory.entrypoint
    def workflow(text, *, previous, store, config):
        user = config["configurable"]["user_id"]
        view = memory.scope(*SCOPE).bind()
        view.put(("facts",), text.split()[0], {"text": text})
        assert user
        return entrypoint.final(value=f"so {text}", save=[*(previous or []), text])

    return workflow


def config(thread, user):
    return {"configurable": {"thread_id": thread, "user_id": user}}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def found_in(folder, needles):
    return [(name, needle) for name, content in contents(folder).items() for needle in needles if needle in content]


def fill(memory, embeddings=None):
    """Let two users live in a file for a while; return the bytes that are Ada's alone."""
    workflow = chat(memory)
    secrets = []
    for turn in range(30):
        word = f"zqxada{turn:02}kvw"
        secrets.append(word)
        workflow.invoke(f"{word} is what ada said", config(f"ada-thread-{turn % 3}", ADA))
        workflow.invoke(f"word{turn} is what bob said", config(f"bob-thread-{turn % 3}", BOB))
    ada, bob = (memory.scope(*SCOPE).bind({"configurable": {"user_id": user}}) for user in (ADA, BOB))
    # Old versions, deleted ones, expired ones, long ones that take pages of their own.
    for turn in range(20):
        secrets.append(f"versionzq{turn:02}ada")
        ada.put((), "changing", {"text": f"now versionzq{turn:02}ada " + "and so on " * (turn * 100)})
        bob.put((), "changing", {"text": f"now version {turn}"})
    ada.put((), "deleted", {"text": "deletedzqada"})
    ada.delete((), "deleted")
    ada.put((), "expired", {"text": "expiredzqada"}, ttl=0.000001)
    ada.put(("deep", "deeper"), "longzqada", {"text": " ".join(f"longzq{n}ada" for n in range(3000))})
    ada.update((), "updated", lambda value: {"text": "updatedzqada"}, default={"text": "x"})
    secrets += ["deletedzqada", "expiredzqada", "longzqada", "longzq2999ada", "updatedzqada", "adazqxv"]
    secrets += [f"ada-thread-{n}" for n in range(3)]
    needles = [secret.encode() for secret in secrets]
    if embeddings is not None:
        own = {text: vector for text, vector in embeddings.made.items() if "zq" in text}
        assert len(own) > 40
        needles += [np.asarray(vector, dtype="<f4").tobytes()[:16] for vector in own.values()]
    return needles


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("mode", ["hybrid", "keyword", None])
def test_no_byte_is_left_in_the_file(tmp_path, mode, is_async):
    embeddings = Embeddings() if mode == "hybrid" else None
    index = (
        None if mode is None else {"mode": mode, "fields": ["text"], **({"embed": embeddings} if embeddings else {})}
    )
    with Memory(tmp_path / "agent.db", index=index) as memory:
        needles = fill(memory, embeddings)
        before = {needle for _, needle in found_in(tmp_path, needles)}
        assert len(before) > len(needles) * 0.9  # the search finds what is there; some old versions are overwritten
        expected = memory.store.count(("memories", "adazqxv@example%2Ecom"))
        call = memory.aforget_user if is_async else memory.forget_user
        report = call(ADA, scope=SCOPE, threads={"user_id": ADA})
        report = asyncio.run(report) if is_async else report
        assert report.is_complete
        assert report.remains == ()
        assert report.memories == expected
        assert report.namespaces == (
            ("memories", "adazqxv@example%2Ecom"),
            ("memories", "adazqxv@example%2Ecom", "deep", "deeper"),
            ("memories", "adazqxv@example%2Ecom", "facts"),
        )
        assert sorted(report.threads) == ["ada-thread-0", "ada-thread-1", "ada-thread-2"]
        assert found_in(tmp_path, needles) == []  # while it is open, the log included,
        check_bob(memory, mode)
    assert found_in(tmp_path, needles) == []  # and closed
    with Memory(tmp_path / "agent.db", index=index) as memory:
        check_bob(memory, mode)
        with closing(sqlite3.connect(tmp_path / "agent.db")) as other:
            assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def check_bob(memory, mode):
    bob = memory.scope(*SCOPE).bind({"configurable": {"user_id": BOB}})
    assert bob.count() == 31
    assert [thread.thread_id for thread in memory.threads.list()] == ["bob-thread-2", "bob-thread-1", "bob-thread-0"]
    assert len(memory.threads.previous("bob-thread-0")) == 10
    if mode is not None:
        assert bob.search((), query="word17")[0].key == "word17"
        assert memory.store.search((), query="word17", mode="keyword")[0].key == "word17"
        for query in ("zqxada03kvw", "versionzq01ada", "longzq17ada"):
            assert memory.store.search((), query=query, mode="keyword") == []


def test_without_erasing_the_bytes_stay(tmp_path):
    """What the test above would look like if forgetting were only deleting."""
    with Memory(tmp_path / "agent.db", index={}) as memory:
        needles = fill(memory)
        report = memory.forget_user(ADA, scope=SCOPE, threads={"user_id": ADA}, erase_traces=False)
        assert not report.is_complete
        assert "erase_traces" in report.remains[0]
        assert len(found_in(tmp_path, needles)) > 20
        assert memory.store.erase_traces() == []
        assert found_in(tmp_path, needles) == []


def test_the_index_of_words_is_why_rewriting_is_not_enough(tmp_path):
    engine = SQLiteEngine(tmp_path / "agent.db", limits=LIMITS._replace(unindexed=10))
    with MemoryStore(engine, index={}) as store:
        for n in range(50):
            store.put(("memories", "ada"), str(n), {"text": f"zqword{n}ada"})
        store.forget(("memories", "ada"))
        with closing(sqlite3.connect(tmp_path / "agent.db", isolation_level=None)) as other:
            other.execute("VACUUM")
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert re.search(rb"zqword", b"".join(contents(tmp_path).values()))
        assert store.erase_traces() == []
        assert not re.search(rb"zqword", b"".join(contents(tmp_path).values()))


def test_a_reader_who_holds_the_log_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_connection, "BUSY_SECONDS", 0.2)
    with Memory(tmp_path / "agent.db", index={}) as memory:
        needles = fill(memory)
        with closing(sqlite3.connect(tmp_path / "agent.db", isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM crossthread_items").fetchone()
            report = memory.forget_user(ADA, scope=SCOPE, threads={"user_id": ADA})
            assert not report.is_complete
            assert "reads an older state" in report.remains[0]
            assert report.memories > 30
            assert memory.store.count(("memories", "adazqxv@example%2Ecom")) == 0
            assert found_in(tmp_path, needles) != []
            other.execute("COMMIT")
        assert memory.store.erase_traces() == []
        assert found_in(tmp_path, needles) == []


def test_a_writer_who_does_not_end_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_connection, "BUSY_SECONDS", 0.2)
    with MemoryStore(tmp_path / "agent.db") as store:
        store.put(("a",), "b", {})
        with closing(sqlite3.connect(tmp_path / "agent.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            (remains,) = store.erase_traces()
            assert "could not be rewritten" in remains
            other.execute("ROLLBACK")
        assert store.erase_traces() == []


def test_calls_go_on_meanwhile(tmp_path):
    async def use():
        async with Memory(tmp_path / "agent.db", index={}) as memory:
            for n in range(200):
                await memory.store.aput(("memories", "ada"), str(n), {"text": f"ada {n} " * 50})
            workflow = chat(memory)
            results = await asyncio.gather(
                memory.aforget_user("ada", scope=SCOPE),
                *[memory.store.aput(("memories", "bob"), str(n), {"text": f"bob {n}"}) for n in range(100)],
                *[memory.store.asearch(("memories", "bob"), query="bob") for n in range(100)],
                *[asyncio.to_thread(workflow.invoke, f"word{n}", config(f"{n}", "eve")) for n in range(20)],
            )
            assert results[0].memories == 200
            assert await memory.store.acount(("memories", "bob")) == 100
            assert len(memory.threads.list()) == 20

    asyncio.run(use())


def test_threads_and_memories_in_two_files(tmp_path):
    from crossthread.checkpointing.sqlite import DurableSaver

    with DurableSaver(tmp_path / "threads.db") as saver, MemoryStore(tmp_path / "memories.db", index={}) as store:
        memory = Memory(store=store, checkpointer=saver)
        needles = fill(memory)
        report = memory.forget_user(ADA, scope=SCOPE, threads=[f"ada-thread-{n}" for n in range(4)])
        assert report.is_complete
        assert report.threads == ("ada-thread-0", "ada-thread-1", "ada-thread-2")
        assert found_in(tmp_path, needles) == []


@pytest.mark.parametrize("kind", ["memory", "InMemoryStore", "SqliteStore", "server"])
def test_other_places_say_what_they_keep(kind, tmp_path):
    with (
        SqliteStore.from_conn_string(str(tmp_path / "stock.db")) as stock,
        SqliteSaver.from_conn_string(str(tmp_path / "threads.db")) as stock_saver,
    ):
        stock.setup()
        memory = {
            "memory": lambda: Memory(),
            "InMemoryStore": lambda: Memory(store=InMemoryStore(), checkpointer=InMemorySaver()),
            "SqliteStore": lambda: Memory(store=stock, checkpointer=stock_saver),
            "server": lambda: Memory(store_url(tmp_path)),
        }[kind]()
        workflow = chat(memory)
        for user in ("ada", "adam", "a.da", "bob"):
            for turn in range(3):
                workflow.invoke(f"word{turn}", config(f"{user}-{turn}", user))
        report = memory.forget_user("ada", scope=SCOPE, threads={"user_id": "ada"})
        assert report.memories == 3
        assert report.namespaces == (("memories", "ada", "facts"),)
        assert report.threads == ("ada-2", "ada-1", "ada-0")
        assert len(memory.threads.list()) == 9
        for user, left in (("ada", 0), ("adam", 3), ("a.da", 3), ("bob", 3)):
            view = memory.scope(*SCOPE).bind({"configurable": {"user_id": user}})
            assert len(view.search(())) == left
        told = " ".join(report.remains)
        match kind:
            case "memory" | "InMemoryStore":
                assert report.is_complete
            case "SqliteStore":
                assert "SqliteStore" in told
                assert "SqliteSaver" in told
            case _:
                assert len(report.remains) == 1
                assert "VACUUM" in told
        again = memory.forget_user("ada", scope=SCOPE, threads={"user_id": "ada"})
        assert (again.memories, again.namespaces, again.threads) == (0, (), ())
        memory.close()


def test_many_memories_in_a_store_of_others():
    store = InMemoryStore()
    for n in range(2500):
        store.put(("memories", "ada", str(n % 7)), str(n), {"n": n})
    report = Memory(store=store).forget_user("ada", scope=SCOPE)
    assert report.memories == 2500
    assert len(report.namespaces) == 7
    assert store.search(("memories",)) == []


def test_several_scopes_and_fields():
    memory = Memory()
    for namespace in [
        ("memories", "ada"),
        ("notes", "ada"),
        ("orgs", "acme", "ada"),
        ("orgs", "other", "ada"),
        ("memories", "bob"),
    ]:
        memory.store.put(namespace, "a", {})
    report = memory.forget_user("ada", scope=[SCOPE, memory.scope("notes", "{user_id}"), SCOPE])
    assert report.namespaces == (("memories", "ada"), ("notes", "ada"))
    org = ("orgs", "{org}", "{user_id}")
    with pytest.raises(InvalidArgumentError, match="org, user_id"):
        memory.forget_user("ada", scope=org)
    with pytest.raises(ScopeError, match="org"):
        memory.forget_user({"user_id": "ada"}, scope=org)
    assert memory.forget_user({"user_id": "ada", "org": "acme"}, scope=[SCOPE, org]).memories == 1
    assert memory.store.list_namespaces() == [("memories", "bob"), ("orgs", "other", "ada")]


def test_a_field_may_have_any_name():
    memory = Memory()
    memory.store.put(("memories", "ada"), "a", {})
    assert memory.forget_user("ada", scope=("memories", "{customer}")).memories == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"scope": ("memories",)}, ConfigurationError),
        ({"scope": "memories"}, ConfigurationError),
        ({"scope": []}, ConfigurationError),
        ({"scope": [("memories", "{user_id}"), ("teams", "{team_id}")]}, InvalidArgumentError),
        ({"scope": [("memories", "{user_id}"), ("teams",)]}, ConfigurationError),
        ({}, InvalidArgumentError),
        ({"threads": {}}, InvalidArgumentError),
        ({"threads": "1"}, InvalidArgumentError),
        ({"threads": {"user_id": None}}, InvalidFilterError),
    ],
)
def test_nothing_is_forgotten_by_mistake(arguments, error):
    memory = Memory()
    memory.store.put(("memories", "ada"), "a", {})
    chat(memory).invoke("hello", config("1", "ada"))
    with pytest.raises(error):
        memory.forget_user("ada", **arguments)
    assert memory.store.count() == 2
    assert len(memory.threads.list()) == 1


def test_what_was_replaced_waits_for_no_index(tmp_path):
    with MemoryStore(tmp_path / "agent.db", index={}) as store:
        for n in range(50):
            store.put(("memories", "ada"), "a", {"text": f"zqword{n}ada"})
        assert found_in(tmp_path, [b"zqword48ada"]) != []
        assert store.erase_traces() == []
        assert {needle for _, needle in found_in(tmp_path, [b"zqword%dada" % n for n in range(50)])} == {b"zqword49ada"}
        assert [item.key for item in store.search((), query="zqword49ada")] == ["a"]
        assert store.search((), query="zqword48ada") == []


@pytest.mark.parametrize("user", ["", None, 7])
def test_a_user_must_have_an_id(user):
    memory = Memory()
    with pytest.raises(ScopeError):
        memory.forget_user(user, scope=SCOPE)


def test_a_memory_without_the_place_says_so():
    with pytest.raises(ConfigurationError, match="no store"):
        Memory(store=None, checkpointer=InMemorySaver()).forget_user("ada", scope=SCOPE)
    with pytest.raises(ConfigurationError, match="no checkpointer"):
        Memory(store=InMemoryStore()).forget_user("ada", threads=["1"])


def test_a_mistake_about_threads_leaves_the_memories():
    memory = Memory(store=InMemoryStore())
    memory.store.put(("memories", "ada"), "a", {})
    with pytest.raises(ConfigurationError):
        memory.forget_user("ada", scope=SCOPE, threads=["1"])
    assert memory.store.search(("memories",)) != []


def test_forgetting_inside_of_another_users_run():
    memory = Memory()
    memory.store.put(("memories", "ada"), "a", {})
    memory.store.put(("memories", "admin"), "a", {})

    @memory.entrypoint
    def clean_up(user):
        return memory.forget_user(user, scope=SCOPE).memories

    assert clean_up.invoke("ada", config("1", "admin")) == 1
    assert memory.store.count(("memories", "admin")) == 1


def test_indexes_of_fields_are_rewritten_too(tmp_path):
    index = {"filter_fields": ["text", "deep.text"]}
    with MemoryStore(tmp_path / "agent.db", index=index, durability="process") as store:
        for n in range(200):
            store.put(("memories", "ada"), str(n % 90), {"text": f"zqtext{n}ada", "deep": {"text": f"zqdeep{n}ada"}})
            store.put(("memories", "bob"), str(n), {"text": f"text{n}"})
        needles = [b"zqtext", b"zqdeep"]
        assert len({needle for _, needle in found_in(tmp_path, needles)}) == 2
        assert Memory(store=store).forget_user("ada", scope=SCOPE).is_complete
        assert found_in(tmp_path, needles) == []
        assert [item.key for item in store.search((), filter={"text": "text7"})] == ["7"]


@pytest.mark.parametrize("unindexed", [7, 1000])
def test_random_lives_leave_nothing(tmp_path, unindexed):
    """Whatever happened to a user's memories before: puts, updates, deletes, in any order and any size."""
    seed = int(os.environ.get("CROSSTHREAD_SEED", "7"))
    chance = random.Random(seed)
    engine = SQLiteEngine(tmp_path / "agent.db", limits=LIMITS._replace(unindexed=unindexed))
    with MemoryStore(engine, index={"fields": ["text"]}) as store:
        for step in range(600):
            user = chance.choice(["ada", "bob", "eve"])
            key = str(chance.randrange(40))
            words = [f"{user}zq{chance.randrange(10**6)}" for _ in range(chance.choice([1, 5, 50, 2000]))]
            match chance.randrange(6):
                case 0:
                    store.delete(("memories", user), key)
                case 1:
                    store.put(("memories", user), key, {"text": " ".join(words)}, index=False)
                case 2 if step % 7 == 0:
                    store.forget(("memories", user))
                case _:
                    store.put(("memories", user, chance.choice("xy")), key, {"text": " ".join(words)})
        kept = {user: store.count(("memories", user)) for user in ("bob", "eve")}

        def hits():
            items = [item for user in ("bob", "eve") for item in store.search(("memories", user), limit=500)]
            return [(item, store.search(("memories",), query=item.value["text"].split()[0])) for item in items]

        before = hits()
        assert sum(len(found) for _, found in before) > 5
        report = Memory(store=store).forget_user("ada", scope=SCOPE)
        assert report.is_complete
        assert found_in(tmp_path, [b"adazq"]) == [], seed
        assert {user: store.count(("memories", user)) for user in ("bob", "eve")} == kept
        assert hits() == before

"""``forget`` and ``sweep``: shown first, asked for, and then gone to the last byte."""

from __future__ import annotations

from pathlib import Path

from crossthread import Memory, MemoryStore
from crossthread.testing import ManualClock


def everything(path):
    return b"".join(Path(f"{path}{end}").read_bytes() for end in ("", "-wal") if Path(f"{path}{end}").exists())


def talk(path, thread_id, user_id):
    with Memory(path, store=None) as memory:

        @memory.entrypoint
        def chat(text, *, previous):
            return f"{previous or ''} {text}"

        chat.invoke("hello, I am a secret", {"configurable": {"thread_id": thread_id, "user_id": user_id}})


def test_forget_shows_what_it_would_do(ct, ctj, agent):
    (plan,) = ctj("forget", agent, "memories", "--dry-run")
    assert plan == {
        "namespace": ["memories"],
        "items": 3,
        "namespaces": [["memories", "ada"], ["memories", "bob"]],
        "threads": [],
        "dry_run": True,
    }
    assert ct("forget", agent, "memories", "--dry-run").splitlines() == [
        "memories.ada: 2 items, cat, food",
        "memories.bob: 1 item, food",
    ]
    assert "Nothing was changed" in ct.told


def test_forget_asks_and_leaves_no_byte(ct, ctj, agent):
    assert b"Turing" in everything(agent)
    assert "--yes" in ct("forget", agent, "memories.ada", code=2)
    ct("forget", agent, "memories.ada", answers="no\n", code=1)
    assert "Erase 2 items of memories.ada in " in ct.told
    ct("forget", agent, "memories.ada", answers="yes\n")
    assert "Erased 2 items." in ct.told
    assert b"Turing" not in everything(agent)
    assert b"Bob likes soup" in everything(agent)
    assert "nothing in memories.ada" in ct("forget", agent, "memories.ada", "--yes", code=3)


def test_forget_may_leave_the_bytes(ctj, agent):
    with MemoryStore(agent) as store:
        store.put(("memories", "eve"), "long", {"text": "a secret " * 10_000})
    (done,) = ctj("forget", agent, "memories.eve", "--yes", "--keep-traces")
    assert (done["items"], done["remains"], done["dry_run"]) == (1, [], False)
    before = agent.stat().st_size
    ctj("forget", agent, "memories.bob", "--yes", "--keep-traces")
    assert agent.stat().st_size == before  # it was not rewritten
    ctj("forget", agent, "memories.ada", "--yes")
    assert agent.stat().st_size < before - 80_000


def test_forget_takes_a_persons_threads_along(ct, ctj, agent):
    for thread_id, user_id in (("monday", "ada"), ("tuesday", "ada"), ("friday", "bob")):
        talk(agent, thread_id, user_id)
    (plan,) = ctj("forget", agent, "memories.ada", "--threads", "user_id=ada", "--dry-run")
    assert sorted(plan["threads"]) == ["monday", "tuesday"]
    ct("forget", agent, "memories.ada", "--threads", "user_id=ada", "--yes")
    assert "Erased 2 items and 2 threads." in ct.told
    assert [thread["thread_id"] for thread in ctj("threads", "list", agent)] == ["friday"]
    assert "NAME=ID" in ct("forget", agent, "memories.ada", "--threads", "ada", "--yes", code=2)


def test_sweep_takes_what_is_over(ct, ctj):
    clock = ManualClock()
    with MemoryStore("agent.db", clock=clock) as store:
        store.put(("a",), "old", {"n": 1}, ttl=1)
        store.put(("a",), "new", {"n": 2})
    # The file was written by a clock of long ago, so the item is over now.
    assert ctj("sweep", "agent.db", "--dry-run") == [{"expired": 1, "dry_run": True}]
    assert "--yes" in ct("sweep", "agent.db", code=2)
    ct("sweep", "agent.db", answers="y\n")
    assert "Erased 1 expired item." in ct.told
    assert ctj("sweep", "agent.db", "--yes") == [{"expired": 0, "dry_run": False}]
    ct("sweep", "agent.db")
    assert "No item has expired." in ct.told

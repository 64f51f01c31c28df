"""``Memory`` opens a store and a checkpointer in one place, or takes those of others, and closes what it opened."""

import asyncio
import os
import stat
import threading

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from crossthread import ConfigurationError, Memory, MemoryStore, StoreClosedError, StoreCorruptError
from crossthread.checkpointing.postgres import DurablePostgresSaver
from crossthread.checkpointing.sqlite import DurableSaver
from servers import store_url

ADA = ("memories", "ada")


def thread(name="1"):
    return {"configurable": {"thread_id": str(name)}}


def chat(memory):
    """The guides' chatbot, in small: it remembers names across threads, and counts its turns within one."""

    @memory.task
    def remember(user: str, text: str, *, store: BaseStore | None) -> None:
        if text.startswith("I am "):
            store.put(("memories", user), "name", {"text": text.removeprefix("I am ")})

    @memory.entrypoint
    def workflow(inputs: dict[str, str], *, previous: int | None, store: MemoryStore) -> str:
        remember(inputs["user"], inputs["text"]).result()
        item = store.get(("memories", inputs["user"]), "name")
        turn = (previous or 0) + 1
        return entrypoint.final(value=f"turn {turn}, {item.value['text'] if item else 'stranger'}", save=turn)

    return workflow


def say(workflow, text, user="ada", name="1"):
    return workflow.invoke({"user": user, "text": text}, thread(name))


@pytest.mark.parametrize("where", ["memory", "path", "string", "url", "server"])
def test_memories_cross_threads_and_histories_do_not(where, tmp_path):
    path = tmp_path / "agent.db"
    urls = {"memory": ":memory:", "path": path, "string": str(path), "url": f"sqlite:///{path}"}
    url = store_url(tmp_path) if where == "server" else urls[where]
    with Memory(url) as memory:
        workflow = chat(memory)
        assert say(workflow, "hello") == "turn 1, stranger"
        assert say(workflow, "I am Bob") == "turn 2, Bob"
        assert say(workflow, "hello", name="2") == "turn 1, Bob"
        assert say(workflow, "hello", user="eve", name="3") == "turn 1, stranger"
        assert isinstance(memory.store, MemoryStore)
        savers = {"memory": InMemorySaver, "server": DurablePostgresSaver}
        assert type(memory.checkpointer) is savers.get(where, DurableSaver)


def test_everything_is_in_one_private_file_and_lasts(tmp_path):
    path = tmp_path / "agent.db"
    with Memory(path) as memory:
        say(chat(memory), "I am Bob")
    assert os.listdir(tmp_path) == ["agent.db"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with Memory(path) as memory:
        assert say(chat(memory), "hello") == "turn 2, Bob"
        memory.checkpointer.delete_thread("1")
        assert say(chat(memory), "hello") == "turn 1, Bob"


def test_async_workflows_on_a_file(tmp_path):
    async def main():
        async with Memory(tmp_path / "agent.db") as memory:

            @memory.task
            async def remember(n: int, store: "BaseStore | None" = None) -> int:
                await store.aput(("memories", str(n)), "n", {"n": n})
                return (await store.aget(("memories", str(n)), "n")).value["n"]

            @memory.entrypoint
            async def workflow(n: int, *, previous: "int | None") -> int:
                return (previous or 0) + await remember(n)

            for _ in range(2):
                results = await asyncio.gather(*(workflow.ainvoke(n, thread(n)) for n in range(40)))
            assert results == [2 * n for n in range(40)]
            assert await memory.store.acount(("memories",)) == 40

    asyncio.run(main())
    assert os.listdir(tmp_path) == ["agent.db"]


def test_both_are_plain_langgraph_objects():
    memory = Memory()

    def node(state: dict, *, store: BaseStore) -> dict:
        store.put(ADA, "seen", {"n": len(store.search(ADA)) + 1})
        return {"turns": state.get("turns", 0) + 1}

    builder = StateGraph(dict)
    builder.add_node(node)
    builder.add_edge(START, "node")
    graph = builder.compile(store=memory.store, checkpointer=memory.checkpointer)
    assert graph.invoke({"turns": 1}, thread()) == {"turns": 2}
    assert memory.store.get(ADA, "seen").value == {"n": 1}


def test_index_and_ttl_are_the_stores(tmp_path):
    memory = Memory(index={"embed": lambda texts: [[1.0, 0.0] for _ in texts], "dims": 2}, ttl={"default_ttl": 5})
    assert memory.store.index_config["dims"] == 2
    assert memory.store.ttl_config["default_ttl"] == 5


def test_those_of_others_are_used_and_left_open(tmp_path):
    with MemoryStore() as store, DurableSaver(tmp_path / "threads.db") as saver:
        with Memory(store=store, checkpointer=saver) as memory:
            assert (memory.store, memory.checkpointer) == (store, saver)
            assert say(chat(memory), "I am Bob") == "turn 1, Bob"
        assert store.get(ADA, "name").value == {"text": "Bob"}
        assert saver.get_tuple(thread()) is not None


def test_what_is_not_given_is_opened_only_with_a_url(tmp_path):
    store, saver = InMemoryStore(), InMemorySaver()
    assert Memory(store=store).checkpointer is None
    assert Memory(checkpointer=saver).store is None
    assert (Memory(store=None).store, Memory(store=None).checkpointer) == (None, None)
    with Memory(tmp_path / "a.db", store=store) as memory:
        assert memory.store is store
        assert isinstance(memory.checkpointer, DurableSaver)
    with Memory(tmp_path / "b.db", checkpointer=None) as memory:
        assert isinstance(memory.store, MemoryStore)
        assert memory.checkpointer is None
    platform = Memory(store=None, checkpointer=None)
    assert (platform.store, platform.checkpointer) == (None, None)


@pytest.mark.parametrize("where", ["file", "server"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_closing_closes_what_was_opened_and_may_be_repeated(tmp_path, asynchronous, where):
    before = set(threading.enumerate())
    memory = Memory(tmp_path / "agent.db" if where == "file" else store_url(tmp_path))
    say(chat(memory), "I am Bob")
    for _ in range(2):
        asyncio.run(memory.aclose()) if asynchronous else memory.close()
    with pytest.raises(StoreClosedError):
        memory.store.get(ADA, "name")
    with pytest.raises(StoreClosedError):
        memory.checkpointer.get_tuple(thread())
    assert not [t.name for t in set(threading.enumerate()) - before if t.name.startswith("crossthread")]
    Memory().close()


@pytest.mark.parametrize("where", ["memory", "file", "server"])
def test_setting_up_again_changes_nothing(tmp_path, where):
    urls = {"memory": ":memory:", "file": tmp_path / "agent.db"}
    with Memory(store_url(tmp_path) if where == "server" else urls[where]) as memory:
        say(chat(memory), "I am Bob")
        memory.setup()
        asyncio.run(memory.asetup())
        assert say(chat(memory), "hello") == "turn 2, Bob"


def test_a_store_is_not_left_open_when_the_checkpointer_cannot_be(tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(MemoryStore, "close", lambda self: closed.append(self))

    def refuse(url):
        raise StoreCorruptError("damaged")

    monkeypatch.setattr("crossthread.checkpointing.opening.open_checkpointer", refuse)
    with pytest.raises(StoreCorruptError):
        Memory(tmp_path / "agent.db")
    assert len(closed) == 1


def test_closing_goes_on_when_a_part_fails(tmp_path, monkeypatch):
    memory = Memory(tmp_path / "agent.db")

    def fail(self):
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(DurableSaver, "close", fail)
        with pytest.raises(OSError, match="the disk is gone"):
            memory.close()
    with pytest.raises(StoreClosedError):
        memory.store.get(ADA, "name")
    memory.close()


SOME = {"embed": lambda texts: [[1.0] for _ in texts]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"store": InMemoryStore(), "index": SOME}, "settings of the store that Memory opens"),
        ({"store": None, "ttl": {}}, "settings of the store that Memory opens"),
        ({"url": "a.db", "store": InMemoryStore(), "index": SOME}, "settings of the store that Memory opens"),
        ({"checkpointer": None, "index": SOME}, "there is no url"),
        ({"url": "a.db", "store": InMemoryStore(), "checkpointer": None}, "Nothing would be kept in 'a.db'"),
        ({"store": "agent.db"}, "store='agent.db' is not a LangGraph store"),
        ({"checkpointer": "agent.db"}, "checkpointer='agent.db' is not a LangGraph checkpointer"),
        ({"checkpointer": True}, "is not a LangGraph checkpointer"),
        ({"url": ""}, "not ''"),
        ({"url": 3}, "not 3"),
        ({"url": "unheard-of://x"}, "unheard-of"),
        ({"url": "unheard-of://x", "store": None}, "unheard-of"),
    ],
)
def test_contradictions_and_nonsense_are_refused(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        Memory(**arguments)
    assert os.listdir(tmp_path) == []

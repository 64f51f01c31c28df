"""``threads list``, ``show``, ``clear`` and ``copy``."""

from __future__ import annotations

import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.func import entrypoint
from langgraph.graph import MessagesState, StateGraph

from crossthread import Memory, MemoryStore


@pytest.fixture
def talks(agent):
    """Two threads of a workflow and one of a graph with messages."""
    with Memory(agent, store=None) as memory:

        @memory.entrypoint
        def chat(text, *, previous):
            return entrypoint.final(value=f"You said {text}", save=[*(previous or []), text])

        def config(thread_id, user_id):
            return {"configurable": {"thread_id": thread_id, "user_id": user_id}}

        chat.invoke("hello", config("monday", "ada"))
        chat.invoke("again", config("monday", "ada"))
        chat.invoke("hi", config("tuesday", "bob"))

        def answer(state: MessagesState):
            return {"messages": [AIMessage("Hi there.", id="2")]}

        graph = StateGraph(MessagesState).add_node("answer", answer)
        graph.set_entry_point("answer")
        graph.compile(checkpointer=memory.checkpointer).invoke(
            {"messages": [HumanMessage("Who are you?", id="1")]}, config("graph", "eve")
        )
    return agent


def test_list(ct, ctj, talks):
    assert [thread["thread_id"] for thread in ctj("threads", "list", talks)] == ["graph", "tuesday", "monday"]
    (monday,) = ctj("threads", "list", talks, "--where", "user_id=ada")
    assert monday["metadata"]["user_id"] == "ada"
    assert set(monday) == {"thread_id", "checkpoint_id", "created_at", "updated_at", "metadata"}
    assert [line.split("\t")[0] for line in ct("threads", "list", talks, "--limit", 2).splitlines()] == [
        "graph",
        "tuesday",
    ]
    assert "NAME=ID" in ct("threads", "list", talks, "--where", "ada", code=2)


def test_show(ct, ctj, talks):
    steps = ctj("threads", "show", talks, "monday")
    assert (steps[0]["previous"], steps[0]["result"]) == (["hello", "again"], "You said again")
    assert [step["input"] for step in steps if step["source"] == "input"] == ["again", "hello"]
    assert len(ctj("threads", "show", talks, "monday", "--limit", 1)) == 1
    (last, *_) = ctj("threads", "show", talks, "graph")
    assert last["values"] == {
        "messages": [{"role": "human", "content": "Who are you?"}, {"role": "ai", "content": "Hi there."}]
    }
    step, _, source, told = ct("threads", "show", talks, "monday").splitlines()[0].split("\t")
    assert (int(step), source) == (steps[0]["step"], "loop")
    assert json.loads(told)["previous"] == ["hello", "again"]


def test_copy_and_clear(ct, ctj, talks):
    assert ctj("threads", "copy", talks, "monday", "what-if") == [{"thread": "monday", "copy": "what-if"}]
    assert len(ctj("threads", "show", talks, "what-if")) == len(ctj("threads", "show", talks, "monday"))
    assert "what-if" in ct("threads", "copy", talks, "monday", "what-if", code=1)
    (plan,) = ctj("threads", "clear", talks, "monday", "what-if", "--dry-run")
    assert (plan["threads"], plan["dry_run"]) == (["monday", "what-if"], True)
    assert "--yes" in ct("threads", "clear", talks, "monday", code=2)
    ct("threads", "clear", talks, "monday", "no-such", "--yes", code=3)
    ct("threads", "clear", talks, "monday", "what-if", answers="y\n")
    assert "Erased 2 threads." in ct.told
    assert [thread["thread_id"] for thread in ctj("threads", "list", talks)] == ["graph", "tuesday"]
    assert len(ctj("search", talks)) == 4  # the memories are still there


def test_an_id_may_be_a_number(ct, ctj, agent):
    with Memory(agent, store=None) as memory:
        chat = memory.entrypoint(lambda text: text)
        for user_id in (42, "42"):
            chat.invoke("hi", {"configurable": {"thread_id": f"of {user_id!r}", "user_id": user_id}})
    assert [thread["thread_id"] for thread in ctj("threads", "list", agent, "--where", "user_id=42")] == ["of '42'"]
    (plan,) = ctj("forget", agent, "memories.ada", "--threads", "user_id=42", "--dry-run")
    assert sorted(plan["threads"]) == ["of '42'", "of 42"]
    ct("threads", "clear", agent, "of '42'", "--yes")
    assert [thread["thread_id"] for thread in ctj("threads", "list", agent, "--where", "user_id=42")] == ["of 42"]


@pytest.mark.parametrize("arguments", [["show", "nobody"], ["clear", "nobody", "--yes"], ["copy", "nobody", "x"]])
def test_a_thread_that_is_not_there(arguments, ct, talks, agent):
    assert "no thread 'nobody'" in ct("threads", arguments[0], talks, *arguments[1:], code=3)


def test_a_store_in_which_nobody_has_used_a_thread(ct, tmp_path):
    MemoryStore("plain.db").close()
    before = tmp_path.joinpath("plain.db").read_bytes()
    assert ct("threads", "list", "plain.db") == ""
    assert "no thread" in ct("threads", "show", "plain.db", "monday", code=3)
    assert tmp_path.joinpath("plain.db").read_bytes() == before


def test_without_a_command_there_is_help(ct):
    assert "clear" in ct("threads")

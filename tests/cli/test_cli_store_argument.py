"""Which store a command is about, and what becomes of places that hold none."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from crossthread import Memory, MemoryStore

READING = [
    ["ls"],
    ["get", "a", "b"],
    ["search"],
    ["search", "--query", "x"],
    ["stats"],
    ["verify"],
    ["sweep", "--yes"],
    ["backup", "copy.db"],
    ["rm", "a", "b", "--yes"],
    ["forget", "a", "--yes"],
    ["edit", "a", "b"],
    ["threads", "list"],
    ["threads", "show", "t"],
    ["threads", "clear", "t", "--yes"],
    ["threads", "copy", "t", "u"],
]


def command_of(arguments, store):
    at = 2 if arguments[0] == "threads" else 1
    return [*arguments[:at], store, *arguments[at:]]


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_no_command_but_put_and_import_makes_a_file(arguments, ct, tmp_path):
    assert "there is no file" in ct(*command_of(arguments, "nowhere.db"), code=3)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_database_of_another_program_is_left_as_it_is(arguments, ct, tmp_path):
    connection = sqlite3.connect("other.sqlite")
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    before = tmp_path.joinpath("other.sqlite").read_bytes()
    assert "another program" in ct(*command_of(arguments, "other.sqlite"), code=3)
    assert tmp_path.joinpath("other.sqlite").read_bytes() == before


def test_put_into_a_database_of_another_program_is_refused(ct, tmp_path):
    test_a_database_of_another_program_is_left_as_it_is(["ls"], ct, tmp_path)
    assert "another program" in ct("put", "other.sqlite", "a", "b", "{}", code=3)


def test_put_into_a_file_of_threads_alone(ct, ctj):
    Memory("threads.db", store=None).close()
    assert "no memories yet" in ct("ls", "threads.db", code=3)
    ct("put", "threads.db", "a", "b", "{}")
    assert len(ctj("ls", "threads.db")) == 1


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [("notes.txt", b"not a database " * 100, "not a"), ("short.txt", b"short", "not a"), ("empty.db", b"", "empty")],
)
def test_a_file_that_is_no_database(name, content, reason, ct, tmp_path):
    tmp_path.joinpath(name).write_bytes(content)
    for arguments in (["ls"], ["search", "--query", "x"], ["threads", "list"]):
        assert reason in ct(*command_of(arguments, name), code=3 if name == "empty.db" else 1)
    assert tmp_path.joinpath(name).read_bytes() == content


def test_a_folder_and_a_folder_that_is_missing(ct):
    assert "folder" in ct("ls", ".", code=1)
    assert "missing" in ct("put", "missing/agent.db", "a", "b", "{}", code=1)


def test_memory_is_no_place(ct):
    assert "would end with this command" in ct("ls", ":memory:", code=2)


def test_an_engine_that_is_not_installed(ct):
    assert "redis://" in ct("ls", "redis://localhost/0", code=1)


def test_without_a_store(ct):
    assert "CROSSTHREAD_URL" in ct("ls", code=2)
    assert "CROSSTHREAD_URL" in ct("get", code=2)
    assert "KEY" in ct("get", "agent.db", "memories.ada", code=2)


# CROSSTHREAD_URL


@pytest.fixture
def variable(agent, monkeypatch):
    monkeypatch.setenv("CROSSTHREAD_URL", str(agent))
    with MemoryStore("other.db", index={}) as store:
        store.put(("memories", "ada"), "only", {"text": "another store"})
    with MemoryStore("plainly-named") as store:
        store.put(("x",), "only", {})


@pytest.mark.usefixtures("variable")
def test_the_variable_stands_for_the_store_that_is_left_out(ct, ctj):
    assert len(ctj("ls")) == 3
    assert len(ctj("ls", "memories")) == 2
    assert len(ctj("ls", "--depth", "1")) == 2
    assert ctj("get", "memories.ada", "food")[0]["value"]["kind"] == "food"
    assert len(ctj("search", "memories.ada", "--query", "cat")) == 1
    assert len(ctj("search", "--query", "cat", "memories.ada")) == 1
    assert ctj("verify")[0]["items"] == 4
    ct("put", "memories.ada", "new", "{}")
    ct("rm", "memories.ada", "new", "cat", "--yes")
    assert len(ctj("search", "memories.ada")) == 1
    assert ct("threads", "list") == ""
    ct("backup", "copy.db")
    assert Path("copy.db").exists()


@pytest.mark.usefixtures("variable")
def test_a_store_that_is_named_comes_first(ct, ctj):
    assert len(ctj("ls", "other.db")) == 1
    assert [hit["key"] for hit in ctj("search", "./other.db", "memories.ada")] == ["only"]
    assert ctj("get", "plainly-named", "x", "only")[0]["value"] == {}
    assert ctj("verify", "plainly-named")[0]["items"] == 1
    assert len(ctj("ls", "./plainly-named")) == 1
    assert "nothing in plainly-named" in ct("ls", "plainly-named", code=3)  # a namespace, as it looks like no store
    ct("rm", "other.db", "memories.ada", "only", "--yes")
    assert ctj("search", "other.db") == []


@pytest.mark.usefixtures("variable")
def test_too_many_arguments_are_told(ct):
    assert "extra" in ct("get", "agent.db", "a", "b", "c", code=2)


def test_a_variable_that_begins_like_an_option(ct, ctj, monkeypatch):
    monkeypatch.setenv("CROSSTHREAD_URL", "-agent.db")
    ct("put", "a", "b", "{}")
    assert Path("-agent.db").exists()
    assert len(ctj("ls")) == 1


# Passwords


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:hunter2@localhost:1/db",
        "postgresql://ada@localhost:1/db?password=hunter2",
        "nosuch://ada:hunter2@localhost/db",
        "postgresql://ada:hunter2@localhost:1/db?pool_size=hunter2",
        "postgresql://ada:hunter2@[localhost:1/db",
        "postgresql://ada:x/hunter2@localhost:1/db",
    ],
)
def test_passwords_are_never_told(url, ct, monkeypatch):
    told = ct("ls", url, code=1)
    assert "hunter2" not in told
    monkeypatch.setenv("CROSSTHREAD_URL", url)
    assert "hunter2" not in ct("ls", code=1)


def test_a_password_in_a_url_with_a_slash_too_few_is_not_told(ct):
    assert "hunter2" not in ct("ls", "postgresql:/ada:hunter2@localhost/db", code=3)

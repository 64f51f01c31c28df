"""``ls``, ``stats``, ``verify`` and ``backup``."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from crossthread import MemoryStore
from crossthread.__main__ import main


def test_ls_in_a_pipe_is_a_line_for_each_namespace(ct, agent):
    lines = [line.split("\t") for line in ct("ls", agent).splitlines()]
    assert [line[:2] for line in lines] == [["memories.ada", "2"], ["memories.bob", "1"], ["settings", "1"]]
    assert [line.split("\t")[:2] for line in ct("ls", agent, "--depth", 1).splitlines()] == [
        ["memories", "3"],
        ["settings", "1"],
    ]
    assert [line.split("\t")[0] for line in ct("ls", agent, "memories.bob").splitlines()] == ["memories.bob"]


def test_ls_for_machines(ctj, agent):
    first = ctj("ls", agent, "memories")[0]
    assert first["namespace"] == ["memories", "ada"]
    assert first["items"] == 2
    assert first["value_bytes"] > 50
    assert first["expiring"] == 0
    assert first["updated_at"].endswith("Z")


def test_ls_of_nothing(ct):
    MemoryStore("empty.db").close()
    assert ct("ls", "empty.db") == ""
    assert "nothing in memories" in ct("ls", "empty.db", "memories", code=3)


def test_stats(ct, ctj, agent):
    (stats,) = ctj("stats", agent)
    assert {name: stats[name] for name in ("items", "namespaces", "expiring", "expired", "vectors", "language")} == {
        "items": 4,
        "namespaces": 3,
        "expiring": 0,
        "expired": 0,
        "vectors": 0,
        "language": "english",
    }
    assert stats["place"] == str(agent)
    assert stats["file_bytes"] >= Path(agent).stat().st_size
    facts = dict(line.split("\t") for line in ct("stats", agent, "memories").splitlines())
    assert facts["items"] == "3 in 2 namespaces"
    assert facts["words"] == "english"


def test_verify_tells_damage_by_its_exit_code(ct, ctj, agent):
    assert ctj("verify", agent) == [{"items": 4, "ok": True, "problems": []}]
    assert "all is well" in ct("verify", agent)
    connection = sqlite3.connect(agent)
    connection.execute("UPDATE crossthread_items SET value = '[1]' WHERE key = 'cat'")
    connection.commit()
    connection.close()
    (report,) = ctj("verify", agent, code=4)
    assert not report["ok"]
    assert len(report["problems"]) >= 1
    assert "cat" in ct("verify", agent, code=4)


def test_backup_is_a_store_and_overwrites_nothing(ct, ctj, agent):
    (done,) = ctj("backup", agent, "copy.db")
    assert done["file"] == str(Path("copy.db").absolute())
    assert done["bytes"] == Path("copy.db").stat().st_size
    assert len(ctj("search", "copy.db")) == 4
    assert "copy.db" in ct("backup", agent, "copy.db", code=1)
    assert "missing" in ct("backup", agent, "missing/copy.db", code=1)


@pytest.mark.parametrize("command", ["ls", "stats", "verify", "search"])
def test_a_file_that_can_only_be_read(command, ct, agent):
    agent.chmod(0o400)
    ct(command, agent)


def test_a_file_that_another_program_has_locked(ct, agent, monkeypatch):
    monkeypatch.setattr("crossthread.engines.sqlite.connection.BUSY_SECONDS", 0.2)
    connection = sqlite3.connect(agent)
    connection.execute("BEGIN IMMEDIATE")
    told = ct("put", agent, "memories.ada", "note", '{"text": "likes pizza"}', code=1)
    assert "locked by another program" in told
    connection.close()
    ct("put", agent, "memories.ada", "note", '{"text": "likes pizza"}')
    assert len(ct("search", agent).splitlines()) == 5


def test_a_damaged_file_is_told_in_a_line(ct, agent):
    content = bytearray(agent.read_bytes())
    content[4096:12288] = b"\xff" * 8192
    agent.write_bytes(content)
    for command in ("ls", "stats", "search"):
        assert "damaged" in ct(command, agent, code=1)


def test_what_nobody_expected_is_a_line_unless_a_traceback_is_wanted(ct, agent, monkeypatch):
    def fails(*_):
        raise RuntimeError("the sky has\nfallen")

    monkeypatch.setattr(MemoryStore, "stats", fails)
    assert "RuntimeError: the sky has fallen (CROSSTHREAD_TRACEBACK=1" in ct("stats", agent, code=1)
    monkeypatch.setenv("CROSSTHREAD_TRACEBACK", "1")
    with pytest.raises(RuntimeError):
        main(["stats", str(agent)])

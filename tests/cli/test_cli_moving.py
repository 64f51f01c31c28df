"""``export``, ``import`` and ``copy``: through pipes and files, whole or not at all."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from crossthread import MemoryStore
from crossthread.testing import HashEmbeddings


def contents(path):
    with MemoryStore(path) as store:
        return {
            (record.namespace, record.key): (record.value, record.created_at, record.updated_at, record.expires_at)
            for record in store.records(limit=10_000)
        }


def test_export_and_import_through_a_pipe(ct, ctj, agent):
    lines = ct("export", agent)
    assert json.loads(lines.splitlines()[0])["items"] == 4
    assert ctj("import", "copy.db", stdin=lines) == [
        {"items": 4, "written": 4, "equal": 0, "kept": 0, "skipped": 0, "bad": []}
    ]
    assert contents("copy.db") == contents(agent)
    assert [hit["key"] for hit in ctj("search", "copy.db", "-q", "pizza")] == ["food"]
    # Again: nothing is to be done, but of a pipe nobody knows that before.
    assert "--yes" in ct("import", "copy.db", stdin=lines, code=2)
    assert ctj("import", "copy.db", "--yes", stdin=lines)[0]["equal"] == 4


def test_a_part_of_a_store_and_a_file(ct, ctj, agent):
    (done,) = ctj("export", agent, "memories.ada", "--output", "ada.jsonl")
    assert (done["items"], done["file"]) == (2, str(Path("ada.jsonl").absolute()))
    assert stat.S_IMODE(Path("ada.jsonl").stat().st_mode) == 0o600
    ct("import", "copy.db", "ada.jsonl")
    assert "Imported 2 items." in ct.told
    assert sorted(contents("copy.db")) == [(("memories", "ada"), "cat"), (("memories", "ada"), "food")]
    assert "nothing in memories.eve" in ct("export", agent, "memories.eve", code=3)


def test_export_asks_before_it_replaces_a_file(ct, agent):
    Path("dump.jsonl").write_text("mine")
    assert "Replace dump.jsonl" in ct("export", agent, "-o", "dump.jsonl", code=2)
    assert Path("dump.jsonl").read_text() == "mine"
    ct("export", agent, "-o", "dump.jsonl", answers="y\n")
    assert len(Path("dump.jsonl").read_text().splitlines()) == 5
    assert [path.name for path in Path().iterdir() if "dump" in path.name] == ["dump.jsonl"]


def test_export_does_not_replace_the_store_itself(ct, agent):
    before = contents(agent)
    Path("link.jsonl").symlink_to(agent)
    for name in (agent, agent.name, "link.jsonl"):
        assert "the store itself" in ct("export", agent, "-o", name, "--yes", code=2)
    assert contents(agent) == before


def test_a_pipe_with_the_name_of_a_file_is_imported(ct, ctj, agent):
    lines = ct("export", agent).encode()
    with MemoryStore("copy.db") as store:
        store.put(("mine",), "k", {"n": 1})
    for arguments, code in (([], 2), (["--yes"], 0)):
        reading, writing = os.pipe()  # what a shell makes of <(...)
        os.write(writing, lines)
        os.close(writing)
        assert ct("import", "copy.db", f"/dev/fd/{reading}", *arguments, code=code) is not None
        os.close(reading)
        assert len(contents("copy.db")) == (1 if code else 5)


def test_import_asks_before_it_replaces_items(ct, ctj, agent):
    ct("export", agent, "-o", "dump.jsonl")
    with MemoryStore("copy.db") as store:
        store.put(("memories", "ada"), "food", {"text": "newer, here"})
    # The one here is newer, so nothing would be replaced, and nothing is asked.
    assert ctj("import", "copy.db", "dump.jsonl")[0] == {
        "items": 4,
        "written": 3,
        "equal": 0,
        "kept": 1,
        "skipped": 0,
        "bad": [],
    }
    plan = {"new": 0, "replaced": 1, "equal": 3, "kept": 0, "bad": 0, "dry_run": True}
    assert ctj("import", "copy.db", "dump.jsonl", "--replace", "--dry-run") == [plan]
    assert "--yes" in ct("import", "copy.db", "dump.jsonl", "--replace", code=2)
    ct("import", "copy.db", "dump.jsonl", "--replace", answers="n\n", code=1)
    assert "Replace 1 item of" in ct.told
    ct("import", "copy.db", "dump.jsonl", "--replace", answers="y\n")
    assert contents("copy.db") == contents(agent)


def test_bad_lines_are_told_with_their_numbers(ct, ctj, agent):
    lines = ct("export", agent).splitlines()
    lines.insert(2, '{"broken')
    lines.insert(4, '{"namespace": [], "key": "a"}')
    text = "\n".join(lines)
    assert "3" in ct("import", "copy.db", stdin=text, code=1)
    Path("bad.jsonl").write_text(text)
    assert ctj("import", "other.db", "bad.jsonl", "--dry-run")[0]["bad"] == 2
    assert not Path("other.db").exists()
    (done,) = ctj("import", "other.db", "bad.jsonl", "--skip-bad", code=4)
    assert [bad["line"] for bad in done["bad"]] == [3, 5]
    assert contents("other.db") == contents(agent)
    ct("import", "third.db", "bad.jsonl", "--skip-bad", code=4)
    assert "line 3 was left out" in ct.told


@pytest.mark.parametrize(
    ("text", "reason"), [("", "empty"), ("hello\n", "begins with"), ('{"format": "x"}\n', "begins with")]
)
def test_what_is_no_export(text, reason, ct, tmp_path):
    assert reason in ct("import", "copy.db", stdin=text, code=1)
    tmp_path.joinpath("dump.jsonl").write_text(text)
    assert reason in ct("import", "copy.db", "dump.jsonl", code=1)
    assert not tmp_path.joinpath("copy.db").exists()


def test_nothing_to_import(ct, agent):
    assert "through a pipe" in ct("import", agent, answers="", code=2)
    assert "nowhere.jsonl" in ct("import", agent, "nowhere.jsonl", code=1)


def test_vectors_travel_or_the_model_is_needed(ct, ctj):
    def hashes(texts):
        return HashEmbeddings(16).embed_documents(texts)

    for path, text in (("one.db", "likes soup"), ("two.db", "likes pizza")):
        with MemoryStore(path, index={"embed": hashes, "model": "acme:small"}) as store:
            store.put(("a",), path, {"text": text})
    told = ct("import", "two.db", "--yes", stdin=ct("export", "one.db"), code=2)
    assert "acme:small" in told
    assert "export with --vectors" in told
    ct("import", "two.db", "--yes", stdin=ct("export", "one.db", "--vectors"))
    assert ctj("stats", "two.db")[0]["vectors"] == 2
    assert ctj("verify", "two.db")[0]["ok"]


def test_the_variable_stands_for_the_store_of_an_import(ct, ctj, agent, monkeypatch):
    ct("export", agent, "-o", "./dump.jsonl")
    monkeypatch.setenv("CROSSTHREAD_URL", "copy.db")
    assert ctj("import", "./dump.jsonl")[0]["written"] == 4
    assert len(ctj("search", "copy.db")) == 4
    assert len(ct("export", "memories").splitlines()) == 4


def test_lines_are_harmless_in_a_terminal(ct):
    with MemoryStore("hostile.db") as store:
        store.put(("a",), "k\x1b[2J\x9b", {"text": "\x85\u2028\u202e\x7f"})
    lines = ct("export", "hostile.db")
    assert not set(lines) & set("\x1b\x9b\x85\u2028\u202e\x7f")
    ct("import", "copy.db", stdin=lines)
    assert contents("copy.db") == contents("hostile.db")


# copy


def test_copy_into_a_new_store(ct, ctj, agent):
    (done,) = ctj("copy", agent, "copy.db")
    assert (done["items"], done["written"], done["bad"], done["dry_run"]) == (4, 4, [], False)
    assert contents("copy.db") == contents(agent)
    assert [hit["key"] for hit in ctj("search", "copy.db", "-q", "pizza")] == ["food"]
    ct("copy", agent, "part.db", "--namespace", "memories.ada")
    assert "Copied 2 items to " in ct.told
    assert "nothing in memories.eve" in ct("copy", agent, "part.db", "--namespace", "memories.eve", code=3)


def test_copy_asks_before_it_replaces_items(ct, ctj, agent):
    with MemoryStore("copy.db") as store:
        store.put(("memories", "ada"), "food", {"text": "newer, here"})
    (plan,) = ctj("copy", agent, "copy.db", "--dry-run")
    assert (plan["items"], plan["target_items"], plan["dry_run"]) == (4, 1, True)
    assert "--yes" in ct("copy", agent, "copy.db", code=2)
    ct("copy", agent, "copy.db", answers="n\n", code=1)
    assert len(contents("copy.db")) == 1
    ct("copy", agent, "copy.db", answers="y\n")
    assert "1 are newer there, and stay" in ct.told
    ct("copy", agent, "copy.db", "--replace", "--yes")
    assert contents("copy.db") == contents(agent)


def test_copy_of_nothing_and_into_itself(ct, agent, tmp_path, monkeypatch):
    assert "no file" in ct("copy", "nowhere.db", "copy.db", code=3)
    assert "into itself" in ct("copy", agent, agent, "--yes", code=2)
    assert not tmp_path.joinpath("copy.db").exists()
    assert "TARGET" in ct("copy", agent, code=2)
    monkeypatch.setenv("CROSSTHREAD_URL", str(agent))
    ct("copy", "copy.db")
    assert contents("copy.db") == contents(agent)


def test_copy_tells_no_password_of_a_target_that_is_not_there_yet(ct, agent):
    url = "postgresql://ada:hunter2@localhost:1/db"
    for more in ([], ["--json"]):
        printed = ct("copy", agent, url, "--dry-run", *more)
        assert "localhost" in printed
        assert "hunter2" not in printed + ct.told
    assert "hunter2" not in ct("copy", agent, url, code=1)

"""``get``, ``put``, ``rm`` and ``edit``: one item at a time, found as before, and never lost."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from crossthread import MemoryStore
from crossthread.testing import HashEmbeddings

PIZZA = '{"text": "likes pizza"}'


def value_at(path, key="note", namespace=("memories", "ada")):
    with MemoryStore(path) as store:
        item = store.get(namespace, key)
        return item and item.value


# put


def test_put_makes_a_store_that_is_found_by_words(ct, ctj):
    ct("put", "agent.db", "memories.ada", "note", PIZZA)
    assert "is a new store" in ct.told
    assert "Added memories.ada note" in ct.told
    (hit,) = ctj("search", "agent.db", "memories.ada", "--query", "pizzas")
    assert (hit["key"], hit["value"]) == ("note", {"text": "likes pizza"})
    assert stat.S_IMODE(os.stat("agent.db").st_mode) == 0o600


def test_put_says_what_it_replaced(ct, ctj):
    (first,) = ctj("put", "agent.db", "memories.ada", "note", PIZZA)
    (second,) = ctj("put", "agent.db", "memories.ada", "note", '{"n": 1}')
    assert (first["created"], second["created"]) == (True, False)
    assert second["value"] == {"n": 1}
    assert second["created_at"] == first["created_at"] < second["updated_at"]
    ct("put", "agent.db", "memories.ada", "note", PIZZA)
    assert ct.told == "Replaced memories.ada note.\n"


def test_put_reads_a_pipe_and_get_fills_one(ct):
    ct("put", "agent.db", "a.b", "one", "-", stdin='{"n": [1, 2.5, null, "é"]}')
    assert json.loads(ct("get", "agent.db", "a.b", "one")) == {"n": [1, 2.5, None, "é"]}
    ct("put", "agent.db", "a.b", "two", "-", stdin=ct("get", "agent.db", "a.b", "one"))
    assert ct("get", "agent.db", "a.b", "two") == ct("get", "agent.db", "a.b", "one")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('{"text"', "not JSON"),
        ("pizza", "not JSON"),
        ("", "not JSON"),
        ("[1]", "list"),
        ('"text"', "str"),
        ('{"n": 123456789012345678901234567890}', "64"),
        ('{"n": NaN}', "n"),
        ("[" * 100_000, "nest"),
        ('{"a": {"b": 1, "b": 2}}', "'b' stands there twice"),
    ],
)
def test_what_is_no_value_is_refused(value, reason, ct):
    assert reason in ct("put", "agent.db", "memories.ada", "note", value, code=1)


@pytest.mark.parametrize("namespace", ["", ".", "a..b", "a.", ".a"])
def test_what_is_no_namespace_is_refused(namespace, ct):
    assert "no namespace" in ct("put", "agent.db", namespace, "note", PIZZA, code=2)
    assert not Path("agent.db").exists()


def test_the_namespace_of_langgraph_is_refused(ct):
    assert "langgraph" in ct("put", "agent.db", "langgraph.x", "note", PIZZA, code=1)


def test_put_with_a_time_to_live(ct, ctj):
    ct("put", "agent.db", "a", "note", PIZZA, "--ttl", "0.5")
    (item,) = ctj("get", "agent.db", "a", "note")
    assert item["created_at"] < item["expires_at"]
    assert "ttl" in ct("put", "agent.db", "a", "note", PIZZA, "--ttl", "-1", code=1)


def test_put_into_an_empty_file_makes_a_store_that_is_found_by_words(ct, ctj):
    Path("agent.db").touch()
    ct("put", "agent.db", "memories.ada", "note", PIZZA)
    assert [hit["key"] for hit in ctj("search", "agent.db", "--query", "pizza")] == ["note"]
    Path("bare.db").touch()
    ct("put", "bare.db", "a", "note", PIZZA, "--no-index")
    assert "nothing to search by" in ct("search", "bare.db", "--query", "pizza", code=1)


def test_put_leaves_a_store_without_an_index_without_one(ct):
    MemoryStore("plain.db").close()
    ct("put", "plain.db", "a", "note", PIZZA)
    with MemoryStore("plain.db", index={"language": "german"}) as store:  # nobody has chosen a language before
        assert store.search((), query="pizza") == []


def test_put_keeps_to_the_language_of_the_store(ct, ctj):
    with MemoryStore("agent.db", index={"language": "german", "fields": ["text"]}) as store:
        store.put(("a",), "one", {"text": "Zwei Katzen"})
    ct("put", "agent.db", "a", "two", '{"text": "Viele Häuser"}')
    assert [hit["key"] for hit in ctj("search", "agent.db", "-q", "Häusern")] == ["two"]
    assert "german" in ct("put", "agent.db", "a", "two", PIZZA, "--language", "english", code=1)


def test_put_indexes_as_the_neighbours_are_indexed(ct, ctj):
    with MemoryStore("agent.db", index={"fields": ["text"]}) as store:
        store.put(("a",), "one", {"text": "likes soup", "kind": "food"})
        store.put(("b",), "one", {"text": "likes soup", "kind": "food"}, index=False)
    ct("put", "agent.db", "a", "two", '{"text": "likes pizza", "kind": "food"}')
    ct("put", "agent.db", "b", "two", '{"text": "likes pizza", "kind": "food"}')
    ct("put", "agent.db", "c", "two", '{"text": "likes pizza", "kind": "food"}', "--fields", "kind,other")
    assert [(hit["namespace"], hit["key"]) for hit in ctj("search", "agent.db", "-q", "pizza")] == [(["a"], "two")]
    assert [hit["namespace"] for hit in ctj("search", "agent.db", "-q", "food")] == [["c"]]
    ct("put", "agent.db", "a", "three", '{"words": "likes pizza"}')
    assert "no text at text" in ct.told
    assert "--fields" in ct.told


def test_no_index_lets_no_query_find_it(ct, ctj):
    ct("put", "agent.db", "a", "note", PIZZA)
    ct("put", "agent.db", "a", "secret", PIZZA, "--no-index")
    assert [hit["key"] for hit in ctj("search", "agent.db", "-q", "pizza")] == ["note"]
    assert len(ctj("search", "agent.db")) == 2


# put into a store that has vectors


def hashes(texts):
    return HashEmbeddings(16).embed_documents(texts)


EMBEDDER = """
from crossthread.testing import HashEmbeddings

def embed(texts):
    return HashEmbeddings(16).embed_documents(texts)
"""


@pytest.fixture
def own_embedder(tmp_path, monkeypatch):
    """A module in the current folder that makes vectors."""
    tmp_path.joinpath("mine.py").write_text(EMBEDDER)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield "mine:embed"
    sys.modules.pop("mine", None)


@pytest.fixture
def with_vectors(tmp_path):
    path = tmp_path / "vectors.db"
    with MemoryStore(path, index={"embed": hashes, "model": "acme:small", "fields": ["text"]}) as store:
        store.put(("a",), "one", {"text": "likes soup"})
    return path


def test_an_item_that_would_lose_its_vector_is_refused(ct, with_vectors):
    told = ct("put", with_vectors, "a", "two", PIZZA, code=2)
    for word in ("acme:small", "--embed acme:small", "--no-index"):
        assert word in told
    assert value_at(with_vectors, "two", ("a",)) is None
    assert "--no-index" not in ct("edit", with_vectors, "a", "one", code=2)  # which has no such option


def test_the_model_may_be_a_function_of_ones_own(ct, ctj, with_vectors, own_embedder):
    options = ["--embed", own_embedder, "--model", "acme:small"]
    ct("put", with_vectors, "a", "two", PIZZA, *options)
    hits = ctj("search", with_vectors, "-q", "likes pizza", "--mode", "semantic", *options)
    assert (hits[0]["key"], round(hits[0]["score"], 3)) == ("two", 1.0)
    assert ctj("stats", with_vectors)[0]["vectors"] == 2


def test_another_model_is_refused(ct, with_vectors, own_embedder):
    told = ct("put", with_vectors, "a", "two", PIZZA, "--embed", own_embedder, "--model", "acme:large", code=1)
    assert "acme:small" in told
    assert "acme:large" in told


@pytest.mark.parametrize(
    ("name", "reason"), [("nonsense", "no such model"), ("no.such.thing", "imported"), ("openai:text", "openai")]
)
def test_a_model_that_is_none(name, reason, ct):
    assert reason in ct("put", "agent.db", "a", "note", PIZZA, "--embed", name, code=1)


def test_the_offline_model_is_known_by_its_name(ct, ctj):
    pytest.importorskip("wordllama")
    with MemoryStore("agent.db", index={"embed": "local", "fields": ["text"]}) as store:
        store.put(("a",), "cat", {"text": "my cat is called Turing"})
    ct("put", "agent.db", "a", "food", PIZZA)
    (hit, *_) = ctj("search", "agent.db", "-q", "what do they eat?", "--explain")
    assert hit["key"] == "food"
    assert hit["semantic"] > 0
    assert ctj("stats", "agent.db")[0]["vectors"] == 2


# get and rm


def test_get_what_is_not_there(ct, agent):
    told = ct("get", agent, "memories.ada", "nothing", code=3)
    assert "no item 'nothing' in memories.ada, and 2 items in and below it" in told
    assert "nothing at all" in ct("get", agent, "memories.eve", "nothing", code=3)


def test_get_does_not_prolong_a_life(ct, ctj):
    ct("put", "agent.db", "a", "note", PIZZA, "--ttl", "10")
    first, second = (ctj("get", "agent.db", "a", "note")[0] for _ in range(2))
    assert first["expires_at"] == second["expires_at"]


def test_rm_asks_and_takes_no_answer_for_a_yes(ct, agent):
    for answer in ("n\n", "\n", "", "yesno\n"):
        assert "nothing was changed" in ct("rm", agent, "memories.ada", "food", answers=answer, code=1)
        assert "Erase 1 item of memories.ada" in ct.told
    assert value_at(agent, "food") is not None
    ct("rm", agent, "memories.ada", "food", answers="y\n")
    assert "Erased 1 item" in ct.told
    assert value_at(agent, "food") is None


def test_rm_without_a_terminal_needs_a_yes(ct, agent):
    told = ct("rm", agent, "memories.ada", "food", code=2)
    assert "--yes" in told
    assert "--dry-run" in told
    assert value_at(agent, "food") is not None


def test_rm_takes_all_or_nothing(ct, ctj, agent):
    ct("rm", agent, "memories.ada", "food", "nothing", "--yes", code=3)
    assert value_at(agent, "food") is not None
    (plan,) = ctj("rm", agent, "memories.ada", "food", "cat", "food", "--dry-run")
    assert plan == {"namespace": ["memories", "ada"], "keys": ["food", "cat"], "items": 2, "dry_run": True}
    assert value_at(agent, "food") is not None
    (done,) = ctj("rm", agent, "memories.ada", "food", "cat", "--yes")
    assert done == {**plan, "dry_run": False}
    assert value_at(agent, "food") is value_at(agent, "cat") is None


# edit


@pytest.fixture
def editor(tmp_path, monkeypatch):
    """Set an editor: Python code that changes ``text``, the text in the file."""

    def use(code, variable="VISUAL"):
        script = tmp_path / "an editor.py"  # with a space in its name
        script.write_text(
            "import pathlib, sys\npath = pathlib.Path(sys.argv[-1])\ntext = path.read_text()\n"
            f"{code}\npath.write_text(text)\n"
        )
        monkeypatch.setenv("EDITOR", "false")
        monkeypatch.setenv(variable, f"{sys.executable} '{script}'")

    return use


def kept_text(told):
    path = Path(told.split("your text is in ", 1)[1].split()[0])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    try:
        return path.read_text()
    finally:
        path.unlink()


def test_edit_changes_a_value_and_how_it_is_found(ct, ctj, agent, editor):
    editor("text = text.replace('pizza', 'gnocchi')")
    ct("edit", agent, "memories.ada", "food")
    assert ct.told == "Wrote memories.ada food.\n"
    assert value_at(agent, "food") == {"text": "Ada likes gnocchi with olives", "kind": "food"}
    assert [hit["key"] for hit in ctj("search", agent, "-q", "gnocchi")] == ["food"]
    assert ctj("search", agent, "-q", "pizza") == []
    assert {tuple(hit["namespace"]) for hit in ctj("search", agent, "-q", "food")} == set()  # the fields are kept to


def test_edit_that_changes_nothing_writes_nothing(ct, ctj, agent, editor):
    before = ctj("get", agent, "memories.ada", "food")
    editor("text = text.replace('  ', '        ')")
    ct("edit", agent, "memories.ada", "food")
    assert "left as it is" in ct.told
    assert ctj("get", agent, "memories.ada", "food") == before


def test_edit_from_a_number_to_what_python_calls_equal_is_an_edit(ct, ctj, editor):
    ct("put", "agent.db", "a", "note", '{"n": 1}')
    editor("text = '{\"n\": true}'")
    assert ctj("edit", "agent.db", "a", "note") == [{"changed": True}]
    assert value_at("agent.db", "note", ("a",))["n"] is True
    editor("text = '{\"n\": 1.0}'")
    ct("edit", "agent.db", "a", "note")
    assert json.dumps(value_at("agent.db", "note", ("a",))) == '{"n": 1.0}'


def test_edit_keeps_the_time_to_live(ct, ctj, editor):
    ct("put", "agent.db", "a", "note", PIZZA, "--ttl", "60")
    editor("text = text.replace('pizza', 'soup')", "EDITOR")
    ct("edit", "agent.db", "a", "note")
    (item,) = ctj("get", "agent.db", "a", "note")
    assert item["value"] == {"text": "likes soup"}
    assert item["expires_at"] > item["updated_at"]


@pytest.mark.parametrize("meanwhile", ["store.put(('a',), 'note', {'n': 2})", "store.delete(('a',), 'note')"])
def test_edit_refuses_to_lose_what_somebody_else_wrote(meanwhile, ct, editor):
    ct("put", "agent.db", "a", "note", '{"n": 1}')
    editor(
        f"from crossthread import MemoryStore\nwith MemoryStore('agent.db') as store:\n    {meanwhile}\n"
        "text = '{\"n\": 3}'"
    )
    told = ct("edit", "agent.db", "a", "note", code=1)
    assert "somebody else" in told
    assert json.loads(kept_text(told)) == {"n": 3}
    assert value_at("agent.db", "note", ("a",)) in ({"n": 2}, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [('{"n": ', "not JSON"), ("[1]", "list"), ("", "not JSON"), ('{"a": {"b": 1, "b": 2}}', "'b' stands there twice")],
)
def test_edit_keeps_a_text_that_is_no_value(text, reason, ct, editor):
    ct("put", "agent.db", "a", "note", '{"n": 1}')
    editor(f"text = {text!r}")
    told = ct("edit", "agent.db", "a", "note", code=1)
    assert reason in told
    assert kept_text(told) == text
    assert value_at("agent.db", "note", ("a",)) == {"n": 1}


def test_edit_offers_another_go(ct, editor):
    ct("put", "agent.db", "a", "note", '{"n": 1}')
    editor("text = '{\"n\": 2}' if text == '{' else '{'")
    ct("edit", "agent.db", "a", "note", answers="y\n")
    assert "not JSON" in ct.told
    assert value_at("agent.db", "note", ("a",)) == {"n": 2}


def test_an_editor_that_fails(ct, agent, editor, monkeypatch):
    editor("text = '{}'\npath.write_text(text)\nraise SystemExit(3)")
    assert "ended with 3" in ct("edit", agent, "memories.ada", "food", code=1)
    monkeypatch.setenv("VISUAL", "no-such-editor")
    assert "no-such-editor cannot be started" in ct("edit", agent, "memories.ada", "food", code=1)
    monkeypatch.setenv("VISUAL", "vi 'x")
    assert "VISUAL is no command: No closing quotation" in ct("edit", agent, "memories.ada", "food", code=1)
    assert value_at(agent, "food")["kind"] == "food"
    assert "no item" in ct("edit", agent, "memories.ada", "nothing", code=3)

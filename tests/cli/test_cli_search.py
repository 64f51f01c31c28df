"""``search``: every mode, filter and page, for people in a pipe and for machines."""

from __future__ import annotations

import json

import pytest

from crossthread import MemoryStore


def keys(hits):
    return [(".".join(hit["namespace"]), hit["key"]) for hit in hits]


def test_without_a_query_the_newest_come_first(ctj, agent):
    found = ctj("search", agent)
    assert keys(found) == [
        ("settings", "tone"),
        ("memories.bob", "food"),
        ("memories.ada", "cat"),
        ("memories.ada", "food"),
    ]
    assert {hit["score"] for hit in found} == {None}
    assert set(found[0]) == {"namespace", "key", "value", "created_at", "updated_at", "score"}


def test_words_need_no_option(ctj, agent):
    assert keys(ctj("search", agent, "memories", "--query", "who likes pizzas?"))[0] == ("memories.ada", "food")
    assert keys(ctj("search", agent, "memories.bob", "--query", "likes")) == [("memories.bob", "food")]


def test_a_filter_and_pages(ctj, agent):
    food = ["--filter", '{"kind": {"$in": ["food", "drink"]}}']
    assert keys(ctj("search", agent, *food)) == [("memories.bob", "food"), ("memories.ada", "food")]
    assert keys(ctj("search", agent, *food, "--limit", 1, "--offset", 1)) == [("memories.ada", "food")]
    assert ctj("search", agent, "--limit", 0) == []


def test_explained_scores_add_up(ct, ctj, agent):
    for hit in ctj("search", agent, "-q", "likes pizza", "--explain"):
        assert hit["semantic"] is None
        assert hit["score"] == pytest.approx(hit["keyword"]) == pytest.approx(sum(hit["terms"].values()))
    first = ct("search", agent, "-q", "likes pizza", "--explain").splitlines()[0].split("\t")
    assert first[4].startswith("words ")
    assert "pizza" in first[4]


def test_min_score_drops_the_weak(ctj, agent):
    first, second = (hit["score"] for hit in ctj("search", agent, "-q", "likes pizza"))
    found = ctj("search", agent, "-q", "likes pizza", "--min-score", (first + second) / 2)
    assert [hit["score"] for hit in found] == [first]


def test_lines_in_a_pipe_are_whole(ct, agent):
    with MemoryStore(agent) as store:
        store.put(("long",), "one", {"text": "word " * 500})
    (line,) = ct("search", agent, "long").splitlines()
    assert line.split("\t")[:3] == ["", "long", "one"]
    assert json.loads(line.split("\t")[3]) == {"text": "word " * 500}


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["--filter", "{"], 1, "not JSON"),
        (["--filter", "[1]"], 1, "ilter"),
        (["--filter", '{"a": {"$regex": "x"}}'], 1, "$regex"),
        (["--limit", "-1"], 2, "--limit"),
        (["--limit", "many"], 2, "--limit"),
        (["--mode", "fuzzy"], 2, "fuzzy"),
        (["-q", "pizza", "--mode", "semantic"], 2, "--mode keyword"),
        (["-q", "pizza", "--language", "german"], 1, "english"),
        (["-q", "pizza", "--hybrid-weight", "2"], 1, "0 to 1"),
        (["--nonsense"], 2, "--nonsense"),
    ],
)
def test_what_makes_no_sense_is_told(options, code, reason, ct, agent):
    assert reason in ct("search", agent, *options, code=code)


def test_a_store_without_an_index_says_so(ct, ctj):
    with MemoryStore("plain.db") as store:
        store.put(("a",), "one", {"text": "likes pizza"})
    told = ct("search", "plain.db", "-q", "pizza", code=1)
    assert "nothing to search by" in told
    assert "--filter" in told
    assert len(ctj("search", "plain.db")) == 1
    with MemoryStore("plain.db", index={"language": "german"}):  # searching has chosen no language
        pass


def test_hybrid_without_vectors_is_words_alone(ct, ctj, agent):
    found = ctj("search", agent, "memories", "--query", "pizza", "--mode", "hybrid")
    assert found == ctj("search", agent, "memories", "--query", "pizza", "--mode", "keyword")
    ct("search", agent, "--query", "pizza", "--mode", "hybrid")
    assert "no vectors" in ct.told


def test_nothing_found_is_no_error(ct, agent):
    assert ct("search", agent, "-q", "zebra") == ""
    assert ct("search", agent, "memories.eve") == ""

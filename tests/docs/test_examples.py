"""Every example runs, says what its docstring promises, and leaves nothing behind in the folder it is run from."""

import itertools
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from langchain_core.language_models import GenericFakeChatModel

import crossthread

EXAMPLES = Path(__file__).parents[2] / "examples"
KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")

# What the transcripts must contain. With a real model the wording differs, so the scripts themselves do not assert it.
SAID = {
    "01_cross_thread_memory": ["Nice to meet you, Bob.", "Your name is Bob.", "I don't know your name yet."],
    "02_plain_langgraph_decorators": ["Nice to meet you, Bob.", "Your name is Bob.", "I don't know your name yet."],
    "03_thread_memory_previous": ["Nice to meet you, Bob.", "Your name is Bob.", "I don't know your name yet."],
    "04_state_graph": ["Your name is Bob.", "You told me that you like pizza.", "I don't know your name yet."],
    "05_user_id_in_input": ["bob ['likes pizza']", "eve ['likes tea']"],
    "06_a_file_that_stays": ["Run 1 on", "Run 2 on", "Run 3 on", "Your name is Bob."],
    "07_clear_one_thread": ["-- clear thread 1 --", "You told me that you like pizza."],
    "08_async_and_streaming": ["Your name is Bob.", "learnt: I live in Rome", "You | told | me"],
    "09_semantic_search": ["My cat is called Turing"],
    "10_forget_and_update": ["{'n': 40}", "forgotten about bob: 3"],
    "11_scoped_workflow": ["['has a cat', 'likes tea']", "['likes wine']", "refused: The scope"],
    "12_agent_tools": ["The user's cat is called Turing.", "Nothing is remembered about that."],
    "13_agent_middleware": ["Your name is Ada.", "I don't know your name yet."],
    "14_typed_memories": ["as always, pizza with olives", "'old' does not fit: topic: Field required"],
    "15_threads": ["monday: ada has", "-- what if --", "3 in the basket", "1 in the basket"],
    "16_forget_a_person": ["erased 2 memories and the threads friday, monday; complete: True"],
    "18_move_memories": ["3 memories are in a file now.", "second import: 0 written, 2 there already"],
    "19_change_the_model": ["5 texts, 81 characters", "4 more texts; the vectors are of 'large' now, 32 dimensions"],
    "17_deployment": ["chat: My cat is called Turing.", "found: ['I live in Rome.']"],
}


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Other processes find the package where this one has found it, whatever the folder.
    monkeypatch.setenv("PYTHONPATH", str(Path(crossthread.__file__).parents[1]))
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)


def run(name):
    """Run an example in this process, which has imported everything already; a warning fails the test."""
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")


def test_every_example_is_listed_here():
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(SAID)


@pytest.mark.parametrize("name", [name for name in SAID if name != "06_a_file_that_stays"])
def test_an_example(name, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", [name])
    run(name)
    printed, complaints = capsys.readouterr()
    for sentence in SAID[name]:
        assert sentence in printed
    assert complaints == ""
    assert [*tmp_path.iterdir()] == []


def test_semantic_search_without_the_local_model(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "wordllama", None)
    run("09_semantic_search")
    assert "HashEmbeddings" in capsys.readouterr().out


def test_the_file_that_stays_proves_it_by_itself(capfd, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["06_a_file_that_stays.py"])
    run("06_a_file_that_stays")  # its second run is another process
    printed, complaints = capfd.readouterr()
    for sentence in SAID["06_a_file_that_stays"]:
        assert sentence in printed
    assert complaints == ""
    assert [*tmp_path.iterdir()] == []


def test_the_file_that_stays_twice_on_one_path(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["06_a_file_that_stays.py", "agent.db"])
    run("06_a_file_that_stays")
    assert "Run 1 on agent.db" in capsys.readouterr().out
    command = [sys.executable, "-W", "error", str(EXAMPLES / "06_a_file_that_stays.py"), "agent.db"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for sentence in ("Run 2 on agent.db", "assistant: Your name is Bob.", "4 messages"):
        assert sentence in done.stdout


@pytest.mark.parametrize("name", SAID)
def test_no_example_depends_on_the_words_of_the_model(name, monkeypatch):
    def gibberish():
        return GenericFakeChatModel(messages=itertools.repeat("Colourless green ideas sleep furiously."))

    monkeypatch.setattr("crossthread.testing.chat.chat_model", gibberish)
    monkeypatch.setattr(sys, "argv", [name, *(["agent.db"] if name == "06_a_file_that_stays" else [])])
    run(name)

"""``python -m crossthread demo``: played by a script, through a pipe, in a terminal; and the command line around it."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

import crossthread
from crossthread.__main__ import main

PROGRAM = [sys.executable, "-W", "error", "-m", "crossthread"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Other processes find the package where this one has found it, whatever the folder.
    monkeypatch.setenv("PYTHONPATH", str(Path(crossthread.__file__).parents[1]))
    for key in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(key, raising=False)


@pytest.fixture
def demo(monkeypatch, capsys):
    """Run the demo with lines on standard input and return what it prints."""

    def run(*lines, arguments=(), code=0):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        assert main(["demo", *arguments]) == code
        printed, complaints = capsys.readouterr()
        return printed if code == 0 else complaints

    return run


def in_order(text, *parts):
    position = 0
    for part in parts:
        assert part in text[position:], f"{part!r} is missing, or not where it should be, in:\n{text}"
        position = text.index(part, position) + len(part)


# By itself


def test_with_nothing_to_read_it_plays_a_conversation_in_a_process_of_its_own(tmp_path):
    done = subprocess.run([*PROGRAM, "demo"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, "")
    in_order(
        done.stdout,
        *("Run 1", "Hi! What's your name?", "Nice to meet you, Bob.", "in thread 2", "Your name is Bob."),
        *("You are eve", "I don't know your name yet."),
        *("Run 2", "in thread 3", "Your name is Bob.", "You told me that you like pizza.", "My name is Bob", "Bye."),
    )
    assert [*tmp_path.iterdir()] == []


def test_the_script_may_be_asked_for_and_keep_its_file(demo, tmp_path):
    assert "Run 2" in demo("I am not read", arguments=["--script", "--path", "kept.db"])
    assert "Your name is Bob." in demo("What is my name?", arguments=["--path", "kept.db", "--user", "bob"])
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(("-wal", "-shm"))] == ["kept.db"]


def test_a_closed_standard_input_is_as_good_as_an_empty_one(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["demo"]) == 0
    assert "Run 2" in capsys.readouterr().out


# Through a pipe


def test_another_process_remembers_what_this_one_was_told(demo, tmp_path):
    in_order(demo("My name is Bob."), str(tmp_path / "crossthread-demo.db"), "Nice to meet you, Bob.")
    question = "What is my name?"  # and no newline at its end
    done = subprocess.run([*PROGRAM, "demo"], input=question, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    in_order(done.stdout, "1 memory of you", "Your name is Bob.")


def test_threads_go_on_unless_a_new_one_is_asked_for(demo):
    assert "in thread 1;" in demo("hi")
    assert "in thread 1;" in demo("hi")
    assert "in thread 2;" in demo("hi", arguments=["--new-thread"])
    assert "in thread 2;" in demo("hi")


def test_commands(demo):
    printed = demo("I like tea", "i like tea", "/memories", "/user Ann", "/memories", "/help", "/quit", "not read")
    in_order(printed, "UTC  i like tea", "You are Ann, in thread 1; 0 memories", "none yet", "/forget", "Bye.")
    assert printed.count("UTC") == 1  # said twice, kept once
    assert "not read" not in printed


def test_forgetting_takes_the_memories_and_the_threads(demo):
    printed = demo("My name is Bob", "/new", "I like tea", "/forget", "What is my name?", "What do I like?")
    in_order(printed, "Forgot 2 memories", "I don't know your name yet.", "I don't know that yet.")
    with crossthread.Memory("crossthread-demo.db") as memory:
        left = {tuple_.config["configurable"]["thread_id"] for tuple_ in memory.checkpointer.list(None)}
    assert left == {"guest-3"}


@pytest.mark.parametrize("line", ["/nonsense", "/user", "/user a.b"])
def test_a_wrong_command_is_told_and_the_chat_goes_on(line, demo):
    printed = demo(line, "My name is Bob")
    assert "no command" in printed or "error: " in printed
    assert "You are guest" in printed
    assert "Nice to meet you, Bob." in printed


# In a terminal


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_control_d_and_control_c_leave_cleanly(end, monkeypatch, capsys):
    typed = iter(["My name is Bob"])

    def keyboard(prompt):
        assert prompt == "guest: "
        for line in typed:
            return line
        raise end

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", keyboard)
    assert main(["demo"]) == 0
    in_order(capsys.readouterr().out, "Nice to meet you, Bob.", "Bye.")


def test_control_c_elsewhere_ends_without_a_traceback(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("crossthread.cli.demo.run", interrupted)
    assert main(["demo"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_real_model_that_fails_does_not_end_the_chat(demo, monkeypatch):
    from langchain_core.language_models import GenericFakeChatModel

    def refuse():
        raise ConnectionError("no network")
        yield

    monkeypatch.setattr("crossthread.cli.demo.chat_model", lambda: GenericFakeChatModel(messages=refuse()))
    in_order(demo("My name is Bob", "/memories"), "no answer: ConnectionError: no network", "My name is Bob", "Bye.")


# What is wrong is said in one line


def test_a_path_that_cannot_be_used(demo, tmp_path):
    tmp_path.joinpath("notes.txt").write_text("not a database, whatever its name says " * 100)
    for path, reason in [("missing/agent.db", "missing"), ("notes.txt", "not a"), (".", "folder")]:
        told = demo("hi", arguments=["--path", path], code=1)
        assert told.startswith("python -m crossthread demo: error: ")
        assert reason in told
        assert told.count("\n") == 1
    assert tmp_path.joinpath("notes.txt").read_text().startswith("not a database")


@pytest.mark.parametrize("user", ["", "a.b", "a\0b", "\udcff"])
def test_a_user_that_cannot_be(user, demo):
    assert "error: " in demo("hi", arguments=["--user", user], code=1)


# The command line


@pytest.fixture(params=["with crossthread[cli]", "without"])
def packages(request, monkeypatch):
    """The demo needs no extra: everything above holds with it, and what follows without it, too."""
    if request.param == "without":
        monkeypatch.setitem(sys.modules, "typer", None)


@pytest.mark.usefixtures("packages")
def test_help_and_version_and_no_command(capsys):
    for arguments, expected in [([], "demo"), (["--help"], "demo"), (["demo", "--help"], "--new-thread")]:
        assert main(arguments) == 0
        assert expected in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"crossthread {crossthread.__version__}\n"


@pytest.mark.usefixtures("packages")
def test_an_unknown_command(capsys):
    assert main(["dmeo"]) == 2
    assert "dmeo" in capsys.readouterr().err


@pytest.mark.usefixtures("packages")
def test_the_demo_plays(demo):
    in_order(demo(arguments=["--script"]), "Run 1", "Run 2", "Bye.")


@pytest.mark.usefixtures("packages")
def test_a_wrong_option_of_the_demo(capsys):
    assert main(["demo", "--nonsense"]) == 2
    assert "--nonsense" in capsys.readouterr().err


def test_without_the_extra_the_other_commands_name_it(capsys, monkeypatch):
    from crossthread.cli.app import app
    from crossthread.cli.basic import COMMANDS

    here = {command.name or command.callback.__name__ for command in app.registered_commands}
    here |= {group.name for group in app.registered_groups}
    assert here == {"demo", *COMMANDS}
    monkeypatch.setitem(sys.modules, "typer", None)
    for command in COMMANDS:
        assert main([command, "agent.db"]) == 1
        printed, told = capsys.readouterr()
        assert printed == ""
        assert told.count("\n") == 1
        assert "pip install 'crossthread[cli]'" in told

"""The command line in this process, for the many small cases; `test_cli_processes` runs the real one."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from pathlib import Path

import pytest

import crossthread
from crossthread.__main__ import main


class Terminal(io.StringIO):
    """Standard input that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path, monkeypatch):
    """A folder of its own, and no settings of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [*os.environ]:
        if name.startswith("CROSSTHREAD_") and name != "CROSSTHREAD_TEST_POSTGRES":
            monkeypatch.delenv(name)
    # Other processes find the package where this one has found it, whatever the folder.
    monkeypatch.setenv("PYTHONPATH", str(Path(crossthread.__file__).parents[1]))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "argv", ["crossthread"])


@pytest.fixture
def ct(capsys, monkeypatch):
    """Run a command; return what it prints, or with another ``code`` than 0 what it complains of, in one line."""

    def run(*arguments, stdin="", answers=None, code=0):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin) if answers is None else Terminal(answers))
        left = main([str(argument) for argument in arguments])
        printed, told = capsys.readouterr()
        assert left == code, (left, printed, told)
        run.printed, run.told = printed, told
        if code in (0, 4):
            return printed
        assert "Traceback" not in told
        # Behind a question the terminal itself would begin a new line, when the answer is typed.
        assert re.match(r"(.*\[y/N\] )?crossthread( [^ ]+)?: error: .", told.splitlines()[-1]), told
        assert printed == ""
        return told

    return run


@pytest.fixture
def ctj(ct):
    """Run a command with --json; return the documents it prints."""

    def run(*arguments, **options):
        return [json.loads(line) for line in ct(*arguments, "--json", **options).splitlines()]

    return run


@pytest.fixture
def agent(tmp_path):
    """A store with memories of two users, searchable by words."""
    path = tmp_path / "agent.db"
    with crossthread.MemoryStore(path, index={"fields": ["text"]}) as store:
        store.put(("memories", "ada"), "food", {"text": "Ada likes pizza with olives", "kind": "food"})
        store.put(("memories", "ada"), "cat", {"text": "her cat is called Turing", "kind": "pet"})
        store.put(("memories", "bob"), "food", {"text": "Bob likes soup", "kind": "food"})
        store.put(("settings",), "tone", {"text": "be brief"})
    return path

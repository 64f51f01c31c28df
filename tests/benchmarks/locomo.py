"""Measures whether search finds it: recall on the LoCoMo conversations, by mode, engine and embedding model.

    python tests/benchmarks/locomo.py --data PATH [--model PROVIDER:NAME ...] [--postgres [URL]] [--write PAGE]

The conversations are not part of this project: they are licensed for research (CC BY-NC 4.0). Get them from
https://github.com/snap-research/locomo (data/locomo10.json) and name the file by --data or CROSSTHREAD_LOCOMO.

Each turn of a conversation is one item, "speaker: text", in a namespace of the conversation. Each question that has
evidence is asked in that namespace; recall@k is the share of its evidence turns among the first k hits, on average over
all questions. Every text is embedded once a model. What cannot be measured is left out with its reason.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from charts import bars
from langchain_core.embeddings import Embeddings
from langgraph.store.base import PutOp
from report import checked_page, own_database, reason, server_at, write_part

from crossthread import MemoryStore
from crossthread.errors import CrossthreadError

_T = TypeVar("_T")

VARIABLE = "CROSSTHREAD_LOCOMO"
CUTS = (5, 10, 20)
CHUNK = 256
TOPIC = "locomo"  # of its part of the page


class Question(NamedTuple):
    """A question, and the keys of the turns that answer it."""

    text: str
    evidence: frozenset[str]


@dataclass(frozen=True)
class Conversation:
    """The turns of a conversation by their ids, and the questions about it that have evidence."""

    name: str
    turns: dict[str, str]
    questions: list[Question]

    @property
    def namespace(self) -> tuple[str, str]:
        """Where its turns are kept."""
        return ("locomo", self.name)


class Result(NamedTuple):
    """The recall of one mode on one engine, at each of CUTS."""

    engine: str
    model: str
    mode: str
    recall: tuple[float, ...]


# The conversations


def read_conversations(path: Path, given_by: str) -> list[Conversation]:
    """Return the conversations of a file; end the program with a clear message where it holds none."""
    try:
        samples = json.loads(path.read_text("utf-8"))
    except OSError as error:
        sys.exit(f"{given_by} names {path}, which cannot be read: {error.strerror}.")
    except ValueError as error:
        sys.exit(f"{given_by} names {path}, which is not JSON: {error}.")
    try:
        found = [_conversation(sample) for sample in samples]
    except (AttributeError, KeyError, TypeError) as error:
        sys.exit(f"{given_by} names {path}, which does not look like LoCoMo's: {type(error).__name__}: {error}.")
    if not any(conversation.questions for conversation in found):
        sys.exit(f"{given_by} names {path}, which holds no question with evidence.")
    return found


def _conversation(sample: dict[str, Any]) -> Conversation:
    turns = {
        turn["dia_id"]: f"{turn['speaker']}: {turn['text']}"
        for session, spoken in sample["conversation"].items()
        if re.fullmatch(r"session_\d+", session)
        for turn in spoken
    }
    asked = []
    for question in sample["qa"]:
        # An entry may hold several ids, and a few ids name no turn.
        ids = re.split(r"[;,\s]+", " ".join(question.get("evidence") or ()))
        evidence = frozenset(turns.keys() & set(ids))
        if evidence:
            asked.append(Question(question["question"], evidence))
    return Conversation(sample["sample_id"], turns, asked)


# The models


class Prepared(Embeddings):
    """Embeddings of another model, computed once, so that every engine is filled from memory."""

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings
        self.documents: dict[str, Any] = {}
        self.queries: dict[str, Any] = {}

    def prepare(self, documents: Iterable[str], queries: Iterable[str], name: str) -> None:
        """Embed all texts."""
        texts = list(dict.fromkeys(documents))
        for chunk in progress(
            [texts[at : at + CHUNK] for at in range(0, len(texts), CHUNK)], f"{name}: embedding turns"
        ):
            self.documents.update(zip(chunk, self.embeddings.embed_documents(chunk), strict=True))
        for query in progress(list(dict.fromkeys(queries)), f"{name}: embedding questions"):
            self.queries[query] = self.embeddings.embed_query(query)

    def embed_documents(self, texts: list[str]) -> Any:
        """Return the prepared vectors of turns."""
        return [self.documents[text] for text in texts]

    def embed_query(self, text: str) -> Any:
        """Return the prepared vector of a question."""
        return self.queries[text]


def prepared(name: str, conversations: list[Conversation]) -> Prepared:
    """Load a model by the name that a store takes, and embed everything."""
    with MemoryStore(index={"embed": name}) as store:
        assert store.embeddings is not None
        found = Prepared(store.embeddings)
    found.prepare(
        (text for conversation in conversations for text in conversation.turns.values()),
        (question.text for conversation in conversations for question in conversation.questions),
        name,
    )
    return found


# The engines


@contextmanager
def server_of(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    """Yield the URL of the PostgreSQL server to measure on, "" for none."""
    if options.postgres is None:
        yield ""
        return
    with ExitStack() as stack:
        try:
            given = None if options.postgres == "own" else options.postgres
            url = stack.enter_context(server_at(given, folder / "server"))
        except ImportError as error:
            sys.exit(f"--postgres without a URL starts a server, which needs crossthread[dev]: {error}.")
        yield url


@contextmanager
def place(engine: str, server: str) -> Iterator[str]:
    """Yield an empty place for a store of an engine, which is gone afterwards."""
    if engine == "memory":
        yield ":memory:"
    elif engine == "SQLite":
        with tempfile.TemporaryDirectory(prefix="crossthread-locomo-") as folder:
            yield str(Path(folder) / "locomo.db")
    else:
        with own_database(server, "locomo") as url:
            yield url


# The measurement


def measure(
    engine: str, server: str, model: str, embeddings: Embeddings | None, conversations: list[Conversation]
) -> Iterator[Result | str]:
    """Fill a store and yield the recall of every mode that the model is for, or why there is none."""
    modes = ("keyword",) if embeddings is None else ("semantic", "hybrid")
    index: Any = {"fields": ["text"]}
    if embeddings is not None:
        index |= {"embed": embeddings, "model": model}
    try:
        with place(engine, server) as url, MemoryStore(url, index=index) as store:
            for conversation in progress(conversations, f"{engine}: put, {model or 'no model'}"):
                fill(store, conversation)
            for mode in modes:
                try:
                    shares = recall(store, mode, conversations, f"{engine}: {named(model, mode)}")
                    yield Result(engine, model, mode, shares)
                except CrossthreadError as error:
                    yield f"{engine}, {named(model, mode)} ({reason(error)})"
    except Exception as error:  # whatever a server or its driver raises
        yield f"{engine}, {model or 'keyword'} ({reason(error)})"


def fill(store: MemoryStore, conversation: Conversation) -> None:
    """Put every turn."""
    puts = [PutOp(conversation.namespace, key, {"text": text}) for key, text in conversation.turns.items()]
    for at in range(0, len(puts), CHUNK):
        store.batch(puts[at : at + CHUNK])


def recall(store: MemoryStore, mode: Any, conversations: list[Conversation], label: str) -> tuple[float, ...]:
    """Ask every question and return its recall at each of CUTS, on average."""
    asked = [(conversation, question) for conversation in conversations for question in conversation.questions]
    sums = dict.fromkeys(CUTS, 0.0)
    for conversation, question in progress(asked, label):
        hits = store.search(conversation.namespace, query=question.text, mode=mode, limit=max(CUTS))
        keys = [hit.key for hit in hits]
        for cut in CUTS:
            sums[cut] += len(question.evidence.intersection(keys[:cut])) / len(question.evidence)
    return tuple(total / len(asked) for total in sums.values())


def progress(work: list[_T], label: str) -> Iterator[_T]:
    """Yield the parts of some work and show on the terminal how far it is; a log gets one line."""
    if not sys.stderr.isatty():
        print(f"{label} ...", file=sys.stderr)
        yield from work
        return
    for done, part in enumerate(work):
        filled = 30 * done // len(work)
        print(f"\r\x1b[K{label} [{'#' * filled:30}] {done}/{len(work)}", end="", file=sys.stderr, flush=True)
        yield part
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)


# The page


def named(model: str, mode: str) -> str:
    """Return what a mode with a model is called on the page."""
    return f"{mode}, {model}" if model else mode


def as_markdown(found: list[Result], left_out: list[str], about: str) -> str:
    """Return all results as a table; the last column compares the recall@10 of an engine and a model to semantic's."""
    tenth = CUTS.index(10)
    semantic = {(r.engine, r.model): r.recall[tenth] for r in found if r.mode == "semantic"}
    cuts = " | ".join(f"recall@{cut}" for cut in CUTS)
    lines = [f"| mode | engine | {cuts} | @10 beside semantic |", f"| --- | --- |{' ---: |' * (len(CUTS) + 1)}"]
    for result in found:
        base = semantic.get((result.engine, result.model))
        ratio = f"{result.recall[tenth] / base:.2f}x" if base else ""
        shares = " | ".join(f"{share:.3f}" for share in result.recall)
        lines.append(f"| {named(result.model, result.mode)} | {result.engine} | {shares} | {ratio} |")
    lines += ["", about]
    lines += [f"Left out: {what}." for what in left_out]
    return "\n".join(lines)


def as_bars(found: list[Result]) -> dict[str, dict[str, float]]:
    """Return the recall@10 of each engine, by mode and model."""
    groups: dict[str, dict[str, float]] = {}
    for result in found:
        groups.setdefault(named(result.model, result.mode), {})[result.engine] = result.recall[CUTS.index(10)]
    return groups


def write(page: Path, text: str, found: list[Result]) -> None:
    """Replace the marked part of a page, and write the chart beside it."""
    groups = as_bars(found)
    picture = page.with_name(f"{page.stem}-locomo.svg")
    alt = "Recall@10: " + "; ".join(
        f"{mode} {', '.join(f'{engine} {share:.2f}' for engine, share in group.items())}"
        for mode, group in groups.items()
    )
    picture.write_text(bars("Share of evidence turns among the first 10 hits", "recall@10", groups, alt), "utf-8")
    write_part(page, TOPIC, f"![{alt}]({picture.name})\n\n{text}")


def main() -> None:
    """Measure, print, and write into a page where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="PATH", help=f"LoCoMo's JSON file (default: ${VARIABLE})")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="PROVIDER:NAME",
        help="a LangChain embedding model, beside the local one; may be given several times",
    )
    parser.add_argument(
        "--postgres",
        nargs="?",
        const="own",
        metavar="URL",
        help="measure PostgreSQL too: in a database of its own on the server at URL, or on one that is started for it",
    )
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page whose marked part is replaced")
    options = parser.parse_args()
    path, given_by = options.data, "--data"
    if path is None:
        if not os.environ.get(VARIABLE):
            parser.error(f"name the file of the conversations by --data PATH or the environment variable {VARIABLE}")
        path, given_by = Path(os.environ[VARIABLE]), VARIABLE
    conversations = read_conversations(path, given_by)
    page = None if options.write is None else checked_page(options.write, TOPIC)

    found: list[Result] = []
    left_out: list[str] = []
    models: dict[str, Embeddings | None] = {"": None}  # keywords need no model
    for name in dict.fromkeys(["local", *options.model]):
        try:
            models[name] = prepared(name, conversations)
        except Exception as error:  # whatever a provider raises
            left_out.append(f"{name} ({reason(error)})")
    with tempfile.TemporaryDirectory() as folder, server_of(options, Path(folder)) as server:
        engines = ["memory", "SQLite", *(["PostgreSQL"] if server else [])]
        for name, embeddings in models.items():
            results: list[Result] = []
            for engine in engines:
                for result in measure(engine, server, name, embeddings, conversations):
                    if isinstance(result, str):
                        left_out.append(result)
                    else:
                        results.append(result)
            found += sorted(results, key=lambda result: result.mode, reverse=True)  # the engines of a mode together
    text = as_markdown(found, left_out, about(conversations))
    print(text)
    if not found:
        sys.exit("Nothing could be measured.")
    if page is not None:
        write(page, text, found)


def about(conversations: list[Conversation]) -> str:
    """Return what was measured on what."""
    turns = sum(len(conversation.turns) for conversation in conversations)
    questions = sum(len(conversation.questions) for conversation in conversations)
    return (
        f"{len(conversations)} conversations of LoCoMo, {turns:,} turns, {questions:,} questions with evidence; "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}."
    )


if __name__ == "__main__":
    main()

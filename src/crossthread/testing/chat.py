"""A chat model that plays a helpful assistant by a script: offline, deterministic, no model at all.

It is made for examples, demos and tests of agents with a memory. It understands a few forms of English sentence: what a
user says about themselves, and questions about that. Everything it knows stands in the messages it is given.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

# The variable that holds a provider's key, the model to ask, and the package that asks it.
_PROVIDERS = [
    ("ANTHROPIC_API_KEY", "anthropic:claude-haiku-4-5", "langchain-anthropic"),
    ("OPENAI_API_KEY", "openai:gpt-5-mini", "langchain-openai"),
]

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+|,?\s+and\s+(?=(?:i|i'm|my)\b)", re.IGNORECASE)
_POLITE = re.compile(r"^(?:(?:hi|hello|hey)\b[ ,]*)?(?:please\b[ ,]*)?(?:remember\b(?: that\b)?[ :,]*)?", re.IGNORECASE)
_QUESTION = re.compile(
    r"\?$|^(?:what|which|who|whose|where|when|how|why|do|did|does|are|is|can|tell me)\b", re.IGNORECASE
)
_ABOUT_ME = re.compile(r"\b(?:i|i'm|i've|my|me|mine)\b", re.IGNORECASE)
_GREETING = re.compile(r"^(?:hi|hello|hey|good (?:morning|afternoon|evening))\b", re.IGNORECASE)
_THANKS = re.compile(r"\b(?:thanks|thank you)\b", re.IGNORECASE)
_NAME = re.compile(
    r"(?i:(?:^|\bmy |\buser |\buser's )name(?: is|'s|:)|\bcall me|\b(?:i'm|i am) called)"
    r"\s+(\w[\w'-]*(?: [A-Z][\w'-]*)*)"
)
_I_AM = re.compile(r"^(?:I'm|I am|i'm|i am) ([A-Z][\w'-]*(?: [A-Z][\w'-]*)*)$")
_ASKS_NAME = re.compile(r"\bmy name\b|\bwho (?:am i|i am)\b|\bam i called\b", re.IGNORECASE)
_ASKS_ALL = re.compile(r"\babout me\b|\bremember\b|\bknow of me\b", re.IGNORECASE)
_ASKS_WORK = re.compile(r"\bdo i do\b|\bmy (?:job|work|profession)\b", re.IGNORECASE)
_WORK = re.compile(r"\bi work\b|\b(?:i'm|i am) an?\b|\bmy (?:job|work|profession)\b", re.IGNORECASE)

_NO_CONTENT = re.compile(
    r"(?:a|am|and?|are|at|be|called|did|do|does|for|have|how|i|i'm|in|is|it|me|my|of|on|or|please|tell|that|the|this|to"
    r"|was|what|what's|when|where|which|who|whose|why|with|your?)"
)
_SECOND_PERSON = {
    "i am": "you are", "i was": "you were",
    "i": "you", "i'm": "you're", "i've": "you've", "i'd": "you'd", "i'll": "you'll",
    "me": "you", "my": "your", "mine": "yours", "myself": "yourself", "you": "me", "your": "my",
}  # fmt: skip
_OUT_OF_SCRIPT = (
    "I only follow a script. Tell me about yourself (I like tea), and ask me about it later (what do I like?)."
)


def personal_statements(text: str) -> list[str]:
    """Return what people say about themselves in a message, in their own words, a sentence each.

    Questions, greetings and sentences without "I", "my" or "me" are left out. A rule this simple stands in for the
    model call by which a real agent would pick what is worth remembering.

    Examples:
        >>> personal_statements("Hi! Remember that my name is Bob, and I like pizza. What do you like?")
        ['my name is Bob', 'I like pizza']
    """
    found = []
    for sentence in _sentences(text):
        statement = _POLITE.sub("", sentence, count=1).rstrip(".! ")
        if statement and not _QUESTION.search(sentence) and _ABOUT_ME.search(statement):
            found.append(statement)
    return found


class ScriptedChatModel(BaseChatModel):
    """A LangChain chat model that answers by a script, the same in every run: no network, no key, no weights.

    It learns from the conversation and from the memories in the system messages, where a memory is a line that begins
    with ``-``, in the user's own words. It knows the user's name and what else they told, and admits what it was never
    told; to anything else it answers that it only follows a script.

    Examples:
        >>> ScriptedChatModel().invoke([("system", "- my name is Bob"), ("user", "What is my name?")]).text
        'Your name is Bob.'
    """

    @property
    def _llm_type(self) -> str:
        return "crossthread-scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(_answer(messages)))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        words = re.findall(r"\S+\s*", _answer(messages))
        for number, word in enumerate(words, start=1):
            position: Literal["last"] | None = "last" if number == len(words) else None
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=word, chunk_position=position))
            if run_manager is not None:
                run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk


def chat_model() -> BaseChatModel:
    """Return a real chat model where there is a key for one, and the scripted one elsewhere.

    With ``ANTHROPIC_API_KEY`` or ``OPENAI_API_KEY`` set, and ``langchain`` and the provider's package installed, it is
    a small model of that provider. Where a package is missing, a line on stderr says so.
    """
    for variable, model, package in _PROVIDERS:
        if not os.environ.get(variable):
            continue
        try:
            # By name, since neither package is a dependency, not even an optional one.
            langchain: Any = importlib.import_module("langchain.chat_models")
            return cast(BaseChatModel, langchain.init_chat_model(model))
        except ImportError as error:
            print(
                f"{variable} is set, but {model} cannot be asked ({error}); the scripted chat model answers instead. "
                f"For the real one: pip install langchain {package}",
                file=sys.stderr,
            )
    return ScriptedChatModel()


# The script


def _answer(messages: Sequence[BaseMessage]) -> str:
    """Return the reply to the last message of the user."""
    said = [_plain(m.text) for m in messages if m.type == "human"]
    memories = [line for m in messages if m.type == "system" for line in _plain(m.text).splitlines()]
    text = said[-1] if said else ""
    # What was said last counts first. Memories come as they were searched: best, or newest, first.
    known = [statement for earlier in reversed(said) for statement in personal_statements(earlier)]
    for line in memories:
        if line.lstrip().startswith("-"):
            known += personal_statements(line.lstrip(" -")) or [line.lstrip(" -")]
    name = _first_name([*known, *memories])

    told = personal_statements(text)
    introduced = _first_name(told)
    reply = [f"Nice to meet you, {introduced}."] if introduced else []
    news = [_to_you(statement) for statement in told if _name_in(statement) is None]
    if news:
        reply.append(f"Good to know that {' and that '.join(news)}.")
    questions = [sentence for sentence in _sentences(text) if _QUESTION.search(sentence)]
    reply += [_answer_question(question, known, name) for question in questions]
    if reply:
        return " ".join(reply)
    if _GREETING.search(text):
        return f"Hi {name}! What can I do for you?" if name else "Hi! What's your name?"
    if _THANKS.search(text):
        return "You're welcome."
    return _OUT_OF_SCRIPT


def _answer_question(question: str, known: Sequence[str], name: str | None) -> str:
    if _ASKS_NAME.search(question):
        return f"Your name is {name}." if name else "I don't know your name yet."
    if not _ABOUT_ME.search(question):
        return _OUT_OF_SCRIPT
    if _ASKS_ALL.search(question):
        found = list(known)
    elif _ASKS_WORK.search(question):
        found = [statement for statement in known if _WORK.search(statement)]
    else:
        asked = _content_words(question)
        common = {statement: len(asked & _content_words(statement)) for statement in known}
        found = [statement for statement in known if common[statement] == max(common.values()) > 0]
    found = list(dict.fromkeys(found))[:5]
    told = [_to_you(statement) for statement in found if _ABOUT_ME.search(statement)]
    noted = [statement for statement in found if not _ABOUT_ME.search(statement)]
    reply = [f"You told me that {' and that '.join(told)}."] if told else []
    reply += [f"I have noted: {'; '.join(noted)}."] if noted else []
    return " ".join(reply) or "I don't know that yet."


def _first_name(statements: Sequence[str]) -> str | None:
    return next((name for statement in statements if (name := _name_in(statement))), None)


def _name_in(statement: str) -> str | None:
    """Return the user's name where a statement gives it: "my name is bob", "User name is Bob", "I'm Bob"."""
    for pattern in (_NAME, _I_AM):
        if found := pattern.search(statement):
            name: str = found[1]
            return name if name != name.lower() else name.capitalize()
    return None


def _to_you(statement: str) -> str:
    """Turn a statement in the first person into the second: "I am fond of my cat", "you are fond of your cat"."""
    words = re.compile(r"\bi (?:am|was)\b|[\w']+", re.IGNORECASE)
    return words.sub(lambda word: _SECOND_PERSON.get(word[0].lower(), word[0]), statement)


def _content_words(text: str) -> set[str]:
    """Return the words that say what a sentence is about, without the ending that a verb or a plural adds."""
    words = re.findall(r"[\w']+", text.lower())
    return {word.removesuffix("s") for word in words if not _NO_CONTENT.fullmatch(word)}


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in _SENTENCE_END.split(_plain(text)) if part and part.strip()]


def _plain(text: str) -> str:
    return text.replace("’", "'")  # noqa: RUF001 - the apostrophe that phones write

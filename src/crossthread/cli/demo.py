"""The command ``demo``: a small chat in the terminal that remembers its users across threads and across runs."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langgraph.func import entrypoint
from langgraph.graph import add_messages
from langgraph.store.base import InvalidNamespaceError

from crossthread.errors import CrossthreadError, InvalidArgumentError
from crossthread.memory import Memory
from crossthread.testing.chat import ScriptedChatModel, chat_model, personal_statements

DEFAULT_FILE = "crossthread-demo.db"
_RECALLED = 50

Source = Callable[[str], str | None]

_COMMANDS = """\
  /new         start a new thread: the conversation is forgotten, the memories stay
  /user NAME   be somebody else, with memories of their own
  /memories    show what is remembered about you
  /forget      erase what is remembered about you, and your threads
  /help        show this
  /quit        leave; everything is on disk already"""

# The conversation of --script: one list of lines for each time the program is started.
_SCRIPT = [
    ["Hi!", "My name is Bob, and I like pizza.", "/new", "What is my name?", "/user eve", "What is my name?"],
    ["What is my name?", "What do I like?", "/memories"],
]


def run(path: str | None, user: str, *, new_thread: bool, script: bool) -> int:
    """Chat until the user leaves.

    Args:
        path: The file of the memories; None: `DEFAULT_FILE` in the current folder.
        user: Whose memories.
        new_thread: Whether to start a new thread rather than go on with the user's last one.
        script: Play a short conversation instead; in a temporary file, unless there is a path.

    Returns:
        The exit code, 0.

    Raises:
        CrossthreadError: The file cannot be used, or the user's name cannot.
    """
    source = None if script else _typed if sys.stdin is not None and sys.stdin.isatty() else _piped()
    if source is None:
        _play_script(path)
    else:
        _converse(path or DEFAULT_FILE, user, source, model=chat_model(), new_thread=new_thread)
    return 0


# Where the user's lines come from: a source is asked for the next line of a user, and gives None at the end


def _typed(user: str) -> str | None:
    with suppress(ImportError):
        import readline  # noqa: F401 - importing it lets the user edit a line, and recall earlier ones
    try:
        return input(f"{user}: ")
    except (EOFError, KeyboardInterrupt):
        print()
        return None


def _shown(lines: Iterable[str]) -> Source:
    """Return a source of lines that come from elsewhere than the keyboard, and so have to be shown."""
    remaining = iter(lines)

    def source(user: str) -> str | None:
        line = next(remaining, None)
        if line is not None:
            print(f"{user}: {line.rstrip()}")
        return line

    return source


def _piped() -> Source | None:
    """Return the lines of standard input as a source; None where there are none, or no standard input."""
    if sys.stdin is None:
        return None
    first = sys.stdin.readline()
    return _shown(chain([first], sys.stdin)) if first else None


def _play_script(path: str | None) -> None:
    print("A short conversation, played by a script. In a terminal you talk yourself.")
    with tempfile.TemporaryDirectory(prefix="crossthread-") as folder:
        for number, lines in enumerate(_SCRIPT, start=1):
            print(f"\n== Run {number} of the program")
            file = path or str(Path(folder, DEFAULT_FILE))
            _converse(file, "bob", _shown(lines), model=ScriptedChatModel(), new_thread=True)


# The chat


def _converse(path: str, user: str, source: Source, *, model: BaseChatModel, new_thread: bool) -> None:
    with Memory(path) as memory:
        print(f"Memories are kept in {os.path.abspath(path)}")
        chat = _Chat(memory, model)
        chat.enter(user, new_thread=new_thread)
        print("Tell me about yourself. /new starts another thread, /help shows more.")
        while (line := source(chat.user)) is not None:
            text = line.strip()
            if text == "/quit":
                break
            if text:
                chat.handle(text)
        print("Bye.")


class _Chat:
    """One user's conversation, in one thread at a time."""

    user = ""
    thread = 0

    def __init__(self, memory: Memory, model: BaseChatModel) -> None:
        self._memory = memory
        self._store = memory.store
        self._model = model
        self._workflow = _workflow(memory, model)

    def enter(self, user: str, *, new_thread: bool) -> None:
        """Go on with a user's last thread, or start a new one."""
        if not user or not user.isprintable():  # bytes that are no text in the terminal's encoding are not, either
            raise InvalidArgumentError("a user needs a name that can be printed")

        def advance(value: dict[str, Any]) -> dict[str, Any]:
            return {"thread": value["thread"] + (new_thread or value["thread"] == 0)}

        try:
            item = self._store.update(("demo", user), "current", advance, default={"thread": 0})
        except InvalidNamespaceError as error:
            raise InvalidArgumentError(f"{user!r} cannot be the name of a user: {error}") from error
        self.user, self.thread = user, item.value["thread"]
        print(f"You are {user}, in thread {self.thread}; {_memories(self._store.count(('memories', user)))} of you.")

    def handle(self, text: str) -> None:
        """Do what a line asks for, and tell about what was wrong with it."""
        command, _, argument = text.partition(" ")
        try:
            match command:
                case "/new":
                    self.enter(self.user, new_thread=True)
                case "/user":
                    self.enter(argument.strip(), new_thread=False)
                case "/memories":
                    self._show_memories()
                case "/forget":
                    self._forget()
                case "/help":
                    print(_COMMANDS)
                case _ if command.startswith("/"):
                    print(f"There is no command {command}.\n{_COMMANDS}")
                case _:
                    self._say(text)
        except InvalidArgumentError as error:
            print(f"error: {error}")

    def _say(self, text: str) -> None:
        config = {"configurable": {"thread_id": self._thread_id(self.thread), "user_id": self.user}}
        try:
            reply = self._workflow.invoke(text, config)
        except CrossthreadError:
            raise
        except Exception as error:
            if isinstance(self._model, ScriptedChatModel):
                raise
            # A provider's library may raise anything: no network, a wrong key, too many requests.
            print(f"The model gave no answer: {type(error).__name__}: {error}")
        else:
            print(f"assistant: {reply}")

    def _show_memories(self) -> None:
        items = self._store.search(("memories", self.user), limit=_RECALLED)
        for item in items:
            print(f"  {item.updated_at:%Y-%m-%d %H:%M} UTC  {item.value['text']}")
        if not items:
            print("  none yet")

    def _forget(self) -> None:
        number = self._store.forget(("memories", self.user))
        for thread in range(1, self.thread + 1):
            self._memory.checkpointer.delete_thread(self._thread_id(thread))
        print(f"Forgot {_memories(number)} and every thread of {self.user}.")
        self.enter(self.user, new_thread=True)

    def _thread_id(self, number: int) -> str:
        return f"{self.user}-{number}"


def _memories(number: int) -> str:
    return "1 memory" if number == 1 else f"{number} memories"


def _workflow(memory: Memory, model: BaseChatModel) -> Any:
    """Make the chatbot: what the user says about themselves is kept, and the model is told about it in every thread."""

    @memory.task
    def call_model(messages: Sequence[BaseMessage], *, store: Any, config: Any) -> BaseMessage:
        user = ("memories", config["configurable"]["user_id"])
        for statement in personal_statements(messages[-1].text):
            store.put(user, statement.lower(), {"text": statement})  # its own key, so that it is kept once
        known = "\n".join(f"- {item.value['text']}" for item in store.search(user, limit=_RECALLED))
        system = (
            "You are a helpful assistant in a terminal; answer in a sentence or two. For your information, this is "
            f"what the user told you in this and other conversations, the latest first:\n{known}"
        )
        return model.invoke([SystemMessage(system), *messages])

    @memory.entrypoint
    def chat(text: str, *, previous: list[Any] | None) -> entrypoint.final[str, Any]:
        history = add_messages(previous or [], HumanMessage(text))
        reply = call_model(history).result()
        return entrypoint.final(value=reply.text, save=add_messages(history, reply))

    return chat

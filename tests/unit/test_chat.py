"""The scripted chat model: what it understands, what it knows, and when a real model takes its place."""

import asyncio
import doctest
import sys
import types

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from crossthread.testing import chat
from crossthread.testing.chat import ScriptedChatModel, chat_model, personal_statements

MODEL = ScriptedChatModel()
MEMORIES = SystemMessage(
    "You are a helpful assistant. The user told you earlier:\n"
    "- Hi! Remember: my name is Bob\n- I like pizza\n- I live in Rome\n"
    "- My cat's name is Turing\n- prefers short answers"
)


def answer(*messages):
    return MODEL.invoke([HumanMessage(m) if isinstance(m, str) else m for m in messages]).text


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("Hi!", "Hi! What's your name?"),
        ("Hi, I'm Bob", "Nice to meet you, Bob."),
        ("hi! my name is bob", "Nice to meet you, Bob."),
        ("Hi! Remember: my name is Bob", "Nice to meet you, Bob."),
        ("My name’s Ada Lovelace.", "Nice to meet you, Ada Lovelace."),  # noqa: RUF001 - as phones write it
        ("Call me Zoë and I like tea", "Nice to meet you, Zoë. Good to know that you like tea."),
        ("I am a baker. I was born in Rome.", "Good to know that you are a baker and that you were born in Rome."),
        ("What is my name?", "I don't know your name yet."),
        ("what do I like", "I don't know that yet."),
        ("I'm Bob. What is my name?", "Nice to meet you, Bob. Your name is Bob."),
        ("Thanks a lot", "You're welcome."),
    ],
)
def test_what_it_says_to_a_stranger(text, reply):
    assert answer(text) == reply


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("Hi!", "Hi Bob! What can I do for you?"),
        ("What's my name?", "Your name is Bob."),
        ("Who am I?", "Your name is Bob."),
        ("What do I like?", "You told me that you like pizza."),
        ("Where do I live?", "You told me that you live in Rome."),
        ("What is my cat's name?", "You told me that your cat's name is Turing."),
        ("Which answers do I prefer?", "I have noted: prefers short answers."),
        ("What is my job?", "I don't know that yet."),
    ],
)
def test_what_it_says_to_somebody_it_has_memories_of(text, reply):
    assert answer(MEMORIES, text) == reply


def test_it_tells_everything_it_knows():
    assert answer(MEMORIES, "What do you know about me?") == (
        "You told me that your name is Bob and that you like pizza and that you live in Rome "
        "and that your cat's name is Turing. I have noted: prefers short answers."
    )


def test_it_knows_the_conversation_and_believes_its_latest_word():
    earlier = [HumanMessage("My name is Bob"), AIMessage("Nice to meet you, Bob."), HumanMessage("Call me Rob")]
    assert answer(*earlier, "What is my name?") == "Your name is Rob."
    assert answer(MEMORIES, *earlier, "What is my name?") == "Your name is Rob."


def test_it_reads_the_system_message_of_langgraphs_guide():
    assert answer(SystemMessage("Talk to the user. User info: User name is Bob"), "my name?") == "Your name is Bob."


@pytest.mark.parametrize("text", ["", "How are you?", "What is the capital of France?", "The weather is fine."])
def test_it_admits_that_it_follows_a_script(text):
    assert "script" in answer(MEMORIES, text)


def test_it_streams_words_and_serves_async_callers():
    async def both():
        words = [chunk.text async for chunk in MODEL.astream("Hi!")]
        return words, (await MODEL.ainvoke("Hi!")).text

    words = [chunk.text for chunk in MODEL.stream("Hi!")]
    assert [word for word in words if word] == ["Hi! ", "What's ", "your ", "name?"]
    assert asyncio.run(both()) == (words, "".join(words))


def test_personal_statements():
    text = "Hello. Please remember that I like tea and my cat hates it!\nWho are you? It rains. I'm  Bob."
    assert personal_statements(text) == ["I like tea", "my cat hates it", "I'm  Bob"]
    assert personal_statements("") == []


def test_the_docstrings_tell_the_truth():
    assert doctest.testmod(chat) == (0, 2)


# chat_model


@pytest.fixture
def no_keys(monkeypatch):
    for variable in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)


def test_without_a_key_it_is_the_scripted_one(no_keys, capsys):
    assert isinstance(chat_model(), ScriptedChatModel)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("variable", "package"), [("ANTHROPIC_API_KEY", "langchain-anthropic"), ("OPENAI_API_KEY", "langchain-openai")]
)
def test_with_a_key_but_no_langchain_it_says_why_it_is_the_scripted_one(
    variable, package, no_keys, monkeypatch, capsys
):
    monkeypatch.setenv(variable, "key")
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)
    assert isinstance(chat_model(), ScriptedChatModel)
    told = capsys.readouterr().err
    assert variable in told
    assert f"pip install langchain {package}" in told
    assert told.count("\n") == 1


def test_with_a_key_and_langchain_it_is_a_real_one(no_keys, monkeypatch):
    class RealModel(ScriptedChatModel):
        name: str | None = None

    package = types.ModuleType("langchain.chat_models")
    package.init_chat_model = lambda name: RealModel(name=name)
    monkeypatch.setitem(sys.modules, "langchain", types.ModuleType("langchain"))
    monkeypatch.setitem(sys.modules, "langchain.chat_models", package)
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    model = chat_model()
    assert isinstance(model, BaseChatModel)
    assert model.name.startswith("openai:")

"""Forget a person: their memories and threads, and every byte of them in the file."""

import tempfile
from pathlib import Path

from langgraph.func import entrypoint

from crossthread import Memory

SCOPE = ("memories", "{user_id}")

folder = tempfile.TemporaryDirectory()
memory = Memory(Path(folder.name) / "agent.db", index={"mode": "keyword"})


@memory.entrypoint(scope=SCOPE)
def chat(text, *, previous, store):
    store.put((), text, {"text": text})
    return entrypoint.final(value=len(store.search(())), save=[*(previous or []), text])


def say(text, *, thread, user):
    return chat.invoke(text, {"configurable": {"thread_id": thread, "user_id": user}})


def files_with(word):
    return [file.name for file in Path(folder.name).iterdir() if word.encode() in file.read_bytes()]


say("My cat is called Turing.", thread="monday", user="ada@example.com")
say("I live in Marylebone.", thread="friday", user="ada@example.com")
say("I like pizza.", thread="tuesday", user="bob")
assert files_with("Marylebone")

report = memory.forget_user("ada@example.com", scope=SCOPE, threads={"user_id": "ada@example.com"})
threads = ", ".join(sorted(report.threads))
print(f"erased {report.memories} memories and the threads {threads}; complete: {report.is_complete}")
assert (report.memories, sorted(report.threads)) == (2, ["friday", "monday"])

for word in ("Turing", "turing", "Marylebone", "ada@example"):
    print(f"files with {word!r}: {files_with(word)}")
    assert files_with(word) == []

assert say("And tea.", thread="tuesday", user="bob") == 2  # Bob's are all there
assert [thread.thread_id for thread in memory.threads.list()] == ["tuesday"]
memory.close()
folder.cleanup()

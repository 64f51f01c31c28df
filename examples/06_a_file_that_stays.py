"""Memories and threads that outlive the process: everything is in one file, and a second run still knows.

python 06_a_file_that_stays.py agent.db     # run it twice, and look at the number of the run
python 06_a_file_that_stays.py              # does so by itself, in a folder of its own
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.func import entrypoint
from langgraph.graph import add_messages

from crossthread import Memory
from crossthread.testing.chat import chat_model


def talk(path):
    """Be the n-th process that talks to the user, and return n."""
    model = chat_model()
    with Memory(path) as memory:

        @memory.entrypoint
        def chat(text, *, previous, store):
            known = "\n".join(f"- {item.value['text']}" for item in store.search(("memories", "bob")))
            history = add_messages(previous or [], [HumanMessage(text)])
            system = SystemMessage(f"You are a helpful assistant. The user told you earlier:\n{known}")
            history = add_messages(history, model.invoke([system, *history]))
            return entrypoint.final(value=history, save=history)

        runs = memory.store.update(("runs",), "count", lambda value: {"n": value["n"] + 1}, default={"n": 0})
        number = runs.value["n"]
        print(f"Run {number} on {path}")
        if number == 1:
            memory.store.put(("memories", "bob"), "name", {"text": "my name is Bob"})
        question = "What is my name?"
        reply = chat.invoke(question, {"configurable": {"thread_id": f"run {number}"}})[-1]
        print(f"  [new thread] bob: {question}\n               assistant: {reply.text}")
        history = chat.invoke("Thank you!", {"configurable": {"thread_id": "all runs"}})
        print(f"  [old thread] {len(history)} messages, those of earlier runs included")

        assert memory.store.get(("memories", "bob"), "name").value == {"text": "my name is Bob"}
        assert len(history) == 2 * number
    return number


if len(sys.argv) > 1:
    talk(sys.argv[1])
else:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "agent.db"))
        assert talk(path) == 1
        sys.stdout.flush()
        subprocess.run([sys.executable, __file__, path], check=True)  # another process, the same file
        assert talk(path) == 3

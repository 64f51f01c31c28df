"""Move memories: out of LangGraph's in-memory store into a file, out of the file as lines of text, and back in."""

import tempfile
from pathlib import Path

from langgraph.store.memory import InMemoryStore

from crossthread import MemoryStore, copy_store, export_lines, import_lines

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)

# What an agent has learnt so far would end with its process.
learnt = InMemoryStore()
learnt.put(("memories", "ada"), "food", {"text": "likes pizza"})
learnt.put(("memories", "ada"), "pet", {"text": "has a cat called Turing"})
learnt.put(("memories", "bob"), "food", {"text": "is allergic to nuts"})

with MemoryStore(folder / "agent.db", index={"fields": ["text"]}) as store:
    copied = copy_store(learnt, store)
    print(f"{copied.written} memories are in a file now.")
    assert copied.written == 3
    assert store.search(("memories", "ada"), query="cat")[0].value == {"text": "has a cat called Turing"}

    # Ada wants hers on another machine.
    dump = folder / "ada.jsonl"
    with open(dump, "w", encoding="utf-8") as file:
        file.writelines(export_lines(store, ("memories", "ada")))

with MemoryStore(folder / "laptop.db", index={"fields": ["text"]}) as laptop:
    for attempt in ("first", "second"):  # twice is once
        with open(dump, encoding="utf-8") as file:
            result = import_lines(laptop, file)
        print(f"{attempt} import: {result.written} written, {result.equal} there already")
    assert laptop.count() == result.equal == 2
    assert laptop.search(("memories", "ada"), query="pizza")[0].key == "food"
    assert laptop.list_namespaces() == [("memories", "ada")]

temporary.cleanup()

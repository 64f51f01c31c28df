"""Find memories by what they mean: `query=`, narrowed by a filter, cut off by a score.

Uses the offline model of `pip install 'crossthread[local]'` where it is installed. Elsewhere `HashEmbeddings` plays an
embedding model: it tells texts apart by the words they have in common.
"""

from importlib.util import find_spec

from crossthread import Memory
from crossthread.testing import HashEmbeddings

embed = "local" if find_spec("wordllama") else HashEmbeddings()
memory = Memory(index={"embed": embed, "fields": ["text"]})
bob = ("memories", "bob")
for key, kind, text in [
    ("pizza", "food", "I love to eat pizza with olives"),
    ("curry", "food", "I cannot eat spicy curry"),
    ("bike", "sport", "I ride my bike to work every day"),
    ("cat", "family", "My cat is called Turing"),
]:
    memory.store.put(bob, key, {"text": text, "kind": kind})


@memory.entrypoint
def recall(question, *, store):
    return store.search(bob, query=question, limit=2)


def show(title, hits):
    print(title)
    for hit in hits:
        print(f"  {hit.score:.2f}  {hit.value['text']}")
    return [hit.key for hit in hits]


print(f"embedding model: {embed if embed == 'local' else 'HashEmbeddings'}")
found = show("What is my cat called?", recall.invoke("What is my cat called?", {"configurable": {"thread_id": "1"}}))
food = show("eat, only food", memory.store.search(bob, query="what do I like to eat?", filter={"kind": "food"}))
rest = show("eat, all but food", memory.store.search(bob, query="eat", filter={"kind": {"$ne": "food"}}))

best = memory.store.search(bob, query="ride a bike to work")
strong = show("min_score", memory.store.search(bob, query="ride a bike to work", min_score=best[0].score - 0.05))

assert found[0] == "cat"
assert set(food) == {"pizza", "curry"}
assert set(rest) == {"bike", "cat"}
assert strong == ["bike"]
assert len(best) == 4  # without min_score every memory is a hit, the weakest last
assert best[0].score > best[-1].score
memory.close()

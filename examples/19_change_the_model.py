"""Changing the embedding model: new vectors beside the old ones, a run that is interrupted, and one switch."""

import tempfile
from pathlib import Path

from crossthread import IndexMismatchError, MemoryStore
from crossthread.testing import HashEmbeddings

TEXTS = ["likes green tea", "drives old trains", "grows red roses", "was born in winter", "plays the violin"]
ADA = ("memories", "ada")


def index(model, dims):
    return {"embed": HashEmbeddings(dims), "model": model, "fields": ["text"]}


class Unreliable(HashEmbeddings):
    """A provider that is away for a while."""

    is_away = True

    def embed_documents(self, texts):  # noqa: D102
        if self.is_away and len(self.calls) == 2:
            raise ConnectionError("the provider is away")
        return super().embed_documents(texts)


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "agent.db"
    with MemoryStore(path, index=index("small", 16)) as store:
        for number, text in enumerate(TEXTS):
            store.put(ADA, str(number), {"text": text})

        # What a provider would bill.
        estimate = store.estimate_reembed()
        print(f"{estimate.texts} texts, {estimate.characters} characters")
        assert estimate.texts == 5

        # The provider goes away after two calls: the old vectors serve, and what was paid for is kept.
        provider = Unreliable(dims=32)
        try:
            store.reembed(provider, model="large", batch_size=1, concurrency=1, retries=0)
        except ConnectionError as error:
            print(f"interrupted: {error}; {store.estimate_reembed().staged} texts are done")
        assert store.search(ADA, query="tea", limit=1)[0].key == "0"
        store.put(ADA, "new", {"text": "sings in a choir"})  # writes go on

        # The same call goes on where it ended.
        provider.is_away = False
        done = store.reembed(provider, model="large", batch_size=2)
        print(f"{done.texts} more texts; the vectors are of {done.model!r} now, {done.dims} dimensions")
        assert (done.texts, done.kept, done.dims) == (4, 2, 32)
        assert sorted(text for call in provider.calls for text in call) == sorted([*TEXTS, "sings in a choir"])
        assert store.search(ADA, query="a choir", limit=1)[0].key == "new"
        assert store.verify()

    # Whoever comes with the old model is told.
    try:
        MemoryStore(path, index=index("small", 16))
    except IndexMismatchError as error:
        print(str(error).split(". ")[0].replace(folder, "..."))
    with MemoryStore(path, index=index("large", 32)) as store:
        assert store.search(ADA, query="tea", limit=1)[0].key == "0"

"""The offline model of crossthread[local], and what a file remembers of its model."""

import asyncio
import socket
import sys

import numpy as np
import pytest

from crossthread import ConfigurationError, IndexMismatchError, MemoryStore
from crossthread.embedding.local import LocalEmbeddings
from crossthread.testing import HashEmbeddings
from processes import run_python

NOTES = {
    "pet": "my cat sleeps on the sofa all day",
    "food": "I had pasta with tomatoes for dinner",
    "work": "the quarterly report is due on Monday",
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the offline model asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_it_finds_by_meaning_without_a_network(tmp_path):
    with MemoryStore(tmp_path / "agent.db", index={"embed": "local", "fields": ["text"]}) as store:
        for key, text in NOTES.items():
            store.put(("notes",), key, {"text": text})
        assert store.search(("notes",), query="animal taking a nap")[0].key == "pet"
        assert asyncio.run(store.asearch(("notes",), query="what did I eat?"))[0].key == "food"


def test_vectors_have_256_dimensions():
    model = LocalEmbeddings()
    assert np.asarray(model.embed_documents(["a", "b"])).shape == (2, 256)
    assert np.asarray(model.embed_query("a")).shape == (256,)


def test_the_file_keeps_the_name_of_the_model(tmp_path):
    path = tmp_path / "agent.db"
    with MemoryStore(path, index={"embed": "local"}) as store:
        store.put(("notes",), "k", {"text": "tea"})
    with pytest.raises(IndexMismatchError, match="local"):
        MemoryStore(path, index={"embed": HashEmbeddings(dims=256), "model": "another"})
    MemoryStore(path, index={"embed": "local"}).close()


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "wordllama", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'crossthread\[local\]'"):
        MemoryStore(index={"embed": "local"})


def test_the_model_leaves_the_programs_logging_alone():
    code = """
        import logging
        from crossthread.embedding.local import LocalEmbeddings
        LocalEmbeddings()
        assert not logging.getLogger().handlers
        assert logging.getLogger().level == logging.WARNING
    """
    run_python(code)

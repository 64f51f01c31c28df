"""Processes that change the model of a file are killed at any moment, while others write: nothing is lost.

CROSSTHREAD_LONG=1 kills more of them.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from crossthread import IndexMismatchError, MemoryStore, StoreError, export_lines, import_lines
from crossthread.engines.sqlite import staging
from crossthread.testing import HashEmbeddings
from processes import run_python

ADA = ("memories", "ada")
KILLS = 60 if os.environ.get("CROSSTHREAD_LONG") else 3

RUN = """
import sys, time
from crossthread import MemoryStore
from crossthread.testing import HashEmbeddings

class Slow(HashEmbeddings):
    def embed_documents(self, texts):
        time.sleep(0.01)
        return super().embed_documents(texts)

dims = int(sys.argv[2])
with MemoryStore(sys.argv[1]) as store:
    print("begun", flush=True)
    store.reembed(Slow(dims), model=f"hash-{dims}", batch_size=5, concurrency=2)
"""


def index(dims):
    return {"embed": HashEmbeddings(dims), "model": f"hash-{dims}", "fields": ["text"]}


def model_of(path):
    with MemoryStore(path) as store:
        assert store.verify(), store.verify().problems
        return store._engine.space.dims


def test_killed_at_any_moment(tmp_path, monkeypatch):
    """After each kill the vectors are all of one model, and a search finds every memory by its own text."""
    path, chance = tmp_path / "agent.db", random.Random(5)
    texts = {f"k{i}": f"memory number {i}" for i in range(120)}
    with MemoryStore(path, index=index(16)) as store:
        for key, text in texts.items():
            store.put(ADA, key, {"text": text})
    ended = switched = 0
    for n in range(KILLS):
        serving = model_of(path)
        wanted = 24 if serving == 16 else 16
        with subprocess.Popen([sys.executable, "-c", RUN, path, str(wanted)], stdout=subprocess.PIPE) as run:
            run.stdout.readline()
            stop = time.monotonic() + chance.uniform(0, 0.8)
            with MemoryStore(path, index=index(serving)) as store, contextlib.suppress(IndexMismatchError):
                while time.monotonic() < stop and run.poll() is None:  # another process writes meanwhile
                    key = f"w{chance.randrange(30)}"
                    store.put(ADA, key, {"text": f"{key} written in round {n}"})
                    texts[key] = f"{key} written in round {n}"
            run.kill()
        ended += run.returncode == 0
        now = model_of(path)
        switched += now != serving
        with MemoryStore(path, index=index(now)) as store:
            for key, text in chance.sample(sorted(texts.items()), 20):
                hit = store.search(ADA, query=text, limit=1)[0]
                assert (hit.key, round(hit.score, 4)) == (key, 1.0)
            assert store.count() == len(texts)
    assert switched or ended or KILLS < 10
    with MemoryStore(path) as store:
        store.reembed(HashEmbeddings(32), model="hash-32")
    with MemoryStore(path, index=index(32)) as store:
        assert len(store.search(ADA, query="memory", limit=1000)) == len(texts)
        assert store.verify()


@pytest.mark.parametrize("settles", [0, 1, 3])
def test_a_run_that_ends_between_switch_and_settling_is_whole(tmp_path, monkeypatch, settles):
    """The new vectors serve from where they were staged, whatever is read, written, erased or restored then."""
    monkeypatch.setattr(staging, "_SETTLED_AT_ONCE", 5)
    path = tmp_path / "agent.db"
    texts = {f"k{i}": f"memory number {i}" for i in range(40)}
    with MemoryStore(path, index=index(16)) as store:
        for key, text in texts.items():
            store.put(ADA, key, {"text": text})
        calls = []

        def fail(self):
            calls.append(1)
            if len(calls) > settles:
                raise StoreError("the program ends here")
            return settle(self)

        settle = staging.Staging.settle
        monkeypatch.setattr(staging.Staging, "settle", fail)
        with pytest.raises(StoreError, match="ends here"):
            store.reembed(HashEmbeddings(24), model="hash-24")
        asked = HashEmbeddings(24)
        with MemoryStore(path, index=index(24) | {"embed": asked}) as other:
            for one in (store, other):
                assert {hit.key for hit in one.search(ADA, query="memory", limit=100)} == texts.keys()
            assert other.verify(), other.verify().problems
            other.put(ADA, "copy", {"text": texts["k30"]})  # its vector is known, and the new one
            other.put(ADA, "k31", {"text": "another text"})
            other.delete(ADA, "k32")
            assert asked.calls == [["another text"]]
            hits = other.search(ADA, query=texts["k30"], limit=2)
            assert ({hit.key for hit in hits}, {round(hit.score, 4) for hit in hits}) == ({"k30", "copy"}, {1.0})
            records = {record.key: record for record in other.records(ADA, vectors=True)}
            assert {len(record.vectors[0]) for record in records.values()} == {24}
            assert other.verify(), other.verify().problems
        monkeypatch.setattr(staging.Staging, "settle", settle)
        assert store.reembed(HashEmbeddings(24), model="hash-24").texts == 0
        assert store.verify()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM crossthread_staged").fetchone() == (0,)
        assert connection.execute("SELECT phase, generation FROM crossthread_state").fetchone() == (0, 1)


def test_nothing_of_an_erased_text_is_left_in_what_is_staged(tmp_path):
    path = tmp_path / "agent.db"
    secret = HashEmbeddings(24).vector("a secret").astype("<f4").tobytes()
    with MemoryStore(path, index=index(16)) as store:
        for i in range(20):
            store.put(ADA, f"k{i}", {"text": f"memory {i}"})
        store.put(ADA, "secret", {"text": "a secret"})
        engine = store._engine
        run, engine.run = engine.run, lambda batch: _refuse(batch, run)
        with pytest.raises(StoreError, match="not yet"):
            store.reembed(HashEmbeddings(24), model="hash-24")
        engine.run = run
        store.backup(tmp_path / "copy.db")
        assert secret in (tmp_path / "copy.db").read_bytes()
        store.delete(ADA, "secret")
        assert store.erase_traces() == []
        assert store.verify()
    for file in tmp_path.glob("agent.db*"):
        assert secret not in file.read_bytes()


def _refuse(batch, run):
    if type(batch.commands[0]).__name__ == "Switch":
        raise StoreError("not yet")
    return run(batch)


def test_items_that_come_in_with_earlier_times_get_new_vectors(tmp_path):
    """An import writes items behind those that a run has looked at already."""
    path, dump = tmp_path / "agent.db", tmp_path / "dump.jsonl"
    with MemoryStore(tmp_path / "elsewhere.db", index=index(16)) as source:
        for i in range(30):
            source.put(("memories", "bob"), f"b{i}", {"text": f"from elsewhere {i}"})
        dump.write_text("".join(line if line.endswith("\n") else f"{line}\n" for line in export_lines(source)))
    with MemoryStore(path, index=index(16)) as store:
        for i in range(30):
            store.put(ADA, f"k{i}", {"text": f"memory {i}"})
        imported = threading.Event()

        class Meanwhile(HashEmbeddings):
            def embed_documents(self, texts):
                if len(self.calls) == 3 and not imported.is_set():
                    imported.set()
                    import_lines(store, dump.read_text().splitlines())
                return super().embed_documents(texts)

        store.reembed(Meanwhile(24), model="hash-24", batch_size=4, concurrency=1)
        assert imported.is_set()
        assert store.verify(), store.verify().problems
        assert len(store.search((), query="memory elsewhere", limit=100)) == 60


def test_another_process_is_told_and_goes_on_with_the_new_model(tmp_path):
    path = tmp_path / "agent.db"
    with MemoryStore(path, index=index(16)) as store:
        store.put(ADA, "k", {"text": "green tea"})
        run_python(RUN, path, 24)
        with pytest.raises(IndexMismatchError, match="'hash-24'"):
            store.search(ADA, query="tea")
        assert store.reembed(HashEmbeddings(24), model="hash-24").texts == 0  # takes it on
        assert store.search(ADA, query="green tea")[0].key == "k"

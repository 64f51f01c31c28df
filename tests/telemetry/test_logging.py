"""What is logged: under which name, at which level, and never what a person said."""

import logging
import subprocess
import sys
import textwrap
import time

import pytest

from crossthread import MemoryStore, StoreUnavailableError
from crossthread.testing import HashEmbeddings, ManualClock


def test_a_program_without_logging_hears_nothing(tmp_path):
    code = """
        import sys
        from crossthread import MemoryStore
        MemoryStore(sys.argv[1], index={"distance_type": "cosine"}).close()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "agent.db")], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_logger_is_a_child_of_the_packages(tmp_path):
    with MemoryStore(tmp_path / "agent.db"):
        pass
    ours = [name for name in logging.root.manager.loggerDict if "crossthread" in name]
    assert all(name.split(".")[0] == "crossthread" for name in ours)
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("crossthread").handlers)


def test_opening_and_migrating_is_told(tmp_path, caplog):
    with caplog.at_level(logging.DEBUG, "crossthread"):
        MemoryStore(tmp_path / "agent.db").close()
    told = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    path = tmp_path / "agent.db"
    assert told[0][:2] == ("crossthread.sqlite", "INFO")
    assert told[0][2].startswith(f"{path} has schema ")
    assert told[1:] == [
        ("crossthread.store", "INFO", f"Opened {path}"),
        ("crossthread.store", "DEBUG", f"Closed {path}"),
    ]
    caplog.clear()
    with caplog.at_level(logging.INFO, "crossthread"):
        MemoryStore(tmp_path / "agent.db").close()
    assert [record.getMessage() for record in caplog.records] == [f"Opened {path}"]


def test_nothing_of_a_person_is_logged_at_info_or_above(tmp_path, caplog):
    """Calls of every kind, also such as fail, with the package at its loudest; debug messages are looked at, too."""
    clock = ManualClock()

    def embed(texts):
        if any("broken" in text for text in texts):
            raise RuntimeError("the model is away")
        return HashEmbeddings(16).embed_documents(texts)

    place = ("secret-space", "secret-user")
    with (
        caplog.at_level(logging.DEBUG, "crossthread"),
        MemoryStore(tmp_path / "agent.db", index={"embed": embed, "mode": "hybrid"}, clock=clock) as store,
    ):
        store.put(place, "secret-key", {"text": "secret text"}, ttl=1)
        store.put(place, "secret-other", {"text": "secret text"})
        store.search(("secret-space",), query="secret query", filter={"text": {"$ne": "secret"}})
        store.search((), query="secret query")
        with pytest.raises(RuntimeError):
            store.put(place, "secret-broken", {"text": "secret broken"})
        with pytest.raises(KeyError):
            store.update(place, "secret-missing", lambda value: value)
        with pytest.raises(ValueError, match="value"):
            store.put(place, "secret-key", {"text": {"secret"}})
        others = iter([{"text": "secret 1"}, {"text": "secret 2"}])

        def change(value):
            other = next(others, None)
            if other is not None:  # somebody else writes in between
                store.put(place, "secret-other", other)
            return {"text": "secret 3"}

        store.update(place, "secret-other", change)
        clock.advance(minutes=2)
        store.sweep_ttl()
        store.verify()
        store.erase_traces()
        store.backup(tmp_path / "copy.db")
        store.forget(place)
    assert "met another write" in caplog.text
    assert "Embedding 1 texts and 0 queries" in caplog.text
    assert "secret" not in caplog.text


def test_a_background_sweep_tells_how_many_it_erased(caplog):
    from crossthread.sweeper import Sweeper

    counts = iter([0, 3])
    with caplog.at_level(logging.INFO, "crossthread"):
        sweeper = Sweeper(lambda: next(counts, 0), lambda: 1e-5)
        deadline = time.monotonic() + 10
        while "Swept" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.001)
        sweeper.stop()
    assert [record.getMessage() for record in caplog.records] == ["Swept 3 expired items."]


def test_damage_is_a_warning_without_the_name_of_what_is_damaged(tmp_path, caplog):
    import sqlite3

    with MemoryStore(tmp_path / "agent.db") as store:
        store.put(("secret",), "secret", {"text": "x"})
    with sqlite3.connect(tmp_path / "agent.db") as connection:
        connection.execute("UPDATE crossthread_items SET value = 'no json'")
    connection.close()
    with caplog.at_level(logging.INFO, "crossthread"), MemoryStore(tmp_path / "agent.db") as store:
        assert not store.verify().ok
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.getMessage() == f"Checked 1 items of {tmp_path / 'agent.db'}: 1 problems"


def test_a_server_that_is_away_is_a_warning_without_its_password(caplog):
    from crossthread.engines.postgres.connection import Pool

    pool = Pool("postgresql://agent:hush@127.0.0.1:9/agents", 1, 0.3, 10.0)
    with caplog.at_level(logging.INFO, "crossthread"), pytest.raises(StoreUnavailableError), pool.lend():
        pass
    (warning,) = caplog.records
    assert (warning.name, warning.levelname) == ("crossthread.postgres", "WARNING")
    assert "cannot be reached; trying again" in warning.getMessage()
    assert "hush" not in caplog.text

"""Real file systems that refuse: mounted read-only, full, frozen while the file is open. Needs the right to mount.

Each program runs in a process with mounts of its own (a user who is not root gets a user namespace, too).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

UNSHARE = ["unshare", "--mount", *([] if hasattr(os, "geteuid") and os.geteuid() == 0 else ["--map-root-user"])]
CANNOT = 77  # the exit code of a program that is not allowed to do what it tests

PRELUDE = """
import os, subprocess, sys
from pathlib import Path
from crossthread import Memory, MemoryStore
from crossthread.errors import *

ADA = ("memories", "ada")
INDEX = {"fields": ["text"]}
folder = Path(sys.argv[1])
place = folder / "mounted"
place.mkdir()
path = place / "agent.db"


def mount(options, *more):
    subprocess.run(["mount", *more, "-o", options, "crossthread", str(place)], check=True)


def refused(expected, call):
    try:
        call()
    except expected as error:
        return str(error)
    raise AssertionError(f"{expected.__name__} was not raised")


mount("size=2m", "-t", "tmpfs")
"""


def run(folder: Path, program: str) -> None:
    if not shutil.which("unshare") or subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount anything")
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-c", PRELUDE + textwrap.dedent(program), str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == CANNOT or ("permission denied" in done.stderr and "mount" in done.stderr):
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_read_only_file_system_can_be_read_and_says_so_when_written(tmp_path):
    run(
        tmp_path,
        """
        def use_read_only(keys):
            mount("remount,ro")
            with MemoryStore(path, index=INDEX) as store:
                assert {item.key for item in store.search(ADA)} == keys
                assert store.search(ADA, query="tea")[0].key == "old"
                assert store.get(ADA, "old", refresh_ttl=True).value == {"text": "tea"}
                assert store.verify().items == len(keys)
                for write in (
                    lambda: store.put(ADA, "new", {"n": 1}),
                    lambda: store.delete(ADA, "old"),
                    lambda: store.update(ADA, "old", lambda value: {"n": 2}),
                    lambda: store.forget(ADA),
                    store.erase_traces,
                ):
                    assert "agent.db cannot be written" in refused(StoreReadOnlyError, write)
                store.backup(folder / f"backup-{len(keys)}.db")
            assert "Read-only file system" in refused(StoreUnavailableError, lambda: MemoryStore(place / "new.db"))
            with Memory(path, index=INDEX) as memory:
                assert memory.threads.list() == []
            mount("remount,rw")
            with MemoryStore(path, index=INDEX) as store:
                store.put(ADA, "again", {"n": 1})
                store.delete(ADA, "again")
                assert store.verify()

        Memory(path, index=INDEX).close()
        with MemoryStore(path, index=INDEX) as store:
            store.put(ADA, "old", {"text": "tea"}, ttl=10)
        use_read_only({"old"})

        child = os.fork()  # whoever is killed leaves a log, which has to be read too
        if not child:
            store = MemoryStore(path, index=INDEX)
            store.put(ADA, "in the log", {"n": 1})
            os._exit(0)
        os.waitpid(child, 0)
        assert Path(f"{path}-wal").stat().st_size
        use_read_only({"old", "in the log"})
        """,
    )


def test_a_full_file_system_is_said_nothing_is_half_written_and_it_goes_on_when_there_is_room(tmp_path):
    run(
        tmp_path,
        """
        store = MemoryStore(path, index=INDEX)
        told = []
        def fill(batch):
            while True:
                n = len(told)
                if batch:
                    ops = [PutOp((*ADA, str(n)), str(k), {"text": f"tea {n}", "x": "y" * 3000}) for k in range(5)]
                    store.batch(ops)
                else:
                    store.put((*ADA, str(n)), "0", {"text": f"tea {n}", "x": "y" * 3000})
                told.append(5 if batch else 1)

        from langgraph.store.base import PutOp
        assert "the disk is full" in refused(StoreFullError, lambda: fill(True))
        refused(StoreFullError, lambda: fill(False))
        for n, count in enumerate(told):
            assert store.count((*ADA, str(n))) == count
        assert store.count() == sum(told) > 50
        assert store.verify().items == sum(told)
        assert store.search(ADA, query="tea", limit=3)
        refused(StoreFullError, lambda: store.backup(place / "backup.db"))
        refused(StoreFullError, lambda: MemoryStore(place / "new.db"))
        assert [name for name in sorted(os.listdir(place)) if "backup" in name] == []
        with MemoryStore(path, index=INDEX) as other:
            assert other.count() == sum(told)
        mount("remount,size=16m")
        store.put(ADA, "again", {"text": "coffee"})
        assert [hit.key for hit in store.search(ADA, query="coffee")] == ["again"]
        assert store.verify().items == sum(told) + 1
        MemoryStore(place / "new.db").close()
        store.close()
        with MemoryStore(path, index=INDEX) as store:
            assert store.verify().items == sum(told) + 1
        """,
    )


def test_a_file_that_is_frozen_while_it_is_open_can_be_read_and_goes_on_when_it_thaws(tmp_path):
    """With chattr +i no open descriptor writes any more, root's neither."""
    run(
        tmp_path,
        """
        path = folder / "agent.db"
        with MemoryStore(path) as store:
            store.put(ADA, "old", {"n": 1})
            files = [str(path), f"{path}-wal"]
            if subprocess.run(["chattr", "+i", *files], capture_output=True).returncode:
                sys.exit(77)
            try:
                for n in range(3):
                    refused((StoreReadOnlyError, StoreUnavailableError), lambda: store.put(ADA, "new", {"n": n}))
                    refused((StoreReadOnlyError, StoreUnavailableError), lambda: store.forget(ADA))
                    assert store.get(ADA, "old").value == {"n": 1}
                    assert store.count() == 1
            finally:
                subprocess.run(["chattr", "-i", *files], check=True)
            store.put(ADA, "new", {"n": 1})
            assert store.count() == 2
            assert store.verify()
        """,
    )


def test_a_limit_for_the_size_of_files_is_an_error_and_nothing_is_half_written(tmp_path):
    run(
        tmp_path,
        """
        import resource

        path = folder / "agent.db"
        with MemoryStore(path) as store:
            store.put(ADA, "old", {"n": 1})
            unlimited = resource.RLIM_INFINITY
            resource.setrlimit(resource.RLIMIT_FSIZE, (Path(f"{path}-wal").stat().st_size + 20_000, unlimited))
            told = 0
            try:
                for n in range(100):
                    store.put(ADA, str(n), {"x": "y" * 3000})
                    told += 1
            except StoreError as error:
                assert "agent.db" in str(error)
            assert told < 10
            assert store.count() == told + 1
            resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
            store.put(ADA, "again", {"n": 1})
            assert store.verify().items == told + 2
        """,
    )

"""Nothing that was acknowledged is lost, in short; at length: python -m crossthread.testing.torture."""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from crossthread import MemoryStore
from crossthread.testing.torture import crash, crowd, outcome, power, server, steps, syncs, torn_log
from crossthread.testing.torture.__main__ import main
from servers import store_url

SEED = random.randrange(10**9)

needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL and no fork server")


@pytest.fixture(autouse=True)
def told():
    """A failure tells what to repeat it with."""
    print(f"seed {SEED}")


def quiet(line: str) -> None:
    pass


# What is tortured


@needs_fork
def test_a_killed_writer_leaves_all_that_was_acknowledged_and_no_half_batch(tmp_path):
    found = crash.Crashes(tmp_path, SEED).run(25, quiet)
    found.raise_if_any()
    assert int(found.figures.split("; ")[1].split()[0].replace(",", "")) > 20, found.figures


def test_a_torn_log_leaves_whole_commits(tmp_path):
    torn_log.tear(tmp_path, 120, SEED, quiet).raise_if_any()


def test_a_put_returns_when_its_write_is_synced(tmp_path):
    found = syncs.watch(tmp_path)
    if found.skipped:
        pytest.skip(found.skipped)
    found.raise_if_any()
    # The same trace of a store that need not wait shows no sync.
    assert len(syncs.watch(tmp_path, "process").problems) == syncs.PUTS


def test_no_disk_that_a_power_cut_may_leave_lacks_what_was_acknowledged(tmp_path):
    (tmp_path / "disk").mkdir()
    found = power.cut(tmp_path / "disk", 80, SEED, quiet)
    if found.skipped:
        pytest.skip(found.skipped)
    found.raise_if_any()
    # A store that does not wait for the disk loses some, which the same cuts show, and never half a step.
    for may_lose in (False, True):
        (tmp_path / f"process {may_lose}").mkdir()
        found = power.cut(tmp_path / f"process {may_lose}", 40, SEED, quiet, "process", may_lose)
        assert bool(found.problems) != may_lose, found.problems[:5]


@needs_fork
def test_a_crowd_on_one_file_loses_nothing_and_reads_its_own_and_others_writes(tmp_path):
    found = crowd.gather(tmp_path, 10, quiet)
    found.raise_if_any()
    assert all(what in found.figures for what in ("batches", "puts", "reads", "updates")), found.figures


def test_a_killed_server_has_all_that_was_acknowledged_after_its_restart():
    folder = Path(tempfile.mkdtemp(prefix="crossthread-killed-"))
    own = server.OwnServer(folder / "data")
    try:
        server.kill_server(own, f"{own.url}&schema=killed", 4, SEED, quiet).raise_if_any()
    finally:
        own.kill()
        shutil.rmtree(folder, ignore_errors=True)


def test_two_hundred_tasks_on_five_connections_all_finish_and_memory_stays_flat(tmp_path):
    url = store_url(tmp_path).replace("&pool_size=4", "")
    found = server.many_tasks(url, 5, quiet)
    found.raise_if_any()


# That the torture would find it


def test_half_a_batch_and_a_lost_write_are_seen(tmp_path):
    """Against the replay of the steps: what is missing, and what is there in part."""
    with MemoryStore(tmp_path / "agent.db", index=steps.index()) as store:
        state: steps.State = {}
        for number in range(30):
            one = steps.step(SEED, 0, number)
            one.perform(store)
            state = one.after(state)
        assert steps.found(store, 0) == state
        store.put(*next(iter(state)), {"n": -1})
        assert "'n': -1" in crash.differences(state, steps.found(store, 0))
    seen = crash.Crashes(tmp_path, SEED)
    seen.check(0, b"")  # a file with items that nobody says to have written
    assert any("worker 0" in problem for problem in seen.problems)


def test_an_acknowledged_step_that_is_not_there_is_seen(tmp_path):
    seen = crash.Crashes(tmp_path, 1)
    number = next(n for n in range(99) if steps.step(1, 0, n).after({}))  # one that writes something
    seen.starts[0] = number
    note = crash._NOTE.pack
    seen.check(0, note(b"b", 0, number))
    assert (seen.problems, seen.absent, seen.starts[0]) == ([], 1, number + 1)
    seen.starts[0] = number
    seen.check(1, note(b"b", 0, number) + note(b"d", 0, number))
    assert len(seen.problems) == 1


def test_a_lost_update_and_half_a_batch_are_seen_by_the_crowd(tmp_path, monkeypatch):
    """Two threads of a store that reads, changes and writes without a condition, and writes batches one by one."""

    class Loose(MemoryStore):
        def update(self, namespace: Any, key: Any, change: Any, **options: Any) -> Any:
            item = self.get(namespace, key)
            return self.put(namespace, key, change(item.value if item else options["default"]), index=False)

        def batch(self, ops: Any) -> Any:
            return [super(Loose, self).batch([op])[0] for op in ops]

    monkeypatch.setattr(crowd, "MemoryStore", Loose)
    monkeypatch.setattr(crowd, "_TRIOS", 1)
    monkeypatch.setattr(crowd, "_COUNTERS", 1)
    monkeypatch.setattr(crowd, "PROCESSES", 1)

    class InThread:
        """A process that is a thread, so that it sees the store above."""

        exitcode = 0

        def __init__(self, target: Any, args: Any) -> None:
            self.thread = threading.Thread(target=target, args=args)
            self.start, self.join = self.thread.start, self.thread.join

    context = crowd.multiprocessing.get_context("forkserver")
    monkeypatch.setattr(type(context), "Process", InThread)
    monkeypatch.setattr(crowd, "_close", lambda pipe: None)
    found = crowd.gather(tmp_path, 2, quiet)
    assert any("a batch was seen in part" in problem for problem in found.problems), found
    assert any("update() lost something" in problem for problem in found.problems), found


def test_a_torn_image_that_is_not_what_was_committed_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(torn_log, "_same", lambda torn, log, start: len(log))  # as if every image held all
    assert torn_log.tear(tmp_path, 12, SEED, quiet).problems


# The command


def test_the_command_prints_a_table_writes_it_and_tells_by_its_exit_code(tmp_path, capsys, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- torture -->\nold\n<!-- /torture -->\nafter\n")
    arguments = ["--only", "log", "--images", "8", "--seed", "7", "--folder", str(tmp_path), "--write", str(page)]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "| torn write-ahead log | 8 images" in printed.out
    assert "seed 7" in printed.err
    assert page.read_text() == f"before\n<!-- torture -->\n{printed.out}<!-- /torture -->\nafter\n"
    monkeypatch.setattr(torn_log, "_same", lambda torn, log, start: len(log))
    assert main([*arguments[:-2], "--quiet"]) == 1
    printed = capsys.readouterr()
    assert "problems |" in printed.out
    assert not printed.err
    with pytest.raises(ValueError, match="torture"):
        outcome.write_between_markers(Path(os.devnull), "x")

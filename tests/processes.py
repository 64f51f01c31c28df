"""Runs code in a process of its own, for tests of what processes share."""

import subprocess
import sys
import textwrap


def run_python(code: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run code in another process; its output is returned, its failure raised."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done

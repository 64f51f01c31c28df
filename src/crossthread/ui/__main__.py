"""Starts the inspector by itself: ``python -m crossthread.ui agent.db``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from crossthread.errors import CrossthreadError
from crossthread.ui import serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the inspector; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m crossthread.ui", description="Look at a store in the browser.")
    parser.add_argument("url", metavar="STORE", help="the path of a file, or a URL")
    parser.add_argument("--port", type=int, default=0, help="where to listen (default: a free port)")
    parser.add_argument("--read-only", action="store_true", help="refuse every change")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    options = parser.parse_args(arguments)
    try:
        serve(options.url, port=options.port, read_only=options.read_only, open_browser=not options.no_browser)
    except CrossthreadError as error:
        print(f"python -m crossthread.ui: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The inspector: a local web page over a store, ``crossthread ui agent.db``. Needs the extra ``crossthread[ui]``."""

from __future__ import annotations

import os
from collections.abc import Callable

from crossthread.errors import ConfigurationError
from crossthread.settings import IndexConfig

__all__ = ["serve"]

_PACKAGES = {"jinja2", "markupsafe", "starlette", "uvicorn"}


def serve(
    url: str | os.PathLike[str],
    *,
    index: IndexConfig | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    read_only: bool = False,
    open_browser: bool = True,
    tell: Callable[[str], None] = print,
) -> None:
    """Show a store in the browser, until Ctrl-C; what is not there is not created.

    Args:
        url: The path of a file, or a URL, as for `MemoryStore`.
        index: How the store is searched and what an edit indexes, as for `MemoryStore`. Without it, a store is searched
            by its words.
        host: An address of this machine's loopback, or ``localhost``.
        port: Where to listen; 0: a free port.
        read_only: Refuse every change.
        open_browser: Open the address in the user's browser, too.
        tell: Gets the lines to show the user: the address, which works once, and how to end it.

    Raises:
        ConfigurationError: The url, index or host cannot be used, or the extra is not installed.
        StoreError: There is nothing at the url, or it cannot be opened.
        IndexMismatchError: The vectors there are of another model than ``index`` says.
    """
    try:
        from crossthread.ui.server import serve as run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _PACKAGES:
            raise
        raise ConfigurationError(
            f"The inspector needs packages that are not installed ({error.name}): pip install 'crossthread[ui]'."
        ) from error
    run(url, index=index, host=host, port=port, read_only=read_only, open_browser=open_browser, tell=tell)

"""The command ``ui``: the inspector, a page in the browser."""

from __future__ import annotations

from typing import Annotated

import typer

from crossthread.cli.options import Dims, Embed, Fields, Indexing, Language, Model, Store


def ui(
    store: Store,
    port: Annotated[
        int, typer.Option("--port", "-p", metavar="N", min=0, max=65535, help="Where; 0: a free port.")
    ] = 0,
    read_only: Annotated[
        bool, typer.Option("--read-only", metavar="", help="Refuse every change.", show_default=False)
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", metavar="", help="Only print the address.", show_default=False)
    ] = False,
    embed: Embed = None,
    fields: Fields = None,
    language: Language = None,
    dims: Dims = None,
    model: Model = None,
) -> None:
    """Look at the memories in the browser: a page for this machine alone, until Ctrl-C.

    Needs `pip install 'crossthread[ui]'`. The address is printed on standard output; it works once.
    """
    from crossthread.cli.embedders import loaded
    from crossthread.cli.opening import check_there
    from crossthread.ui import serve

    check_there(store)
    index = loaded(Indexing(embed, fields, language, dims, model).settings()) or None
    serve(store, index=index, port=port, read_only=read_only, open_browser=not no_browser, tell=_tell)


def _tell(line: str) -> None:
    print(line, flush=True)  # who reads it through a pipe waits for the address

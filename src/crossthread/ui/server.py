"""Serves the inspector to this machine: a port of the loopback, uvicorn, and the address with the token."""

from __future__ import annotations

import os
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address

import uvicorn

from crossthread.errors import ConfigurationError, StoreUnavailableError
from crossthread.settings import IndexConfig
from crossthread.ui.app import create_app
from crossthread.ui.inspected import Inspected, open_inspected
from crossthread.ui.security import Session

_READY_SECONDS = 30


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
    """Show a store in the browser, until Ctrl-C.

    Args:
        url: The path of a file, or a URL; what is not there is not created.
        index: How the store is searched and what its edits index, as for `MemoryStore`; without ``embed``, by words.
        host: An address of this machine's loopback, or ``localhost``.
        port: Where to listen; 0: a free port.
        read_only: Refuse every change.
        open_browser: Open the address in the user's browser, too.
        tell: Gets the lines to show the user: the address, which works once, and how to end it.

    Raises:
        ConfigurationError: The url, index or host cannot be used.
        StoreError: There is nothing at the url, or it cannot be opened.
        IndexMismatchError: The vectors there are of another model than ``index`` says.
    """
    listener = _listener(host, port)
    with listener, _closing(open_inspected(url, index=index, read_only=read_only)) as inspected:
        server, address = _server(inspected, listener, host)
        tell(f"Inspector of {inspected.place}{' (read-only)' if read_only else ''}, for this machine only:")
        tell(f"  {address}")
        tell("The address works once. Ctrl-C ends it.")
        if open_browser:
            _open_when_ready(server, address)
        with suppress(KeyboardInterrupt):  # uvicorn has ended in order, and passes the signal on
            server.run(sockets=[listener])


@contextmanager
def serving(inspected: Inspected, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Show a store for the length of a ``with`` block, from another thread; yields the address with the token."""
    with _listener(host, port) as listener:
        server, address = _server(inspected, listener, host)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="crossthread-ui", daemon=True)
        thread.start()
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def _closing(inspected: Inspected) -> Iterator[Inspected]:
    try:
        yield inspected
    finally:
        inspected.close()


def _listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens to this machine and nobody else."""
    try:
        is_loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ConfigurationError(
            f"The inspector shows personal data, so it is for this machine only; {host!r} is no loopback address. "
            "Leave host= out, and reach another machine's through ssh -L."
        )
    number = "127.0.0.1" if host == "localhost" else host
    listener = socket.socket(socket.AF_INET6 if ":" in number else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((number, port))
        listener.listen(64)
    except (OSError, OverflowError) as error:
        listener.close()
        raise StoreUnavailableError(f"Port {port} of {number} cannot be listened to: {error}.") from error
    return listener


def _server(inspected: Inspected, listener: socket.socket, host: str) -> tuple[uvicorn.Server, str]:
    address, port = listener.getsockname()[:2]
    session = Session(port)
    names = [f"[{address}]" if ":" in address else address, "localhost"]
    hosts = frozenset(f"{name}:{port}" for name in names)
    config = uvicorn.Config(
        create_app(inspected, session, hosts),
        log_level="warning",
        access_log=False,  # it would hold the token, and what was searched for
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=2,
    )
    name = "localhost" if host == "localhost" else names[0]
    return uvicorn.Server(config), f"http://{name}:{port}/enter?token={session.token}"


def _open_when_ready(server: uvicorn.Server, address: str) -> None:
    def wait_and_open() -> None:
        pause = threading.Event()
        for _ in range(_READY_SECONDS * 20):
            if server.started:
                with suppress(webbrowser.Error):
                    webbrowser.open(address)
                return
            pause.wait(0.05)

    threading.Thread(target=wait_and_open, name="crossthread-ui-browser", daemon=True).start()

"""A network that fails on demand: a proxy between a store and a real PostgreSQL server."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from psycopg.conninfo import conninfo_to_dict

Fault = Literal["cut before", "cut after", "stall", "gone"]

_CANCEL = (
    80877102  # the code of a request to cancel, https://www.postgresql.org/docs/current/protocol-message-formats.html
)
_READY = b"Z\x00\x00\x00\x05"  # an answer ends with this and the state of the transaction
_LONGEST_WAIT = 5.0


class Proxy:
    """Forwards connections to a server, and counts what clients send; at the n-th message something happens.

    "cut before": the server does not get it, and the connection ends. "cut after": the server gets it and answers, and
    the connection ends before the client hears of it. "stall": nothing passes from then on, on any connection. "gone":
    as "cut before", and nobody can connect any more.
    """

    def __init__(self, url: str) -> None:
        given = conninfo_to_dict(url)
        host, port = str(given.get("host") or "localhost"), int(given.get("port") or 5432)
        self._server = str(Path(host) / f".s.PGSQL.{port}") if host.startswith("/") else (host, port)
        user, database = given.get("user") or "postgres", given.get("dbname") or "postgres"
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        secret = f":{given['password']}" if given.get("password") else ""
        self.url = f"postgresql://{user}{secret}@127.0.0.1:{port}/{database}?sslmode=disable&gssencmode=disable"
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._deaf: dict[socket.socket, threading.Event] = {}
        self.heal()
        threading.Thread(target=self._accept, daemon=True).start()

    def heal(self) -> None:
        """Let everything pass again; connections that were stalled end."""
        self.messages, self._at, self.fired = 0, 0, False
        self._fault: Fault = "cut before"
        self._end(self._stalled if hasattr(self, "_stalled") else set())
        self._stalled: set[socket.socket] = set()

    def arm(self, fault: Fault, at: int) -> None:
        """Let a fault happen at the n-th message from now on."""
        self.messages, self._at, self._fault, self.fired = 0, at, fault, False

    def close(self) -> None:
        self._listener.close()
        self._end(set(self._open))

    def _end(self, ends: set[socket.socket]) -> None:
        for end in list(ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)
            self._deaf.pop(end, None)

    def _connect(self) -> socket.socket:
        if isinstance(self._server, str):
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            return server
        return socket.create_connection(self._server)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.fired and self._fault == "gone":
                    client.close()
                    continue
                server = self._connect()
                self._open |= {client, server}
                threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()
                threading.Thread(target=self._to_client, args=(client, server), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 20):
                if len(data) == 16 and struct.unpack("!ii", data[:8])[1] == _CANCEL:
                    if not self.fired:
                        server.sendall(data)
                    break
                with self._lock:
                    self.messages += 1
                    strikes = self.messages == self._at
                    self.fired = self.fired or strikes
                if self.fired and self._fault == "stall":
                    self._stalled |= {client, server}
                    return
                if strikes and self._fault == "cut after":
                    self._deaf[client] = answered = threading.Event()
                    server.sendall(data)
                    answered.wait(_LONGEST_WAIT)
                    break
                if strikes:
                    break
                server.sendall(data)
        self._end({client, server})

    def _to_client(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 20):
                if client in self._deaf:
                    if data[-6:-1] == _READY:
                        self._deaf[client].set()
                elif client not in self._stalled and not (self.fired and self._fault == "stall"):
                    client.sendall(data)
        if client not in self._stalled:
            self._end({client, server})


@contextmanager
def proxy_to(url: str) -> Iterator[Proxy]:
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.close()

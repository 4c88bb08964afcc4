"""A TCP proxy in front of PostgreSQL that can break connections at the worst moment: around a COMMIT."""

from __future__ import annotations

import contextlib
import socket
import threading
from enum import Enum, auto
from typing import Any, Self

from django.db import connections

COMMIT = b"COMMIT\0"


class Break(Enum):
    """Where to break the next COMMIT."""

    NEVER = auto()
    BEFORE = auto()  # the server never sees it, and rolls back
    AFTER = auto()  # the server commits, and its word of it is lost


class Proxy:
    """Listens on a port of its own; `parameters` make the bridge connect through it."""

    def __init__(self) -> None:
        given = connections["default"].get_connection_params()
        self._target = (given["host"], int(given["port"]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.up = True
        self.next_commit = Break.NEVER
        self.broken = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def parameters(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self._listener.getsockname()[1]}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Break every connection."""
        with self._lock:
            connected, self._open = self._open, set()
        for sock in connected:
            _close(sock)

    def go_down(self) -> None:
        self.up = False
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if not self.up:
                    _close(client)
                    continue
                server = socket.create_connection(self._target)
                with self._lock:
                    self._open |= {client, server}
                threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if COMMIT in data and self.next_commit is not Break.NEVER:
                    mode, self.next_commit = self.next_commit, Break.NEVER
                    self.broken += 1
                    if mode is Break.AFTER:
                        _close(client)
                        server.sendall(data)
                        # The reply goes to a closed socket; the server has it written by then.
                        return
                    break
                server.sendall(data)
        _close(client)
        _close(server)

    def _pump(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
        _close(client)
        _close(server)


def _close(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()

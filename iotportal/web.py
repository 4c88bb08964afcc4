"""The web server's command line, one place for its options: `python -m iotportal.web --host 127.0.0.1 --port 8000`."""

import argparse
import asyncio
import contextlib
import socket
import sys
from typing import Any, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from iotportal import watch

KEEP_ALIVE_S = 75  # longer than a page's polling and a proxy's idle connections, so that neither has to open one anew
MAX_FRAME_BYTES = 64 * 1024


class _HeldHead:
    """A transport that keeps a response's head until its body begins, as ASGI wants it, so that both leave in one packet."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = b""

    def write(self, data: bytes) -> None:
        """Write; the first of two calls waits for the second."""
        if self._head is None or (not self._head and data.startswith(b"HTTP/1.1 100 ")):
            self._transport.write(data)
        elif not self._head:
            self._head = data
        else:
            self._transport.write(self._head + data)
            self._head = None

    def close(self) -> None:
        """Close, after what was kept."""
        if self._head:
            self._transport.write(self._head)
        self._head = None
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class OneWrite(HttpToolsProtocol):
    """uvicorn's protocol, with one write for a response: two cost the server a system call more and wake the client twice."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.scope["method"] != "HEAD":  # whose answer is a head alone
            cycle.transport = cast(asyncio.Transport, _HeldHead(self.transport))
        super()._start_asgi_task(cycle, app)


class Server(uvicorn.Server):
    """uvicorn's server, which also tells how it is (iotportal.watch)."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin, and be watched once requests are taken."""
        await super().startup(sockets)
        if self.started:
            watch.start(alive={"loop": watch.turns(asyncio.get_running_loop())})


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    config = uvicorn.Config(
        "iotportal.asgi:application",
        host=options.host,
        port=options.port,
        loop="uvloop",
        http=OneWrite,
        ws="websockets-sansio",
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,  # frames are small, and compressing each costs more than the network does
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=2,
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # settings say whether a proxy is to be believed
    )
    server = Server(config)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


if __name__ == "__main__":
    main()

"""A management interface of RabbitMQ that tells who is connected when a test lets it, as late as the real one of thousands."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from devices.models import Device
from messaging.tests.broker.wire import DEADLINE

LONG_AGO_S = 3600


class SlowManagement(ThreadingHTTPServer):
    """The server. `asked`: somebody wants the list; `may_answer`: they get it; `closed`: what was to be closed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked, self.may_answer = threading.Event(), threading.Event()
        self.connections: list[dict[str, Any]] = []
        self.closed: list[str] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def list(self, name: str, device: Device, **more: object) -> None:
        """Have a connection among those that are open since long."""
        at = int((time.time() - LONG_AGO_S) * 1000)
        self.connections.append({"name": name, "user": device.hex, "connected_at": at, "protocol": "MQTT 3.1.1", **more})


class _Answer(BaseHTTPRequestHandler):
    server: SlowManagement

    def do_GET(self) -> None:
        """Tell who is connected once that is allowed."""
        self.server.asked.set()
        assert self.server.may_answer.wait(DEADLINE)
        self._say(json.dumps(self.server.connections).encode())

    def do_DELETE(self) -> None:
        """Close connections, at once."""
        self.server.closed.append(self.path)
        self._say(b"")

    def _say(self, body: bytes) -> None:
        self.send_response(200 if body else 204)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def slow_management() -> Iterator[SlowManagement]:
    """Run one."""
    with SlowManagement() as server:
        try:
            yield server
        finally:
            server.may_answer.set()
            server.shutdown()

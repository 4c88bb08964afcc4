"""What a process tells those who look after it: `/metrics`, `/healthz`, `/readyz`, on a port of its own.

The port is off by default and listens on 127.0.0.1 unless told otherwise: nothing here is for the public, and no proxy passes
it on. A thread of its own answers, so a scrape costs the process's work a few milliseconds of the interpreter at most.

`/healthz`: the process lives (its event loop or its bridge still turns, where it has one); else it should be started again.
`/readyz`: PostgreSQL, Valkey and the MQTT broker answer; else it should get no requests for now. Looked at once a second at most.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2
import redis
from django.conf import settings
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

logger = logging.getLogger(__name__)

WAIT_S = 2.0  # for an answer of anything
FRESH_S = 1.0

Check = Callable[[], None]  # raises where something is wrong


def postgresql() -> None:
    """Ask PostgreSQL for nothing, on a connection of this thread alone."""
    place = settings.DATABASES["default"]
    link = psycopg2.connect(
        host=place["HOST"] or None,
        port=place["PORT"] or None,
        user=place["USER"],
        password=place["PASSWORD"],
        dbname=place["NAME"],
        connect_timeout=int(WAIT_S),
        options=f"-c statement_timeout={int(WAIT_S * 1000)}",
        **place["OPTIONS"],
    )
    try:
        link.cursor().execute("SELECT 1")
    finally:
        link.close()


def valkey() -> None:
    """Ask Valkey whether it can write: one that loads its data, or has no room, is not ready."""
    with redis.Redis.from_url(settings.VALKEY_URL, socket_connect_timeout=WAIT_S, socket_timeout=WAIT_S) as link:
        link.set("watch:ready", 1, ex=60)


def broker() -> None:
    """See whether the broker takes connections."""
    address = (
        (settings.AMQP_HOST, settings.AMQP_PORT) if settings.BROKER == "rabbitmq" else (settings.MQTT_HOST, settings.MQTT_PORT)
    )
    socket.create_connection(address, timeout=WAIT_S).close()


NEEDS: dict[str, Check] = {"postgresql": postgresql, "valkey": valkey, "broker": broker}


def turns(loop: asyncio.AbstractEventLoop) -> Check:
    """Return the check that an event loop still does what it is given."""

    def check() -> None:
        done = threading.Event()
        loop.call_soon_threadsafe(done.set)
        if not done.wait(WAIT_S):
            raise TimeoutError("the event loop does not turn")

    return check


class Watch:
    """The server of one process. `alive` are the checks of `/healthz`, `needs` those of `/readyz`, by name."""

    def __init__(self, *, alive: dict[str, Check] | None = None, needs: dict[str, Check] | None = None) -> None:
        self._alive = alive or {}
        self._needs = NEEDS if needs is None else needs
        self._lock = threading.Lock()
        self._looked, self._found = 0.0, dict[str, str]()
        self._server: ThreadingHTTPServer | None = None

    def start(self, host: str, port: int) -> int:
        """Answer from now on; returns the port. Raises OSError."""
        watch = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                status, kind, body = watch.answer(self.path.partition("?")[0])
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Leave probes out of the log."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="watch", daemon=True).start()
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """End."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Return status, type and body for a path."""
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY)
        if path == "/healthz":
            return _told(_look(self._alive))
        if path == "/readyz":
            with self._lock:
                if time.monotonic() - self._looked >= FRESH_S:
                    self._found = _look({**self._alive, **self._needs})
                    self._looked = time.monotonic()
                return _told(self._found)
        return 404, "text/plain; charset=utf-8", b"There are /metrics, /healthz and /readyz.\n"


def _look(checks: dict[str, Check]) -> dict[str, str]:
    """Return "ok" or the kind of error of each check, all asked at once."""
    with ThreadPoolExecutor(max(1, len(checks)), thread_name_prefix="watch") as threads:
        return dict(zip(checks, threads.map(_try, checks.values()), strict=True))


def _try(check: Check) -> str:
    try:
        check()
    except Exception as error:  # what kind is all that is told: messages of drivers name hosts and users
        return type(error).__name__
    return "ok"


def _told(found: dict[str, str]) -> tuple[int, str, bytes]:
    status = 200 if all(word == "ok" for word in found.values()) else 503
    return status, "application/json", json.dumps({"ok": status == 200, **found}).encode() + b"\n"


def start(*, alive: dict[str, Check] | None = None, without: str = "") -> Watch | None:
    """Start this process's server if the settings want one; `without` is a need that the process does not have."""
    if not settings.WATCH_PORT:
        return None
    watch = Watch(alive=alive, needs={name: check for name, check in NEEDS.items() if name != without})
    try:
        port = watch.start(settings.WATCH_BIND, settings.WATCH_PORT)
    except OSError as error:  # the process works without
        logger.error("metrics cannot be had on %s port %d: %s", settings.WATCH_BIND, settings.WATCH_PORT, error.strerror)
        return None
    logger.info("metrics and health on %s port %d", settings.WATCH_BIND, port)
    return watch

"""The process that answers RabbitMQ's questions: HTTP/1.1 over kept connections, each answer in one write.

A web framework writes head and body apart, which costs 40 ms a decision (Nagle against delayed acknowledgements); asyncio sets
TCP_NODELAY besides. It listens where only RabbitMQ reaches it, below a path that only RabbitMQ knows.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast
from urllib.parse import parse_qs

import httptools

from messaging.authorization import Identity, Refusal
from messaging.rabbitmq.decisions import decide
from messaging.rabbitmq.readiness import NotReady, Peer, Readiness, look
from messaging.services.broker_access import RegistryUnavailable, admit_certificate_name, admit_connection, password_proof

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 16 * 1024
THREADS = 4  # a look-up is one short query
_STATUS = {200: b"OK", 404: b"Not Found", 413: b"Payload Too Large", 503: b"Service Unavailable"}


def admit(device: str, password: str | None) -> Identity | Refusal:
    """Return who a client is that RabbitMQ lets log in: by its password, or by the name in the certificate it has proven to hold.

    Raises:
        RegistryUnavailable: the database cannot be asked now.
    """
    if password is None:
        return admit_certificate_name(device)
    try:
        proof = password_proof(device, password.encode())
    except ValueError:
        return Refusal("no device id")
    return admit_connection(device, proof, device)


class AuthServer:
    """Answers on one port until closed."""

    def __init__(self, path: str, look: Callable[[], object] = look) -> None:
        self._path = path.encode()
        self._readiness = Readiness(look)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="admission")
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Link(self.answer), host, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening; what is being answered is answered."""
        if self._server is not None:
            self._server.close()
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    async def answer(self, target: bytes, body: bytes, peer: Peer) -> tuple[int, str]:
        """Return status and text of an answer.

        While the registry cannot be asked, or RabbitMQ would lose what it is told, it is 503, which RabbitMQ takes for no.
        """
        path, _, question = target.rpartition(b"/")
        if not hmac.compare_digest(path, self._path):
            return 404, ""
        try:
            fields = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        except ValueError:
            return 200, "deny"
        name = question.decode("ascii", "replace")
        try:
            if name != "user":  # pure: no thread needed
                return 200, decide(name, fields, admit)
            await self._readiness.wait(peer)
            loop = asyncio.get_running_loop()
            verdict = await loop.run_in_executor(self._threads, decide, name, fields, admit)
        except RegistryUnavailable:
            logger.error("the registry cannot be asked, nobody new is let in")
            return 503, ""
        except NotReady as error:
            logger.error("RabbitMQ does not keep what is said yet, nobody is let in: %s", error)
            return 503, ""
        if verdict != "allow":
            logger.info("refused: %.40r", fields.get("username"))
        return 200, verdict


class _Link(asyncio.Protocol):
    """One connection of RabbitMQ's HTTP client, which asks one question at a time on it."""

    def __init__(self, answer: Callable[[bytes, bytes, Peer], Awaitable[tuple[int, str]]]) -> None:
        self.is_open = True
        self._answer = answer
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._target, self._body = b"", b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def eof_received(self) -> None:
        self.is_open = False  # at once: what a new RabbitMQ asks in this turn must not find the old one's connection

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open, self._transport = False, None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, ValueError):
            self._close()

    def on_message_begin(self) -> None:
        self._target, self._body = b"", b""

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > MAX_BODY_BYTES:
            self._write(413, "")
            self._close()

    def on_message_complete(self) -> None:
        task = asyncio.get_running_loop().create_task(self._respond(self._target, self._body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _respond(self, target: bytes, body: bytes) -> None:
        try:
            status, text = await self._answer(target, body, self)
        except Exception:
            logger.exception("a question of RabbitMQ could not be answered")
            status, text = 503, ""
        self._write(status, text)

    def _write(self, status: int, text: str) -> None:
        if self._transport is not None:
            head = b"HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
            self._transport.write(head % (status, _STATUS[status], len(text)) + text.encode())

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

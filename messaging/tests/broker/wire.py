"""A broker in a thread, and a client that speaks raw MQTT bytes to it: both only for tests."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import uvloop

from messaging.authorization import Identity, Refusal, identify
from messaging.broker.limits import Limits
from messaging.broker.server import Broker
from messaging.broker.tls import server_context

T = TypeVar("T")

DEADLINE = 20.0
CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 10, 11, 12, 13, 14


async def admit_all(common_name: str, _fingerprint: str, client_id: str) -> Identity | Refusal:
    """Let everybody in whose certificate owns the client id."""
    return identify(common_name, client_id)


def wait_until(condition: Callable[[], bool], what: str = "condition") -> None:
    """Wait for `condition`, up to the deadline."""
    until = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < until, f"{what} never came true"
        pause.wait(0.005)


class Files(Protocol):
    """The files of an authority, and of those it certified."""

    @property
    def root(self) -> Path: ...
    @property
    def issuing(self) -> Path: ...
    def issue(self, name: str, *, server: bool = False) -> tuple[Path, Path]: ...
    def context(self, name: str | None) -> ssl.SSLContext: ...


class RunningBroker:
    """A broker with its event loop in a thread of its own."""

    def __init__(self, authority: Files, **options: Any) -> None:
        self.authority = authority
        certificate, key = authority.issue("server", server=True)
        options.setdefault("admit", admit_all)
        self.loop = uvloop.new_event_loop()
        self.broker = Broker(tls=server_context(certificate, key, [authority.issuing, authority.root]), **options)
        self.errors: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _loop, context: self.errors.append(context))
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.run(self.broker.start())
        self.port = self.broker.port
        # A client that a test does not keep must not be disconnected by the garbage collector.
        self._wires: list[Wire] = []

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine in the broker's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(DEADLINE)

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function in the broker's loop."""
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(function(*args))
            except BaseException as error:
                result.set_exception(error)

        self.loop.call_soon_threadsafe(run)
        return result.result(DEADLINE)

    def close(self) -> None:
        """Stop broker, loop and thread."""
        for wire in self._wires:
            wire.socket.close()
        self.run(self.broker.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE)
        self.loop.close()

    def client(self, name: str, /, **options: Any) -> "Wire":
        """Return a connected client with the certificate of `name`."""
        wire = self.tls(name)
        code = wire.connect(options.pop("client_id", name), **options)
        assert code == 0, f"CONNACK {code}"
        return wire

    def tls(self, name: str | None, context: ssl.SSLContext | None = None) -> "Wire":
        """Return a client that has finished its side of the TLS handshake and said nothing yet."""
        return self._keep(Wire.open(self.port, context or self.authority.context(name)))

    def local(self, path: Path) -> "Wire":
        """Return a client that has opened the socket of one of the portal's services."""
        opened = socket.socket(socket.AF_UNIX)
        opened.settimeout(DEADLINE)
        wire = self._keep(Wire(opened))
        opened.connect(str(path))
        return wire

    def plain(self) -> "Wire":
        """Return a client that has opened a TCP connection and not even begun TLS."""
        return self._keep(Wire.open(self.port, None))

    def _keep(self, wire: "Wire") -> "Wire":
        self._wires.append(wire)
        return wire


@contextmanager
def running_broker(authority: Files, **options: Any) -> Iterator[RunningBroker]:
    """Run a broker for the length of a block."""
    limits = options.pop("limits", None) or Limits()
    running = RunningBroker(authority, limits=limits, **options)
    try:
        yield running
    finally:
        running.close()


def string(text: str | bytes) -> bytes:
    """Encode an MQTT string, or bytes that pretend to be one."""
    raw = text.encode() if isinstance(text, str) else text
    return len(raw).to_bytes(2, "big") + raw


def packet(first: int, body: bytes) -> bytes:
    """Put a fixed header before `body`."""
    length, out = len(body), bytearray([first])
    while True:
        length, digit = divmod(length, 128)
        out.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(out) + body


def connect_packet(client_id: str | bytes, *, clean: bool = True, keepalive: int = 60, **options: Any) -> bytes:
    """Encode a CONNECT; options: name, level, will=(topic, payload, qos), login=(user name, password)."""
    flags, tail = 0x02 if clean else 0, b""
    if will := options.get("will"):
        flags |= 0x04 | will[2] << 3
        tail = string(will[0]) + string(will[1])
    if login := options.get("login"):
        flags |= 0xC0
        tail += string(login[0]) + string(login[1])
    head = string(options.get("name", "MQTT")) + bytes([options.get("level", 4), flags]) + keepalive.to_bytes(2, "big")
    return packet(0x10, head + string(client_id) + tail)


def publish_packet(topic: str | bytes, payload: bytes = b"{}", qos: int = 1, packet_id: int = 1, flags: int = 0) -> bytes:
    """Encode a PUBLISH."""
    head = string(topic) + (packet_id.to_bytes(2, "big") if qos else b"")
    return packet(0x30 | qos << 1 | flags, head + payload)


@dataclass(frozen=True)
class Received:
    """One PUBLISH as it came over the wire."""

    topic: str
    payload: bytes
    qos: int
    packet_id: int
    dup: bool
    retain: bool


@dataclass
class Wire:
    """A blocking MQTT client that hides nothing. Every read ends within the deadline."""

    socket: socket.socket
    buffer: bytes = b""
    present: bool = False
    published: list[Received] = field(default_factory=list)
    acked: set[int] = field(default_factory=set)

    @classmethod
    def open(cls, port: int, context: ssl.SSLContext | None, address: str = "127.0.0.1") -> "Wire":
        """Open a TCP connection from a loopback address, and TLS over it unless `context` is None."""
        plain = socket.create_connection(("127.0.0.1", port), DEADLINE, (address, 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return cls(context.wrap_socket(plain, server_hostname="localhost") if context else plain)
        except OSError:
            plain.close()
            raise

    def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self.socket.sendall(data)

    def read(self) -> tuple[int, bytes] | None:
        """Read one packet: (first byte, body); None when the broker has closed the connection."""
        while True:
            length = shift = 0
            for at in range(1, min(len(self.buffer), 5)):
                length |= (self.buffer[at] & 0x7F) << shift
                shift += 7
                if self.buffer[at] < 0x80:
                    start, end = at + 1, at + 1 + length
                    if len(self.buffer) >= end:
                        first, body = self.buffer[0], self.buffer[start:end]
                        self.buffer = self.buffer[end:]
                        return first, body
                    break
            if not self._more():
                return None

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return False
        self.buffer += data
        return bool(data)

    def expect(self, kind: int) -> bytes:
        """Return the body of the next packet of `kind`; PUBLISH and PUBACK packets before it are kept for later."""
        while (got := self.read()) is not None:
            first, body = got
            if first >> 4 == kind:
                return body
            if first >> 4 == PUBLISH:
                self.published.append(_received(first, body))
            elif first >> 4 == PUBACK:
                self.acked.add(int.from_bytes(body, "big"))
            else:
                raise AssertionError(f"packet {first:#x} while waiting for {kind}")
        raise AssertionError("connection closed")

    def is_closed(self) -> bool:
        """Read up to the end of the connection; TimeoutError if the broker keeps it open."""
        try:
            while self.read() is not None:
                pass
        except ssl.SSLError:
            pass
        return True

    def connect(self, client_id: str | bytes, **options: Any) -> int:
        """Send CONNECT and return the CONNACK's code."""
        self.send(connect_packet(client_id, **options))
        flags, code = self.expect(CONNACK)
        self.present = bool(flags)
        return code

    def subscribe(self, *filters: str, qos: int = 1, packet_id: int = 1) -> list[int]:
        """Subscribe and return the SUBACK's codes."""
        body = b"".join(string(one) + bytes([qos]) for one in filters)
        self.send(packet(0x82, packet_id.to_bytes(2, "big") + body))
        return list(self.expect(SUBACK)[2:])

    def publish(self, topic: str | bytes, payload: bytes = b"{}", packet_id: int = 1, **options: Any) -> None:
        """Publish with QoS 1 and wait for the PUBACK."""
        self.send(publish_packet(topic, payload, packet_id=packet_id, **options))
        self.await_ack(packet_id)

    def await_ack(self, packet_id: int) -> None:
        """Wait for one PUBACK."""
        while packet_id not in self.acked:
            self.acked.add(int.from_bytes(self.expect(PUBACK), "big"))
        self.acked.discard(packet_id)

    def receive(self, *, ack: bool = True) -> Received:
        """Return the next PUBLISH, acknowledged unless told otherwise."""
        if self.published:
            message = self.published.pop(0)
        else:
            while True:
                got = self.read()
                assert got is not None, "connection closed"
                if got[0] >> 4 == PUBLISH:
                    message = _received(*got)
                    break
                assert got[0] >> 4 == PUBACK, f"unexpected packet {got[0]:#x}"
                self.acked.add(int.from_bytes(got[1], "big"))
        if ack and message.qos:
            self.ack(message.packet_id)
        return message

    def ack(self, packet_id: int) -> None:
        """Send a PUBACK."""
        self.send(b"\x40\x02" + packet_id.to_bytes(2, "big"))

    def ping(self) -> None:
        """Go once there and back: what was sent before has been handled, what was due before has come."""
        self.send(b"\xc0\x00")
        self.expect(PINGRESP)

    def nothing_came(self) -> bool:
        """Tell that no message was delivered before a ping's answer."""
        self.ping()
        return not self.published

    def goodbye(self) -> None:
        """Send DISCONNECT and close."""
        self.send(b"\xe0\x00")
        self.is_closed()
        self.socket.close()

    def die(self) -> None:
        """Close the TCP connection without a word."""
        self.socket.close()


def _received(first: int, body: bytes) -> Received:
    size = int.from_bytes(body[:2], "big")
    topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
    qos = first >> 1 & 3
    packet_id = int.from_bytes(rest[:2], "big") if qos else 0
    return Received(topic, rest[2:] if qos else rest, qos, packet_id, bool(first & 8), bool(first & 1))

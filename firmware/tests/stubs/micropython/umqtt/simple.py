"""The calls of MicroPython's `umqtt.simple` that main.py makes, over CPython's sockets: MQTT 3.1.1, QoS 1."""

import select
import socket
import ssl
from collections.abc import Callable
from typing import Any


class MQTTClient:
    """A client; like the original, a QoS 1 publish waits for its acknowledgement and hands over what comes meanwhile."""

    def __init__(self, client_id: str, server: str, port: int, keepalive: int, ssl: ssl.SSLContext) -> None:
        self._id, self._place, self._keepalive, self._tls = client_id, (server, port), keepalive, ssl
        self._will: tuple[str, str] | None = None
        self.pid = 0
        self._sock: Any = None
        self._callback: Callable[[bytes, bytes], None]

    def set_callback(self, callback: Callable[[bytes, bytes], None]) -> None:
        """Have `callback(topic, message)` called with what comes."""
        self._callback = callback

    def set_last_will(self, topic: str, msg: str, retain: bool = False, qos: int = 0) -> None:
        """Have the broker say this when we vanish."""
        assert (retain, qos) == (False, 1)
        self._will = (topic, msg)

    def connect(self) -> None:
        """Connect with a clean session."""
        plain = socket.create_connection(self._place, timeout=10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = self._tls.wrap_socket(plain, server_hostname=self._place[0])
        flags, more = 2, b""
        if self._will is not None:
            flags, more = flags | 4 | 8, _text(self._will[0]) + _text(self._will[1])
        self._send(0x10, _text("MQTT") + bytes([4, flags]) + self._keepalive.to_bytes(2) + _text(self._id) + more)
        kind, body = self._read()
        if (kind, body[1]) != (0x20, 0):
            raise OSError("refused")

    def subscribe(self, topic: str, qos: int = 0) -> None:
        """Subscribe and wait until the broker has."""
        self._send(0x82, self._next() + _text(topic) + bytes([qos]))
        self._until(0x90)

    def publish(self, topic: bytes, msg: bytes, retain: bool = False, qos: int = 0) -> None:
        """Publish and wait until the broker has it."""
        self._send(0x30 | qos << 1 | retain, len(topic).to_bytes(2) + topic + self._next() + msg)
        self._until(0x40)

    def check_msg(self) -> None:
        """Hand over what has come."""
        while self._sock.pending() or select.select([self._sock], [], [], 0)[0]:
            self._take()

    def ping(self) -> None:
        """Say that we are there."""
        self._send(0xC0, b"")

    def disconnect(self) -> None:
        """Leave in order."""
        self._send(0xE0, b"")
        self._sock.close()

    def _next(self) -> bytes:
        self.pid += 1
        return self.pid.to_bytes(2)

    def _send(self, kind: int, body: bytes) -> None:
        assert len(body) < 128 * 128
        length = bytes([len(body)]) if len(body) < 128 else bytes([len(body) % 128 | 128, len(body) // 128])
        self._sock.sendall(bytes([kind]) + length + body)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._sock.recv(count - len(data))
            if not more:
                raise OSError("the broker is gone")
            data += more
        return data

    def _read(self) -> tuple[int, bytes]:
        kind, length, shift = self._exactly(1)[0], 0, 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return kind, self._exactly(length)

    def _take(self) -> int:
        kind, body = self._read()
        if kind & 0xF0 == 0x30:
            end = 2 + int.from_bytes(body[:2])
            after = end + (2 if kind & 6 else 0)
            self._callback(body[2:end], body[after:])
            if kind & 6:
                self._send(0x40, body[end:after])
        return kind

    def _until(self, kind: int) -> None:
        while self._take() != kind:
            pass


def _text(text: str) -> bytes:
    return len(text.encode()).to_bytes(2) + text.encode()

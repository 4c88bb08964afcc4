"""Devices that say as much as a broker takes and cost next to nothing: packets made by hand over TLS, many in one write.

paho and pika take 50–100 µs for a message, as much as the bridge does to write it: with them a bench on one machine would measure
its own publishers.
"""

from __future__ import annotations

import socket
import ssl
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from pika import BasicProperties, frame, spec

AT_ONCE = 100  # messages in one write
PATIENCE_S = 0.002
_MAX_FRAME = 131_072
_PAYLOAD = b'{"value": "%012d"}'


class Publisher(ABC):
    """A connected device."""

    def __init__(self, root: Path, device: str, port: int) -> None:
        context = ssl.create_default_context(cafile=str(root / "pki" / "root-ca.pem"))
        context.load_cert_chain(root / "devices" / f"{device}.pem", root / "devices" / f"{device}.key")
        link = socket.create_connection(("127.0.0.1", port), timeout=60)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.device = device
        self._link = context.wrap_socket(link, server_hostname="localhost")
        self._heard = b""
        self.greet()

    @abstractmethod
    def greet(self) -> None:
        """Go through the protocol's handshake."""

    @abstractmethod
    def say(self, first: int) -> None:
        """Publish AT_ONCE numbered messages."""

    @abstractmethod
    def finish(self) -> None:
        """Wait until the broker has taken everything, and go."""

    def _read(self) -> None:
        part = self._link.recv(65_536)
        if not part:
            raise ConnectionError(f"the broker has closed the connection of {self.device}")
        self._heard += part


class Mqtt(Publisher):
    """MQTT 3.1.1, QoS 1, at most `WINDOW` messages that are not acknowledged (OASIS MQTT 3.1.1, sections 3.3 and 3.4)."""

    WINDOW = 400

    def greet(self) -> None:
        """Connect with a clean session and no keep-alive."""
        name = self.device.encode()
        hello = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2) + name
        self._link.sendall(b"\x10" + bytes([len(hello)]) + hello)
        while len(self._heard) < 4:
            self._read()
        if self._heard[:4] != b"\x20\x02\x00\x00":
            raise ConnectionError(f"the broker refused {self.device}")
        self._heard, self._open, self._packet = b"", 0, 0
        topic = f"server/{self.device}/write_uart".encode()
        self._topic = len(topic).to_bytes(2) + topic
        self._length = len(self._topic) + 2 + len(_PAYLOAD % 0)
        if self._length > 127:
            raise ValueError("one byte of length is written")

    def say(self, first: int) -> None:
        """Publish once there is room."""
        while self._open + AT_ONCE > self.WINDOW:
            self._acknowledged()
        packets = []
        for number in range(first, first + AT_ONCE):
            self._packet = self._packet % 65_535 + 1
            packets.append(b"\x32" + bytes([self._length]) + self._topic + self._packet.to_bytes(2) + _PAYLOAD % number)
        self._link.sendall(b"".join(packets))
        self._open += AT_ONCE

    def finish(self) -> None:
        """Wait for the last PUBACK and disconnect."""
        while self._open:
            self._acknowledged()
        self._link.sendall(b"\xe0\x00")
        self._link.close()

    def _acknowledged(self) -> None:
        self._read()
        count, rest = divmod(len(self._heard), 4)
        if self._heard[0 : 4 * count : 4].strip(b"\x40"):
            raise ConnectionError("something else than PUBACKs came")
        self._heard = self._heard[len(self._heard) - rest :]
        self._open -= count


class Amqp(Publisher):
    """AMQP 0-9-1 with SASL EXTERNAL, transient messages, no confirms; RabbitMQ holds back the socket of one that is too fast."""

    def greet(self) -> None:
        """Open the connection and a channel (AMQP 0-9-1, section 2.2.4)."""
        self._link.sendall(frame.ProtocolHeader().marshal())
        self._await(spec.Connection.Start)
        self._send(0, spec.Connection.StartOk({}, "EXTERNAL", "", "en_US"))
        self._await(spec.Connection.Tune)
        self._send(0, spec.Connection.TuneOk(1, _MAX_FRAME, 0))
        self._send(0, spec.Connection.Open("/"))
        self._await(spec.Connection.OpenOk)
        self._send(1, spec.Channel.Open())
        self._await(spec.Channel.OpenOk)
        publish = spec.Basic.Publish(exchange="amq.topic", routing_key=f"server.{self.device}.write_uart")
        header = frame.Header(1, len(_PAYLOAD % 0), BasicProperties(delivery_mode=1))
        begin, _, end = frame.Body(1, _PAYLOAD % 0).marshal().partition(_PAYLOAD % 0)
        self._before, self._after = frame.Method(1, publish).marshal() + header.marshal() + begin, end

    def say(self, first: int) -> None:
        """Publish."""
        self._link.sendall(b"".join(self._before + _PAYLOAD % number + self._after for number in range(first, first + AT_ONCE)))

    def finish(self) -> None:
        """Wait for the answer to a question that comes behind all messages, and close."""
        self._send(1, spec.Basic.Qos(prefetch_count=1))
        self._await(spec.Basic.QosOk)
        self._link.close()

    def _send(self, channel: int, method: Any) -> None:
        self._link.sendall(frame.Method(channel, method).marshal())

    def _await(self, kind: type[Any]) -> None:
        while True:
            size, one = frame.decode_frame(self._heard)
            if one is None:
                self._read()
                continue
            self._heard = self._heard[size:]
            if not isinstance(one.method, kind):
                raise ConnectionError(f"{one.method!r} came")
            return


KINDS: dict[str, type[Publisher]] = {"amqp": Amqp, "mqtt": Mqtt}


def publish(
    kind: str, root: Path, port: int, devices: list[str], seconds: float, ahead: int, said: Any, written: Any, stop: Any
) -> None:
    """Be `devices` and say numbered messages in turn until `stop.value` or for `seconds`; runs in a process of its own.

    `said`, `written`: shared counters of what was published and of what is in the history; at most `ahead` lie between.
    """
    publishers = [KINDS[kind](root, device, port) for device in devices]
    end, turn = time.monotonic() + seconds, 0
    while time.monotonic() < end and not stop.value:
        if said.value - written.value > ahead:
            time.sleep(PATIENCE_S)
            continue
        publishers[turn % len(publishers)].say(said.value)
        said.value += AT_ONCE
        turn += 1
    for publisher in publishers:
        publisher.finish()

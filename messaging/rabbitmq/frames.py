"""AMQP 0-9-1's frames as the gateway and the bridge read and write them: pure functions on bytes.

The three frames of every message are read and written here, for a general client spends most of a message's time on them; all
other methods are `pika`'s. Section numbers refer to the AMQP 0-9-1 specification; https://www.rabbitmq.com/amqp-0-9-1-protocol
has RabbitMQ's additions (Basic.Nack, more types in tables).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from struct import error as struct_error
from typing import Any, NamedTuple

import pika
from pika import exceptions

METHOD, HEADER, BODY, HEART = 1, 2, 3, 8
END = 0xCE
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
MAX_FRAME_BYTES = 131_072  # RabbitMQ's default; what we agree to when it offers more, or sets none

_BASIC = 60
_PUBLISH, _DELIVER, _ACK, _NACK = (_BASIC << 16 | method for method in (40, 60, 80, 120))
_frame = Struct(">BHI")  # 2.3.5: type, channel, size
_content = Struct(">HHQ")  # class, weight, size of the body
_u32 = Struct(">I")
_u64 = Struct(">Q")
_i64 = Struct(">q")

# Bytes of the types of a table whose size is fixed, and of those that say theirs in four bytes.
_FIXED = {ord(code): size for code, size in zip("tbBsuIilLfdDTV", (1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8, 5, 8, 0), strict=True)}
_SIZED = frozenset(map(ord, "SxAF"))


class ProtocolError(Exception):
    """The peer broke the protocol; the connection must be closed."""


class Delivery(NamedTuple):
    """A message. `properties`: as they came, for `headers` and `header_names`."""

    tag: int
    routing_key: str
    properties: bytes
    body: bytes


class Confirm(NamedTuple):
    """The broker has taken what was published, or not; `many`: with all before it."""

    tag: int
    many: bool
    taken: bool


Item = Any  # a Delivery, a Confirm, or one of pika's methods


@dataclass(slots=True)
class _Content:
    """A message of which a part has come. `left`: bytes of its body; None before its header."""

    tag: int
    routing_key: str
    properties: bytes = b""
    left: int | None = None
    body: bytes = b""


class Reader:
    """Cuts what comes in over one connection into messages and methods."""

    def __init__(self) -> None:
        self.max_frame = MAX_FRAME_BYTES
        self._rest = b""
        self._open: dict[int, _Content] = {}  # channel -> what is coming on it

    def feed(self, data: bytes) -> Iterator[tuple[int, Item]]:
        """Yield what is whole, with its channel.

        Raises:
            ProtocolError: that is no AMQP, or larger than was agreed.
        """
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        try:
            while end - at >= 8:
                kind, channel, size = _frame.unpack_from(data, at)
                if size > self.max_frame:
                    raise ProtocolError(f"a frame of {size} bytes")
                start, at_end = at + 7, at + 7 + size
                if at_end >= end:
                    break
                if data[at_end] != END:
                    raise ProtocolError("a frame without its end")
                at = at_end + 1
                item = self._take(kind, channel, data, start, at_end)
                if item is not None:
                    yield channel, item
        except (struct_error, LookupError, ValueError, exceptions.AMQPError) as error:
            raise ProtocolError(f"a frame that cannot be read: {error!r}") from error
        self._rest = data[at:]

    def _take(self, kind: int, channel: int, data: bytes, start: int, end: int) -> Item | None:
        """Take one frame; return what it completes."""
        if kind == METHOD:
            method = _u32.unpack_from(data, start)[0]
            if method == _DELIVER:
                self._open[channel] = _deliver(data, start + 4)
                return None
            if method in {_ACK, _NACK}:
                return Confirm(_u64.unpack_from(data, start + 4)[0], bool(data[start + 12] & 1), method == _ACK)
            return pika.spec.methods[method]().decode(data[start:end], 4)
        if kind == HEART:
            return None
        content = self._open.get(channel)
        if content is None:
            raise ProtocolError("content of no message")
        if kind == HEADER and content.left is None:
            content.left = _content.unpack_from(data, start)[2]
            content.properties = data[start + 12 : end]
        elif kind == BODY and content.left is not None and end - start <= content.left:
            content.body = content.body + data[start:end] if content.body else data[start:end]
            content.left -= end - start
        else:
            raise ProtocolError(f"a frame of kind {kind} out of turn")
        if content.left:
            return None
        del self._open[channel]
        return Delivery(content.tag, content.routing_key, content.properties, content.body)


def _deliver(data: bytes, at: int) -> _Content:
    """Read Basic.Deliver (1.8.3.13): consumer tag, delivery tag, redelivered, exchange, routing key."""
    at += 1 + data[at]
    tag = _u64.unpack_from(data, at)[0]
    at += 9
    at += 1 + data[at]
    key = data[at + 1 : at + 1 + data[at]]
    return _Content(tag, key.decode("utf-8", "replace"))  # what is no text is no topic of anybody's


def header_names(properties: bytes) -> dict[bytes, int | None]:
    """Return the names of a message's headers, with the value where that is a signed 64-bit integer.

    Nested tables are stepped over: what they hold is nobody's word but the publisher's.

    Raises:
        ProtocolError: the properties cannot be read.
    """
    try:
        at = 2
        flags = properties[0] << 8 | properties[1]
        if not flags & 0x2000:
            return {}
        for flag in (0x8000, 0x4000):  # content type and encoding stand before the headers (4.2.6.1)
            if flags & flag:
                at += 1 + properties[at]
        return _names(properties, at + 4, at + 4 + _u32.unpack_from(properties, at)[0])
    except (IndexError, struct_error) as error:
        raise ProtocolError("properties that cannot be read") from error


def _names(table: bytes, at: int, end: int) -> dict[bytes, int | None]:
    found: dict[bytes, int | None] = {}
    while at < end:
        start = at + 1
        at = start + table[at]
        name, kind = table[start:at], table[at]
        at += 1
        found[name] = _i64.unpack_from(table, at)[0] if kind == 0x6C else None  # "l"
        if kind in _SIZED:
            at += 4 + _u32.unpack_from(table, at)[0]
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise ProtocolError(f"a value of unknown type {kind}")
    return found


def headers(properties: bytes) -> dict[str, Any]:
    """Return a message's headers, whole."""
    return dict(pika.BasicProperties().decode(properties).headers or {})


def method_frame(channel: int, method: Any) -> bytes:
    """Return one of pika's methods as a frame."""
    return bytes(pika.frame.Method(channel, method).marshal())


class Publisher:
    """Writes messages for one exchange, all with the same properties and no `mandatory`."""

    def __init__(self, channel: int, exchange: str, properties: pika.BasicProperties) -> None:
        self.max_frame = MAX_FRAME_BYTES
        self._channel = channel
        name = exchange.encode()
        self._method = _u32.pack(_PUBLISH) + b"\x00\x00" + bytes([len(name)]) + name  # 1.8.3.7
        self._properties = b"".join(properties.encode())
        self._header_size = _content.size + len(self._properties)

    def frames(self, routing_key: bytes, body: bytes) -> bytes:
        """Return the frames of one message. Raises ValueError: a routing key has at most 255 bytes."""
        method = b"%b%b%b\x00" % (self._method, bytes([len(routing_key)]), routing_key)
        head = b"%b%b\xce%b%b%b\xce" % (
            _frame.pack(METHOD, self._channel, len(method)),
            method,
            _frame.pack(HEADER, self._channel, self._header_size),
            _content.pack(_BASIC, 0, len(body)),
            self._properties,
        )
        room = self.max_frame - 8  # 2.3.5: frame-max counts the frame's own eight bytes
        parts = [body[at : at + room] for at in range(0, len(body), room)]
        return head + b"".join(b"%b%b\xce" % (_frame.pack(BODY, self._channel, len(part)), part) for part in parts)

"""MQTT 3.1 and 3.1.1 control packets as the broker and the gateway read and write them: pure functions on bytes.

Section numbers refer to the OASIS MQTT 3.1.1 standard.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic

CONNECT = 1
CONNACK = 2
PUBLISH = 3
PUBACK = 4
PUBREC = 5
PUBREL = 6
PUBCOMP = 7
SUBSCRIBE = 8
SUBACK = 9
UNSUBSCRIBE = 10
UNSUBACK = 11
PINGREQ = 12
DISCONNECT = 14

ACCEPTED = 0
UNACCEPTABLE_PROTOCOL = 1
IDENTIFIER_REJECTED = 2
SERVER_UNAVAILABLE = 3
BAD_CREDENTIALS = 4
NOT_AUTHORISED = 5

REFUSED_SUBSCRIPTION = 0x80
PINGRESP = b"\xd0\x00"

# Table 2.2; a 3.1 client may set other bits there (its DUP), so they are only checked for 3.1.1.
_REQUIRED_FLAGS = {PUBREL: 2, SUBSCRIBE: 2, UNSUBSCRIBE: 2}
_LEVELS = {(b"MQIsdp", 3): "MQTT 3.1", (b"MQTT", 4): "MQTT 3.1.1"}


class ProtocolError(Exception):
    """The peer broke the protocol; the connection must be closed."""


class UnacceptableProtocolError(ProtocolError):
    """A CONNECT of a protocol version that is not spoken here."""


@dataclass(frozen=True, slots=True)
class Will:
    """A last will; its retain flag is not kept, because clients cannot leave retained messages here."""

    topic: str
    payload: bytes
    qos: int


@dataclass(frozen=True, slots=True)
class Connect:
    """What a CONNECT asks for; user name and password count only where a client cannot have a certificate."""

    client_id: str
    clean: bool
    keepalive: int
    level: int
    protocol: str
    will: Will | None
    user_name: bytes = b""
    password: bytes = field(default=b"", repr=False)


class Message:
    """One published message on its way to any number of subscribers."""

    __slots__ = ("at", "origin", "payload", "qos", "retain", "topic")

    def __init__(self, topic: bytes, payload: bytes, qos: int, origin: str = "", *, retain: bool = False) -> None:
        self.at = monotonic()
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.origin = origin
        self.retain = retain

    @property
    def size(self) -> int:
        """Bytes it takes in a queue, without Python's overhead."""
        return len(self.topic) + len(self.payload)

    def packet(self, packet_id: int, *, dup: bool = False) -> bytes:
        """Encode as PUBLISH; packet id 0 makes it QoS 0."""
        first = 0x30 | self.retain | (0x02 if packet_id else 0) | (0x08 if dup else 0)
        topic, payload = self.topic, self.payload
        length = 2 + len(topic) + len(payload)
        if not packet_id:
            return b"%c%b%b%b%b" % (first, _length(length), len(topic).to_bytes(2, "big"), topic, payload)
        name = len(topic).to_bytes(2, "big")
        return b"%c%b%b%b%b%b" % (first, _length(length + 2), name, topic, packet_id.to_bytes(2, "big"), payload)


def _length(value: int) -> bytes:
    """Encode a remaining length (2.2.3)."""
    if value < 128:
        return value.to_bytes(1, "big")
    out = bytearray()
    while value >= 128:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def frame(data: bytes, at: int, limit: int) -> tuple[int, int] | None:
    """Find the packet that begins at `at`: (start of its body, its end), or None while it is incomplete.

    Raises ProtocolError as soon as the length is known to be above `limit` bytes, before the body is there.
    """
    size = len(data)
    at += 1
    length = shift = 0
    while at < size:
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        if length > limit:
            raise ProtocolError("packet is too large")
        if byte < 0x80:
            end = at + length
            return (at, end) if end <= size else None
        shift += 7
        if shift > 21:
            raise ProtocolError("malformed remaining length")
    return None


def check_flags(kind: int, flags: int) -> None:
    """Raise ProtocolError if the fixed header's flags of a packet other than PUBLISH are not those of 2.2.2."""
    if flags != _REQUIRED_FLAGS.get(kind, 0):
        raise ProtocolError("reserved header flags")


def text(raw: bytes) -> str:
    """Decode an MQTT string (1.5.3): well-formed UTF-8 without U+0000. Raises ProtocolError."""
    try:
        decoded = raw.decode()
    except UnicodeDecodeError:
        raise ProtocolError("string is not UTF-8") from None
    if "\0" in decoded:
        raise ProtocolError("string has a null character")
    return decoded


class _Fields:
    """Reads the fields of one packet's body in order."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._body):
            raise ProtocolError("packet ends too early")
        taken = self._body[self._at : end]
        self._at = end
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def data(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        return text(self.data())

    def __bool__(self) -> bool:
        return self._at < len(self._body)


def parse_connect(body: bytes) -> Connect:
    """Read a CONNECT (3.1). Raises UnacceptableProtocolError for other versions, ProtocolError for nonsense."""
    fields = _Fields(body)
    name, level = fields.data(), fields.byte()
    protocol = _LEVELS.get((name, level))
    if protocol is None:
        if name in (b"MQTT", b"MQIsdp"):
            raise UnacceptableProtocolError("protocol version")
        raise ProtocolError("not an MQTT connect")
    flags, keepalive, client_id = fields.byte(), fields.number(), fields.text()
    will_qos = flags >> 3 & 3
    if level == 4 and flags & 0x01 or will_qos == 3:
        raise ProtocolError("connect flags")
    will = None
    if flags & 0x04:
        will = Will(fields.text(), fields.data(), will_qos)
    elif level == 4 and flags & 0x38:
        raise ProtocolError("will flags without a will")
    # A 3.1 client may set these flags and then leave the fields out.
    user_name, password = (fields.data() if flags & flag and (level == 4 or fields) else b"" for flag in (0x80, 0x40))
    return Connect(client_id, bool(flags & 0x02), keepalive, level, protocol, will, user_name, password)


def parse_subscribe(body: bytes) -> tuple[int, list[tuple[str, int]]]:
    """Read a SUBSCRIBE (3.8): packet id and (topic filter, requested QoS) pairs. Raises ProtocolError."""
    fields = _Fields(body)
    packet_id = _packet_id(fields)
    asked = []
    while fields:
        topic_filter, qos = fields.text(), fields.byte()
        if qos > 2:
            raise ProtocolError("subscription QoS")
        asked.append((topic_filter, qos))
    if not asked:
        raise ProtocolError("subscription to nothing")
    return packet_id, asked


def parse_unsubscribe(body: bytes) -> tuple[int, list[str]]:
    """Read an UNSUBSCRIBE (3.10): packet id and topic filters. Raises ProtocolError."""
    fields = _Fields(body)
    packet_id = _packet_id(fields)
    filters = []
    while fields:
        filters.append(fields.text())
    if not filters:
        raise ProtocolError("unsubscription from nothing")
    return packet_id, filters


def parse_packet_id(body: bytes) -> int:
    """Read the packet id of a PUBACK, PUBREC, PUBREL or PUBCOMP. Raises ProtocolError."""
    return _packet_id(_Fields(body))


def _packet_id(fields: _Fields) -> int:
    packet_id = fields.number()
    if packet_id == 0:
        raise ProtocolError("packet id 0")
    return packet_id


def connack(code: int, *, present: bool = False) -> bytes:
    """Encode a CONNACK (3.2); `present` says that the broker kept this client's session."""
    return bytes((0x20, 2, present, code))


def acknowledgement(kind: int, packet_id: int) -> bytes:
    """Encode a PUBACK, PUBREC, PUBCOMP or UNSUBACK."""
    return bytes((kind << 4, 2, packet_id >> 8, packet_id & 0xFF))


def suback(packet_id: int, codes: Iterable[int]) -> bytes:
    """Encode a SUBACK (3.9) with one return code a filter."""
    body = packet_id.to_bytes(2, "big") + bytes(codes)
    return b"\x90" + _length(len(body)) + body


# --- what a client writes -------------------------------------------------------------------------------------------------

PING = b"\xc0\x00"
GOODBYE = b"\xe0\x00"


def connect(client_id: str, keepalive: int, *, clean: bool = True) -> bytes:
    """Return a CONNECT of MQTT 3.1.1 (3.1); `keepalive` in seconds, `clean`: with a session that ends with the connection."""
    body = _string("MQTT") + bytes([4, 0x02 if clean else 0]) + keepalive.to_bytes(2) + _string(client_id)
    return bytes([CONNECT << 4]) + _length(len(body)) + body


def subscribe(packet_id: int, *topic_filters: str, qos: int) -> bytes:
    """Return a SUBSCRIBE to these filters (3.8)."""
    body = packet_id.to_bytes(2) + b"".join(_string(topic_filter) + bytes([qos]) for topic_filter in topic_filters)
    return bytes([SUBSCRIBE << 4 | 0x02]) + _length(len(body)) + body


def unsubscribe(packet_id: int, topic_filter: str) -> bytes:
    """Return an UNSUBSCRIBE from one filter (3.10)."""
    body = packet_id.to_bytes(2) + _string(topic_filter)
    return bytes([UNSUBSCRIBE << 4 | 0x02]) + _length(len(body)) + body


def published(first: int, body: bytes) -> tuple[bytes, int, bytes]:
    """Read a PUBLISH by its first byte and body (3.3): topic, packet id (0: QoS 0) and payload. Raises ProtocolError."""
    end = 2 + int.from_bytes(body[:2])
    start = end + 2 if first & 0x06 else end
    if len(body) < max(start, 2):
        raise ProtocolError("packet ends too early")
    return body[2:end], int.from_bytes(body[end:start]), body[start:]


def _string(value: str) -> bytes:
    raw = value.encode()
    return len(raw).to_bytes(2) + raw

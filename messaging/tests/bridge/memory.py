"""A broker's session in memory, with the rules of MQTT QoS 1, whose connection a test can break at any moment."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from iotportal.uuid7 import uuid7
from messaging.bridge.source import Deliver, Incoming, SourceLost


@dataclass(slots=True)
class _Sent:
    topic: str
    payload: bytes
    retained: bool = False
    sent: bool = False


class MemorySource:
    """Keeps every message until it is acknowledged, and sends it again, with the same packet id, after a reconnect."""

    def __init__(self, session: str = "portal.bridge", window: int = 2_000) -> None:
        self.session = session
        self.window = window
        self.reachable = True
        self.before_ack: Callable[[], object] = lambda: None  # called with each acknowledgement, before it counts
        self.ack_is_lost = False
        self.mark_as_sent = False  # send with DUP at once, as after a connection that broke unseen
        self.connections = 0
        self.acknowledged = 0
        self._lock = threading.RLock()
        self._queue: deque[tuple[_Sent, int]] = deque()
        self._inflight: dict[int, _Sent] = {}
        self._last_id = 0
        self._known = False
        self._deliver: Deliver | None = None
        self._lost: Callable[[], None] = lambda: None

    def client(self) -> MemoryClient:
        """Return what one bridge uses."""
        return MemoryClient(self)

    # What a client calls

    def attach(self, deliver: Deliver, lost: Callable[[], None]) -> tuple[bool, int]:
        """Connect, replacing who was connected; return whether the session went on, and the connection's number."""
        with self._lock:
            if not self.reachable:
                raise SourceLost("not reachable")
            replaced = self._lost if self._deliver is not None else None
            resumed, self._known = self._known, True
            self.connections += 1
            self._deliver, self._lost = deliver, lost
            number = self.connections
            for delivery, message in self._inflight.items():
                self._send(delivery, message)
            self._pump()
        if replaced is not None:
            replaced()
        return resumed, number

    def is_open(self, link: int) -> bool:
        with self._lock:
            return self._deliver is not None and link == self.connections

    def acknowledge(self, link: int, messages: Iterable[Incoming]) -> None:
        self.before_ack()
        with self._lock:
            if self.ack_is_lost or not self.is_open(link):
                return
            for message in messages:
                if message.delivery and message.link == link:
                    self.acknowledged += self._inflight.pop(message.delivery, None) is not None
            self._pump()

    def detach(self, link: int) -> None:
        with self._lock:
            if self.is_open(link):
                self._deliver = None

    # What a test calls

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retained: bool = False) -> None:
        with self._lock:
            self._queue.append((_Sent(topic, payload, retained), qos))
            self._pump()

    def cut(self) -> None:
        """Break the connection; what is not acknowledged stays."""
        with self._lock:
            self._deliver = None
            lost = self._lost
        lost()

    def restart(self) -> None:
        """Begin a new session, as a broker does that lost its memory: packet ids start again."""
        with self._lock:
            self._known = False
            self._inflight.clear()
            self._queue.clear()
            self._last_id = 0
        self.cut()

    @property
    def first_id(self) -> int:
        return self._last_id + 1

    @first_id.setter
    def first_id(self, value: int) -> None:
        self._last_id = value - 1

    @property
    def unacknowledged(self) -> int:
        with self._lock:
            return len(self._inflight) + len(self._queue)

    def _pump(self) -> None:
        while self._queue and self._deliver is not None and len(self._inflight) < self.window:
            message, qos = self._queue.popleft()
            if qos:
                self._last_id = self._last_id % 65_535 + 1
                self._inflight[self._last_id] = message
            self._send(self._last_id if qos else 0, message)

    def _send(self, delivery: int, message: _Sent) -> None:
        assert self._deliver is not None
        again, message.sent = message.sent or self.mark_as_sent, True
        self._deliver([Incoming(uuid7(), message.topic, message.payload, delivery, again, message.retained, self.connections)])


class MemoryClient:
    """A source on a session in memory."""

    def __init__(self, session: MemorySource) -> None:
        self.session = session.session
        self._session = session
        self._link = 0

    def connect(self, deliver: Deliver, lost: Callable[[], None]) -> bool:
        resumed, self._link = self._session.attach(deliver, lost)
        return resumed

    def begin(self) -> None:
        if not self._session.is_open(self._link):
            raise SourceLost("not connected")

    def ack(self, messages: Iterable[Incoming]) -> None:
        self._session.acknowledge(self._link, messages)

    def close(self) -> None:
        self._session.detach(self._link)

"""A client's session: what it listens to, and the messages that wait for it.

A QoS 1 message stays here until its PUBACK, over any number of connections. Packet ids go up by one within the
session's life, which lets the bridge keep a journal of them: after a reconnect the un-acknowledged messages
come again in their first order, with their first packet ids and DUP set, and only then the new ones.
"""

import sys
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from messaging.authorization import Identity
from messaging.broker.packets import Message

MAX_PACKET_ID = 65_535


class Link(Protocol):
    """What a session needs of its client's connection."""

    writable: bool

    def send(self, packet: bytes) -> None:
        """Queue one packet for the next write."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait for one client.

    A lossless session never drops: it asks for its publishers to be held instead, each of them from `share`
    waiting messages or `share_bytes` on, and all of them when the queue is full. The others drop what waits longest: a
    command that old has already timed out. Of a publisher that has its share waiting they take no more, so that one
    cannot push out what others said.
    """

    window: int
    window_bytes: int
    queue: int
    queue_bytes: int
    lossless: bool = False
    share: int = 0  # 0: a publisher may have the whole queue
    share_bytes: int = 0
    max_age: float = 0.0  # seconds; older messages are not delivered to a client that comes back. 0: any age


class Budget:
    """Bytes that may wait in many sessions together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0


class Session:
    """State that outlives a connection (MQTT 3.1.1, 3.1.2.4)."""

    def __init__(self, client_id: str, identity: Identity, bounds: Bounds, *, clean: bool, budget: Budget | None = None) -> None:
        self.client_id = client_id
        self.identity = identity
        self.clean = clean
        self.bounds = bounds
        self.subscriptions: dict[str, int] = {}
        self.inflight: dict[int, Message] = {}
        self.inflight_bytes = 0
        self.queue: deque[tuple[Message, int]] = deque()
        self.queued_bytes = 0
        self.dropped = 0
        # Incoming QoS 2 packet ids that wait for their PUBREL.
        self.unreleased: set[int] = set()
        # False until a client has been connected. A session prepared at boot is not "present" for its first client, nor for the
        # next while none has subscribed or acknowledged: one that died at once may not have noted yet that it is a new one.
        self.met = False
        self.prepared = False
        self.expires: float | None = None
        # Messages in the queue by publisher, and their bytes. Lossless only: the publishers held back, and whom to tell when not.
        self.waiting: Counter[str] = Counter()
        self.waiting_bytes: Counter[str] = Counter()
        self.held: set[str] = set()
        self.full = False
        self.release: Callable[[str], None] = _nobody
        self._budget = budget or Budget(sys.maxsize)
        self._link: Link | None = None
        self._resend: deque[int] = deque()
        self._last_id = 0

    @property
    def connected(self) -> bool:
        """True while a client is attached."""
        return self._link is not None

    def attach(self, link: Link) -> None:
        """Give the session a connection; `pump` then sends what waited."""
        self._link = link
        self.met = self.met or not self.prepared
        self.expires = None
        self.forget_old()
        self._resend = deque(self.inflight)

    def forget_old(self) -> None:
        """Drop what is older than the session's bound: a command whose caller was told "no answer" must not run an hour later."""
        if not self.bounds.max_age:
            return
        oldest = monotonic() - self.bounds.max_age
        for packet_id in [key for key, message in self.inflight.items() if message.at < oldest]:
            self.inflight_bytes -= self.inflight.pop(packet_id).size
            self.dropped += 1
        while self.queue and self.queue[0][0].at < oldest:
            message, _ = self.queue.popleft()
            self._leave(message)
            self.dropped += 1

    def detach(self) -> None:
        """Take the connection away. QoS 0 messages that still waited are dropped, as they would be without a queue."""
        self._link = None
        self._resend.clear()
        if any(qos == 0 for _, qos in self.queue):
            kept = [entry for entry in self.queue if entry[1]]
            for message, qos in self.queue:
                if qos == 0:
                    self._leave(message)
            self.queue = deque(kept)

    def offer(self, message: Message, qos: int) -> bool:
        """Send `message`, or queue it behind the others; True when its publisher should be held back."""
        link = self._link
        if link is not None and link.writable and not self.queue and not self._resend:
            if not qos:
                link.send(message.packet(0))
                return False
            if self._fits(message):
                self._launch(link, message)
                return False
        if link is None and not qos:
            return False
        return self._enqueue(message, qos)

    def acknowledge(self, packet_id: int) -> None:
        """Forget the message behind a PUBACK and let the next one go; unknown ids are ignored."""
        self.met = True
        message = self.inflight.pop(packet_id, None)
        if message is not None:
            self.inflight_bytes -= message.size
            if self.queue:
                self.pump()

    def pump(self) -> None:
        """Send again what was never acknowledged, then what waits, as far as window and socket allow."""
        link = self._link
        if link is None:
            return
        while self._resend and link.writable:
            packet_id = self._resend.popleft()
            message = self.inflight.get(packet_id)
            if message is not None:
                link.send(message.packet(packet_id, dup=True))
        while self.queue and link.writable:
            message, qos = self.queue[0]
            if qos and not self._fits(message):
                return
            self.queue.popleft()
            if qos:
                self._launch(link, message)
            else:
                link.send(message.packet(0))
            self._leave(message)

    def close(self) -> None:
        """End the session: drop everything and hold nobody back any more."""
        self._link = None
        self._budget.used -= self.queued_bytes
        self.queue.clear()
        self.queued_bytes = 0
        self.inflight.clear()
        self.inflight_bytes = 0
        self.waiting.clear()
        self.waiting_bytes.clear()
        self.full = False
        self._release_all()

    def _fits(self, message: Message) -> bool:
        """Say whether one more may be under way; one alone always may."""
        inflight, bounds = self.inflight, self.bounds
        return not inflight or (len(inflight) < bounds.window and self.inflight_bytes + message.size <= bounds.window_bytes)

    def _launch(self, link: Link, message: Message) -> None:
        packet_id = self._last_id % MAX_PACKET_ID + 1
        while packet_id in self.inflight:
            packet_id = packet_id % MAX_PACKET_ID + 1
        self._last_id = packet_id
        self.inflight[packet_id] = message
        self.inflight_bytes += message.size
        link.send(message.packet(packet_id))

    def _enqueue(self, message: Message, qos: int) -> bool:
        origin, size = message.origin, message.size
        if self._refuses(message):
            self.dropped += 1
            return False
        self.queue.append((message, qos))
        self.queued_bytes += size
        self._budget.used += size
        self.waiting[origin] += 1
        self.waiting_bytes[origin] += size
        if not self.bounds.lossless:
            while self._full(1.0):
                self._leave(self.queue.popleft()[0])
                self.dropped += 1
            return False
        self.full = self.full or self._full(1.0)
        full = self._full(2.0) if origin.startswith("portal.") else self.full  # devices that flood do not stop commands
        if self._share_taken(origin) < 1 and not full:
            return False
        self.held.add(origin)
        return True

    def _refuses(self, message: Message) -> bool:
        """Say whether a message is dropped as it comes: its publisher has its share waiting, or nothing more fits anywhere."""
        if self.bounds.lossless:
            return False
        flood = self.bounds.share and self._share_taken(message.origin) >= 1
        return bool(flood) or self._budget.used + message.size > self._budget.limit

    def _share_taken(self, origin: str) -> float:
        """Return how much of what one publisher may have waiting is waiting: 1 is all of it.

        The portal's gateways speak for everybody, so they have it all: commands go on for as long as the bridge may be away.
        """
        bounds = self.bounds
        alone = not bounds.share or origin.startswith("portal.")
        count, size = (bounds.queue, bounds.queue_bytes) if alone else (bounds.share, bounds.share_bytes)
        return max(self.waiting[origin] / count, self.waiting_bytes[origin] / size)

    def _full(self, part: float) -> bool:
        return len(self.queue) > self.bounds.queue * part or self.queued_bytes > self.bounds.queue_bytes * part

    def _leave(self, message: Message) -> None:
        """Keep the books when a message leaves the queue, and let publishers go on that have room again."""
        origin, size = message.origin, message.size
        self.queued_bytes -= size
        self._budget.used -= size
        self.waiting_bytes[origin] -= size
        self.waiting[origin] -= 1
        if not self.waiting[origin]:
            del self.waiting[origin], self.waiting_bytes[origin]
        if not self.held:
            return
        # Half of the bounds, so that a publisher does not stop and start with every message.
        if self.full and not self._full(0.5):
            self.full = False
            self._release_all()
        elif origin in self.held and self._share_taken(origin) <= 0.5 and not self.full:
            self.held.discard(origin)
            self.release(origin)

    def _release_all(self) -> None:
        """Let everybody go on; one that still has too much in the queue is held again with its next message."""
        held, self.held = self.held, set()
        for origin in held:
            self.release(origin)


def _nobody(_client_id: str) -> None:
    """Release nobody: the default of a session whose bounds never hold a publisher."""

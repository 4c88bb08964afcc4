"""A client's session: what it listens to, and the messages that wait for it.

A QoS 1 message stays here until its PUBACK, over any number of connections. Packet ids go up by one within the
session's life, which lets the bridge keep a journal of them: after a reconnect the un-acknowledged messages
come again in their first order, with their first packet ids and DUP set, and only then the new ones.
"""

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
    waiting messages on, and all of them when the queue is full. The others drop what waits longest: a command that
    old has already timed out.
    """

    window: int
    queue: int
    queue_bytes: int
    lossless: bool = False
    share: int = 0
    max_age: float = 0.0  # seconds; older messages are not delivered to a client that comes back. 0: any age


class Session:
    """State that outlives a connection (MQTT 3.1.1, 3.1.2.4)."""

    def __init__(self, client_id: str, identity: Identity, bounds: Bounds, *, clean: bool) -> None:
        self.client_id = client_id
        self.identity = identity
        self.clean = clean
        self.bounds = bounds
        self.subscriptions: dict[str, int] = {}
        self.inflight: dict[int, Message] = {}
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
        # Lossless only: messages in the queue by publisher, the publishers held back, and whom to tell when not.
        self.waiting: Counter[str] = Counter()
        self.held: set[str] = set()
        self.full = False
        self.release: Callable[[str], None] = _nobody
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
        self._forget_old()
        self._resend = deque(self.inflight)

    def _forget_old(self) -> None:
        """Drop what is older than the session's bound: a command whose caller was told "no answer" must not run an hour later."""
        if not self.bounds.max_age:
            return
        oldest = monotonic() - self.bounds.max_age
        for packet_id in [key for key, message in self.inflight.items() if message.at < oldest]:
            del self.inflight[packet_id]
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
            if len(self.inflight) < self.bounds.window:
                self._launch(link, message)
                return False
        if link is None and not qos:
            return False
        return self._enqueue(message, qos)

    def acknowledge(self, packet_id: int) -> None:
        """Forget the message behind a PUBACK and let the next one go; unknown ids are ignored."""
        self.met = True
        if self.inflight.pop(packet_id, None) is not None and self.queue:
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
            if qos and len(self.inflight) >= self.bounds.window:
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
        self.queue.clear()
        self.queued_bytes = 0
        self.inflight.clear()
        self.waiting.clear()
        self.full = False
        self._release_all()

    def _launch(self, link: Link, message: Message) -> None:
        packet_id = self._last_id % MAX_PACKET_ID + 1
        while packet_id in self.inflight:
            packet_id = packet_id % MAX_PACKET_ID + 1
        self._last_id = packet_id
        self.inflight[packet_id] = message
        link.send(message.packet(packet_id))

    def _enqueue(self, message: Message, qos: int) -> bool:
        self.queue.append((message, qos))
        self.queued_bytes += message.size
        if not self.bounds.lossless:
            while self._full(1.0):
                oldest, _ = self.queue.popleft()
                self.queued_bytes -= oldest.size
                self.dropped += 1
            return False
        origin = message.origin
        self.waiting[origin] += 1
        self.full = self.full or self._full(1.0)
        full = self._full(2.0) if origin.startswith("portal.") else self.full  # devices that flood do not stop commands
        if self.waiting[origin] < self._share(origin) and not full:
            return False
        self.held.add(origin)
        return True

    def _share(self, origin: str) -> int:
        """Return how much of the queue one publisher may fill.

        The portal's gateways speak for everybody, so they have it all: commands go on for as long as the bridge may be away.
        """
        return self.bounds.queue if origin.startswith("portal.") else self.bounds.share

    def _full(self, part: float) -> bool:
        return len(self.queue) > self.bounds.queue * part or self.queued_bytes > self.bounds.queue_bytes * part

    def _leave(self, message: Message) -> None:
        """Keep the books when a message leaves the queue, and let publishers go on that have room again."""
        self.queued_bytes -= message.size
        if not self.bounds.lossless:
            return
        origin = message.origin
        left = self.waiting[origin] - 1
        if left:
            self.waiting[origin] = left
        else:
            del self.waiting[origin]
        if not self.held:
            return
        # Half of the bounds, so that a publisher does not stop and start with every message.
        if self.full and not self._full(0.5):
            self.full = False
            self._release_all()
        elif origin in self.held and left <= self._share(origin) // 2 and not self.full:
            self.held.discard(origin)
            self.release(origin)

    def _release_all(self) -> None:
        """Let everybody go on; one that still has too much in the queue is held again with its next message."""
        held, self.held = self.held, set()
        for origin in held:
            self.release(origin)


def _nobody(_client_id: str) -> None:
    """Release nobody: the default of a session whose bounds never hold a publisher."""

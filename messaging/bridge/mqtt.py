"""Messages from a broker that speaks MQTT (OASIS MQTT 3.1.1), over one persistent session.

The broker sends at most its window of un-acknowledged messages (2,000) and keeps the rest: that is the back-pressure. Every
connection is an object of its own, so nothing of an older one, least of all a pending acknowledgement, can reach a newer: after a
new session the same packet ids mean other messages.

What comes in one piece from the socket is handed over at once, and a batch is acknowledged in one write.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from iotportal.uuid7 import uuid7
from messaging.bridge.loop import LoopThread
from messaging.bridge.source import Deliver, Incoming, SourceLost
from messaging.broker import packets
from messaging.broker.client import Address, BrokerConnection

CLIENT_ID = "portal.bridge"
FILTERS = ("#", "$SYS/portal/#")
KEEPALIVE_S = 20
CONNECT_S, ANSWER_S, STOP_S = 5.0, 10.0, 5.0
MAX_PACKET_BYTES = 16 * 1024 * 1024  # the broker lets less in


class MqttSource:
    """The session `portal.bridge`: with the bridge's certificate, or by its socket in `sockets`."""

    def __init__(self, host: str, port: int, pki: Path, sockets: Path | None = None) -> None:
        self.session = CLIENT_ID
        self._address = Address(host, port, pki, "bridge", sockets)
        self._link: _Link | None = None
        self._links = 0

    def connect(self, deliver: Deliver, lost: Callable[[], None]) -> bool:
        """Open a connection; return whether the broker still has the session.

        Raises:
            SourceLost: the broker cannot be reached, or does not let us in.
        """
        self.close()
        self._links += 1
        link = _Link(self._links, deliver, lost)
        try:
            resumed = link.open(self._address)
        except OSError as error:  # TLS errors and missing files too
            link.close()
            raise SourceLost(str(error) or "the broker does not answer") from error
        self._link = link
        return resumed

    def begin(self) -> None:
        """Subscribe to everything, also where the session has the subscriptions: the broker then tells who is connected."""
        if self._link is None:
            raise SourceLost("not connected")
        self._link.subscribe()

    def ack(self, messages: Iterable[Incoming]) -> None:
        """Acknowledge messages of the present connection."""
        if self._link is not None:
            self._link.ack(messages)

    def close(self) -> None:
        """Say goodbye, after what was acknowledged has been said; the session stays."""
        if self._link is not None:
            self._link.close()
            self._link = None


class _Link:
    """One connection, on an event loop and a thread of its own, which deliver; its methods are called from the runner's."""

    def __init__(self, number: int, deliver: Deliver, lost: Callable[[], None]) -> None:
        self._number, self._deliver, self._lost = number, deliver, lost
        self._over = False
        self._thread = LoopThread("mqtt")
        self._wire: _Wire | None = None
        self._lasting: asyncio.Task[None]

    def open(self, address: Address) -> bool:
        """Connect; say whether the broker still has the session. Raises OSError."""
        return self._thread.run(self._open(address), CONNECT_S + ANSWER_S)

    def subscribe(self) -> None:
        """Subscribe and wait for the broker to agree. Raises SourceLost."""
        try:
            self._thread.run(self._subscribe(), ANSWER_S)
        except OSError as error:
            raise SourceLost(str(error) or "the broker does not answer the subscription") from error

    def ack(self, messages: Iterable[Incoming]) -> None:
        """Acknowledge those of this connection that are to be acknowledged."""
        ids = [message.delivery for message in messages if message.delivery and message.link == self._number]
        if ids and self._wire is not None:
            acknowledgements = b"".join(packets.acknowledgement(packets.PUBACK, packet_id) for packet_id in ids)
            self._thread.call(self._wire.write, acknowledgements)

    def close(self) -> None:
        """End the connection, its loop and its thread; what was acknowledged leaves first."""
        self._over = True
        with contextlib.suppress(TimeoutError):
            self._thread.run(self._leave(), STOP_S)
        self._thread.end(STOP_S)

    # --- on the loop ------------------------------------------------------------------------------------------------------

    async def _open(self, address: Address) -> bool:
        loop = asyncio.get_running_loop()
        self._wire = wire = _Wire(self._number, self._deliver)
        async with asyncio.timeout(CONNECT_S):
            await address.connect(lambda: wire)
        async with asyncio.timeout(ANSWER_S):
            resumed = await wire.session
        self._lasting = loop.create_task(self._last(wire))
        return resumed

    async def _last(self, wire: _Wire) -> None:
        """Tell the runner when the connection has ended, unless it was us who left."""
        await wire.last()
        wire.close()
        if not self._over:
            self._lost()

    async def _subscribe(self) -> None:
        if self._wire is None or self._wire.lost.is_set():
            raise ConnectionResetError("the connection broke")
        self._wire.write(packets.subscribe(1, *FILTERS, qos=1))
        await self._wire.subscribed

    async def _leave(self) -> None:
        """Say goodbye; a broker that does not take it is left without."""
        if self._wire is None or self._wire.transport is None:
            return
        self._wire.write(packets.GOODBYE)
        self._wire.close()
        try:
            async with asyncio.timeout(STOP_S / 2):
                await self._wire.lost.wait()
        except TimeoutError:
            self._wire.transport.abort()


class _Wire(BrokerConnection):
    """The packets of one connection."""

    def __init__(self, number: int, deliver: Deliver) -> None:
        super().__init__(CLIENT_ID, KEEPALIVE_S, MAX_PACKET_BYTES, clean=False)
        self.subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # fails with ConnectionError
        self._number, self._deliver = number, deliver
        self._came: list[Incoming] = []

    def data_received(self, data: bytes) -> None:
        """Read all packets that are there, and hand over what they bring."""
        super().data_received(data)
        if self._came:
            came, self._came = self._came, []
            self._deliver(came)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        super().connection_lost(exc)
        if not self.subscribed.done():
            self.subscribed.set_exception(ConnectionResetError("the broker closed the connection"))
            self.subscribed.exception()  # perhaps nobody waits

    def take(self, first: int, body: bytes) -> None:
        """Take a message, or the broker's word on the subscription."""
        kind = first >> 4
        if kind == packets.PUBLISH:
            topic, packet_id, payload = packets.published(first, body)
            duplicate, retained = bool(first & 0x08), bool(first & 0x01)
            self._came.append(Incoming(uuid7(), _text(topic), payload, packet_id, duplicate, retained, self._number))
        elif kind == packets.SUBACK and not self.subscribed.done():
            if packets.REFUSED_SUBSCRIPTION in body[2:]:
                self.subscribed.set_exception(ConnectionRefusedError("the broker refuses the bridge's subscription"))
            else:
                self.subscribed.set_result(None)


def _text(topic: bytes) -> str:
    try:
        return topic.decode()
    except UnicodeDecodeError:
        return ""  # no topic of the protocol: counted and dropped like any other

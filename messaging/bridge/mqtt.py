"""Messages from a broker that speaks MQTT (OASIS MQTT 3.1.1), over one persistent session.

The broker sends at most its window of un-acknowledged messages (2,000) and keeps the rest: that is the back-pressure. Every
connection is an object of its own, so nothing of an older one, least of all a pending acknowledgement, can reach a newer: after a
new session the same packet ids mean other messages.

What comes in one piece from the socket is handed over at once, and a batch is acknowledged in one write: a general client, which
reads and answers each packet by itself, took as long for a message as all the rest of the bridge.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

from iotportal.uuid7 import uuid7
from messaging.bridge.loop import LoopThread
from messaging.bridge.source import Deliver, Incoming, SourceLost
from messaging.broker import packets

logger = logging.getLogger(__name__)

CLIENT_ID = "portal.bridge"
FILTERS = ("#", "$SYS/portal/#")
KEEPALIVE_S = 20
CONNECT_S, ANSWER_S, STOP_S = 5.0, 10.0, 5.0
MAX_PACKET_BYTES = 16 * 1024 * 1024  # the broker lets less in
CONNACK, SUBACK = 2, 9
PINGREQ, DISCONNECT = b"\xc0\x00", b"\xe0\x00"


class MqttSource:
    """The session `portal.bridge`, with the bridge's certificate."""

    def __init__(self, host: str, port: int, pki: Path) -> None:
        self.session = CLIENT_ID
        self._host, self._port, self._pki = host, port, pki
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
            resumed = link.open(self._host, self._port, self._context())
        except OSError as error:  # TLS errors and missing files too
            link.close()
            raise SourceLost(str(error) or "the broker does not answer") from error
        except SourceLost:
            link.close()
            raise
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

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self._pki / "root-ca.pem"))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._pki / "bridge.pem", self._pki / "bridge.key")
        return context


class _Link(asyncio.Protocol):
    """One connection on an event loop and a thread of its own, which deliver; `open` to `close` are called from the runner's."""

    def __init__(self, number: int, deliver: Deliver, lost: Callable[[], None]) -> None:
        self._number, self._deliver, self._lost = number, deliver, lost
        self._over = False
        self._heard = True  # something came since the last ping
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._thread = LoopThread("mqtt")
        self._session: asyncio.Future[bool]  # whether the broker still had it
        self._subscribed: asyncio.Future[None]
        self._ended: asyncio.Future[None]

    def open(self, host: str, port: int, context: ssl.SSLContext) -> bool:
        """Connect; say whether the broker still has the session. Raises OSError or SourceLost."""
        return self._thread.run(self._open(host, port, context), CONNECT_S + ANSWER_S)

    def subscribe(self) -> None:
        """Subscribe and wait for the broker to agree. Raises SourceLost."""
        try:
            self._thread.run(self._subscribe(), ANSWER_S)
        except TimeoutError as error:
            raise SourceLost("the broker does not answer the subscription") from error

    def ack(self, messages: Iterable[Incoming]) -> None:
        """Acknowledge those of this connection that are to be acknowledged."""
        ids = [message.delivery for message in messages if message.delivery and message.link == self._number]
        if ids:
            self._thread.call(self._acknowledge, ids)

    def close(self) -> None:
        """End the connection, its loop and its thread; what was acknowledged leaves first."""
        self._over = True
        with contextlib.suppress(TimeoutError):
            self._thread.run(self._leave(), STOP_S)
        self._thread.end(STOP_S)

    # --- on the loop ------------------------------------------------------------------------------------------------------

    async def _open(self, host: str, port: int, context: ssl.SSLContext) -> bool:
        loop = asyncio.get_running_loop()
        self._session, self._subscribed, self._ended = loop.create_future(), loop.create_future(), loop.create_future()
        async with asyncio.timeout(CONNECT_S):
            await loop.create_connection(lambda: self, host, port, ssl=context)
        async with asyncio.timeout(ANSWER_S):
            resumed = await self._session
        loop.call_later(KEEPALIVE_S / 2, self._ping)
        return resumed

    async def _subscribe(self) -> None:
        if self._transport is None:
            raise SourceLost("the connection broke")
        self._transport.write(packets.subscribe(1, *FILTERS, qos=1))
        await self._subscribed

    async def _leave(self) -> None:
        if self._transport is not None:
            self._transport.write(DISCONNECT)
            self._transport.close()
            await asyncio.wait_for(self._ended, STOP_S / 2)

    def _acknowledge(self, ids: list[int]) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(packets.acknowledgement(packets.PUBACK, packet_id) for packet_id in ids))

    def _ping(self) -> None:
        """Ask the broker for a sign of life, and give up one that gave none since the last time."""
        if self._transport is None:
            return
        if not self._heard:
            logger.warning("the broker is silent")
            self._transport.abort()
            return
        self._heard = False
        self._transport.write(PINGREQ)
        asyncio.get_running_loop().call_later(KEEPALIVE_S / 2, self._ping)

    # --- asyncio's side ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the session. asyncio and uvloop set TCP_NODELAY: acknowledgements would wait 40 ms for one another."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(packets.connect(CLIENT_ID, KEEPALIVE_S, clean=False))

    def data_received(self, data: bytes) -> None:
        """Read all packets that are there, and hand over what they bring."""
        self._heard = True
        data = self._buffer + data if self._buffer else data
        at, came = 0, list[Incoming]()
        try:
            while (found := packets.frame(data, at, MAX_PACKET_BYTES)) is not None:
                start, end = found
                self._take(data[at], data[start:end], came)
                at = end
        except (packets.ProtocolError, IndexError) as error:
            logger.error("the broker broke the protocol: %s", error)
            self._close()
        self._buffer = data[at:]
        if came:
            self._deliver(came)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the runner, unless it was us who left."""
        self._transport = None
        for waiting in (self._session, self._subscribed):
            if not waiting.done():
                waiting.set_exception(SourceLost("the broker closed the connection"))
                waiting.exception()  # perhaps nobody waits
        if not self._ended.done():
            self._ended.set_result(None)
        if not self._over:
            self._lost()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _take(self, first: int, body: bytes, came: list[Incoming]) -> None:
        kind = first >> 4
        if kind == packets.PUBLISH:
            topic, packet_id, payload = packets.published(first, body)
            came.append(Incoming(uuid7(), _text(topic), payload, packet_id, bool(first & 0x08), bool(first & 0x01), self._number))
        elif kind == CONNACK and not self._session.done():
            if body[1] == packets.ACCEPTED:
                self._session.set_result(bool(body[0] & 1))
            else:
                self._session.set_exception(SourceLost(f"the broker refuses the bridge (code {body[1]})"))
        elif kind == SUBACK and not self._subscribed.done():
            if packets.REFUSED_SUBSCRIPTION in body[2:]:
                self._subscribed.set_exception(SourceLost("the broker refuses the bridge's subscription"))
            else:
                self._subscribed.set_result(None)


def _text(topic: bytes) -> str:
    try:
        return topic.decode()
    except UnicodeDecodeError:
        return ""  # no topic of the protocol: counted and dropped like any other

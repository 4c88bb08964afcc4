"""The gateway's broker connection over MQTT 3.1.1 (OASIS standard), as an asyncio protocol.

The gateway needs six packets of MQTT and needs them fast: a general client reads each packet in several calls from the socket,
which was half of what a command cost a web process. A command leaves at once where none is on its way to the broker; else those
of one event-loop turn leave in one write.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import cast

from messaging.broker import packets
from messaging.gateway.kept import Answer, KeptTransport
from messaging.gateway.transport import BrokerUnavailable
from messaging.protocol import topics

logger = logging.getLogger(__name__)

KEEPALIVE_S = 20
MAX_PACKET_BYTES = 256 * 1024
CONNACK, SUBACK = 2, 9
PINGREQ, DISCONNECT = b"\xc0\x00", b"\xe0\x00"


class _Link(asyncio.Protocol):
    """One connection, from CONNECT to its end."""

    def __init__(self, client_id: str, on_answer: Answer) -> None:
        self.lost = asyncio.Event()
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.subscribing: dict[int, asyncio.Future[None]] = {}
        self.taken: dict[int, Callable[[], None]] = {}
        self.heard = True  # something came since the last ping
        self._client_id = client_id
        self._on_answer = on_answer
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._out: list[bytes] = []
        self._last_id = 0

    # --- asyncio's side ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.write(packets.connect(self._client_id, KEEPALIVE_S))

    def data_received(self, data: bytes) -> None:
        self.heard = True
        data = self._buffer + data if self._buffer else data
        at = 0
        try:
            while (found := packets.frame(data, at, MAX_PACKET_BYTES)) is not None:
                start, end = found
                self._take(data[at], data[start:end])
                at = end
        except (packets.ProtocolError, IndexError) as error:
            logger.error("the broker broke the protocol: %s", error)
            self.close()
        self._buffer = data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.lost.set()
        if not self.connected.done():
            self.connected.set_exception(BrokerUnavailable("the broker closed the connection"))

    # --- MQTT -------------------------------------------------------------------------------------------------------------

    def publish(self, topic: bytes, payload: bytes, on_taken: Callable[[], None]) -> None:
        """Publish with QoS 1."""
        packet_id = self.new_id()
        alone = not self.taken
        self.taken[packet_id] = on_taken
        self.write(packets.Message(topic, payload, 1).packet(packet_id), at_once=alone)

    def write(self, packet: bytes, *, at_once: bool = False) -> None:
        """Send a packet, with the others of this turn of the loop unless `at_once`."""
        self._out.append(packet)
        if at_once:
            self._flush()
        elif len(self._out) == 1:
            self._loop.call_soon(self._flush)

    def close(self, *, goodbye: bool = False) -> None:
        """End the connection."""
        if self._transport is not None:
            if goodbye:
                self._transport.write(b"".join([*self._out, DISCONNECT]))
            self._transport.close()

    def new_id(self) -> int:
        """Return a packet id that is not in use (2.3.1: 1 to 65535)."""
        for _ in range(65_535):
            self._last_id = self._last_id % 65_535 + 1
            if self._last_id not in self.taken and self._last_id not in self.subscribing:
                return self._last_id
        raise BrokerUnavailable("the broker acknowledges nothing any more")

    def _flush(self) -> None:
        if self._transport is not None and self._out:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _take(self, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == packets.PUBLISH:
            end = 2 + int.from_bytes(body[:2])
            self._answer(body[2:end].decode(), body[end + 2 :] if first & 0x06 else body[end:])
        elif kind == packets.PUBACK:
            taken = self.taken.pop(int.from_bytes(body[:2]), None)
            if taken is not None:
                taken()
        elif kind == SUBACK:
            self._bound(int.from_bytes(body[:2]), refused=packets.REFUSED_SUBSCRIPTION in body[2:])
        elif kind == CONNACK and not self.connected.done():
            if body[1] == packets.ACCEPTED:
                self.connected.set_result(None)
            else:
                self.connected.set_exception(BrokerUnavailable(f"the broker refused the gateway (code {body[1]})"))

    def _answer(self, topic: str, payload: bytes) -> None:
        try:
            self._on_answer(topic, payload)
        except Exception:
            logger.exception("an answer could not be handled")

    def _bound(self, packet_id: int, *, refused: bool) -> None:
        binding = self.subscribing.pop(packet_id, None)
        if binding is None or binding.done():
            return
        if refused:
            binding.set_exception(BrokerUnavailable("the broker refused the subscription"))
        else:
            binding.set_result(None)


class MqttTransport(KeptTransport[_Link]):
    """Connects as `portal.gateway.<random>` with the gateway's certificate."""

    broker = "the broker"

    def __init__(self, host: str, port: int, pki: Path) -> None:
        super().__init__(host, port, pki)
        self._client_id = f"portal.gateway.{secrets.token_hex(4)}"

    def publish(self, topic: str, payload: bytes, on_taken: Callable[[], None]) -> None:
        """Publish once with QoS 1."""
        link = self._link
        if link is None or not self._connected.is_set():
            raise BrokerUnavailable("no connection to the broker")
        link.publish(topic.encode(), payload, on_taken)

    def _bind(self, link: _Link, device: str, done: asyncio.Future[None]) -> None:
        packet_id = link.new_id()
        link.subscribing[packet_id] = done
        # QoS 0 towards us: an answer lost with the connection ends as the caller's error either way, and nothing to acknowledge.
        link.write(packets.subscribe(packet_id, topics.answers_filter(device), qos=0))

    def _unbind(self, link: _Link, device: str) -> None:
        link.write(packets.unsubscribe(link.new_id(), topics.answers_filter(device)))

    async def _leave(self, link: _Link) -> None:
        link.close(goodbye=True)

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self._pki / "root-ca.pem"))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._pki / "gateway.pem", self._pki / "gateway.key")
        return context

    async def _connect(self) -> _Link:
        # asyncio and uvloop set TCP_NODELAY; without it a round trip takes 44 ms.
        _, link = await asyncio.get_running_loop().create_connection(
            lambda: _Link(self._client_id, self.on_answer),
            self._host,
            self._port,
            ssl=self._context(),
        )
        try:
            await link.connected
        except BaseException:
            link.close()
            raise
        return link

    async def _last(self, link: _Link) -> None:
        """Ping until the connection ends or the broker is silent."""
        while not link.lost.is_set():
            link.heard = False
            link.write(PINGREQ)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KEEPALIVE_S / 2):
                    await link.lost.wait()
            if not link.heard:
                break

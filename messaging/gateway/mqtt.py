"""The gateway's broker connection over MQTT 3.1.1 (OASIS standard), as an asyncio protocol.

A command leaves at once where none is on its way to the broker; else those of one event-loop turn leave in one write.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from pathlib import Path

from messaging.broker import packets
from messaging.broker.client import Address, BrokerConnection
from messaging.gateway.kept import Answer, KeptTransport
from messaging.gateway.transport import BrokerUnavailable
from messaging.protocol import topics

logger = logging.getLogger(__name__)

KEEPALIVE_S = 20
MAX_PACKET_BYTES = 256 * 1024


class _Link(BrokerConnection):
    """One connection, from CONNECT to its end."""

    def __init__(self, client_id: str, on_answer: Answer) -> None:
        super().__init__(client_id, KEEPALIVE_S, MAX_PACKET_BYTES)
        self.subscribing: dict[int, asyncio.Future[None]] = {}
        self.taken: dict[int, Callable[[], None]] = {}
        self._on_answer = on_answer
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self._last_id = 0

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

    def leave(self) -> None:
        """Say goodbye and end the connection, after what was to be sent."""
        self.write(packets.GOODBYE, at_once=True)
        self.close()

    def new_id(self) -> int:
        """Return a packet id that is not in use (2.3.1: 1 to 65535)."""
        for _ in range(65_535):
            self._last_id = self._last_id % 65_535 + 1
            if self._last_id not in self.taken and self._last_id not in self.subscribing:
                return self._last_id
        raise BrokerUnavailable("the broker acknowledges nothing any more")

    def _flush(self) -> None:
        if self._out:
            super().write(b"".join(self._out))
        self._out.clear()

    def take(self, first: int, body: bytes) -> None:
        """Take an answer, or the broker's word that it has a command or a subscription."""
        kind = first >> 4
        if kind == packets.PUBLISH:
            topic, _, payload = packets.published(first, body)
            self._answer(topic, payload)
        elif kind == packets.PUBACK:
            taken = self.taken.pop(int.from_bytes(body[:2]), None)
            if taken is not None:
                taken()
        elif kind == packets.SUBACK:
            self._bound(int.from_bytes(body[:2]), refused=packets.REFUSED_SUBSCRIPTION in body[2:])

    def _answer(self, topic: bytes, payload: bytes) -> None:
        try:
            self._on_answer(topic.decode(), payload)
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
    """Connects as `portal.gateway.<random>`: with the gateway's certificate, or by its socket in `sockets`."""

    broker = "the broker"

    def __init__(self, host: str, port: int, pki: Path, sockets: Path | None = None) -> None:
        super().__init__(host, port, pki)
        self._address = Address(host, port, pki, "gateway", sockets)
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
        link.leave()

    async def _connect(self) -> _Link:
        link = await self._address.connect(lambda: _Link(self._client_id, self.on_answer))
        try:
            await link.session
        except BaseException:
            link.close()
            raise
        return link

    async def _last(self, link: _Link) -> None:
        await link.last()

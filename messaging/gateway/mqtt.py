"""The gateway's broker connection over MQTT 3.1.1 (OASIS standard), as an asyncio protocol.

The gateway needs six packets of MQTT and needs them fast: a general client reads each packet in several calls from the socket,
which was half of what a command cost a web process. A command leaves at once where none is on its way to the broker; else those
of one event-loop turn leave in one write.

A connection that breaks takes everything with it: nothing is published again by the next one, for a command must never run a
second time or an hour later. Who waits on it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import ssl
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import cast

from messaging.broker import packets
from messaging.gateway.transport import BrokerUnavailable
from messaging.protocol import topics

logger = logging.getLogger(__name__)

KEEPALIVE_S = 20
HANDSHAKE_S = 5.0
SUBACK_TIMEOUT_S = 5.0
RECONNECT_S = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0)  # ± 30 %, so that many processes do not come back at the same instant
MAX_BINDINGS = 5_000
MAX_PACKET_BYTES = 256 * 1024
CONNACK, SUBACK = 2, 9
PINGREQ, DISCONNECT = b"\xc0\x00", b"\xe0\x00"

Answer = Callable[[str, bytes], None]


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
        for binding in self.subscribing.values():
            if not binding.done():
                binding.set_exception(BrokerUnavailable("lost the broker"))

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


class MqttTransport:
    """Connects as `portal.gateway.<random>` with the gateway's certificate."""

    def __init__(self, host: str, port: int, pki: Path) -> None:
        self.on_answer: Answer = lambda topic, payload: None
        self.on_lost: Callable[[], None] = lambda: None
        self._host, self._port, self._pki = host, port, pki
        self._client_id = f"portal.gateway.{secrets.token_hex(4)}"
        self._link: _Link | None = None
        self._connected = asyncio.Event()
        self._bindings: OrderedDict[str, asyncio.Future[None]] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to connect and keep connected."""
        self._task = asyncio.get_running_loop().create_task(self._keep_connected())

    async def stop(self) -> None:
        """Disconnect for good."""
        if self._link is not None:
            self._link.close(goodbye=True)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._connected.clear()

    async def wait_connected(self, timeout_s: float) -> None:
        """Return when connected."""
        if self._connected.is_set():
            return
        try:
            await asyncio.wait_for(self._connected.wait(), timeout_s)
        except TimeoutError:
            raise BrokerUnavailable("no connection to the broker") from None

    def is_bound(self, device: str) -> bool:
        """Say whether the answers of `device` come in."""
        binding = self._bindings.get(device)
        if binding is None or not binding.done() or not self._connected.is_set():
            return False
        self._bindings.move_to_end(device)
        return not binding.cancelled() and binding.exception() is None

    async def bind(self, device: str) -> None:
        """Subscribe to the answers of `device`, once."""
        binding = self._bindings.get(device)
        if binding is None:
            binding = self._bindings[device] = asyncio.get_running_loop().create_future()
            binding.add_done_callback(lambda future: self._forget_failed(device, future))
            self._subscribe(topics.answers_filter(device), binding)
            self._forget_oldest()
        else:
            self._bindings.move_to_end(device)
            if binding.done() and not binding.cancelled() and binding.exception() is None:
                return
        try:
            await asyncio.wait_for(asyncio.shield(binding), SUBACK_TIMEOUT_S)
        except TimeoutError:
            self._bindings.pop(device, None)
            raise BrokerUnavailable("the broker did not agree in time") from None

    def publish(self, topic: str, payload: bytes, on_taken: Callable[[], None]) -> None:
        """Publish once with QoS 1."""
        link = self._link
        if link is None or not self._connected.is_set():
            raise BrokerUnavailable("no connection to the broker")
        link.publish(topic.encode(), payload, on_taken)

    def _subscribe(self, topic_filter: str, binding: asyncio.Future[None]) -> None:
        link = self._link
        if link is None or not self._connected.is_set():
            binding.set_exception(BrokerUnavailable("no connection to the broker"))
            return
        packet_id = link.new_id()
        link.subscribing[packet_id] = binding
        # QoS 0 towards us: an answer lost with the connection ends as the caller's error either way, and nothing to acknowledge.
        link.write(packets.subscribe(packet_id, topic_filter, qos=0))

    def _forget_failed(self, device: str, binding: asyncio.Future[None]) -> None:
        if (binding.cancelled() or binding.exception() is not None) and self._bindings.get(device) is binding:
            del self._bindings[device]

    def _forget_oldest(self) -> None:
        while len(self._bindings) > MAX_BINDINGS and self._link is not None:
            device, _ = self._bindings.popitem(last=False)
            self._link.write(packets.unsubscribe(self._link.new_id(), topics.answers_filter(device)))

    # --- the connection ---------------------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        attempt = 0
        while True:
            try:
                link = await asyncio.wait_for(self._connect(), HANDSHAKE_S)
            except (OSError, TimeoutError, BrokerUnavailable) as error:
                if attempt in {0, 10}:
                    logger.warning("cannot reach the broker at %s:%s (%s), trying again", self._host, self._port, error)
            else:
                attempt = 0
                logger.info("connected to the broker as %s", self._client_id)
                await self._while_connected(link)
                logger.warning("lost the connection to the broker")
            pause = RECONNECT_S[min(attempt, len(RECONNECT_S) - 1)]
            attempt += 1
            await asyncio.sleep(pause * random.uniform(0.7, 1.3))

    async def _connect(self) -> _Link:
        context = ssl.create_default_context(cafile=str(self._pki / "root-ca.pem"))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._pki / "gateway.pem", self._pki / "gateway.key")
        # asyncio and uvloop set TCP_NODELAY; without it a round trip takes 44 ms.
        _, link = await asyncio.get_running_loop().create_connection(
            lambda: _Link(self._client_id, self.on_answer),
            self._host,
            self._port,
            ssl=context,
        )
        try:
            await link.connected
        except BaseException:
            link.close()
            raise
        return link

    async def _while_connected(self, link: _Link) -> None:
        """Serve one connection: ping it, and when it ends tell everyone who waits on it."""
        self._link = link
        self._connected.set()
        try:
            while not link.lost.is_set():
                link.heard = False
                link.write(PINGREQ)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(link.lost.wait(), KEEPALIVE_S / 2)
                if not link.heard:
                    break
        finally:
            link.close()
            self._connected.clear()
            self._link = None
            self._bindings.clear()
            self.on_lost()

"""One connection to RabbitMQ over TLS, as an asyncio protocol; `messaging.rabbitmq.frames` reads and writes for it.

A general client reads and writes each message in several calls to the system, through a TLS and an event loop of its own
(docs/adr/0008). Here a message leaves at once where `at_once` says so; else all of one event-loop turn leave in one write.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pika
from pika import spec

from messaging.broker.client import service_context
from messaging.rabbitmq.frames import (
    HEARTBEAT,
    MAX_FRAME_BYTES,
    PROTOCOL_HEADER,
    Confirm,
    Delivery,
    ProtocolError,
    Publisher,
    Reader,
    method_frame,
)
from messaging.rabbitmq.names import VHOST

logger = logging.getLogger(__name__)

HANDSHAKE_S = 5.0
HEARTBEAT_S = 20
SILENT_BEATS = 3
NOT_FOUND = 404  # a reply code (1.2): there is no such queue, or it cannot be reached yet
MAX_UNSENT_BYTES = 8 * 1024 * 1024  # RabbitMQ reads no more from us: more than that need not wait for it


class LinkLost(Exception):
    """There is no connection to RabbitMQ, or it ended."""


class ChannelClosed(Exception):
    """RabbitMQ refused something and closed the channel over it. `code`: its reply code (1.2)."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Address:
    """Where RabbitMQ is, and as which service of the portal to connect: SASL EXTERNAL with its own certificate."""

    host: str
    port: int
    pki: Path
    service: str

    def context(self) -> ssl.SSLContext:
        """Return the TLS settings. Raises OSError for missing files."""
        return service_context(self.pki, self.service)


class Channel:
    """A channel of a link, one consumer at the most. `on_closed`: RabbitMQ closed it, or its consumer; why."""

    def __init__(self, link: Link, number: int) -> None:
        self.on_delivery: Callable[[Delivery], None] = lambda delivery: None
        self.on_confirm: Callable[[Confirm], None] = lambda confirm: None
        self.on_closed: Callable[[str], None] = lambda why: None
        self.closed: ChannelClosed | None = None
        self.number = number
        self._link = link
        self._asked: deque[asyncio.Future[Any]] = deque()  # RabbitMQ answers in order

    async def call(self, method: Any) -> Any:
        """Ask for something and return the answer, both pika's methods.

        Raises:
            ChannelClosed: RabbitMQ refuses it.
            LinkLost: there is no connection.
        """
        return await self.ask(method)

    def ask(self, method: Any) -> asyncio.Future[Any]:
        """Ask for something; return what will be the answer. Raises as `call`."""
        self._check()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._link.write(method_frame(self.number, method))
        self._asked.append(answer)
        return answer

    def tell(self, method: Any) -> None:
        """Send what has no answer. Raises as `call`."""
        self._check()
        self._link.write(method_frame(self.number, method))

    def take(self, item: Any) -> None:
        """Take what came in on it."""
        kind = type(item)
        if kind is Delivery:
            self.on_delivery(item)
        elif kind is Confirm:
            self.on_confirm(item)
        elif kind is spec.Channel.Close:
            self._link.write(method_frame(self.number, spec.Channel.CloseOk()))
            self.end(ChannelClosed(item.reply_code, f"{item.reply_code} {item.reply_text}"))
        elif kind is spec.Basic.Cancel:
            self.end(ChannelClosed(404, "the queue is gone"))
        elif self._asked:
            answer = self._asked.popleft()
            if not answer.done():
                answer.set_result(item)

    def end(self, why: ChannelClosed | LinkLost) -> None:
        """Tell whoever waits that there will be no answer."""
        self.closed = why if isinstance(why, ChannelClosed) else self.closed
        while self._asked:
            answer = self._asked.popleft()
            if not answer.done():
                answer.set_exception(why)
                answer.exception()  # whoever asked may have left
        self.on_closed(str(why))

    def _check(self) -> None:
        if self.closed is not None:
            raise self.closed
        if self._link.lost.is_set():
            raise LinkLost(self._link.why)


class Link(asyncio.Protocol):
    """One connection, from the first byte to its end. `blocked`: why RabbitMQ takes no messages at present, "" while it does."""

    def __init__(self, name: str, heartbeat_s: int = HEARTBEAT_S) -> None:
        self.lost = asyncio.Event()
        self.why = ""
        self.blocked = ""
        self._name, self._heartbeat_s = name, heartbeat_s
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._reader = Reader()
        self._channels: dict[int, Channel] = {}
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._flushing = False
        self._silent = 0  # beats since something came
        self._beat: asyncio.TimerHandle | None = None

    @classmethod
    async def open(cls, address: Address, heartbeat_s: int = HEARTBEAT_S) -> Link:
        """Connect; the caller bounds the time. Raises OSError or LinkLost; then nothing is left open."""
        # asyncio and uvloop set TCP_NODELAY.
        _, link = await asyncio.get_running_loop().create_connection(
            lambda: cls(f"portal.{address.service}", heartbeat_s), address.host, address.port, ssl=address.context()
        )
        try:
            await link._opened
        except BaseException:
            link.abort()
            raise
        return link

    async def channel(self) -> Channel:
        """Open one more channel. Raises LinkLost."""
        number = len(self._channels) + 1
        channel = self._channels[number] = Channel(self, number)
        await channel.call(spec.Channel.Open())
        return channel

    def publisher(self, channel: Channel, exchange: str, properties: pika.BasicProperties) -> Publisher:
        """Return what writes messages for an exchange; their frames go to `write`."""
        publisher = Publisher(channel.number, exchange, properties)
        publisher.max_frame = self._reader.max_frame
        return publisher

    def write(self, frames: bytes, *, at_once: bool = False) -> None:
        """Send, with the rest of this turn of the loop unless `at_once`."""
        self._out.append(frames)
        if at_once:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def can_take(self) -> bool:
        """Say whether a message would leave soon."""
        transport = self._transport
        return transport is not None and not self.blocked and transport.get_write_buffer_size() < MAX_UNSENT_BYTES

    def close(self) -> None:
        """Say goodbye and end the connection; what was written leaves first."""
        if self._transport is not None:
            with contextlib.suppress(Exception):
                self.write(method_frame(0, spec.Connection.Close(200, "", 0, 0)), at_once=True)
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio's side ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the client speaks first (2.2.4)."""
        self._transport = cast(asyncio.Transport, transport)
        self.write(PROTOCOL_HEADER, at_once=True)

    def data_received(self, data: bytes) -> None:
        """Hand what came in to its channels."""
        self._silent = 0
        try:
            for number, item in self._reader.feed(data):
                if number == 0:
                    self._take(item)
                elif number in self._channels:
                    self._channels[number].take(item)
                else:
                    raise ProtocolError(f"there is no channel {number}")
        except ProtocolError as error:
            logger.error("RabbitMQ broke the protocol: %s", error)
            self.why = self.why or f"protocol error: {error}"
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody that it is over."""
        self._transport = None
        if self._beat is not None:
            self._beat.cancel()
        self.why = self.why or (str(exc) if exc else "the connection was closed")
        self.lost.set()
        lost = LinkLost(self.why)
        if not self._opened.done():
            self._opened.set_exception(lost)
            self._opened.exception()
        for channel in self._channels.values():
            channel.end(lost)

    def _flush(self) -> None:
        self._flushing = False
        if self._transport is not None and self._out:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    # --- the connection's own methods ---------------------------------------------------------------------------------------

    def _take(self, item: Any) -> None:
        match item:
            case spec.Connection.Start():
                capabilities = {"connection.blocked": True, "consumer_cancel_notify": True, "basic.nack": True}
                about = {"connection_name": self._name, "product": "IoT portal", "capabilities": capabilities}
                self._say(spec.Connection.StartOk(about, "EXTERNAL", "", "en_US"))
            case spec.Connection.Tune():
                self._tune(item)
            case spec.Connection.OpenOk():
                if not self._opened.done():
                    self._opened.set_result(None)
            case spec.Connection.Close():
                self.why = f"{item.reply_code} {item.reply_text}"
                self._say(spec.Connection.CloseOk())
                if self._transport is not None:
                    self._transport.close()
            case spec.Connection.Blocked():
                self.blocked = str(item.reason) or "alarm"
                logger.error("RabbitMQ takes no messages: %s", self.blocked)
            case spec.Connection.Unblocked():
                self.blocked = ""
                logger.warning("RabbitMQ takes messages again")
            case _:
                pass  # CloseOk: the connection's end follows

    def _tune(self, offer: Any) -> None:
        """Agree to what RabbitMQ offers, to a frame that we read, and to our heartbeat."""
        self._reader.max_frame = min(offer.frame_max or MAX_FRAME_BYTES, MAX_FRAME_BYTES)
        self._say(spec.Connection.TuneOk(offer.channel_max, self._reader.max_frame, self._heartbeat_s))
        self._say(spec.Connection.Open(VHOST))
        if self._heartbeat_s:
            self._keep_alive()

    def _keep_alive(self) -> None:
        """Beat twice in the agreed time (4.2.7); three beats without a word are the connection's end."""
        if self._silent >= SILENT_BEATS:
            self.why = "RabbitMQ is silent"
            self.abort()
            return
        self._silent += 1
        self.write(HEARTBEAT)
        self._beat = self._loop.call_later(self._heartbeat_s / 2, self._keep_alive)

    def _say(self, method: Any) -> None:
        self.write(method_frame(0, method), at_once=True)

"""The gateway's connection to RabbitMQ: AMQP 0-9-1 over TLS, on the event loop.

AMQP and never MQTT: a message with the header of MQTT's QoS crashes MQTT subscribers of RabbitMQ 3.10, so ours carry no header at
all. Confirms come asynchronously (to wait for each costs three quarters of the speed). As over MQTT, a connection that
breaks takes everything with it, and nothing is published again by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel
from pika.credentials import ExternalCredentials

from messaging.gateway.kept import HANDSHAKE_S, Answer, KeptTransport
from messaging.gateway.transport import BrokerUnavailable
from messaging.protocol import topics
from messaging.rabbitmq.names import TOPICS, VHOST, is_dead_letter, to_routing_key, to_topic

logger = logging.getLogger(__name__)
logging.getLogger("pika").setLevel(logging.CRITICAL)  # it logs each attempt to connect at length; we say what matters

HEARTBEAT_S = 20
QUEUE_MESSAGES = 20_000
# Not persistent: a command that waits on a disk is one that nobody waits for any more.
_PROPERTIES = pika.BasicProperties(delivery_mode=1)


def connection_parameters(
    host: str, port: int, pki: Path, service: str, heartbeat_s: int = HEARTBEAT_S
) -> pika.ConnectionParameters:
    """Return how a service of the portal connects: SASL EXTERNAL with its own certificate. Raises OSError for missing files."""
    context = ssl.create_default_context(cafile=str(pki / "root-ca.pem"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki / f"{service}.pem", pki / f"{service}.key")
    return pika.ConnectionParameters(
        host, port, VHOST, ExternalCredentials(), heartbeat=heartbeat_s, ssl_options=pika.SSLOptions(context, host),
        socket_timeout=HANDSHAKE_S, stack_timeout=HANDSHAKE_S, client_properties={"connection_name": f"portal.{service}"},
    )  # fmt: skip


class _Link:
    """One connection with its channel, from the first packet to its end."""

    def __init__(self, on_answer: Answer) -> None:
        self.lost = asyncio.Event()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.taken: OrderedDict[int, Callable[[], None]] = OrderedDict()
        self.queue = ""
        self._on_answer = on_answer
        self._published = 0
        self._connection: AsyncioConnection | None = None
        self._channel: Channel | None = None

    async def open(self, parameters: pika.ConnectionParameters) -> None:
        """Connect, open a confirming channel and consume from a queue of our own. Raises BrokerUnavailable."""
        self._connection = AsyncioConnection(
            parameters,
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._opened),
            on_open_error_callback=self._ended,
            on_close_callback=self._ended,
            custom_ioloop=asyncio.get_running_loop(),
        )
        await self.ready

    def publish(self, routing_key: str, payload: bytes, on_taken: Callable[[], None]) -> None:
        """Publish; `on_taken` follows when the broker confirms."""
        if self._channel is None or not self._channel.is_open:
            raise BrokerUnavailable("no connection to the broker")
        self._published += 1
        self.taken[self._published] = on_taken
        self._channel.basic_publish(TOPICS, routing_key, payload, _PROPERTIES)

    def bind(self, binding_key: str, done: asyncio.Future[None]) -> None:
        """Bind our queue; `done` gets its result when the broker has."""
        if self._channel is None or not self._channel.is_open:
            done.set_exception(BrokerUnavailable("no connection to the broker"))
            return
        self._channel.queue_bind(self.queue, TOPICS, binding_key, callback=lambda _frame: _agree(done))

    def unbind(self, binding_key: str) -> None:
        """Hear no more of it."""
        if self._channel is not None and self._channel.is_open:
            self._channel.queue_unbind(self.queue, TOPICS, binding_key)

    def close(self) -> None:
        """End the connection."""
        connection, self._channel = self._connection, None
        if connection is not None and (not (connection.is_closing or connection.is_closed)):
            with contextlib.suppress(pika.exceptions.AMQPError):
                connection.close()

    def _opened(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._refused)
        channel.confirm_delivery(self._confirmed)
        arguments = {"x-max-length": QUEUE_MESSAGES, "x-queue-mode": "default"}
        channel.queue_declare("", exclusive=True, auto_delete=True, arguments=arguments, callback=self._declared)

    def _declared(self, frame: Any) -> None:
        self.queue = frame.method.queue
        if self._channel is not None:
            self._channel.basic_consume(
                self.queue, self._heard, auto_ack=True, exclusive=True, callback=lambda _frame: self._is_ready()
            )

    def _is_ready(self) -> None:
        _agree(self.ready)

    def _heard(self, _channel: Channel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        if is_dead_letter(properties.headers):
            return
        try:
            self._on_answer(to_topic(method.routing_key), body)
        except Exception:
            logger.exception("an answer could not be handled")

    def _confirmed(self, frame: Any) -> None:
        tag, many = frame.method.delivery_tag, frame.method.multiple
        tags = [one for one in self.taken if one <= tag] if many else [tag]
        for one in tags:
            taken = self.taken.pop(one, None)
            if taken is not None and isinstance(frame.method, pika.spec.Basic.Ack):
                taken()

    def _refused(self, _channel: Channel, reason: BaseException) -> None:
        """A channel ends by itself when RabbitMQ refuses something; then the connection begins anew."""
        if self._channel is not None:
            logger.error("RabbitMQ closed the gateway's channel: %s", reason)
        self.close()

    def _ended(self, _connection: Any, reason: BaseException | str) -> None:
        self._channel = None
        self.lost.set()
        if not self.ready.done():
            self.ready.set_exception(BrokerUnavailable(str(reason) or type(reason).__name__))


class AmqpTransport(KeptTransport[_Link]):
    """Connects with the gateway's certificate; the same interface as `MqttTransport`."""

    broker = "RabbitMQ"

    def publish(self, topic: str, payload: bytes, on_taken: Callable[[], None]) -> None:
        """Publish once."""
        if self._link is None or not self._connected.is_set():
            raise BrokerUnavailable("no connection to the broker")
        self._link.publish(to_routing_key(topic), payload, on_taken)

    async def _connect(self) -> _Link:
        link = _Link(lambda topic, payload: self.on_answer(topic, payload))
        try:
            await link.open(connection_parameters(self._host, self._port, self._pki, "gateway"))
        except BaseException:
            link.close()
            raise
        return link

    async def _last(self, link: _Link) -> None:
        await link.lost.wait()

    def _bind(self, link: _Link, device: str, done: asyncio.Future[None]) -> None:
        link.bind(_answers(device), done)

    def _unbind(self, link: _Link, device: str) -> None:
        link.unbind(_answers(device))

    async def _leave(self, link: _Link) -> None:
        link.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(link.lost.wait(), 1.0)


def _answers(device: str) -> str:
    return to_routing_key(topics.answers_filter(device))


def _agree(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)

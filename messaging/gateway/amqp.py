"""The gateway's connection to RabbitMQ: AMQP 0-9-1 over TLS, on the event loop.

AMQP and never MQTT: a message with the header of MQTT's QoS crashes MQTT subscribers of RabbitMQ 3.10, so ours carry no header at
all. Confirms come asynchronously (to wait for each costs three quarters of the speed). As over MQTT, a connection that
breaks takes everything with it, and nothing is published again by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from itertools import takewhile

import pika
from pika import spec

from messaging.gateway.kept import Answer, KeptTransport
from messaging.gateway.transport import BrokerUnavailable
from messaging.protocol import topics
from messaging.rabbitmq.frames import Confirm, Delivery, header_names
from messaging.rabbitmq.link import Address, Channel, ChannelClosed, Link, LinkLost
from messaging.rabbitmq.names import DEAD_LETTER, TOPICS, to_routing_key, to_topic
from messaging.rabbitmq.readiness import NotReady, ready_channel

logger = logging.getLogger(__name__)

QUEUE_MESSAGES = 20_000
# Not persistent: a command that waits on a disk is one that nobody waits for any more.
_PROPERTIES = pika.BasicProperties(delivery_mode=1)


class _GatewayLink:
    """One connection with its channel: what was published and not yet confirmed, and the queue of what devices say."""

    def __init__(self, link: Link, channel: Channel, on_answer: Answer) -> None:
        self.lost = link.lost
        self._link, self._channel, self._on_answer = link, channel, on_answer
        self._publisher = link.publisher(channel, TOPICS, _PROPERTIES)
        self._taken: OrderedDict[int, Callable[[], None]] = OrderedDict()
        self._published = 0
        self._queue = ""
        channel.on_delivery, channel.on_confirm, channel.on_closed = self.heard, self._confirmed, self._refused

    @classmethod
    async def open(cls, address: Address, on_answer: Answer) -> _GatewayLink:
        """Connect, open a confirming channel once commands are kept, and consume from a queue of our own.

        Raises OSError or BrokerUnavailable.
        """
        try:
            link = await Link.open(address)
        except LinkLost as error:
            raise BrokerUnavailable(str(error)) from error
        try:
            channel = await ready_channel(link)
            self = cls(link, channel, on_answer)
            await self._consume()
        except (LinkLost, ChannelClosed, NotReady) as error:
            link.abort()
            raise BrokerUnavailable(str(error)) from error
        except BaseException:
            link.abort()
            raise
        return self

    async def _consume(self) -> None:
        channel, bounds = self._channel, {"x-max-length": QUEUE_MESSAGES, "x-queue-mode": "default"}
        await channel.call(spec.Confirm.Select())
        declared = await channel.call(spec.Queue.Declare(exclusive=True, auto_delete=True, arguments=bounds))
        self._queue = declared.queue
        await channel.call(spec.Basic.Consume(queue=self._queue, no_ack=True, exclusive=True))

    def publish(self, routing_key: str, payload: bytes, on_taken: Callable[[], None]) -> None:
        """Publish; `on_taken` follows when the broker confirms."""
        if not self._link.can_take():
            raise BrokerUnavailable("the broker takes no messages")
        self._published += 1
        alone = not self._taken  # nothing on its way: nobody else's to wait for
        self._taken[self._published] = on_taken
        self._link.write(self._publisher.frames(routing_key.encode(), payload), at_once=alone)

    def bind(self, binding_key: str, done: asyncio.Future[None]) -> None:
        """Bind our queue; `done` gets its result when the broker has."""
        try:
            answer = self._channel.ask(spec.Queue.Bind(queue=self._queue, exchange=TOPICS, routing_key=binding_key))
        except (LinkLost, ChannelClosed) as error:
            done.set_exception(BrokerUnavailable(str(error)))
            return
        answer.add_done_callback(lambda answer: _pass_on(answer, done))

    def unbind(self, binding_key: str) -> None:
        """Hear no more of it."""
        with contextlib.suppress(LinkLost, ChannelClosed):
            self._channel.ask(spec.Queue.Unbind(queue=self._queue, exchange=TOPICS, routing_key=binding_key))

    def close(self) -> None:
        """End the connection."""
        self._link.close()

    def heard(self, delivery: Delivery) -> None:
        """Take what a device said, unless a queue threw it away."""
        if DEAD_LETTER in header_names(delivery.properties):
            return
        try:
            self._on_answer(to_topic(delivery.routing_key), delivery.body)
        except Exception:
            logger.exception("an answer could not be handled")

    def _confirmed(self, confirm: Confirm) -> None:
        tags = takewhile(lambda one: one <= confirm.tag, self._taken) if confirm.many else (confirm.tag,)
        for tag in list(tags):
            taken = self._taken.pop(tag, None)
            if taken is not None and confirm.taken:
                taken()

    def _refused(self, why: str) -> None:
        """A channel ends by itself when RabbitMQ refuses something; then the connection begins anew."""
        if not self._link.lost.is_set():
            logger.error("RabbitMQ closed the gateway's channel: %s", why)
            self._link.close()


class AmqpTransport(KeptTransport[_GatewayLink]):
    """Connects with the gateway's certificate; the same interface as `MqttTransport`."""

    broker = "RabbitMQ"

    def publish(self, topic: str, payload: bytes, on_taken: Callable[[], None]) -> None:
        """Publish once."""
        if self._link is None or not self._connected.is_set():
            raise BrokerUnavailable("no connection to the broker")
        self._link.publish(to_routing_key(topic), payload, on_taken)

    async def _connect(self) -> _GatewayLink:
        address = Address(self._host, self._port, self._pki, "gateway")
        return await _GatewayLink.open(address, lambda topic, payload: self.on_answer(topic, payload))

    async def _last(self, link: _GatewayLink) -> None:
        await link.lost.wait()

    def _bind(self, link: _GatewayLink, device: str, done: asyncio.Future[None]) -> None:
        link.bind(_answers(device), done)

    def _unbind(self, link: _GatewayLink, device: str) -> None:
        link.unbind(_answers(device))

    async def _leave(self, link: _GatewayLink) -> None:
        link.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await link.lost.wait()


def _answers(device: str) -> str:
    return to_routing_key(topics.answers_filter(device))


def _pass_on(answer: asyncio.Future[object], done: asyncio.Future[None]) -> None:
    """Tell who waits for a binding what became of it."""
    if done.done():
        return
    error = answer.exception() if not answer.cancelled() else BrokerUnavailable("no connection to the broker")
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(BrokerUnavailable(str(error)))

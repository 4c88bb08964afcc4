"""Whether RabbitMQ keeps what is said to it, which is asked before anybody may say anything.

For some tenths of a second after its start RabbitMQ (3.10) takes connections but does not route to a stream yet, and what goes
to no queue it acknowledges all the same. So no device gets in and no command leaves until the bridge's queues are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from pika import spec

from messaging.rabbitmq import management
from messaging.rabbitmq.link import NOT_FOUND, Channel, ChannelClosed, Link
from messaging.rabbitmq.names import BRIDGE_QUEUES

PATIENCE_S = 3.0  # shorter than any device or gateway waits for its connection
AGAIN_S = 0.1
LOOK_TIMEOUT_S = 2.0
NO_QUEUE = "the bridge's queues are not there: RabbitMQ has just started, or no bridge ever has"


class NotReady(Exception):
    """RabbitMQ would lose what it is told now."""


class Peer(Protocol):
    """A connection that RabbitMQ has made to us; it ends with that RabbitMQ."""

    is_open: bool


def look() -> None:
    """Look for the bridge's queues by the management interface. Raises NotReady."""
    try:
        ready = all(management.has_queue(queue, LOOK_TIMEOUT_S) for queue in BRIDGE_QUEUES)
    except management.ManagementUnavailable as error:
        raise NotReady(f"the management interface: {error}") from error
    if not ready:
        raise NotReady(NO_QUEUE)


class Readiness:
    """Who asks whether it keeps what is said: looked at once, and true for as long as a connection lives that was open then."""

    def __init__(self, look: Callable[[], object] = look) -> None:
        self._look = look
        self._looking = asyncio.Lock()
        self._seen: set[Peer] = set()

    async def wait(self, peer: Peer) -> None:
        """Return once the RabbitMQ behind `peer` is ready. Raises NotReady when it is not so soon."""
        reason = NotReady("it does not answer")
        try:
            async with asyncio.timeout(PATIENCE_S), self._looking:
                while not self._stands():
                    try:
                        await asyncio.to_thread(self._look)
                        break
                    except NotReady as error:
                        reason = error
                    await asyncio.sleep(AGAIN_S)
        except TimeoutError:
            raise reason from None
        self._seen.add(peer)

    def _stands(self) -> bool:
        self._seen = {peer for peer in self._seen if peer.is_open}
        return bool(self._seen)


async def ready_channel(link: Link) -> Channel:
    """Open a channel once RabbitMQ is ready. Raises NotReady when it is not so soon, ChannelClosed or LinkLost."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                channel = await link.channel()
                try:
                    for queue in BRIDGE_QUEUES:
                        await channel.call(spec.Queue.Declare(queue=queue, passive=True))
                    return channel
                except ChannelClosed as refusal:
                    if refusal.code != NOT_FOUND:
                        raise
                await asyncio.sleep(AGAIN_S)
    except TimeoutError:
        raise NotReady(NO_QUEUE) from None

"""The broker's line to Valkey: orders to cut a connection come in, counts of refusals go out.

The broker works without it. While it is away a revoked device may stay connected, so every connection is asked
about again as soon as the subscription stands.
"""

import asyncio
import logging
from collections import Counter

from redis.asyncio import Redis
from redis.exceptions import RedisError

from messaging.broker.connection import Reason
from messaging.broker.server import Broker

logger = logging.getLogger(__name__)

DISCONNECT_CHANNEL = "broker:disconnect"
REFUSED_HASH = "broker:refused"


class ValkeyLink:
    """Runs beside a broker, in its event loop, until cancelled."""

    def __init__(self, broker: Broker, url: str, *, retry_seconds: float = 1.0, count_seconds: float = 1.0) -> None:
        self._broker = broker
        self._url = url
        self._retry_seconds = retry_seconds
        self._count_seconds = count_seconds
        self._subscribed = False
        self._recheck: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Listen for orders and hand over counts; come back after every failure."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen_for_ever())
            group.create_task(self._count_for_ever())

    async def _listen_for_ever(self) -> None:
        complained = False
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                if not complained:
                    logger.warning("Valkey is away, no device can be cut off until it is back: %s", error)
                complained = not self._subscribed
                self._subscribed = False
            await asyncio.sleep(self._retry_seconds)

    async def _listen(self) -> None:
        """Subscribe once and obey; raises when the connection is lost."""
        client = _client(self._url)
        async with client, client.pubsub() as orders:
            await orders.subscribe(DISCONNECT_CHANNEL)
            while True:
                # The time limit lets the client send its own health check on a quiet line.
                message = await orders.get_message(timeout=5.0)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self._subscribed = True
                    self._start_recheck()
                elif message["type"] == "message":
                    self._obey(str(message["data"]))

    def _obey(self, order: str) -> None:
        """Cut a connection: the order is a client id, why (if it is known), and with which certificate (else any)."""
        client_id, cause, fingerprint, *_ = [*order.split(" "), "", ""]
        self._broker.disconnect(client_id, Reason(cause) if cause in set(Reason) else Reason.KICKED, fingerprint)

    def _start_recheck(self) -> None:
        if self._recheck is not None:
            self._recheck.cancel()
        self._recheck = asyncio.create_task(self._recheck_all())

    async def _recheck_all(self) -> None:
        while await self._broker.recheck():
            await asyncio.sleep(self._retry_seconds)

    async def _count_for_ever(self) -> None:
        async with _client(self._url) as client:
            while True:
                await asyncio.sleep(self._count_seconds)
                await self._count(client)

    async def _count(self, client: Redis) -> None:
        counts, self._broker.refusals = self._broker.refusals, Counter()
        if not counts:
            return
        try:
            async with client.pipeline(transaction=True) as pipe:
                for name, count in counts.items():
                    pipe.hincrby(REFUSED_HASH, name, count)
                await pipe.execute()
        except (RedisError, OSError):
            # Kept for the next time. Names come from our own certificates, so there are only so many.
            self._broker.refusals.update(counts)


def _client(url: str) -> Redis:
    # encoding_errors: an order that is not text is nobody's id; it must not end the line.
    return Redis.from_url(
        url, decode_responses=True, encoding_errors="replace", socket_connect_timeout=5, health_check_interval=10
    )

"""Messages from RabbitMQ: a stream queue that keeps everything, and a position in it that moves with what is written.

A stream forgets nothing when it is read, so acknowledging means nothing: a bridge begins where the position in PostgreSQL says,
which moves in the transaction of each batch (docs/adr/0006). No delivery is ever asked "were you here before": after a kill the
bridge begins behind the last committed message. RabbitMQ's word on connections comes from a queue beside it and is acknowledged
after the commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from pika import spec

from iotportal.uuid7 import uuid7
from messaging.bridge.database import Cursor
from messaging.bridge.journal import Journal, Move, Overtaken
from messaging.bridge.loop import LoopThread
from messaging.bridge.source import Deliver, Incoming, SourceLost
from messaging.rabbitmq import management, presence
from messaging.rabbitmq.config import stream_arguments
from messaging.rabbitmq.frames import Delivery, ProtocolError, header_names, headers
from messaging.rabbitmq.link import NOT_FOUND, Address, Channel, ChannelClosed, Link, LinkLost
from messaging.rabbitmq.names import DEAD_LETTER, EVENT_QUEUE, EVENTS, STREAM, TOPICS, to_topic

logger = logging.getLogger(__name__)

WINDOW = 2_000
MAX_EVENTS = 100_000  # comings and goings that wait for a bridge; what is dropped, the list of open connections tells
# When the list of open connections is looked at. It knows a connection after 5 s at the latest, and until then nobody tells of
# those that were made just before the first bridge listened to events.
LIST_FIRST_S, LIST_AGAIN_S, LIST_EVERY_S = 0.5, 6.0, 30.0
SLOW_LIST_S = 5.0
ANSWER_S, STOP_S = 10.0, 5.0
NO_QUEUE = "NOT_FOUND - no queue "
OFFSET = b"x-stream-offset"
T = TypeVar("T")
MOVE = """
UPDATE messaging_journalentry SET sequence = %s WHERE session = %s AND packet_id = 0 AND sequence = %s AND crc = %s RETURNING 1
"""
REWIND = "UPDATE messaging_journalentry SET sequence = 0 WHERE session = %s AND packet_id = 0"
FORGET_CONNECTIONS = "DELETE FROM messaging_brokerconnection"


def is_missing(refusal: ChannelClosed) -> bool:
    """Say whether a queue that RabbitMQ refuses was never declared.

    Just after its start RabbitMQ says 404 also of a queue whose "home node is down or inaccessible", which is there with all it
    keeps: to take that stream for a new one would be to write everything in it once more.
    """
    return refusal.code == NOT_FOUND and NO_QUEUE in str(refusal)


class StreamPosition(Journal):
    """The offset of the next message to read, in the place of a journal of packet ids."""

    def __init__(self) -> None:
        super().__init__(STREAM)

    @property
    def offset(self) -> int:
        """Where to begin; true after `claim`."""
        return self._position

    def forget(self, cursor: Cursor) -> None:
        """Begin at the beginning: the stream was made anew."""
        cursor.execute(REWIND, [self._session])
        cursor.execute(FORGET_CONNECTIONS)
        self._position = 0

    def known(self, cursor: Cursor, messages: list[Incoming]) -> dict[int, UUID | None]:
        """Nothing that is delivered is known: it lies behind the position."""
        return {}

    def resolve(self, cursor: Cursor, messages: list[Incoming]) -> list[Incoming]:
        """Turn RabbitMQ's word on connections into presence."""
        return presence.resolve(cursor, messages)

    def record(self, cursor: Cursor, messages: list[Incoming], before: Iterable[bytes] = ()) -> Move:
        """Move the position behind these messages. Raises Overtaken."""
        move = Move(self._position, max([self._position, *(message.delivery for message in messages)]))
        moving = cursor.mogrify(MOVE, [move.after, self._session, move.before, self._owner])
        cursor.execute(b";".join([*before, moving]))
        if cursor.fetchone() != (1,):
            raise Overtaken("another bridge has moved the position")
        return move

    def is_at(self, move: Move) -> bool:
        """Say whether the transaction of `move` is in. One that moved nothing held commands alone, which may be written twice."""
        return move.after != move.before and super().is_at(move)


class StreamSource:
    """The stream, with the bridge's certificate. `Incoming.delivery` is the offset behind the message.

    `arrived` is told of each new connection of a device once it is in the table of connections.
    """

    def __init__(
        self, host: str, port: int, pki: Path, position: StreamPosition, arrived: Callable[[presence.Arrival], None] | None = None
    ) -> None:
        self.session = STREAM
        self._arrived = arrived
        self._address = Address(host, port, pki, "bridge")
        self._position = position
        self._reading: _Reading | None = None
        self._links = 0

    def connect(self, deliver: Deliver, lost: Callable[[], None]) -> bool:
        """Open a connection; return whether the stream is there. Raises SourceLost."""
        self.close()
        self._links += 1
        self._reading = _Reading(self._links, deliver, lost)
        return self._reading.open(self._address)

    def begin(self) -> None:
        """Make the stream if it is missing, and read on from the position. Raises SourceLost."""
        if self._reading is None:
            raise SourceLost("not connected")
        self._reading.begin(self._position.offset)

    def ack(self, messages: Iterable[Incoming]) -> None:
        """Let RabbitMQ send more, and tell of the connections that are in the table now."""
        written = list(messages)
        if self._reading is not None:
            self._reading.ack(written)
        if self._arrived is not None:
            for arrival in filter(None, map(presence.read_arrival, written)):
                self._arrived(arrival)

    def close(self) -> None:
        """Close the connection."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None


class _Reading:
    """One connection on an event loop and a thread of its own, which deliver; the other methods are called from the runner's.

    What both threads change (`_unacknowledged`, `_events`) only grows on the one side and only shrinks on the other.
    """

    def __init__(self, number: int, deliver: Deliver, lost: Callable[[], None]) -> None:
        self._number, self._deliver, self._lost = number, deliver, lost
        self._unacknowledged: deque[tuple[int, int]] = deque()  # (delivery, tag)
        self._events: dict[UUID, int] = {}  # message id -> tag
        self._offset = self._last = 0
        self._over = False
        self._came: list[Incoming] = []  # in this turn of the loop
        self._lists_alone = 0  # lists to come that tell also of the youngest: there is nobody else who would
        self._ended: set[str] = set()  # connections whose end was told since the last list: the next may lag behind
        self._link: Link | None = None
        self._stream: Channel
        self._told_of: Channel
        self._thread = LoopThread("stream")

    def open(self, address: Address) -> bool:
        """Connect; say whether the stream was declared before. Raises SourceLost."""
        return self._on_loop(self._open(address))

    def begin(self, offset: int) -> None:
        """Read from `offset` on. Raises SourceLost."""
        self._on_loop(self._begin(offset))

    def ack(self, messages: list[Incoming]) -> None:
        """Acknowledge messages and all before them, events each by itself."""
        last, tag = max((message.delivery for message in messages), default=0), 0
        while self._unacknowledged and self._unacknowledged[0][0] <= last:
            tag = self._unacknowledged.popleft()[1]
        events = [self._events.pop(message.id) for message in messages if message.id in self._events]
        if tag or events:
            self._thread.call(self._acknowledge, tag, events)

    def close(self) -> None:
        """End the connection, its loop and its thread; what was acknowledged leaves first."""
        self._over = True
        with contextlib.suppress(SourceLost):
            self._on_loop(self._leave(), STOP_S)
        self._thread.end(STOP_S)

    def _on_loop(self, work: Coroutine[object, object, T], timeout_s: float = ANSWER_S) -> T:
        """Run `work` on the loop and return what it returns. Raises SourceLost, also where it takes longer than `timeout_s`."""
        try:
            return self._thread.run(work, timeout_s)
        except TimeoutError as error:
            raise SourceLost("RabbitMQ does not answer") from error
        except (LinkLost, ChannelClosed, OSError) as error:
            raise SourceLost(f"RabbitMQ: {str(error) or type(error).__name__}") from error

    # --- on the loop ------------------------------------------------------------------------------------------------------

    async def _open(self, address: Address) -> bool:
        link = self._link = await Link.open(address)
        self._stream, self._told_of = await link.channel(), await link.channel()
        try:
            await self._stream.call(spec.Queue.Declare(queue=STREAM, passive=True))
        except ChannelClosed as error:
            if not is_missing(error):
                raise
            self._stream = await link.channel()
            self._lists_alone = 2
        return not self._lists_alone

    async def _begin(self, offset: int) -> None:
        if self._link is None:
            raise LinkLost("not connected")
        self._offset = self._last = offset
        stream, events = self._stream, self._told_of
        for channel, heard in ((stream, self._heard), (events, self._told)):
            channel.on_delivery, channel.on_closed = heard, self._refused
            await channel.call(spec.Basic.Qos(prefetch_count=WINDOW))
        await stream.call(spec.Queue.Declare(queue=STREAM, durable=True, arguments=stream_arguments()))
        await stream.call(spec.Queue.Bind(queue=STREAM, exchange=TOPICS, routing_key="#"))
        await stream.call(spec.Basic.Consume(queue=STREAM, arguments={"x-stream-offset": offset}))
        # Who waits until what is said is kept (messaging.rabbitmq.readiness) waits for this one, so it comes after the binding.
        await events.call(spec.Queue.Declare(queue=EVENT_QUEUE, durable=True, arguments={"x-max-length": MAX_EVENTS}))
        await events.call(spec.Queue.Bind(queue=EVENT_QUEUE, exchange=EVENTS, routing_key="connection.*"))
        await events.call(spec.Basic.Consume(queue=EVENT_QUEUE))
        asyncio.get_running_loop().call_later(LIST_FIRST_S, self._ask)

    async def _leave(self) -> None:
        if self._link is not None:
            self._link.close()
            await asyncio.wait_for(self._link.lost.wait(), STOP_S / 2)

    def _refused(self, why: str) -> None:
        """A channel ended, by itself or with the connection: the runner begins anew."""
        if self._over or self._link is None:
            return
        self._over = True
        logger.info("the stream's connection ended: %s", why)
        self._link.close()
        self._lost()

    def _acknowledge(self, tag: int, events: list[int]) -> None:
        with contextlib.suppress(LinkLost, ChannelClosed):
            if tag:
                self._stream.tell(spec.Basic.Ack(tag, multiple=True))
            for event in events:
                self._told_of.tell(spec.Basic.Ack(event))

    def _heard(self, delivery: Delivery) -> None:
        names = header_names(delivery.properties)
        offset = names.get(OFFSET)
        if offset is None:
            raise ProtocolError("a message of the stream without its place")
        if offset < self._offset or DEAD_LETTER in names:  # RabbitMQ sends whole chunks; and nobody may have said it
            self._stream.tell(spec.Basic.Ack(delivery.tag))
            return
        self._last = behind = offset + 1
        self._unacknowledged.append((behind, delivery.tag))
        self._take(Incoming(uuid7(), to_topic(delivery.routing_key), delivery.body, behind, link=self._number))

    def _told(self, delivery: Delivery) -> None:
        """Take an event; it stands where the stream is, so that the position does not move by it."""
        topic, payload = presence.read_event(delivery.routing_key, headers(delivery.properties))
        if topic != presence.IGNORED:
            note = self._ended.add if topic == presence.CLOSED else self._ended.discard
            note(json.loads(payload)["name"])
        message = Incoming(uuid7(), topic, payload, self._last, link=self._number)
        self._events[message.id] = delivery.tag
        self._take(message)

    def _take(self, message: Incoming) -> None:
        """Hand a message over with all others of this turn: to lock the inbox for each costs as much as to read it."""
        self._came.append(message)
        if len(self._came) == 1:
            asyncio.get_running_loop().call_soon(self._hand_over)

    def _hand_over(self) -> None:
        came, self._came = self._came, []
        self._deliver(came)

    def _ask(self) -> None:
        """Ask who is connected now, in a thread of its own: of thousands RabbitMQ takes seconds to tell."""
        threading.Thread(target=self._list, name="open connections", daemon=True).start()

    def _list(self) -> None:
        asked, began, listed = time.time(), time.monotonic(), None
        try:
            listed = presence.read_list(management.connections(), asked)
        except management.ManagementUnavailable as error:
            logger.warning("RabbitMQ does not say who is connected: %s", error)
        except Exception:  # whatever it is: the next list must be asked for all the same
            logger.exception("the list of open connections could not be read")
        if (took_s := time.monotonic() - began) > SLOW_LIST_S:
            logger.warning("it took RabbitMQ %.1f s to say who is connected", took_s)
        with contextlib.suppress(RuntimeError):  # a loop that has ended meanwhile wants no answer
            self._thread.call(self._listed, listed)

    def _listed(self, listed: presence.OpenList | None) -> None:
        """Hand over who was connected, in a message without an offset; nobody whose end was told meanwhile is among them."""
        if self._over:
            return
        if listed is not None:
            payload = listed.payload(self._ended, alone=self._lists_alone > 0)
            self._lists_alone = max(0, self._lists_alone - 1)
            self._take(Incoming(uuid7(), presence.OPEN, payload, self._last, link=self._number))
        self._ended.clear()
        asyncio.get_running_loop().call_later(LIST_AGAIN_S if self._lists_alone else LIST_EVERY_S, self._ask)

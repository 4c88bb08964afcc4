"""Messages from RabbitMQ: a stream queue that keeps everything, and a position in it that moves with what is written.

A stream forgets nothing when it is read, so acknowledging means nothing: a bridge begins where the position in PostgreSQL says,
which moves in the transaction of each batch (docs/adr/0006). No delivery is ever asked "were you here before": after a kill the
bridge begins behind the last committed message. RabbitMQ's word on connections comes from a queue beside it and is acknowledged
after the commit.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker

from iotportal.uuid7 import uuid7
from messaging.bridge.database import Cursor
from messaging.bridge.journal import Journal, Move, Overtaken
from messaging.bridge.source import Deliver, Incoming, SourceLost
from messaging.gateway.amqp import connection_parameters
from messaging.rabbitmq import management, presence
from messaging.rabbitmq.config import stream_arguments
from messaging.rabbitmq.names import EVENT_QUEUE, EVENTS, STREAM, TOPICS, is_dead_letter, to_topic

logger = logging.getLogger(__name__)

WINDOW = 2_000
MAX_EVENTS = 100_000  # comings and goings that wait for a bridge; what is dropped, the list of open connections tells
LIST_FIRST_S, LIST_EVERY_S = 0.5, 30.0  # when the list of open connections is looked at
SLOW_LIST_S = 5.0
STOP_S = 5.0
NOT_FOUND = 404
MOVE = """
UPDATE messaging_journalentry SET sequence = %s WHERE session = %s AND packet_id = 0 AND sequence = %s AND crc = %s RETURNING 1
"""
REWIND = "UPDATE messaging_journalentry SET sequence = 0 WHERE session = %s AND packet_id = 0"
FORGET_CONNECTIONS = "DELETE FROM messaging_brokerconnection"


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
        self._host, self._port, self._pki = host, port, pki
        self._position = position
        self._link: _Link | None = None
        self._links = 0

    def connect(self, deliver: Deliver, lost: Callable[[], None]) -> bool:
        """Open a connection; return whether the stream is there. Raises SourceLost."""
        self.close()
        self._links += 1
        try:
            link = _Link(self._links, deliver, lost, connection_parameters(self._host, self._port, self._pki, "bridge"))
        except (AMQPError, OSError) as error:
            raise SourceLost(f"RabbitMQ: {error or type(error).__name__}") from error
        self._link = link
        return link.has_stream()

    def begin(self) -> None:
        """Make the stream if it is missing, and read on from the position. Raises SourceLost."""
        if self._link is None:
            raise SourceLost("not connected")
        self._link.begin(self._position.offset)

    def ack(self, messages: Iterable[Incoming]) -> None:
        """Let RabbitMQ send more, and tell of the connections that are in the table now."""
        written = list(messages)
        if self._link is not None:
            self._link.ack(written)
        if self._arrived is not None:
            for arrival in filter(None, map(presence.read_arrival, written)):
                self._arrived(arrival)

    def close(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.close()
            self._link = None


class _Link:
    """One connection, whose thread reads once `begin` was called."""

    def __init__(self, number: int, deliver: Deliver, lost: Callable[[], None], parameters: pika.ConnectionParameters) -> None:
        self._number, self._deliver, self._lost = number, deliver, lost
        self._connection = pika.BlockingConnection(parameters)
        self._channel: BlockingChannel = self._connection.channel()
        self._unacknowledged: deque[tuple[int, int]] = deque()  # (delivery, tag)
        self._events: dict[UUID, int] = {}  # message id -> tag
        self._event_channel: BlockingChannel = self._connection.channel()
        self._offset = self._last = 0
        self._is_new = False
        self._ended: set[str] = set()  # connections whose end was told since the last list: the next may lag behind
        self._lock = threading.Lock()
        self._over = False
        self._thread: threading.Thread | None = None

    def has_stream(self) -> bool:
        """Say whether the stream was declared before. Raises SourceLost."""
        try:
            self._channel.queue_declare(STREAM, passive=True)
        except ChannelClosedByBroker as error:
            if error.reply_code != NOT_FOUND:
                raise SourceLost(str(error)) from error
            self._channel = self._connection.channel()
            self._is_new = True
            return False
        except (AMQPError, OSError) as error:
            raise SourceLost(str(error) or type(error).__name__) from error
        return True

    def begin(self, offset: int) -> None:
        """Read from `offset` on. Raises SourceLost."""
        self._offset = self._last = offset
        try:
            channel = self._channel
            channel.queue_declare(STREAM, durable=True, arguments=stream_arguments())
            channel.queue_bind(STREAM, TOPICS, "#")
            channel.basic_qos(prefetch_count=WINDOW)
            channel.basic_consume(STREAM, self._heard, arguments={"x-stream-offset": offset})
            events = self._event_channel
            events.queue_declare(EVENT_QUEUE, durable=True, arguments={"x-max-length": MAX_EVENTS})
            events.queue_bind(EVENT_QUEUE, EVENTS, "connection.*")
            events.basic_qos(prefetch_count=WINDOW)
            events.basic_consume(EVENT_QUEUE, self._told)
            self._connection.call_later(LIST_FIRST_S, self._ask)
        except (AMQPError, OSError) as error:
            raise SourceLost(str(error) or type(error).__name__) from error
        self._thread = threading.Thread(target=self._read, name="stream", daemon=True)
        self._thread.start()

    def ack(self, messages: list[Incoming]) -> None:
        """Acknowledge messages and all before them, events each by itself."""
        last, tag = max((message.delivery for message in messages), default=0), 0
        with self._lock:
            while self._unacknowledged and self._unacknowledged[0][0] <= last:
                tag = self._unacknowledged.popleft()[1]
            events = [self._events.pop(message.id) for message in messages if message.id in self._events]
        if tag or events:
            with contextlib.suppress(AMQPError):
                self._connection.add_callback_threadsafe(lambda: self._acknowledge(tag, events))

    def close(self) -> None:
        """End the connection."""
        self._over = True
        if self._thread is None:
            with contextlib.suppress(AMQPError, OSError):
                self._connection.close()
            return
        with contextlib.suppress(AMQPError):
            self._connection.add_callback_threadsafe(lambda: None)  # wakes it
        self._thread.join(STOP_S)

    # --- the thread ------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            while not self._over:
                self._connection.process_data_events(1.0)
                if not (self._channel.is_open and self._event_channel.is_open):
                    break
        except (AMQPError, OSError) as error:
            logger.info("the stream's connection ended: %s", error or type(error).__name__)
        except Exception:
            logger.exception("the stream's connection failed")
        finally:
            with contextlib.suppress(AMQPError, OSError):
                self._connection.close()
            if not self._over:
                self._lost()

    def _acknowledge(self, tag: int, events: list[int]) -> None:
        if tag and self._channel.is_open:
            self._channel.basic_ack(tag, multiple=True)
        for event in events:
            if self._event_channel.is_open:
                self._event_channel.basic_ack(event)

    def _heard(self, _channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        headers: dict[str, Any] = dict(properties.headers or {})
        offset = headers.pop("x-stream-offset")
        if offset < self._offset or is_dead_letter(headers):  # RabbitMQ sends whole chunks; and nobody may have said it
            self._channel.basic_ack(method.delivery_tag)
            return
        self._last = delivery = offset + 1
        with self._lock:
            self._unacknowledged.append((delivery, method.delivery_tag))
        self._deliver(Incoming(uuid7(), to_topic(method.routing_key), body, delivery, link=self._number))

    def _told(self, _channel: BlockingChannel, method: Any, properties: pika.BasicProperties, _body: bytes) -> None:
        """Take an event; it stands where the stream is, so that the position does not move by it."""
        topic, payload = presence.read_event(method.routing_key, properties.headers or {})
        if topic != presence.IGNORED:
            note = self._ended.add if topic == presence.CLOSED else self._ended.discard
            note(json.loads(payload)["name"])
        message = Incoming(uuid7(), topic, payload, self._last, link=self._number)
        with self._lock:
            self._events[message.id] = method.delivery_tag
        self._deliver(message)

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
        with contextlib.suppress(AMQPError):  # a link that has ended meanwhile wants no answer
            self._connection.add_callback_threadsafe(lambda: self._listed(listed))

    def _listed(self, listed: presence.OpenList | None) -> None:
        """Hand over who was connected, in a message without an offset; nobody whose end was told meanwhile is among them."""
        if self._over:
            return
        if listed is not None:
            payload = listed.payload(self._ended, alone=self._is_new)
            self._is_new = False
            self._deliver(Incoming(uuid7(), presence.OPEN, payload, self._last, link=self._number))
        self._ended.clear()
        self._connection.call_later(LIST_EVERY_S, self._ask)

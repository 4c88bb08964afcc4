"""A connection to RabbitMQ when RabbitMQ does what it seldom does; what it does always the other tests of this folder see."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pika import spec

from messaging.rabbitmq.frames import HEARTBEAT, PROTOCOL_HEADER, Reader, method_frame
from messaging.rabbitmq.link import MAX_UNSENT_BYTES, Channel, ChannelClosed, Link, LinkLost


class Wire(asyncio.Transport):
    """RabbitMQ's end: what was written to it, and what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.link = Link("portal.test")
        self.written: list[bytes] = []
        self.unsent = 0
        self.link.connection_made(self)

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def close(self) -> None:
        self.link.connection_lost(None)

    abort = close

    def say(self, *methods: Any, channel: int = 0) -> None:
        self.link.data_received(b"".join(method_frame(channel, method) for method in methods))

    def heard(self) -> list[tuple[int, Any]]:
        """Return the methods that were written since it was last asked."""
        data = b"".join(self.written).removeprefix(PROTOCOL_HEADER)
        self.written.clear()
        return list(Reader().feed(data))


@pytest.fixture
async def wire() -> Wire:
    wire = Wire()
    wire.say(spec.Connection.Start(0, 9, {"product": "RabbitMQ"}, "EXTERNAL", "en_US"), spec.Connection.Tune(64, 0, 60))
    wire.say(spec.Connection.OpenOk())
    return wire


async def channel_of(wire: Wire) -> Channel:
    opening = asyncio.create_task(wire.link.channel())
    await asyncio.sleep(0)
    wire.say(spec.Channel.OpenOk(), channel=1)
    wire.heard()
    return await opening


async def test_it_opens_with_its_certificate_and_a_frame_it_can_read(wire: Wire) -> None:
    assert wire.written[0] == PROTOCOL_HEADER
    start, tune, opened = (method for _, method in wire.heard())
    assert (start.mechanism, start.client_properties["connection_name"]) == ("EXTERNAL", "portal.test")
    assert (tune.channel_max, tune.frame_max, tune.heartbeat) == (64, 131_072, 20)
    assert opened.virtual_host == "/"


async def test_nothing_is_published_while_rabbitmq_takes_nothing(wire: Wire) -> None:
    assert wire.link.can_take()
    wire.say(spec.Connection.Blocked("low on memory"))
    assert not wire.link.can_take()
    wire.say(spec.Connection.Unblocked())
    assert wire.link.can_take()
    wire.unsent = MAX_UNSENT_BYTES
    assert not wire.link.can_take()


async def test_a_closed_channel_says_why_to_who_waits_and_to_who_comes_later(wire: Wire) -> None:
    channel = await channel_of(wire)
    told: list[str] = []
    channel.on_closed = told.append
    answers = [channel.ask(spec.Queue.Declare(queue="one")), channel.ask(spec.Queue.Declare(queue="two"))]
    wire.say(spec.Queue.DeclareOk("one", 0, 0), spec.Channel.Close(403, "ACCESS_REFUSED", 50, 10), channel=1)
    assert (await answers[0]).queue == "one"
    for ask in (lambda: answers[1], lambda: channel.call(spec.Queue.Declare(queue="three"))):
        with pytest.raises(ChannelClosed, match="403 ACCESS_REFUSED") as closed:
            await ask()
        assert closed.value.code == 403
    await asyncio.sleep(0)
    assert told == ["403 ACCESS_REFUSED"]
    assert isinstance(wire.heard()[-1][1], spec.Channel.CloseOk)


async def test_a_consumer_whose_queue_is_gone_is_told(wire: Wire) -> None:
    channel = await channel_of(wire)
    told: list[str] = []
    channel.on_closed = told.append
    wire.say(spec.Basic.Cancel("ctag1"), channel=1)
    assert told == ["the queue is gone"]


async def test_the_connections_end_says_why(wire: Wire) -> None:
    channel = await channel_of(wire)
    answer = channel.ask(spec.Queue.Declare(queue="one"))
    wire.say(spec.Connection.Close(320, "CONNECTION_FORCED", 0, 0))
    for ask in (lambda: answer, lambda: channel.call(spec.Queue.Declare(queue="two"))):
        with pytest.raises(LinkLost, match="320 CONNECTION_FORCED"):
            await ask()
    assert wire.link.lost.is_set()
    assert not wire.link.can_take()


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", method_frame(7, spec.Channel.OpenOk())])
async def test_what_is_no_amqp_ends_it(wire: Wire, data: bytes) -> None:
    wire.link.data_received(data)
    assert wire.link.lost.is_set()
    assert wire.link.why.startswith("protocol error")


async def test_it_beats_and_ends_when_nothing_is_heard_for_three_beats(wire: Wire) -> None:
    wire.written.clear()
    for _ in range(2):
        wire.link._keep_alive()
    assert not wire.link.lost.is_set()
    wire.link.data_received(HEARTBEAT)
    for _ in range(3):
        wire.link._keep_alive()
    assert not wire.link.lost.is_set()
    wire.link._keep_alive()
    assert (wire.link.lost.is_set(), wire.link.why) == (True, "RabbitMQ is silent")

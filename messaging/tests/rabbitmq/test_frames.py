"""AMQP's frames, byte for byte against pika's, in whole and in pieces."""

from __future__ import annotations

import contextlib
from typing import Any

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import spec

from messaging.rabbitmq.frames import (
    HEARTBEAT,
    Confirm,
    Delivery,
    ProtocolError,
    Publisher,
    Reader,
    header_names,
    headers,
    method_frame,
)

KEY = "server.0123456789abcdef0123456789abcdef.set_gpio"
HEADERS: dict[str, Any] = {
    "x-mqtt-publish-qos": 1,
    "nested": {"x-stream-offset": 7, "x-death": [1]},
    "list": [1, "two", {"three": 3}],
    "text": "x-stream-offsetl",
    "x-stream-offset": 2**40,
    "yes": True,
    "none": None,
}


def delivery(body: bytes, properties: pika.BasicProperties, channel: int = 1, tag: int = 5) -> bytes:
    """Return a message as RabbitMQ sends it, written by pika."""
    frames = [
        pika.frame.Method(channel, spec.Basic.Deliver("ctag1", tag, False, "amq.topic", KEY)),
        pika.frame.Header(channel, len(body), properties),
        *(pika.frame.Body(channel, body[at : at + 100]) for at in range(0, len(body), 100)),
    ]
    return b"".join(frame.marshal() for frame in frames)


@given(body=st.binary(max_size=300), cuts=st.lists(st.integers(0, 600), max_size=5))
def test_a_message_is_read_however_it_is_cut(body: bytes, cuts: list[int]) -> None:
    stream = HEARTBEAT + delivery(body, pika.BasicProperties(headers=HEADERS, content_type="text/plain", delivery_mode=2))
    stream += method_frame(1, spec.Basic.Ack(9, True)) + method_frame(2, spec.Queue.BindOk())
    reader, found = Reader(), []
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, end in zip(edges, edges[1:], strict=False):
        found += list(reader.feed(stream[start:end]))
    (_, message), confirm, (channel, bound) = found
    assert isinstance(message, Delivery)
    assert (message.tag, message.routing_key, message.body) == (5, KEY, body)
    assert headers(message.properties) == HEADERS
    assert confirm == (1, Confirm(9, many=True, taken=True))
    assert (channel, type(bound)) == (2, spec.Queue.BindOk)


def test_two_channels_may_take_turns() -> None:
    one, two = (delivery(b"x" * 150, pika.BasicProperties(), channel, tag=channel) for channel in (1, 2))
    cut = one.index(b"x" * 100) + 101
    found = list(Reader().feed(one[:cut] + two + one[cut:]))
    assert [(channel, item.tag, len(item.body)) for channel, item in found] == [(2, 2, 150), (1, 1, 150)]


def test_of_the_headers_the_topmost_count_alone() -> None:
    ((_, message),) = Reader().feed(delivery(b"", pika.BasicProperties(headers=HEADERS, content_encoding="utf-8")))
    names = header_names(message.properties)
    assert set(names) == {name.encode() for name in HEADERS}
    assert (names[b"x-stream-offset"], names[b"nested"]) == (2**40, None)
    assert header_names(b"".join(pika.BasicProperties(delivery_mode=1).encode())) == {}


@pytest.mark.parametrize("size", [0, 1, 131_064, 131_065, 300_000])
def test_what_is_published_is_what_pika_would_write(size: int) -> None:
    properties, body = pika.BasicProperties(delivery_mode=1), b"b" * size
    room = 131_072 - 8
    theirs = [
        pika.frame.Method(3, spec.Basic.Publish(exchange="amq.topic", routing_key=KEY)),
        pika.frame.Header(3, size, properties),
        *(pika.frame.Body(3, body[at : at + room]) for at in range(0, size, room)),
    ]
    ours = Publisher(3, "amq.topic", properties).frames(KEY.encode(), body)
    assert ours == b"".join(frame.marshal() for frame in theirs)


def test_a_routing_key_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="256"):
        Publisher(1, "amq.topic", pika.BasicProperties()).frames(b"k" * 256, b"")


@pytest.mark.parametrize(
    "data",
    [
        b"\x01\x00\x01\xff\xff\xff\xff....",  # too large
        b"\x01\x00\x01\x00\x00\x00\x01.\x00",  # no end
        b"\x01\x00\x01\x00\x00\x00\x04\xff\xff\xff\xff\xce",  # no such method
        b"\x01\x00\x01\x00\x00\x00\x01\x00\xce",  # cut short
        b"\x01\x00\x01\x00\x00\x00\x05\x00\x3c\x00\x3c\xff\xce",  # a delivery that ends in its tag
        b"\x03\x00\x01\x00\x00\x00\x01x\xce",  # a body of nothing
        b"\x07\x00\x01\x00\x00\x00\x01x\xce",  # no such frame
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_what_is_no_amqp_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(Reader().feed(data))


@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        for _, item in Reader().feed(data):
            if isinstance(item, Delivery):
                header_names(item.properties)
    except ProtocolError:
        pass


@given(properties=st.binary(min_size=2, max_size=60))
def test_any_properties_are_read_or_refused(properties: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        header_names(b"\x20" + properties)

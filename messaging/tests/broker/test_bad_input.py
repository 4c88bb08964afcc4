"""Bytes that no honest client sends: the sender is cut off, nobody else notices, nothing stays behind."""

import gc
import os
import socket
import ssl
import threading
import weakref

import pytest

from messaging.broker.connection import Connection
from messaging.tests.broker.conftest import DEVICE, OTHER, StartBroker
from messaging.tests.broker.wire import RunningBroker, Wire, connect_packet, packet, publish_packet, string, wait_until


@pytest.fixture
def witness(running: RunningBroker) -> Wire:
    """Another device, which must keep its connection."""
    return running.client(OTHER)


def _pour(wire: Wire, data: bytes) -> None:
    """Send as much as the broker takes before it closes."""
    try:
        wire.send(data)
    except (ConnectionError, ssl.SSLError):
        return
    assert wire.is_closed()


@pytest.mark.parametrize("greeted", [True, False])
@pytest.mark.parametrize("encrypted", [True, False])
def test_a_megabyte_of_garbage_neither_crashes_nor_leaks(
    running: RunningBroker, witness: Wire, encrypted: bool, greeted: bool
) -> None:
    seen: list[weakref.ref[Connection]] = []
    for _ in range(5):
        if encrypted:
            wire = running.client(DEVICE) if greeted else running.tls(DEVICE)
            seen += running.call(lambda: [weakref.ref(found) for found in running.broker._sockets])
        else:
            wire = running.plain()
        _pour(wire, b"\xff" + os.urandom(1_000_000))
    witness.ping()
    wait_until(lambda: len(running.broker._sockets) == 1, "sockets closed")
    assert running.broker.connected() == {OTHER}
    assert set(running.broker.sessions) == {OTHER}
    # The one timer that may still hold a closed connection is the abort after a refused handshake.
    gc.collect()
    running.call(gc.collect)
    left = {id(found()) for found in seen} - {id(None)}
    assert len(left) <= 1
    assert running.errors == []


def test_it_closes_on_an_oversize_packet_before_its_body(running: RunningBroker, witness: Wire) -> None:
    device = running.client(DEVICE)
    device.send(b"\x32" + b"\x81\x80\x04")  # 65,537 bytes announced, none sent
    assert device.is_closed()
    witness.ping()


def test_a_message_up_to_the_limit_reaches_the_bridge(running: RunningBroker) -> None:
    bridge = running.client("portal.bridge")
    bridge.subscribe("#")
    payload = os.urandom(60_000)
    running.client(DEVICE).publish(f"server/{DEVICE}/x", payload)
    assert bridge.receive().payload == payload


def test_a_packet_may_come_byte_by_byte(running: RunningBroker) -> None:
    device = running.client(DEVICE)
    for byte in publish_packet(f"server/{DEVICE}/x", b"slow", packet_id=3):
        device.send(bytes([byte]))
    device.await_ack(3)


BROKEN = {
    "publish with packet id 0": publish_packet(f"server/{DEVICE}/x", packet_id=0),
    "publish with QoS 3": publish_packet(f"server/{DEVICE}/x", qos=3),
    "publish to no topic": publish_packet("", qos=0),
    "publish to a topic that is not UTF-8": publish_packet(f"server/{DEVICE}/".encode() + b"\xff\xfe"),
    "publish to a topic with a null character": publish_packet(f"server/{DEVICE}/a\0b"),
    "publish to a topic with a surrogate": publish_packet(f"server/{DEVICE}/".encode() + b"\xed\xa0\x80"),
    "publish shorter than its topic": packet(0x30, b"\x00\x50abc"),
    "publish without anything": packet(0x30, b""),
    "publish without its packet id": packet(0x32, string("a")),
    "subscribe with packet id 0": packet(0x82, b"\0\0" + string(f"{DEVICE}/#") + b"\1"),
    "subscribe with a null character": packet(0x82, b"\0\1" + string(f"{DEVICE}/\0") + b"\1"),
    "subscribe with the wrong flags": packet(0x80, b"\0\1" + string(f"{DEVICE}/#") + b"\1"),
    "subscribe to nothing": packet(0x82, b"\0\1"),
    "subscribe cut short": packet(0x82, b"\0\1\0\x09ab"),
    "puback with packet id 0": b"\x40\x02\0\0",
    "puback without a packet id": b"\x40\x00",
    "a second connect": connect_packet(DEVICE),
    "a connack": b"\x20\x02\0\0",
    "a suback": b"\x90\x03\0\1\1",
    "reserved packet type 0": b"\x00\x00",
    "reserved packet type 15": b"\xf0\x00",
    "an endless remaining length": b"\x30\xff\xff\xff\xff\xff",
}


@pytest.mark.parametrize("what", BROKEN)
def test_it_closes_on(running: RunningBroker, witness: Wire, what: str) -> None:
    device = running.client(DEVICE)
    device.send(BROKEN[what])
    assert device.is_closed()
    wait_until(lambda: running.broker.connected() == {OTHER})
    witness.ping()
    running.client(DEVICE).ping()
    assert running.errors == []


@pytest.mark.parametrize(
    "first", [b"\xc0\x00", b"\x30\x00", b"GET / HTTP/1.1\r\n", b"\x11", packet(0x10, b"\0\4MQTT"), packet(0x10, b"\xff" * 300)]
)
def test_it_closes_when_the_first_packet_is_no_connect(running: RunningBroker, first: bytes) -> None:
    wire = running.tls(DEVICE)
    wire.send(first)
    assert wire.is_closed()


@pytest.mark.parametrize(
    "topic", ["/".join("x" * 120), "a/" * 30_000 + "a", f"server/{DEVICE}/" + "x" * 60_000, f"{DEVICE}/" + "y/" * 20_000]
)
def test_deep_and_long_topics_are_refused_and_cost_nothing(running: RunningBroker, topic: str) -> None:
    device = running.client(DEVICE)
    device.publish(topic, packet_id=2)
    assert device.subscribe(topic) == [0x80]
    device.ping()
    assert running.broker.refusals == {DEVICE: 2}


def test_a_64_kb_topic_closes_the_connection(running: RunningBroker, witness: Wire) -> None:
    device = running.client(DEVICE)
    _pour(device, publish_packet("x" * 65_535))
    witness.ping()


def test_unknown_acknowledgements_are_ignored(running: RunningBroker) -> None:
    device = running.client(DEVICE)
    device.send(b"\x40\x02\x12\x34" + b"\x62\x02\x12\x34")
    assert device.expect(7) == b"\x12\x34"
    device.ping()


def test_qos_2_messages_that_are_never_released_are_bounded(start: StartBroker) -> None:
    running = start(unreleased=3)
    device = running.client(DEVICE)
    for packet_id in range(1, 5):
        device.send(publish_packet(f"server/{DEVICE}/x", qos=2, packet_id=packet_id))
    assert device.is_closed()


def test_a_client_that_never_reads_is_cut_off_and_fills_no_memory(start: StartBroker) -> None:
    running = start(write_stall_seconds=0.2, device_queue_bytes=100_000)
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect(("127.0.0.1", running.port))
    deaf = Wire(running.authority.context(DEVICE).wrap_socket(plain, server_hostname="localhost"))
    assert deaf.connect(DEVICE) == 0
    assert deaf.subscribe(f"{DEVICE}/#", qos=0) == [0]
    session = running.broker.sessions[DEVICE]
    gateway = running.client("portal.gateway")
    for number in range(1, 201):
        gateway.publish(f"{DEVICE}/x", b"x" * 60_000, packet_id=number)
        assert session.queued_bytes <= 100_000
    wait_until(lambda: DEVICE not in running.broker.connected())
    gateway.ping()
    deaf.die()


def test_tiny_packets_are_not_read_faster_than_they_are_handled(running: RunningBroker) -> None:
    device = running.client(DEVICE)
    (connection,) = running.broker._sockets
    reader = threading.Thread(target=device.is_closed, daemon=True)
    reader.start()
    largest = 0
    for _ in range(50):
        device.send(b"\xc0\x00" * 8_000)
        largest = max(largest, len(connection._buffer))
    assert largest < 600_000
    device.send(b"\xe0\x00")
    reader.join(20)
    assert not reader.is_alive()

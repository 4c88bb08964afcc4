"""The codec, on literal bytes; section numbers are those of MQTT 3.1.1."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messaging.broker import packets
from messaging.broker.packets import Message, ProtocolError
from messaging.tests.broker import wire


def test_it_reads_a_connect() -> None:
    raw = b"\x00\x04MQTT\x04\x2e\x00\x0a\x00\x02id\x00\x03s/p\x00\x03off"
    assert packets.parse_connect(raw) == packets.Connect(
        "id", clean=True, keepalive=10, level=4, protocol="MQTT 3.1.1", will=packets.Will("s/p", b"off", 1)
    )


def test_it_reads_a_connect_of_3_1_that_leaves_its_password_out() -> None:
    connect = packets.parse_connect(b"\x00\x06MQIsdp\x03\xc0\x00\x00\x00\x02id")
    assert (connect.protocol, connect.clean, connect.level) == ("MQTT 3.1", False, 3)


def test_it_reads_over_user_name_and_password() -> None:
    assert packets.parse_connect(b"\x00\x04MQTT\x04\xc2\x00\x00\x00\x02id\x00\x01u\x00\x01p").client_id == "id"


@pytest.mark.parametrize(("name", "level"), [(b"MQTT", 5), (b"MQTT", 3), (b"MQIsdp", 4), (b"MQTT", 0x84)])
def test_it_knows_versions_it_does_not_speak(name: bytes, level: int) -> None:
    with pytest.raises(packets.UnacceptableProtocolError):
        packets.parse_connect(wire.string(name) + bytes([level, 2, 0, 0, 0, 0]))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\x04MQTX\x04\x02\x00\x00\x00\x00",
        b"\x00\x04MQTT\x04\x03\x00\x00\x00\x02id",  # reserved flag (3.1.2-3)
        b"\x00\x04MQTT\x04\x1a\x00\x00\x00\x02id",  # will QoS 3 (3.1.2-14)
        b"\x00\x04MQTT\x04\x22\x00\x00\x00\x02id",  # will retain without will (3.1.2-15)
        b"\x00\x04MQTT\x04\x06\x00\x00\x00\x02id",  # no will where one was announced
        b"\x00\x04MQTT\x04\x02\x00\x00\x00\x09id",  # client id longer than the packet
        b"\x00\x04MQTT\x04\x02\x00\x00\x00\x02\xff\xfe",  # not UTF-8
        b"\x00\x04MQTT\x04\x02\x00\x00\x00\x02a\x00",  # null character
        b"\x00\x04MQTT\x04\x02\x00\x00\x00\x03\xed\xa0\x80",  # surrogate
    ],
)
def test_it_refuses_a_malformed_connect(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        packets.parse_connect(body)


@pytest.mark.parametrize("body", [b"", b"\x00\x01", b"\x00\x00\x00\x01a\x00", b"\x00\x01\x00\x01a", b"\x00\x01\x00\x01a\x03"])
def test_it_refuses_a_malformed_subscribe(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        packets.parse_subscribe(body)


def test_it_reads_subscribe_and_unsubscribe() -> None:
    assert packets.parse_subscribe(b"\x00\x07\x00\x03a/#\x01\x00\x01b\x02") == (7, [("a/#", 1), ("b", 2)])
    assert packets.parse_unsubscribe(b"\x00\x08\x00\x03a/#") == (8, ["a/#"])
    with pytest.raises(ProtocolError):
        packets.parse_unsubscribe(b"\x00\x08")


@pytest.mark.parametrize(("length", "encoded"), [(0, "00"), (127, "7f"), (128, "8001"), (16383, "ff7f"), (16384, "808001")])
def test_it_frames_by_remaining_length(length: int, encoded: str) -> None:
    raw = b"\x30" + bytes.fromhex(encoded) + b"x" * length
    start = 1 + len(encoded) // 2
    assert packets.frame(raw, 0, 100_000) == (start, len(raw))
    assert packets.frame(b"\xc0\x00" + raw, 2, 100_000) == (start + 2, len(raw) + 2)
    assert packets.frame(raw[:-1], 0, 100_000) is None


@pytest.mark.parametrize("head", [b"\x30\xff\xff\xff\xff\x01", b"\x30\x80\x80\x80\x80", b"\x30\x81\x80\x04"])
def test_it_refuses_a_length_before_its_body_has_come(head: bytes) -> None:
    with pytest.raises(ProtocolError):
        packets.frame(head, 0, 65_536)


def test_it_writes_the_answers() -> None:
    assert packets.connack(5) == b"\x20\x02\x00\x05"
    assert packets.connack(0, present=True) == b"\x20\x02\x01\x00"
    assert packets.acknowledgement(packets.PUBREC, 0x1234) == b"\x50\x02\x12\x34"
    assert packets.acknowledgement(packets.UNSUBACK, 7) == b"\xb0\x02\x00\x07"
    assert packets.suback(7, [1, 0x80]) == b"\x90\x04\x00\x07\x01\x80"


def test_it_writes_publishes() -> None:
    message = Message(b"a/b", b"{}", 1)
    assert message.packet(0) == b"\x30\x07\x00\x03a/b{}"
    assert message.packet(0x0102) == b"\x32\x09\x00\x03a/b\x01\x02{}"
    assert message.packet(0x0102, dup=True)[0] == 0x3A
    assert Message(b"a", b"", 1, retain=True).packet(1)[0] == 0x33
    assert Message(b"a", b"x" * 200, 0).packet(0)[:3] == b"\x30\xcb\x01"


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_protocol_errors(raw: bytes) -> None:
    for parse in (packets.parse_connect, packets.parse_subscribe, packets.parse_unsubscribe, packets.parse_packet_id):
        with suppress(ProtocolError):
            parse(raw)
    try:
        found = packets.frame(raw, 0, 1000) if raw else None
    except ProtocolError:
        return
    assert found is None or 2 <= found[0] <= found[1] <= len(raw)


def test_what_a_client_writes_is_what_the_standard_says() -> None:
    assert packets.connect("portal.gateway.1", 20) == b"\x10\x1c\x00\x04MQTT\x04\x02\x00\x14\x00\x10portal.gateway.1"
    assert packets.connect("b", 20, clean=False) == b"\x10\x0d\x00\x04MQTT\x04\x00\x00\x14\x00\x01b"
    assert packets.subscribe(7, "a/#", qos=0) == b"\x82\x08\x00\x07\x00\x03a/#\x00"
    assert packets.subscribe(7, "#", "b", qos=1) == b"\x82\x0a\x00\x07\x00\x01#\x01\x00\x01b\x01"
    assert packets.unsubscribe(7, "a/#") == b"\xa2\x07\x00\x07\x00\x03a/#"


def test_the_broker_reads_what_a_client_writes() -> None:
    start, end = packets.frame(made := packets.connect("portal.gateway.1", 20), 0, 1000) or (0, 0)
    asked = packets.parse_connect(made[start:end])
    assert (asked.client_id, asked.clean, asked.keepalive, asked.level) == ("portal.gateway.1", True, 20, 4)
    start, end = packets.frame(made := packets.subscribe(7, "ä/#", qos=0), 0, 1000) or (0, 0)
    assert packets.parse_subscribe(made[start:end]) == (7, [("ä/#", 0)])


@pytest.mark.parametrize(("packet_id", "dup", "retain"), [(0, False, False), (7, False, True), (65_535, True, False)])
def test_a_client_reads_what_the_broker_publishes(packet_id: int, dup: bool, retain: bool) -> None:
    made = packets.Message(b"server/a/b", b"\x00payload", 1, retain=retain).packet(packet_id, dup=dup)
    start, end = packets.frame(made, 0, 1000) or (0, 0)
    assert end == len(made)
    assert packets.published(made[0], made[start:end]) == (b"server/a/b", packet_id, b"\x00payload")


@pytest.mark.parametrize(("first", "body"), [(0x30, b""), (0x30, b"\x00"), (0x30, b"\x00\x05ab"), (0x32, b"\x00\x01a\x00")])
def test_a_publish_that_ends_too_early_is_an_error(first: int, body: bytes) -> None:
    with pytest.raises(packets.ProtocolError):
        packets.published(first, body)

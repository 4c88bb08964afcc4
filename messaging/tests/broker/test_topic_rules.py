"""Topic rules as the broker enforces them."""

import logging

import pytest

from messaging.tests.broker.conftest import DEVICE, OTHER, StartBroker
from messaging.tests.broker.wire import PUBCOMP, PUBREC, RunningBroker, packet, publish_packet, string

_FOREIGN_FILTERS = ["#", "$SYS/#", "$SYS/portal/#", f"{OTHER}/#", "+/x", "+/#", "+", f"server/{DEVICE}/#", "$share/x/#"]
_FOREIGN_TOPICS = [
    f"server/{OTHER}/get_gpio",
    f"{OTHER}/set_gpio",
    f"{DEVICE}/set_gpio",
    f"server/{DEVICE}/a/b",
    "$SYS/portal/connections/x",
    "a/+",
]


@pytest.mark.parametrize("topic_filter", [*_FOREIGN_FILTERS, f"{DEVICE}/a#"])
def test_a_device_is_refused_a_subscription_beyond_its_own_topics(running: RunningBroker, topic_filter: str) -> None:
    device = running.client(DEVICE)
    assert device.subscribe(topic_filter) == [0x80]
    running.client(OTHER).publish(f"server/{OTHER}/get_gpio")
    running.client("portal.gateway").publish(f"{OTHER}/x")
    assert device.nothing_came()
    assert running.broker.refusals == {DEVICE: 1}


def test_a_refused_filter_does_not_spoil_the_others(running: RunningBroker) -> None:
    device = running.client(DEVICE)
    assert device.subscribe("#", f"{DEVICE}/#", f"{OTHER}/x", f"{DEVICE}/+") == [0x80, 1, 0x80, 1]
    running.client("portal.gateway").publish(f"{DEVICE}/get_gpio", b"1")
    assert device.receive().payload == b"1"
    assert device.nothing_came()  # two filters match, one message comes


@pytest.mark.parametrize("topic", _FOREIGN_TOPICS)
def test_a_publish_elsewhere_is_dropped_and_counted(running: RunningBroker, topic: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    bridge = running.client("portal.bridge")
    bridge.subscribe("#", "$SYS/portal/#")
    other = running.client(OTHER)
    other.subscribe(f"{OTHER}/#")
    device = running.client(DEVICE)
    device.publish(topic, b"top secret", packet_id=7)
    device.publish(f"server/{DEVICE}/get_gpio", b"mine", packet_id=8)
    assert other.nothing_came()
    received = [bridge.receive()]
    while received[-1].topic != f"server/{DEVICE}/get_gpio":
        received.append(bridge.receive())
    assert [message for message in received if not message.topic.startswith("$SYS")] == received[-1:]
    assert all(message.payload != b"top secret" for message in received)
    assert running.broker.refusals == {DEVICE: 1}
    assert DEVICE in caplog.text
    assert "top secret" not in caplog.text


def test_a_flood_of_refused_publishes_writes_few_lines(running: RunningBroker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    device = running.client(DEVICE)
    device.send(publish_packet(f"server/{OTHER}/x", qos=0) * 1000)
    device.ping()
    assert running.broker.refusals == {DEVICE: 1000}
    assert len(caplog.records) == 10


def test_a_retained_publish_of_a_device_is_delivered_but_not_stored(running: RunningBroker) -> None:
    bridge = running.client("portal.bridge")
    bridge.subscribe("server/#")
    device = running.client(DEVICE)
    device.publish(f"server/{DEVICE}/get_gpio", b"1", flags=1)
    message = bridge.receive()
    assert (message.payload, message.retain) == (b"1", False)
    assert bridge.subscribe("server/#", "#") == [1, 1]
    assert bridge.nothing_came()


def test_the_gateway_speaks_to_devices_and_hears_one_at_a_time(running: RunningBroker) -> None:
    gateway = running.client("portal.gateway", client_id="portal.gateway.1")
    assert gateway.subscribe("#", "server/#", f"server/{DEVICE}/#") == [0x80, 0x80, 1]
    device, other = running.client(DEVICE), running.client(OTHER)
    device.subscribe(f"{DEVICE}/#")
    gateway.publish(f"{DEVICE}/get_gpio", b"?")
    assert device.receive().topic == f"{DEVICE}/get_gpio"
    other.publish(f"server/{OTHER}/get_gpio", b"no")
    device.publish(f"server/{DEVICE}/get_gpio", b"yes")
    assert gateway.receive().payload == b"yes"
    assert gateway.nothing_came()


def test_the_bridge_may_not_speak(running: RunningBroker) -> None:
    device = running.client(DEVICE)
    device.subscribe(f"{DEVICE}/#")
    running.client("portal.bridge").publish(f"{DEVICE}/set_gpio")
    assert device.nothing_came()


def test_receiving_is_checked_too(start: StartBroker) -> None:
    running = start()
    rule = running.broker.may
    running.broker.may = lambda who, action, topic: action == "subscribe" or rule(who, action, topic)
    device = running.client(DEVICE)
    assert device.subscribe("#") == [1]
    gateway = running.client("portal.gateway")
    gateway.publish(f"{OTHER}/set_gpio", b"not yours")
    gateway.publish(f"{DEVICE}/set_gpio", b"yours")
    assert device.receive().payload == b"yours"
    assert device.nothing_came()


def test_after_unsubscribing_nothing_comes(running: RunningBroker) -> None:
    device, gateway = running.client(DEVICE), running.client("portal.gateway")
    device.subscribe(f"{DEVICE}/#")
    gateway.publish(f"{DEVICE}/x", b"1")
    assert device.receive().payload == b"1"
    device.send(packet(0xA2, b"\0\5" + string(f"{DEVICE}/#") + string("never/there")))
    assert device.expect(11) == b"\0\5"
    gateway.publish(f"{DEVICE}/x", b"2")
    assert device.nothing_came()
    device.subscribe(f"{DEVICE}/#")
    gateway.publish(f"{DEVICE}/x", b"3")
    assert device.receive().payload == b"3"


def test_subscriptions_of_a_device_are_bounded(start: StartBroker) -> None:
    running = start(subscriptions=2)
    device = running.client(DEVICE)
    assert device.subscribe(*(f"{DEVICE}/{number}" for number in range(4))) == [1, 1, 0x80, 0x80]
    assert device.subscribe(f"{DEVICE}/1") == [1]


def test_subscriptions_are_granted_qos_1_at_most(running: RunningBroker) -> None:
    device = running.client(DEVICE)
    assert device.subscribe(f"{DEVICE}/a", qos=2) == [1]
    assert device.subscribe(f"{DEVICE}/b", qos=0) == [0]


def test_a_qos_2_publish_is_routed_once(running: RunningBroker) -> None:
    bridge = running.client("portal.bridge")
    bridge.subscribe("#")
    device = running.client(DEVICE)
    for flags in (0, 8):
        device.send(publish_packet(f"server/{DEVICE}/x", b"once", qos=2, packet_id=9, flags=flags))
        assert device.expect(PUBREC) == b"\0\x09"
    device.send(b"\x62\x02\0\x09")
    assert device.expect(PUBCOMP) == b"\0\x09"
    assert bridge.receive().payload == b"once"
    assert bridge.nothing_came()

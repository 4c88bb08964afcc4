"""QoS 1 over disconnects, slow and missing acknowledgements."""

import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from messaging.tests.broker.conftest import DEVICE, OTHER, StartBroker
from messaging.tests.broker.wire import Received, RunningBroker, Wire, publish_packet, wait_until

STANDING = {"portal.bridge": ("#", "$SYS/portal/#")}


def test_a_message_without_puback_comes_again_with_dup_and_its_packet_id(running: RunningBroker) -> None:
    device, gateway = running.client(DEVICE, clean=False), running.client("portal.gateway")
    device.subscribe(f"{DEVICE}/#")
    gateway.publish(f"{DEVICE}/a", b"1", packet_id=1)
    gateway.publish(f"{DEVICE}/b", b"2", packet_id=2)
    first, second = device.receive(), device.receive(ack=False)
    assert (first.dup, second.dup, second.packet_id) == (False, False, first.packet_id + 1)
    device.ping()
    device.die()
    wait_until(lambda: DEVICE not in running.broker.connected())
    gateway.publish(f"{DEVICE}/c", b"3", packet_id=3)
    device = running.client(DEVICE, clean=False)
    assert device.present
    again, third = device.receive(), device.receive()
    assert (again.payload, again.packet_id, again.dup) == (b"2", second.packet_id, True)
    assert (third.payload, third.packet_id, third.dup) == (b"3", second.packet_id + 1, False)
    device.ping()
    device.goodbye()
    device = running.client(DEVICE, clean=False)
    assert device.nothing_came()


def test_a_slow_puback_changes_nothing(running: RunningBroker) -> None:
    device, gateway = running.client(DEVICE), running.client("portal.gateway")
    device.subscribe(f"{DEVICE}/#")
    for number in range(5):
        gateway.publish(f"{DEVICE}/a", str(number).encode())
    received = [device.receive(ack=False) for _ in range(5)]
    assert running.call(lambda: list(running.broker.sessions[DEVICE].inflight)) == [1, 2, 3, 4, 5]
    for message in reversed(received):
        device.ack(message.packet_id)
    assert device.nothing_came()
    assert running.call(lambda: dict(running.broker.sessions[DEVICE].inflight)) == {}


def test_a_clean_session_forgets(running: RunningBroker) -> None:
    device = running.client(DEVICE, clean=False)
    device.subscribe(f"{DEVICE}/#")
    device.goodbye()
    device = running.client(DEVICE, clean=True)
    assert not device.present
    running.client("portal.gateway").publish(f"{DEVICE}/a")
    assert device.nothing_came()
    device.goodbye()
    wait_until(lambda: DEVICE not in running.broker.sessions)
    assert not running.client(DEVICE, clean=False).present


def test_an_absent_devices_queue_is_bounded(start: StartBroker) -> None:
    running = start(device_queue=3)
    device, gateway = running.client(DEVICE, clean=False), running.client("portal.gateway")
    device.subscribe(f"{DEVICE}/#")
    device.goodbye()
    wait_until(lambda: DEVICE not in running.broker.connected())
    for number in range(10):
        gateway.publish(f"{DEVICE}/a", str(number).encode())
    device = running.client(DEVICE, clean=False)
    assert [device.receive().payload for _ in range(3)] == [b"7", b"8", b"9"]
    assert device.nothing_came()


def test_no_more_than_the_window_is_unacknowledged(start: StartBroker) -> None:
    running = start(device_window=2)
    device, gateway = running.client(DEVICE), running.client("portal.gateway")
    device.subscribe(f"{DEVICE}/#")
    for number in range(5):
        gateway.publish(f"{DEVICE}/a", str(number).encode())
    one, two = device.receive(ack=False), device.receive(ack=False)
    assert device.nothing_came()
    device.ack(one.packet_id)
    three = device.receive(ack=False)
    assert device.nothing_came()
    for message in (two, three):
        device.ack(message.packet_id)
    assert [device.receive().payload for _ in range(2)] == [b"3", b"4"]


def test_qos_is_the_lower_of_publish_and_subscription(running: RunningBroker) -> None:
    device, gateway = running.client(DEVICE), running.client("portal.gateway")
    device.subscribe(f"{DEVICE}/zero", qos=0)
    device.subscribe(f"{DEVICE}/one", qos=1)
    gateway.publish(f"{DEVICE}/zero", b"a")
    gateway.send(publish_packet(f"{DEVICE}/one", b"b", qos=0))
    gateway.publish(f"{DEVICE}/one", b"c")
    received = [device.receive() for _ in range(3)]
    assert [(message.payload, message.qos) for message in received] == [(b"a", 0), (b"b", 0), (b"c", 1)]


def test_what_devices_say_before_the_first_bridge_is_kept_for_it(start: StartBroker) -> None:
    running = start(standing=STANDING)
    device = running.client(DEVICE)
    for number in range(3):
        device.publish(f"server/{DEVICE}/x", str(number).encode())
    bridge = running.client("portal.bridge", clean=False)
    # Nobody has met this session before, so the bridge must not compare it with its journal...
    assert not bridge.present
    bridge.die()
    # ... and is told so again until it has subscribed, for it may have been killed before it forgot that journal.
    bridge = running.client("portal.bridge", clean=False)
    assert not bridge.present
    bridge.subscribe(*STANDING["portal.bridge"])
    received = [message for message in (bridge.receive() for _ in range(5)) if not message.retain]
    assert [message.packet_id for message in received] == [1, 2, 3, 4]
    assert [message.payload for message in received if message.topic.startswith("server/")] == [b"0", b"1", b"2"]
    bridge.goodbye()
    assert running.client("portal.bridge", clean=False).present


def test_an_ordinary_session_is_present_the_second_time(running: RunningBroker) -> None:
    first = running.client(DEVICE, clean=False)
    assert not first.present
    first.die()
    wait_until(lambda: not running.broker.connected())
    assert running.client(DEVICE, clean=False).present


def test_a_standing_session_begins_anew_after_a_clean_client(start: StartBroker) -> None:
    running = start(standing=STANDING)
    running.client("portal.bridge", clean=True).goodbye()
    wait_until(lambda: "portal.bridge" not in running.broker.connected())
    running.client(DEVICE).publish(f"server/{DEVICE}/x", b"kept")
    bridge = running.client("portal.bridge", clean=False)
    assert not bridge.present
    assert b"kept" in [bridge.receive().payload for _ in range(2)]


def test_a_standing_session_must_be_a_services_own(start: StartBroker) -> None:
    with pytest.raises(ValueError, match="neither a device id nor a service"):
        start(standing={"nobody": ("#",)})


class _KilledBridge:
    """Journals (packet id, payload) as the real one does, and is killed again and again between receipt and PUBACK.

    A journal entry may go only when the PUBACK follows a receipt on the same connection: after a reconnect the second
    copies of everything un-acknowledged are on their way at once.
    """

    def __init__(self, running: RunningBroker) -> None:
        self.running = running
        self.stored: list[bytes] = []
        self.pending: dict[int, bytes] = {}
        self.received: list[int] = []
        self.kills = self.doubles = 0
        self.wire = self._connect()

    def _connect(self) -> Wire:
        wire = self.running.client("portal.bridge", clean=False)
        assert wire.present or not self.stored
        return wire

    def take(self, *, ack: bool) -> None:
        message: Received = self.wire.receive(ack=False)
        if message.packet_id in self.pending:
            assert message.dup
            assert self.pending[message.packet_id] == message.payload
            self.doubles += 1
        else:  # new, or sent before to a bridge that was killed before it read it
            self.stored.append(message.payload)
            self.pending[message.packet_id] = message.payload
        self.received.append(message.packet_id)
        if ack:
            for packet_id in self.received:
                self.wire.ack(packet_id)
            self.wire.ping()  # so that the kill does not take the acknowledgements with it
            for packet_id in self.received:
                del self.pending[packet_id]
            self.received.clear()

    def kill(self) -> None:
        self.kills += 1
        self.wire.die()
        self.received.clear()
        self.wire = self._connect()


def test_a_bridge_killed_again_and_again_misses_and_doubles_nothing(start: StartBroker) -> None:
    running = start(standing={"portal.bridge": ("#",)}, service_window=50)
    bridge = _KilledBridge(running)
    total = 2_000

    def publish() -> None:
        device = running.client(DEVICE)
        for number in range(total):
            device.send(publish_packet(f"server/{DEVICE}/x", str(number).encode(), packet_id=number + 1))
        for number in range(total):
            device.await_ack(number + 1)

    publisher = threading.Thread(target=publish)
    publisher.start()
    step = 0
    while len(bridge.stored) < total:
        step += 1
        bridge.take(ack=step % 20 == 0)
        if step % 97 == 0:
            bridge.kill()
    publisher.join(20)
    assert bridge.stored == [str(number).encode() for number in range(total)]
    assert bridge.kills > 10
    assert bridge.doubles > 10  # the kills did hit between receipt and PUBACK


_OnMessage = Callable[[mqtt.Client, mqtt.MQTTMessage], None]


def _paho(running: RunningBroker, name: str, on_message: _OnMessage, topic: str) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name)
    client.tls_set_context(running.authority.context(name))
    subscribed = threading.Event()

    def on_connect(*_: object) -> None:
        connection: Any = client.socket()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.subscribe(topic, 1)

    client.on_connect = on_connect
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, message: on_message(client, message)
    client.connect("localhost", running.port)
    client.loop_start()
    assert subscribed.wait(20)
    return client


def test_paho_clients_ask_and_answer(start: StartBroker) -> None:
    running = start(standing=STANDING)
    answers: queue.Queue[bytes] = queue.Queue()

    def answer(client: mqtt.Client, message: mqtt.MQTTMessage) -> None:
        client.publish(f"server/{DEVICE}/{message.topic.split('/')[1]}", message.payload, 1)

    device = _paho(running, DEVICE, answer, f"{DEVICE}/#")
    gateway = _paho(running, "portal.gateway", lambda _, message: answers.put(bytes(message.payload)), f"server/{DEVICE}/#")
    for number in range(200):
        gateway.publish(f"{DEVICE}/set_gpio", str(number).encode(), 1)
    assert [answers.get(timeout=20) for _ in range(200)] == [str(number).encode() for number in range(200)]
    for client in (device, gateway):
        client.disconnect()
        client.loop_stop()


def test_a_takeover_by_the_device_itself_keeps_its_messages(running: RunningBroker) -> None:
    first, gateway = running.client(DEVICE, clean=False), running.client("portal.gateway")
    first.subscribe(f"{DEVICE}/#")
    gateway.publish(f"{DEVICE}/a", b"1")
    lost = first.receive(ack=False)
    second = running.client(DEVICE, clean=False)
    assert first.is_closed()
    assert second.present
    again = second.receive()
    assert (again.packet_id, again.payload, again.dup) == (lost.packet_id, b"1", True)
    gateway.publish(f"{DEVICE}/a", b"2")
    assert second.receive().payload == b"2"
    running.client(OTHER).ping()


def test_a_burst_comes_whole_and_in_order(running: RunningBroker) -> None:
    device = running.client(DEVICE)
    bridge = running.client("portal.bridge")
    bridge.subscribe("#", qos=1)
    total = 1_500
    device.send(b"".join(publish_packet(f"server/{DEVICE}/x", b"%d" % number, packet_id=number + 1) for number in range(total)))
    assert [bridge.receive().payload for _ in range(total)] == [b"%d" % number for number in range(total)]
    device.await_ack(total)

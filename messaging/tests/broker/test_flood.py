"""Back-pressure: a flood slows its publisher down; it loses nothing, grows no memory and holds nobody else up."""

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from messaging.tests.broker.conftest import DEVICE, OTHER, StartBroker
from messaging.tests.broker.wire import RunningBroker, Wire, publish_packet, wait_until

WINDOW, SHARE, FULL = 20, 100, 400


@pytest.fixture
def flooded(start: StartBroker) -> RunningBroker:
    return start(standing={"portal.bridge": ("#",)}, service_window=WINDOW, publisher_share=SHARE, lossless_queue=FULL)


class _Flood:
    """A device that publishes `count` numbers, with blanks before them, as fast as it is read, in a thread."""

    def __init__(self, running: RunningBroker, name: str, count: int, padding: int = 0) -> None:
        self.wire: Wire = running.client(name)
        self.name, self.count, self.padding = name, count, padding
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        # A test may end while its flood is held back; whether all was sent shows at the other end.
        with suppress(OSError):
            self._send()

    def _send(self) -> None:
        self.wire.socket.settimeout(60)
        for number in range(self.count):
            payload = b" " * self.padding + b"%d" % number
            self.wire.send(publish_packet(f"server/{self.name}/x", payload, packet_id=number % 65_535 + 1))
            if number % 100 == 99:  # PUBACKs must be read, or the broker holds back for that reason
                self._drain()

    def _drain(self) -> None:
        self.wire.socket.setblocking(False)
        with suppress(OSError):
            while self.wire.socket.recv(65_536):
                pass
        self.wire.socket.settimeout(60)


def _messages(bridge: Wire) -> Iterator[tuple[str, int, int]]:
    """Receive for ever, acknowledging each message: (device, number, packet id)."""
    while True:
        message = bridge.receive()
        yield message.topic.split("/")[1], int(message.payload), message.packet_id


def test_a_flood_is_held_back_and_everything_arrives_once_and_in_order(flooded: RunningBroker) -> None:
    session = flooded.broker.sessions["portal.bridge"]
    total = 20_000
    flood = _Flood(flooded, DEVICE, total)
    wait_until(lambda: session.held == {DEVICE}, "the flood held back")
    # The bridge is away, and the flooder has its share in the queue: no more is read from it.
    assert flooded.call(lambda: len(session.queue)) == SHARE
    bridge = flooded.client("portal.bridge", clean=False)
    largest = 0
    for expected, (name, number, packet_id) in zip(range(total), _messages(bridge), strict=False):
        assert (name, number, packet_id) == (DEVICE, expected, expected + 1)
        largest = max(largest, len(session.queue))
    assert largest <= SHARE
    flood.thread.join(20)
    assert bridge.nothing_came()


def test_a_flood_does_not_hold_others_up(flooded: RunningBroker) -> None:
    session = flooded.broker.sessions["portal.bridge"]
    _Flood(flooded, DEVICE, 5_000)
    wait_until(lambda: session.held == {DEVICE})
    other = flooded.client(OTHER)
    for number in range(50):
        other.publish(f"server/{OTHER}/x", b"%d" % number)
    gateway = flooded.client("portal.gateway")
    gateway.publish(f"{OTHER}/get_gpio")
    assert session.held == {DEVICE}


def test_a_full_queue_holds_everybody_until_it_is_half_empty(flooded: RunningBroker) -> None:
    session = flooded.broker.sessions["portal.bridge"]
    names = [f"{number:032x}" for number in range(6)]
    floods = [_Flood(flooded, name, 1_000) for name in names]
    wait_until(lambda: session.held == set(names))
    assert FULL <= flooded.call(lambda: len(session.queue)) <= FULL + len(names)
    bridge = flooded.client("portal.bridge", clean=False)
    got: dict[str, list[int]] = {name: [] for name in names}
    largest = 0
    for _, (name, number, _) in zip(range(6_000), _messages(bridge), strict=False):
        got[name].append(number)
        largest = max(largest, len(session.queue))
    assert got == {name: list(range(1_000)) for name in names}
    assert largest <= FULL + len(names)
    for flood in floods:
        flood.thread.join(20)


def test_a_held_publisher_is_not_cut_for_its_silence(start: StartBroker) -> None:
    running = start(standing={"portal.bridge": ("#",)}, publisher_share=1, keepalive_factor=0.05)
    session = running.broker.sessions["portal.bridge"]
    device = running.client(DEVICE, keepalive=1)
    device.publish(f"server/{DEVICE}/x", packet_id=1)
    assert session.held == {DEVICE}
    # A device that is read from is cut for the same silence meanwhile.
    assert running.client(OTHER, keepalive=2).is_closed()
    assert DEVICE in running.broker.connected()
    device.send(publish_packet(f"server/{DEVICE}/x", packet_id=2))
    bridge = running.client("portal.bridge", clean=False)
    assert [bridge.receive().topic for _ in range(2)] == [f"server/{DEVICE}/x"] * 2
    assert not session.held


def test_a_second_bridge_cannot_hold_the_portal_up(start: StartBroker) -> None:
    running = start(service_queue=10, publisher_share=5)
    second = running.client("portal.bridge", client_id="portal.bridge.old", clean=False)
    second.subscribe("#")
    second.die()
    wait_until(lambda: not running.broker.connected())
    device = running.client(DEVICE)
    for number in range(1, 50):
        device.publish(f"server/{DEVICE}/x", packet_id=number)
    assert len(running.broker.sessions["portal.bridge.old"].queue) == 10


def test_large_messages_of_one_device_are_held_back_by_their_bytes(start: StartBroker) -> None:
    running = start(standing={"portal.bridge": ("#",)}, service_window_bytes=100_000, publisher_share_bytes=200_000)
    session = running.broker.sessions["portal.bridge"]
    flood = _Flood(running, DEVICE, 60, padding=50_000)
    wait_until(lambda: session.held == {DEVICE}, "the flood held back")
    assert running.call(lambda: session.queued_bytes) <= 200_000 + 51_000
    other = running.client(OTHER)
    for number in range(1, 50):
        other.publish(f"server/{OTHER}/x", b"%d" % number, packet_id=number)
    bridge = running.client("portal.bridge", clean=False)
    got: dict[str, list[int]] = {DEVICE: [], OTHER: []}
    for _, (name, number, _) in zip(range(60 + 49), _messages(bridge), strict=False):
        got[name].append(number)
        assert session.inflight_bytes <= 100_000
    assert got == {DEVICE: list(range(60)), OTHER: list(range(1, 50))}
    flood.thread.join(20)
    assert bridge.nothing_came()


def test_a_flood_does_not_push_anothers_answer_out_of_a_gateway_that_is_slow(start: StartBroker) -> None:
    running = start(service_share_bytes=300_000, service_queue_bytes=1_000_000)
    gateway = running.client("portal.gateway")
    gateway.subscribe(f"server/{DEVICE}/#", f"server/{OTHER}/#", qos=0)
    session = running.broker.sessions["portal.gateway"]
    flooder, other = running.client(DEVICE), running.client(OTHER)
    packet_id = 0
    while not session.dropped:  # the gateway does not read, so what the kernel does not take waits here
        packet_id += 1
        flooder.publish(f"server/{DEVICE}/x", b"x" * 60_000, packet_id=packet_id)
    other.publish(f"server/{OTHER}/x", b"the answer")
    for _ in range(50):
        flooder.publish(f"server/{DEVICE}/x", b"x" * 60_000)
    assert running.call(lambda: session.queued_bytes) <= 400_000
    while gateway.receive().topic != f"server/{OTHER}/x":
        pass


def test_what_waits_for_all_absent_devices_together_is_bounded(start: StartBroker) -> None:
    running = start(device_queues_bytes=100_000)
    names = [f"{number:032x}" for number in range(5)]
    for name in names:
        device = running.client(name, clean=False)
        device.subscribe(f"{name}/#")
        device.goodbye()
    wait_until(lambda: not running.broker.connected())
    gateway = running.client("portal.gateway")
    for name in names:
        for number in range(1, 4):
            gateway.publish(f"{name}/x", b"x" * 15_000, packet_id=number)
    queued = running.call(lambda: sum(session.queued_bytes for session in running.broker.sessions.values()))
    assert 80_000 < queued <= 100_000

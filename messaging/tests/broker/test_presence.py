"""Presence events, wills, kicks and keepalive."""

import asyncio
import json
import time
from typing import Any

import pytest

from messaging.authorization import Identity, Refusal, identify
from messaging.broker import server
from messaging.tests.broker.conftest import DEVICE, OTHER, StartBroker
from messaging.tests.broker.pki import Authority
from messaging.tests.broker.wire import RunningBroker, Wire, wait_until

WILL = (f"server/{DEVICE}/presence", b'{"value": "offline"}', 1)


@pytest.fixture
def bridge(running: RunningBroker) -> Wire:
    return _bridge(running)


def _bridge(running: RunningBroker) -> Wire:
    bridge = running.client("portal.bridge", clean=False)
    bridge.subscribe("#", "$SYS/portal/#")
    return bridge


def _event(bridge: Wire, *, retain: bool = False) -> dict[str, Any]:
    message = bridge.receive()
    assert message.topic == f"$SYS/portal/connections/{DEVICE}"
    assert (message.qos, message.retain) == (1, retain)
    event: dict[str, Any] = json.loads(message.payload)
    assert event.pop("epoch") > 0
    assert event.pop("sequence") > 0
    return event


def test_a_device_that_connects_is_announced(running: RunningBroker, bridge: Wire) -> None:
    before = time.time()
    running.client(DEVICE)
    event = _event(bridge)
    assert before <= event.pop("at") <= time.time()
    assert event == {"event": "connected", "address": "127.0.0.1", "protocol": "MQTT 3.1.1", "tls": "TLSv1.3"}


def test_the_announcement_names_the_old_protocol(running: RunningBroker, bridge: Wire) -> None:
    running.client(DEVICE, name="MQIsdp", level=3)
    assert _event(bridge)["protocol"] == "MQTT 3.1"


def test_services_are_not_announced(running: RunningBroker, bridge: Wire) -> None:
    running.client("portal.gateway").goodbye()
    assert bridge.nothing_came()


def test_a_goodbye_is_announced_and_leaves_no_will(running: RunningBroker, bridge: Wire) -> None:
    device = running.client(DEVICE, will=WILL)
    device.goodbye()
    assert _event(bridge)["event"] == "connected"
    event = _event(bridge)
    assert event.pop("at") > 0
    assert event == {"event": "disconnected", "reason": "goodbye"}
    assert bridge.nothing_came()


def test_a_lost_device_leaves_its_will(running: RunningBroker, bridge: Wire) -> None:
    device = running.client(DEVICE, will=WILL)
    device.die()
    assert _event(bridge)["event"] == "connected"
    will = bridge.receive()
    assert (will.topic, will.payload, will.qos, will.retain) == (*WILL, False)
    assert _event(bridge)["reason"] == "lost"


def test_a_protocol_error_is_told_from_a_lost_connection(running: RunningBroker, bridge: Wire) -> None:
    device = running.client(DEVICE, will=WILL)
    device.send(b"\xf0\x00")
    assert _event(bridge)["event"] == "connected"
    assert bridge.receive().payload == WILL[1]
    assert _event(bridge)["reason"] == "protocol"


def test_announcements_are_numbered_in_one_life_of_the_broker(start: StartBroker) -> None:
    """The order of presence: a wall clock may be set back."""

    def order(running: RunningBroker) -> list[tuple[int, int]]:
        bridge = _bridge(running)
        running.client(DEVICE).goodbye()
        events = [json.loads(bridge.receive().payload) for _ in range(2)]
        return [(event["epoch"], event["sequence"]) for event in events]

    (epoch, first), (same, second) = order(start())
    (another, again), _ = order(start())
    assert (same, second) == (epoch, first + 1)
    assert another != epoch
    assert again == first


def test_a_kicked_device_is_cut_at_once_and_leaves_its_will(running: RunningBroker, bridge: Wire) -> None:
    device, other = running.client(DEVICE, will=WILL), running.client("portal.gateway")
    running.call(running.broker.disconnect, DEVICE)
    assert running.broker.connected() == {"portal.bridge", "portal.gateway"}
    assert device.is_closed()
    assert _event(bridge)["event"] == "connected"
    assert bridge.receive().payload == WILL[1]
    assert _event(bridge)["reason"] == "kicked"
    other.ping()
    running.call(running.broker.disconnect, "nobody")


def test_a_replaced_connection_ends_as_connected(running: RunningBroker, bridge: Wire) -> None:
    first = running.client(DEVICE)
    second = running.client(DEVICE)
    assert first.is_closed()
    events = [_event(bridge) for _ in range(3)]
    assert [event["event"] for event in events] == ["connected", "disconnected", "connected"]
    assert events[1]["reason"] == "replaced"
    second.ping()
    assert bridge.nothing_came()
    bridge.subscribe("$SYS/portal/#")
    assert _event(bridge, retain=True)["event"] == "connected"


def test_a_silent_device_is_cut_after_one_and_a_half_keepalives(running: RunningBroker, bridge: Wire) -> None:
    began = time.monotonic()
    device = running.client(DEVICE, keepalive=1, will=WILL)
    assert device.is_closed()
    assert 1.4 < time.monotonic() - began < 5
    assert _event(bridge)["event"] == "connected"
    assert bridge.receive().payload == WILL[1]
    assert _event(bridge)["reason"] == "keepalive"


def test_a_device_that_pings_is_kept(start: StartBroker) -> None:
    running = start(keepalive_factor=0.2)
    device = running.client(DEVICE, keepalive=1)
    until = time.monotonic() + 0.7
    while time.monotonic() < until:
        device.ping()
    assert running.broker.connected() == {DEVICE}
    assert device.is_closed()


def test_keepalive_0_means_no_limit(start: StartBroker) -> None:
    running = start(keepalive_factor=0.01)
    lasting, other = running.client(DEVICE, keepalive=0), running.client(OTHER, keepalive=1)
    assert other.is_closed()
    lasting.ping()


def test_the_last_state_is_retained_and_nothing_is_after_boot(start: StartBroker) -> None:
    running = start()
    running.client(DEVICE).goodbye()
    wait_until(lambda: not running.broker.connected())
    bridge = _bridge(running)
    assert _event(bridge, retain=True)["reason"] == "goodbye"
    assert bridge.nothing_came()
    assert _bridge(start()).nothing_came()


def test_retained_states_are_bounded(start: StartBroker) -> None:
    running = start(retained=1)
    running.client(OTHER).ping()
    running.client(DEVICE).ping()
    bridge = _bridge(running)
    assert _event(bridge, retain=True)["event"] == "connected"
    assert bridge.nothing_came()


def test_a_recheck_cuts_whom_admission_now_refuses(start: StartBroker) -> None:
    revoked: set[str] = set()

    async def admit(common_name: str, _fingerprint: str, client_id: str) -> Identity | Refusal:
        if "unreachable" in revoked:
            raise OSError("no database")
        return Refusal("revoked") if common_name in revoked else identify(common_name, client_id)

    running = start(admit=admit)
    device, other = running.client(DEVICE), running.client(OTHER)
    assert running.run(running.broker.recheck()) == 0
    assert running.broker.connected() == {DEVICE, OTHER}
    revoked.add(DEVICE)
    assert running.run(running.broker.recheck()) == 0
    assert device.is_closed()
    other.ping()
    revoked.add("unreachable")
    assert running.run(running.broker.recheck()) == 1
    other.ping()


def test_a_stopping_broker_lets_the_bridge_take_what_waits(start: StartBroker) -> None:
    running = start(standing={"portal.bridge": ("#",)}, service_window=10)
    bridge = running.client("portal.bridge", clean=False)
    device = running.client(DEVICE, will=WILL)
    for number in range(1, 101):
        device.publish(f"server/{DEVICE}/x", b"%d" % number, packet_id=number)
    stopping = asyncio.run_coroutine_threadsafe(running.broker.stop(), running.loop)
    assert device.is_closed()
    assert [int(bridge.receive().payload) for _ in range(100)] == list(range(1, 101))
    assert bridge.is_closed()
    stopping.result(20)


def test_a_stopping_broker_does_not_wait_for_ever(start: StartBroker) -> None:
    running = start(standing={"portal.bridge": ("#",)}, drain_seconds=0.1)
    bridge = running.client("portal.bridge", clean=False)
    running.client(DEVICE).publish(f"server/{DEVICE}/x")
    running.run(running.broker.stop())
    assert bridge.is_closed()


def test_stopping_closes_every_connection(start: StartBroker) -> None:
    running = start()
    wires = [running.client(DEVICE, will=WILL), running.client("portal.bridge")]
    running.run(running.broker.stop())
    for wire in wires:
        assert wire.is_closed()


@pytest.mark.parametrize(("cause", "reason"), [("revoked", "revoked"), ("deleted", "deleted"), ("", "refused"), ("x", "refused")])
def test_a_recheck_says_why_it_cuts(start: StartBroker, cause: str, reason: str) -> None:
    async def admit(common_name: str, _fingerprint: str, client_id: str) -> Identity | Refusal:
        return Refusal("not any more", cause) if common_name in refused else identify(common_name, client_id)

    refused: set[str] = set()
    running = start(admit=admit)
    bridge = _bridge(running)
    running.client(DEVICE)
    assert _event(bridge)["event"] == "connected"
    refused.add(DEVICE)
    running.run(running.broker.recheck())
    assert _event(bridge)["reason"] == reason


def _refusal(bridge: Wire, device: str = DEVICE) -> dict[str, Any]:
    message = bridge.receive()
    assert (message.topic, message.qos, message.retain) == (f"$SYS/portal/refusals/{device}", 1, False)
    told: dict[str, Any] = json.loads(message.payload)
    return told


def test_a_device_that_is_refused_is_told_of_once_in_a_while(start: StartBroker) -> None:
    async def admit(common_name: str, _fingerprint: str, client_id: str) -> Identity | Refusal:
        return Refusal("the certificate was revoked") if common_name == DEVICE else identify(common_name, client_id)

    running = start(admit=admit)
    bridge = _bridge(running)
    before = time.time()
    for _ in range(3):
        assert running.tls(DEVICE).connect(DEVICE) != 0
    told = _refusal(bridge)
    assert before <= told.pop("at") <= time.time()
    assert told == {"reason": "the certificate was revoked", "address": "127.0.0.1"}
    assert bridge.nothing_came()


def test_a_refusal_is_told_of_whose_certificate_it_was(running: RunningBroker, bridge: Wire) -> None:
    assert running.tls(OTHER).connect(DEVICE) != 0
    assert _refusal(bridge, OTHER)["reason"] == "client id is not the certificate's common name"
    assert running.tls("portal.gateway").connect(DEVICE) != 0
    assert bridge.nothing_came()


def test_devices_cannot_hear_of_others(running: RunningBroker) -> None:
    device = running.client(DEVICE)
    assert device.subscribe(f"$SYS/portal/refusals/{DEVICE}", f"$SYS/portal/connections/{DEVICE}", "$SYS/#") == [128, 128, 128]


class _Clock:
    """A wall clock that goes ahead."""

    def __init__(self) -> None:
        self.hours = 0

    def time(self) -> float:
        return time.time() + 3600 * self.hours


@pytest.mark.parametrize("asked", ["refuses", "is away"])
def test_a_connection_ends_with_the_certificate_it_was_made_with(
    start: StartBroker, authority: Authority, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    ending = "e" * 31 + "0"
    clock = _Clock()
    monkeypatch.setattr(server, "time", clock)

    async def admit(common_name: str, _: str, client_id: str) -> Identity | Refusal:
        if clock.hours > 12 and asked == "is away":
            raise ConnectionError("no database")
        return Refusal("it has ended") if clock.hours > 12 else identify(common_name, client_id)

    running = start(admit=admit, sweep_seconds=0.02)
    authority.issue(ending, days=0.5)
    bridge = _bridge(running)
    device = running.client(ending, will=(f"server/{ending}/presence", WILL[1], 1))
    assert json.loads(bridge.receive().payload)["event"] == "connected"
    clock.hours = 11
    running.run(running.broker._cut_ended())
    device.ping()
    clock.hours = 13
    assert device.is_closed()
    assert bridge.receive().payload == WILL[1]
    assert json.loads(bridge.receive().payload)["reason"] == "expired"
    bridge.ping()  # its own certificate goes on


def test_a_connection_outlives_its_certificate_while_admission_says_so(
    start: StartBroker, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending, clock = "e" * 31 + "0", _Clock()
    monkeypatch.setattr(server, "time", clock)
    running = start()
    authority.issue(ending, days=0.5)
    device = running.client(ending)
    clock.hours = 13
    running.run(running.broker._cut_ended())
    device.ping()

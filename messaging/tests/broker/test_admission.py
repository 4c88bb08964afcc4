"""Who gets a session, and that nobody gets another's."""

import asyncio
import hashlib
import ssl
import threading

import pytest

from messaging.authorization import Identity, Kind, Refusal, identify
from messaging.tests.broker.conftest import DEVICE, OTHER, StartBroker
from messaging.tests.broker.wire import PINGRESP, SUBACK, RunningBroker, admit_all, connect_packet, packet, string, wait_until

ACCEPTED, PROTOCOL, IDENTIFIER, UNAVAILABLE, NOT_AUTHORISED = 0, 1, 2, 3, 5


@pytest.mark.parametrize("clean", [True, False])
def test_a_foreign_certificate_cannot_use_another_devices_client_id(running: RunningBroker, clean: bool) -> None:
    victim = running.client(DEVICE, clean=False)
    victim.subscribe(f"{DEVICE}/#")
    thief = running.tls(OTHER)
    assert thief.connect(DEVICE, clean=clean) == IDENTIFIER
    assert thief.is_closed()
    victim.ping()
    assert running.broker.connected() == {DEVICE}
    assert running.broker.refusals == {OTHER: 1}


@pytest.mark.parametrize("clean", [True, False])
def test_an_absent_devices_old_session_is_not_taken_over(running: RunningBroker, clean: bool) -> None:
    victim = running.client(DEVICE, clean=False)
    victim.subscribe(f"{DEVICE}/#")
    victim.die()
    wait_until(lambda: not running.broker.connected())
    running.client("portal.gateway").publish(f"{DEVICE}/set_gpio", b"secret")
    thief = running.tls(OTHER)
    # What a thief would do: not wait for the CONNACK, subscribe and acknowledge at once.
    thief.send(connect_packet(DEVICE, clean=clean) + packet(0x82, b"\0\1" + string(f"{DEVICE}/#") + b"\1") + b"\x40\x02\0\1")
    assert thief.connect(DEVICE, clean=clean) == IDENTIFIER
    assert thief.is_closed()
    assert thief.published == []
    victim = running.client(DEVICE, clean=False)
    assert victim.present
    assert victim.receive().payload == b"secret"


def test_a_session_is_not_touched_while_admission_is_open(start: StartBroker) -> None:
    gate, asked = threading.Event(), threading.Event()

    async def slow(common_name: str, fingerprint: str, client_id: str) -> Identity | Refusal:
        asked.set()
        await asyncio.get_running_loop().run_in_executor(None, gate.wait)
        return Refusal("revoked")

    running = start()
    device = running.client(DEVICE)
    running.broker.admit = slow
    second = running.tls(DEVICE)
    second.send(connect_packet(DEVICE))
    assert asked.wait(10)
    device.ping()
    gate.set()
    assert second.is_closed()
    device.ping()


def test_admission_is_asked_with_name_and_fingerprint(start: StartBroker) -> None:
    asked: list[tuple[str, str, str]] = []

    async def admit(common_name: str, fingerprint: str, client_id: str) -> Identity | Refusal:
        asked.append((common_name, fingerprint, client_id))
        return identify(common_name, client_id)

    running = start(admit=admit)
    running.client("portal.gateway", client_id="portal.gateway.4f2a")
    pem = running.authority.issue("portal.gateway")[0].read_text()
    der = ssl.PEM_cert_to_DER_cert(pem[: pem.index("-----END CERTIFICATE-----") + 26])
    assert asked == [("portal.gateway", hashlib.sha256(der).hexdigest(), "portal.gateway.4f2a")]


def test_it_refuses_whom_admission_refuses(start: StartBroker) -> None:
    async def admit(*_: str) -> Identity | Refusal:
        return Refusal("revoked")

    running = start(admit=admit)
    wire = running.tls(DEVICE)
    assert wire.connect(DEVICE) == NOT_AUTHORISED
    assert wire.is_closed()
    assert running.broker.sessions == {}


def test_it_refuses_whom_admission_takes_for_somebody_else(start: StartBroker) -> None:
    async def admit(*_: str) -> Identity | Refusal:
        return Identity(Kind.BRIDGE, "portal.bridge")

    assert start(admit=admit).tls(DEVICE).connect(DEVICE) == NOT_AUTHORISED


def test_it_asks_to_come_back_when_admission_fails_or_takes_too_long(start: StartBroker) -> None:
    async def fail(*_: str) -> Identity | Refusal:
        raise RuntimeError("no database")

    async def hang(*_: str) -> Identity | Refusal:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    running = start(admit=fail, admit_seconds=0.1)
    assert running.tls(DEVICE).connect(DEVICE) == UNAVAILABLE
    running.broker.admit = hang
    assert running.tls(DEVICE).connect(DEVICE) == UNAVAILABLE
    assert running.broker.refusals == {}
    running.broker.admit = admit_all
    running.client(DEVICE).ping()


def test_a_device_kicked_during_its_admission_does_not_get_in(start: StartBroker) -> None:
    gate, asked = threading.Event(), threading.Event()

    async def slow(common_name: str, fingerprint: str, client_id: str) -> Identity | Refusal:
        asked.set()
        await asyncio.get_running_loop().run_in_executor(None, gate.wait)
        return identify(common_name, client_id)

    running = start(admit=slow)
    wire = running.tls(DEVICE)
    wire.send(connect_packet(DEVICE))
    assert asked.wait(10)
    running.call(running.broker.disconnect, DEVICE)
    gate.set()
    assert wire.is_closed()
    assert running.broker.connected() == set()


def test_it_takes_mqtt_3_1_clients(running: RunningBroker) -> None:
    device = running.client(DEVICE, name="MQIsdp", level=3)
    assert device.subscribe(f"{DEVICE}/#") == [1]
    # A 3.1 client sets DUP when it subscribes again.
    device.send(packet(0x8A, b"\0\2" + string(f"{DEVICE}/#") + b"\1"))
    assert device.expect(SUBACK) == b"\0\2\1"
    running.client("portal.gateway").publish(f"{DEVICE}/get_status", b"{}")
    assert device.receive().payload == b"{}"


def test_it_tells_an_mqtt_5_client_that_it_does_not_speak_that(running: RunningBroker) -> None:
    wire = running.tls(DEVICE)
    assert wire.connect(DEVICE, level=5) == PROTOCOL
    assert wire.is_closed()


@pytest.mark.parametrize(
    "topic", [f"server/{OTHER}/presence", f"{DEVICE}/presence", "$SYS/portal/x", "server/+/presence", "#", ""]
)
def test_a_forged_will_is_refused(running: RunningBroker, topic: str) -> None:
    wire = running.tls(DEVICE)
    assert wire.connect(DEVICE, will=(topic, b"x", 1)) == NOT_AUTHORISED
    assert running.broker.refusals == {DEVICE: 1}


@pytest.mark.parametrize("client_id", ["", "x", "portal.gateway", DEVICE.upper(), DEVICE + "\u0085"])
def test_any_other_client_id_is_refused(running: RunningBroker, client_id: str) -> None:
    assert running.tls(DEVICE).connect(client_id) == IDENTIFIER


def test_a_certificate_of_ours_that_names_no_device_is_refused(running: RunningBroker) -> None:
    assert running.tls("printer").connect("printer") == IDENTIFIER


def test_what_a_client_sends_behind_its_connect_is_read_after_admission(running: RunningBroker) -> None:
    wire = running.tls(DEVICE)
    wire.send(connect_packet(DEVICE) + b"\xc0\x00")
    assert wire.expect(2) == b"\0\0"
    wire.expect(PINGRESP)


def test_sessions_are_bounded_and_the_longest_absent_goes_first(start: StartBroker) -> None:
    running = start(sessions=2)
    for name in ("c" * 32, "d" * 32):
        running.client(name, clean=False).goodbye()
    wait_until(lambda: not running.broker.connected())
    running.client(DEVICE, clean=False)
    assert set(running.broker.sessions) == {"d" * 32, DEVICE}
    running.client(OTHER)
    assert running.tls("c" * 32).connect("c" * 32) == UNAVAILABLE


def test_an_abandoned_session_expires(start: StartBroker) -> None:
    running = start(session_expiry_seconds=0.05, sweep_seconds=0.02)
    device = running.client(DEVICE, clean=False)
    device.subscribe(f"{DEVICE}/#")
    stays = running.client(OTHER, clean=False)
    device.die()
    wait_until(lambda: set(running.broker.sessions) == {OTHER}, "expiry")
    assert not running.client(DEVICE, clean=False).present
    stays.ping()

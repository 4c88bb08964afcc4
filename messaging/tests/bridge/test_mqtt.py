"""The MQTT source against the embedded broker, over real sockets and mutual TLS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from devices.models import Device
from messaging.bridge import mqtt
from messaging.bridge.mqtt import MqttSource
from messaging.bridge.source import Incoming, SourceLost
from messaging.broker import packets
from messaging.management.commands.run_broker import STANDING
from messaging.models import Message, Presence
from messaging.tests.bridge.conftest import StartBridge
from messaging.tests.broker.pki import Authority
from messaging.tests.broker.wire import RunningBroker, running_broker, wait_until

DEVICE = "a" * 32


class Ear:
    """Hears what a source delivers."""

    def __init__(self) -> None:
        self.messages: list[Incoming] = []
        self.lost = threading.Event()

    def connect(self, source: MqttSource) -> bool:
        return source.connect(self.messages.extend, self.lost.set)

    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages if message.topic.startswith("server/")]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def broker(authority: Authority) -> Iterator[RunningBroker]:
    with running_broker(authority, standing=STANDING) as running:
        yield running


@pytest.fixture
def own_pki(authority: Authority, tmp_path: Path) -> Path:
    certificate, key = authority.issue("portal.bridge")
    (tmp_path / "bridge.pem").write_bytes(certificate.read_bytes())
    (tmp_path / "bridge.key").write_bytes(key.read_bytes())
    (tmp_path / "root-ca.pem").write_bytes(authority.root.read_bytes())
    return tmp_path


@pytest.fixture
def source(broker: RunningBroker, own_pki: Path) -> Iterator[MqttSource]:
    source = MqttSource("localhost", broker.port, own_pki)
    yield source
    source.close()


def test_what_is_not_acknowledged_comes_again_and_the_rest_does_not(broker: RunningBroker, source: MqttSource) -> None:
    ear = Ear()
    assert not ear.connect(source)
    source.begin()
    device = broker.client(DEVICE)
    for number in range(10):
        device.publish(f"server/{DEVICE}/x", b"%d" % number)
    wait_until(lambda: len(ear.payloads()) == 10, "delivery")
    source.ack([message for message in ear.messages if message.payload not in (b"8", b"9")])
    source.close()
    again = Ear()
    assert again.connect(source)
    source.begin()
    wait_until(lambda: len(again.payloads()) == 2, "the second delivery")
    first = {message.payload: message.delivery for message in ear.messages}
    resent = [message for message in again.messages if message.topic.startswith("server/")]
    assert [(message.payload, message.redelivered) for message in resent] == [(b"8", True), (b"9", True)]
    assert all(message.delivery == first[message.payload] for message in resent)


def test_it_is_told_again_that_a_session_is_new_until_it_has_begun(broker: RunningBroker, source: MqttSource) -> None:
    """A bridge that dies between hearing of it and forgetting its journal must not lose that it is new."""
    broker.client(DEVICE).publish(f"server/{DEVICE}/x", b"kept")
    for _ in range(2):
        ear = Ear()
        assert not ear.connect(source)
        wait_until(lambda ear=ear: ear.payloads() == [b"kept"], "delivery")  # type: ignore[misc]  # mypy gives a lambda's default no type
        source.close()
    assert not Ear().connect(source)
    source.begin()
    source.close()
    assert Ear().connect(source)


def test_an_acknowledgement_of_an_older_connection_goes_nowhere(broker: RunningBroker, source: MqttSource) -> None:
    ear = Ear()
    ear.connect(source)
    source.begin()
    broker.client(DEVICE).publish(f"server/{DEVICE}/x", b"1")
    wait_until(lambda: len(ear.payloads()) == 1, "delivery")
    again = Ear()
    again.connect(source)
    source.ack(ear.messages)
    source.close()
    third = Ear()
    third.connect(source)
    wait_until(lambda: third.payloads() == [b"1"], "the third delivery")


def test_it_says_when_the_connection_breaks(broker: RunningBroker, source: MqttSource) -> None:
    ear = Ear()
    ear.connect(source)
    broker.call(broker.broker.disconnect, "portal.bridge")
    assert ear.lost.wait(10)
    with pytest.raises(SourceLost):
        source.begin()


def test_a_broker_that_says_nothing_any_more_is_given_up(source: MqttSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "KEEPALIVE_S", 0.1)
    monkeypatch.setattr(packets, "PING", b"")  # so nobody asks for the sign of life, and none comes
    monkeypatch.setattr(packets, "connect", partial(_patient, packets.connect))
    ear = Ear()
    ear.connect(source)
    assert ear.lost.wait(10)


def _patient(connect: Callable[..., bytes], client_id: str, _keepalive: float, *, clean: bool) -> bytes:
    return connect(client_id, 60, clean=clean)  # the broker would end it first


def test_a_broker_that_breaks_the_protocol_is_left(source: MqttSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "MAX_PACKET_BYTES", 1)  # the answer to our CONNECT has two
    with pytest.raises(SourceLost):
        Ear().connect(source)


def test_a_broker_that_is_not_there_is_told(own_pki: Path) -> None:
    with pytest.raises(SourceLost):
        Ear().connect(MqttSource("localhost", 1, own_pki))


def test_without_its_certificate_it_does_not_come_in(broker: RunningBroker, own_pki: Path) -> None:
    (own_pki / "bridge.key").unlink()
    with pytest.raises(SourceLost):
        Ear().connect(MqttSource("localhost", broker.port, own_pki))


def test_by_its_socket_it_comes_in_without_its_certificate(authority: Authority, tmp_path: Path) -> None:
    with (
        TemporaryDirectory(prefix="iotp") as folder,
        running_broker(authority, standing=STANDING, sockets=Path(folder)) as running,
    ):
        running.client(DEVICE).publish(f"server/{DEVICE}/x", b"1")
        source, ear = MqttSource("localhost", 1, tmp_path / "none", Path(folder)), Ear()
        assert not ear.connect(source)
        source.begin()
        wait_until(lambda: ear.payloads() == [b"1"], "delivery")
        source.ack(ear.messages)
        source.close()
        assert Ear().connect(source)
        source.close()


def test_a_socket_that_is_not_there_is_told(own_pki: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceLost, match="No such file"):
        Ear().connect(MqttSource("localhost", 1, own_pki, tmp_path))


def test_another_certificate_is_refused(broker: RunningBroker, own_pki: Path, authority: Authority) -> None:
    certificate, key = authority.issue("portal.gateway")
    (own_pki / "bridge.pem").write_bytes(certificate.read_bytes())
    (own_pki / "bridge.key").write_bytes(key.read_bytes())
    with pytest.raises(SourceLost, match="refuses"):
        Ear().connect(MqttSource("localhost", broker.port, own_pki))


@pytest.mark.django_db(transaction=True)
def test_bridge_and_broker_together(
    broker: RunningBroker, source: MqttSource, start: StartBridge, device: Device, valkey: Any
) -> None:
    wire = broker.client(device.hex)
    wire.publish(f"server/{device.hex}/get_rtc", b'{"value": 1}')
    bridge = start(source=source)
    wait_until(lambda: Message.objects.count() == 1, "the message from before")
    wait_until(lambda: Presence.objects.get().connected, "presence")
    assert Presence.objects.get().address == "127.0.0.1"
    broker.call(broker.broker.disconnect, "portal.bridge")
    wire.publish(f"server/{device.hex}/get_rtc", b'{"value": 2}')
    wait_until(lambda: Message.objects.count() == 2, "the message after the cut")
    wire.goodbye()
    wait_until(lambda: not Presence.objects.get().connected, "absence")
    assert Presence.objects.get().disconnect_reason == "goodbye"
    wait_until(lambda: valkey.get(f"presence:{device.hex}") == "0", "the key")
    assert bridge.stop()
    assert not Message.objects.filter(malformed=True).exists()

"""Who gets in on RabbitMQ, and who is put out: real sockets, the real registry behind its questions."""

from __future__ import annotations

from collections.abc import Iterator

import pika
import pytest
from pika.credentials import ExternalCredentials
from pika.exceptions import ConnectionClosedByBroker
from pytest_django import Settings

from accounts.models import Account
from devices.models import Device
from devices.services import delete_device, issue_secret, renew_certificate, revoke_certificate
from devices.tests.factories import make_device
from messaging.models import BrokerConnection, Presence, PresenceChange
from messaging.rabbitmq import management
from messaging.rabbitmq.names import EVENT_QUEUE, STREAM
from messaging.rabbitmq.warden import Warden
from messaging.tests.broker.wire import Wire, wait_until
from messaging.tests.identity import client_context, files_of
from messaging.tests.rabbitmq.broker import RunningRabbit, service_parameters
from messaging.tests.rabbitmq.conftest import StartBridge

ACCEPTED, PUT_OUT = 0, -1
AGAIN_S = 16.0  # behind the time for which RabbitMQ believes an answer


@pytest.fixture
def warden(rabbit: RunningRabbit) -> Iterator[Warden]:
    warden = Warden(again_s=AGAIN_S, look_every_s=3600)
    warden.start()
    assert warden.listening.wait(10)
    yield warden
    warden.stop()


@pytest.fixture
def pump(account: Account) -> Device:
    return make_device(account)


def board(rabbit: RunningRabbit, pem: bytes | None) -> Wire:
    """Return a client that has finished TLS."""
    wire = Wire.open(rabbit.ports.mqtts, client_context(rabbit.pki, pem))
    rabbit.wires.append(wire)
    return wire


def answer_to(wire: Wire, device: Device) -> int:
    """Return the answer to a CONNECT, PUT_OUT if the connection was closed before it came."""
    try:
        return wire.connect(device.hex)
    except (AssertionError, OSError):
        return PUT_OUT


def test_a_device_gets_in_by_its_certificate_with_its_own_client_id_alone(rabbit: RunningRabbit, pump: Device) -> None:
    other, files = make_device(pump.account, name="Other"), files_of(pump)
    assert board(rabbit, files).connect(pump.hex) == ACCEPTED
    assert board(rabbit, files).connect(other.hex) != ACCEPTED
    assert board(rabbit, files).connect("portal.gateway") != ACCEPTED
    assert board(rabbit, None).connect(pump.hex) != ACCEPTED


def test_an_old_client_with_mqtt_3_1_gets_in(rabbit: RunningRabbit, pump: Device) -> None:
    wire = board(rabbit, files_of(pump))
    assert wire.connect(pump.hex, name="MQIsdp", level=3) == ACCEPTED
    assert wire.subscribe(f"{pump.hex}/#") == [1]


def test_a_device_gets_in_by_its_password_where_it_has_one(rabbit: RunningRabbit, pump: Device) -> None:
    secret = issue_secret(device=pump)
    assert board(rabbit, None).connect(pump.hex, login=(pump.hex, secret)) == ACCEPTED
    assert board(rabbit, None).connect(pump.hex, login=(pump.hex, "wrong")) != ACCEPTED
    assert board(rabbit, None).connect(pump.hex, login=(pump.hex, "")) != ACCEPTED


def test_a_revoked_device_is_put_out_at_once_and_does_not_come_back(
    rabbit: RunningRabbit, warden: Warden, start_bridge: StartBridge, pump: Device
) -> None:
    start_bridge()
    files = files_of(pump)
    wire = board(rabbit, files)
    assert wire.connect(pump.hex) == ACCEPTED
    wait_until(lambda: BrokerConnection.objects.exists(), "the connection in the table")
    revoke_certificate(certificate=pump.certificates.get())
    assert wire.is_closed()
    wait_until(lambda: Presence.objects.filter(device=pump, disconnect_reason="revoked").exists(), "the reason")
    again = board(rabbit, files)  # RabbitMQ may still believe what it heard before
    assert answer_to(again, pump) in {ACCEPTED, PUT_OUT}
    assert again.is_closed()
    wait_until(lambda: answer_to(board(rabbit, files), pump) not in {ACCEPTED, PUT_OUT}, "the refusal")


def test_a_revoked_certificate_is_put_out_though_its_successor_is_good(
    rabbit: RunningRabbit, pump: Device, settings: Settings
) -> None:
    warden = Warden()  # one that missed the order
    old, certificate = files_of(pump), pump.certificates.get()
    settings.CERTIFICATE_DAYS = 300  # other dates, as those of a later second
    renew_certificate(device=pump)
    revoke_certificate(certificate=certificate)
    thief = board(rabbit, old)
    assert thief.connect(pump.hex) == ACCEPTED  # by its name: which certificate it was RabbitMQ does not ask
    wait_until(lambda: any(one["user"] == pump.hex for one in management.connections()), "the list of connections")
    warden.look()
    assert thief.is_closed()
    good = board(rabbit, files_of(pump))
    assert good.connect(pump.hex) == ACCEPTED
    wait_until(lambda: any(one["user"] == pump.hex for one in management.connections()), "the list of connections")
    warden.look()
    good.ping()


def test_a_revoked_certificate_is_put_out_as_soon_as_it_comes(
    rabbit: RunningRabbit, start_bridge: StartBridge, pump: Device, settings: Settings
) -> None:
    start_bridge()  # and no warden looks
    old, certificate = files_of(pump), pump.certificates.get()
    settings.CERTIFICATE_DAYS = 300  # other dates, as those of a later second
    renew_certificate(device=pump)
    revoke_certificate(certificate=certificate)
    thief = board(rabbit, old)
    assert thief.connect(pump.hex) == ACCEPTED
    assert thief.is_closed()
    good = board(rabbit, files_of(pump))
    assert good.connect(pump.hex) == ACCEPTED
    wait_until(lambda: BrokerConnection.objects.filter(device_id=pump.pk).count() == 1, "the good one in the table")
    good.ping()


def test_a_device_has_one_connection_whatever_it_speaks(rabbit: RunningRabbit, start_bridge: StartBridge, pump: Device) -> None:
    start_bridge()
    tls = pika.SSLOptions(client_context(rabbit.pki, files_of(pump)), "localhost")
    amqp = pika.ConnectionParameters("localhost", rabbit.ports.amqps, "/", ExternalCredentials(), ssl_options=tls)
    first = board(rabbit, files_of(pump))
    assert first.connect(pump.hex) == ACCEPTED
    wait_until(lambda: Presence.objects.filter(device=pump, protocol="MQTT 3.1.1").exists(), "presence over MQTT")
    second = pika.BlockingConnection(amqp)
    assert first.is_closed()
    wait_until(lambda: Presence.objects.filter(device=pump, protocol="AMQP 0-9-1").exists(), "presence over AMQP")
    third = board(rabbit, files_of(pump))
    assert third.connect(pump.hex) == ACCEPTED
    with pytest.raises(ConnectionClosedByBroker, match="connected again"):
        second.process_data_events(10)
    third.ping()
    wait_until(lambda: BrokerConnection.objects.filter(device_id=pump.pk).count() == 1, "the newest alone in the table")
    assert Presence.objects.get(device=pump).connected


def test_who_is_not_known_any_more_is_found_without_an_order(rabbit: RunningRabbit, pump: Device) -> None:
    wire = board(rabbit, files_of(pump))
    assert wire.connect(pump.hex) == ACCEPTED
    wait_until(lambda: any(one["user"] == pump.hex for one in management.connections()), "the list of connections")
    delete_device(device=pump)  # and nobody listens to the order
    Warden().look()
    assert wire.is_closed()


def test_a_bridge_that_was_away_hears_who_came_and_went(rabbit: RunningRabbit, start_bridge: StartBridge, pump: Device) -> None:
    first = start_bridge()
    wire = board(rabbit, files_of(pump))
    assert wire.connect(pump.hex) == ACCEPTED
    wait_until(lambda: Presence.objects.filter(device=pump, connected=True).exists(), "presence")
    assert first.stop()
    wire.die()
    start_bridge()
    wait_until(lambda: Presence.objects.filter(device=pump, connected=False).exists(), "absence")
    assert PresenceChange.objects.filter(device=pump, state="disconnected").count() == 1
    assert Presence.objects.get(device=pump).address == "127.0.0.1"


def test_a_device_that_came_before_the_first_bridge_is_connected_as_soon_as_that_looks(
    rabbit: RunningRabbit, start_bridge: StartBridge, pump: Device
) -> None:
    with pika.BlockingConnection(service_parameters(rabbit, "bridge")) as link:
        for queue in (STREAM, EVENT_QUEUE):
            link.channel().queue_delete(queue)
    assert board(rabbit, files_of(pump)).connect(pump.hex) == ACCEPTED
    wait_until(lambda: any(one["user"] == pump.hex for one in management.connections()), "the list of connections")
    start_bridge()
    wait_until(lambda: Presence.objects.filter(device=pump, connected=True).exists(), "its presence")

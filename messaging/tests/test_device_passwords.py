"""Devices that cannot hold a certificate, over real sockets: let in by a password, where operator and owner want that."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection, transaction
from pytest_django import Settings

from devices.models import Device, DeviceSecret, EventKind
from devices.services import delete_device, issue_secret, revoke_secret
from devices.tests.factories import make_account, make_device
from messaging.broker.doorway import Doorway
from messaging.management.commands import run_broker
from messaging.tests.broker.wire import CONNACK, Wire, connect_packet, wait_until
from messaging.tests.identity import IdentityBroker, files_of, identity_broker

pytestmark = pytest.mark.django_db(transaction=True)
ACCEPTED, REJECTED, UNAVAILABLE, BAD_CREDENTIALS, NOT_AUTHORISED = 0, 2, 3, 4, 5


@pytest.fixture
def broker(pki: Path, transactional_db: None, clean_valkey: None, settings: Settings) -> Iterator[IdentityBroker]:
    settings.DEVICE_PASSWORDS = True
    with identity_broker(pki) as running:
        wait_until(running.hears_orders, "the line to Valkey")
        yield running


@pytest.fixture
def pump(broker: IdentityBroker) -> Device:
    return make_device(make_account("alice"))


def sign_in(broker: IdentityBroker, name: str, password: str, client_id: str | None = None) -> tuple[int, Wire]:
    board = broker.password_board()
    return board.connect(name if client_id is None else client_id, login=(name, password)), board


def test_a_device_comes_in_with_its_password_and_touches_its_own_topics_alone(broker: IdentityBroker, pump: Device) -> None:
    code, board = sign_in(broker, pump.hex, issue_secret(device=pump))
    assert code == ACCEPTED
    assert board.subscribe(f"{pump.hex}/#", "#", "server/#", f"{'0' * 32}/#") == [1, 128, 128, 128]
    assert DeviceSecret.objects.get().used_at is not None
    gateway = broker.client("portal.gateway")
    assert gateway.subscribe(f"server/{pump.hex}/#") == [1]
    gateway.publish(f"{pump.hex}/get_gpio", b"?")
    assert board.receive().payload == b"?"
    board.publish(f"server/{'0' * 32}/get_gpio", b"another's")
    board.publish(f"server/{pump.hex}/get_gpio", b"!")
    assert gateway.receive().payload == b"!"


@pytest.mark.parametrize("wrong", ["", "x" * 43, "no", "x" * 129, "x" * 60_000])
def test_no_other_password_opens_and_the_owners_timeline_is_not_filled_by_guesses(
    broker: IdentityBroker, pump: Device, wrong: str
) -> None:
    issue_secret(device=pump)
    assert sign_in(broker, pump.hex, wrong)[0] in (BAD_CREDENTIALS, NOT_AUTHORISED)
    assert sign_in(broker, pump.hex, DeviceSecret.objects.get().secret_hash)[0] == NOT_AUTHORISED  # what lies in the database
    assert broker.broker._refusal_told == {}
    assert broker.broker.connected() == set()


def test_a_password_is_one_devices_and_never_a_services(broker: IdentityBroker, pump: Device) -> None:
    secret, other = issue_secret(device=pump), make_device(make_account("bob"), "Other")
    assert sign_in(broker, other.hex, secret)[0] == NOT_AUTHORISED  # it has none
    issue_secret(device=other)
    assert sign_in(broker, other.hex, secret)[0] == NOT_AUTHORISED
    assert sign_in(broker, pump.hex, secret, client_id=other.hex)[0] == REJECTED
    for name in ("portal.bridge", "portal.gateway", "", pump.hex.upper(), str(pump.id)):
        assert sign_in(broker, name, secret)[0] == BAD_CREDENTIALS
    assert broker.password_board().connect(pump.hex) == BAD_CREDENTIALS


def test_a_password_is_worth_nothing_at_the_door_for_certificates(broker: IdentityBroker, pump: Device) -> None:
    secret, other = issue_secret(device=pump), make_device(make_account("bob"), "Other")
    assert broker.board(files_of(other)).connect(pump.hex, login=(pump.hex, secret)) == REJECTED
    with pytest.raises((ssl.SSLError, AssertionError, OSError)):
        broker.tls(None).connect(pump.hex, login=(pump.hex, secret))


def test_a_new_password_ends_the_old_one_and_its_connection_at_once(broker: IdentityBroker, pump: Device) -> None:
    old = issue_secret(device=pump)
    _, board = sign_in(broker, pump.hex, old)
    new = issue_secret(device=pump)
    assert board.is_closed()
    assert sign_in(broker, pump.hex, old)[0] == NOT_AUTHORISED
    code, board = sign_in(broker, pump.hex, new)
    assert code == ACCEPTED
    assert revoke_secret(device=pump)
    assert board.is_closed()
    assert sign_in(broker, pump.hex, new)[0] == NOT_AUTHORISED
    assert not revoke_secret(device=pump)
    said = list(pump.events.filter(kind__startswith="secret").order_by("time").values_list("kind", "detail__rotated"))
    assert said == [(EventKind.SECRET_ISSUED, False), (EventKind.SECRET_ISSUED, True), (EventKind.SECRET_REVOKED, None)]


def test_revoking_the_password_leaves_a_connection_with_the_certificate_alone(broker: IdentityBroker, pump: Device) -> None:
    issue_secret(device=pump)
    board = broker.board(files_of(pump))
    assert board.connect(pump.hex) == ACCEPTED
    revoke_secret(device=pump)
    board.ping()


def test_a_deleted_device_has_no_password(broker: IdentityBroker, pump: Device) -> None:
    secret = issue_secret(device=pump)
    _, board = sign_in(broker, pump.hex, secret)
    delete_device(device=pump)
    assert board.is_closed()
    assert sign_in(broker, pump.hex, secret)[0] == NOT_AUTHORISED
    assert not DeviceSecret.objects.exists()


def test_the_operators_switch_ends_all_of_them(broker: IdentityBroker, pump: Device, settings: Settings) -> None:
    secret = issue_secret(device=pump)
    _, board = sign_in(broker, pump.hex, secret)
    settings.DEVICE_PASSWORDS = False
    assert broker.run(broker.broker.recheck()) == 0
    assert board.is_closed()
    assert sign_in(broker, pump.hex, secret)[0] == NOT_AUTHORISED


def test_there_is_no_such_port_unless_the_operator_wants_one(pki: Path, settings: Settings) -> None:
    assert run_broker._password_door() is None
    settings.DEVICE_PASSWORDS = True
    door = run_broker._password_door()
    assert door is not None
    assert door.port == settings.DEVICE_PASSWORD_PORT


def test_a_flood_at_the_door_for_passwords_keeps_neither_certificates_nor_other_addresses_out(
    pki: Path, transactional_db: None, clean_valkey: None, settings: Settings
) -> None:
    settings.DEVICE_PASSWORDS = True
    pump, lamp = make_device(make_account("alice")), make_device(make_account("bob"), "Lamp")
    hello = connect_packet(pump.hex, login=(pump.hex, "x" * 43))
    secret = issue_secret(device=pump)
    with identity_broker(pki, passwords_waiting_of_address=3, passwords_waiting=5) as broker:
        with transaction.atomic(), connection.cursor() as db:
            db.execute("LOCK TABLE devices_devicesecret IN ACCESS EXCLUSIVE MODE")  # so each look at a password waits
            flood = [broker.password_board() for _ in range(3)]
            for one in flood:
                one.send(hello)
            wait_until(lambda: broker.call(lambda: broker.broker.doorway.waiting) == 3, "the flood waits")
            assert broker.password_board().connect(pump.hex, login=(pump.hex, secret)) == UNAVAILABLE
            assert broker.board(files_of(lamp)).connect(lamp.hex) == ACCEPTED  # at once: by threads of its own
            other = broker.password_board("127.0.0.2")
            other.send(connect_packet(pump.hex, login=(pump.hex, secret)))
            wait_until(lambda: broker.call(lambda: broker.broker.doorway.waiting) == 4, "another address waits too")
            last = broker.password_board("127.0.0.3")
            last.send(hello)
            wait_until(lambda: broker.call(lambda: broker.broker.doorway.waiting) == 5, "so does a third")
            assert broker.password_board("127.0.0.4").connect(pump.hex, login=(pump.hex, secret)) == UNAVAILABLE
        assert other.expect(CONNACK)[1] == ACCEPTED
        assert [one.expect(CONNACK)[1] for one in (*flood, last)] == [NOT_AUTHORISED] * 4
        wait_until(lambda: broker.call(lambda: broker.broker.doorway.waiting) == 0, "nobody waits")


def test_an_address_of_ipv6_counts_with_its_neighbours() -> None:
    door = Doorway(most=10, most_of_address=1)
    came = ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "::ffff:192.0.2.1", "::ffff:192.0.2.2")
    assert [door.enter(one) for one in came] == [True, False, True, True, True]
    door.leave("2001:db8::1")
    assert door.enter("2001:db8::ffff")


def test_the_simulator_is_a_device_with_a_password(broker: IdentityBroker, pump: Device, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(issue_secret(device=pump) + "\n")
    files = ["--ca", str(broker.pki / "root-ca.pem"), "--password-file", str(tmp_path / "password")]
    where = ["--host", "localhost", "--port", str(broker.broker.password_port)]
    command = [sys.executable, "-m", "simulators.mqtt", "--id", pump.hex, *files, *where, "-q"]
    gateway = broker.client("portal.gateway")
    gateway.subscribe(f"server/{pump.hex}/#")
    board = subprocess.Popen(command, cwd=settings.BASE_DIR, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: bool(broker.call(subscriptions, broker, pump)), "the device listens")
        gateway.publish(f"{pump.hex}/get_status", b"{}")
        assert gateway.receive().payload == b'{"value": "running"}'
    finally:
        board.terminate()
        board.wait(20)


def subscriptions(broker: IdentityBroker, device: Device) -> list[str]:
    session = broker.broker.sessions.get(device.hex)
    return list(session.subscriptions) if session else []

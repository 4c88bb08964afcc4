"""Who gets in, over real sockets with the real registry: what an enemy, a thief and a slow clock do with certificates."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.utils import timezone
from pytest_django import Settings

from devices.models import Certificate, Device, DeviceEvent, EventKind
from devices.pki import private_key_pem, signing, to_pem
from devices.services import CsrRefused, renew_certificate, rescue_certificate, revoke_certificate
from devices.tasks import look_after_certificates
from devices.tests.certificate_requests import for_name, make_csr, new_key
from devices.tests.factories import make_account, make_device
from messaging.tests.broker.wire import wait_until
from messaging.tests.identity import IdentityBroker, files_of, identity_broker

pytestmark = pytest.mark.django_db(transaction=True)
ACCEPTED, REJECTED, NOT_AUTHORISED = 0, 2, 5
HOME, AWAY = "127.0.0.1", "127.0.0.2"


@pytest.fixture
def broker(pki: Path, transactional_db: None, clean_valkey: None) -> Iterator[IdentityBroker]:
    with identity_broker(pki, takeover_flaps=3) as running:
        wait_until(running.hears_orders, "the line to Valkey")
        yield running


@pytest.fixture
def pump(pki: Path, transactional_db: None) -> Device:
    return make_device(make_account("alice"))


def shared(device: Device) -> list[DeviceEvent]:
    return list(device.events.filter(kind=EventKind.CERTIFICATE_SHARED))


# --- one certificate in two places -------------------------------------------------------------------------------------------


def test_a_copy_of_the_files_in_another_place_is_noticed_when_it_pushes_the_board_out(
    broker: IdentityBroker, pump: Device
) -> None:
    files = files_of(pump)
    board, thief = broker.board(files, HOME), broker.board(files, AWAY)
    assert board.connect(pump.hex) == ACCEPTED
    assert thief.connect(pump.hex) == ACCEPTED
    assert board.is_closed()
    wait_until(lambda: len(shared(pump)) == 1, "the alert")
    assert shared(pump)[0].detail["addresses"] == f"{HOME}, {AWAY}"
    assert Certificate.objects.get().shared_lately
    assert broker.board(files, HOME).connect(pump.hex) == ACCEPTED  # which of them is the right one is not for the broker to say


def test_two_boards_behind_one_address_are_noticed_when_they_push_each_other_out(broker: IdentityBroker, pump: Device) -> None:
    files = files_of(pump)
    for _ in range(4):
        assert broker.board(files).connect(pump.hex) == ACCEPTED
    wait_until(lambda: len(shared(pump)) == 1, "the alert")
    assert (shared(pump)[0].detail["addresses"], shared(pump)[0].detail["times"]) == (HOME, 3)


def test_a_board_that_lost_its_link_and_comes_back_is_no_copy(broker: IdentityBroker, pump: Device) -> None:
    files = files_of(pump)
    for _ in range(3):
        board = broker.board(files)
        assert board.connect(pump.hex) == ACCEPTED
    board.die()
    wait_until(lambda: not broker.broker.connected())
    assert broker.board(files, AWAY).connect(pump.hex) == ACCEPTED  # nobody was pushed out: it has moved
    assert not broker.call(lambda: broker.broker._telling)
    assert shared(pump) == []


def test_a_renewed_certificate_that_replaces_the_old_one_is_no_copy(broker: IdentityBroker, pump: Device) -> None:
    assert broker.board(files_of(pump), HOME).connect(pump.hex) == ACCEPTED
    renew_certificate(device=pump)
    assert broker.board(files_of(pump), AWAY).connect(pump.hex) == ACCEPTED
    assert not broker.call(lambda: broker.broker._telling)
    assert shared(pump) == []


# --- dates -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ended(settings: Settings, pki: Path, transactional_db: None) -> Device:
    """Return a device whose certificate really ended a day ago, as it is written in it."""
    settings.CERTIFICATE_DAYS = -1
    device = make_device(make_account("alice"))
    settings.CERTIFICATE_DAYS = 365
    return device


def test_an_ended_certificate_is_refused_said_to_its_owner_and_let_in_when_he_says_so(
    broker: IdentityBroker, ended: Device
) -> None:
    files = files_of(ended)
    assert broker.board(files).connect(ended.hex) == NOT_AUTHORISED
    assert Certificate.objects.get().tried_at is not None
    rescue_certificate(certificate=ended.certificates.get())
    board = broker.board(files)
    assert board.connect(ended.hex) == ACCEPTED
    broker.run(broker.broker._cut_ended())
    board.ping()  # though it has ended
    Certificate.objects.update(rescued_until=timezone.now())
    broker.run(broker.broker._cut_ended())
    assert board.is_closed()
    assert broker.board(files).connect(ended.hex) == NOT_AUTHORISED


def test_a_rescue_is_for_one_certificate_and_ends_with_its_revocation(
    broker: IdentityBroker, ended: Device, settings: Settings
) -> None:
    settings.CERTIFICATE_DAYS = -1
    other = make_device(ended.account, "Other")
    files = files_of(ended)
    rescue_certificate(certificate=ended.certificates.get())
    assert broker.board(files_of(other)).connect(other.hex) == NOT_AUTHORISED
    assert broker.board(files).connect(ended.hex) == ACCEPTED
    revoke_certificate(certificate=ended.certificates.get())
    assert broker.board(files).connect(ended.hex) == NOT_AUTHORISED


def test_a_rescued_device_is_given_its_new_certificate_and_the_old_one_ends(broker: IdentityBroker, ended: Device) -> None:
    files = files_of(ended)
    rescue_certificate(certificate=ended.certificates.get())
    renew_certificate(device=ended)
    assert broker.board(files).connect(ended.hex) == ACCEPTED
    assert broker.board(files_of(ended)).connect(ended.hex) == ACCEPTED
    assert broker.board(files).connect(ended.hex) == NOT_AUTHORISED


def test_a_certificate_that_begins_tomorrow_is_refused_whatever_the_registry_says(
    broker: IdentityBroker, pki: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "BACKDATED", -timedelta(days=1))  # the clock of who signed was a day ahead
    early = make_device(make_account("alice"))
    Certificate.objects.update(not_before=timezone.now() - timedelta(days=2))
    board = broker.board(files_of(early))
    with pytest.raises((AssertionError, OSError)):
        board.connect(early.hex)
    assert broker.broker.connected() == set()


def test_a_board_whose_clock_is_a_day_behind_may_use_a_new_certificate_at_once(broker: IdentityBroker, pump: Device) -> None:
    yesterday = timezone.now() - timedelta(days=1)
    certificate = pump.certificates.get()
    assert certificate.not_before <= yesterday  # what the board itself looks at
    server = ssl.get_server_certificate(("localhost", broker.port), ca_certs=str(broker.pki / "root-ca.pem"))
    assert x509.load_pem_x509_certificate(server.encode()).not_valid_before_utc <= yesterday
    assert broker.board(files_of(pump)).connect(pump.hex) == ACCEPTED


# --- renewed, revoked, too late ----------------------------------------------------------------------------------------------


def test_a_revocation_cuts_the_connection_and_refuses_the_next(broker: IdentityBroker, pump: Device) -> None:
    files, other = files_of(pump), make_device(pump.account, "Other")
    board, bystander = broker.board(files), broker.board(files_of(other))
    assert (board.connect(pump.hex), bystander.connect(other.hex)) == (ACCEPTED, ACCEPTED)
    revoke_certificate(certificate=pump.certificates.get(), reason="key_compromise")
    assert board.is_closed()
    assert broker.board(files).connect(pump.hex) == NOT_AUTHORISED
    bystander.ping()


def test_a_certificate_issued_after_a_revocation_gets_in_and_revives_nothing(broker: IdentityBroker, pump: Device) -> None:
    old = files_of(pump)
    revoke_certificate(certificate=pump.certificates.get())
    renew_certificate(device=pump)
    board = broker.board(files_of(pump))
    assert board.connect(pump.hex) == ACCEPTED
    assert broker.board(old).connect(pump.hex) == NOT_AUTHORISED
    board.ping()  # whoever comes with the old one does not push it out


def test_the_end_of_an_overlap_cuts_who_is_still_connected_with_the_old_certificate(broker: IdentityBroker, pump: Device) -> None:
    old = files_of(pump)
    board = broker.board(old)
    assert board.connect(pump.hex) == ACCEPTED
    renew_certificate(device=pump)
    look_after_certificates()
    board.ping()  # its days are not over
    Certificate.objects.filter(status="retiring").update(retires_at=timezone.now())
    look_after_certificates()
    assert board.is_closed()
    assert broker.board(old).connect(pump.hex) == NOT_AUTHORISED
    assert pump.events.get(kind=EventKind.CERTIFICATE_RETIRED).detail["why"] == "time"
    assert broker.board(files_of(pump)).connect(pump.hex) == ACCEPTED


def test_the_overlap_ends_at_once_when_the_device_comes_with_its_new_certificate(broker: IdentityBroker, pump: Device) -> None:
    old = files_of(pump)
    renew_certificate(device=pump)
    assert broker.board(old).connect(pump.hex) == ACCEPTED
    new = broker.board(files_of(pump))
    assert new.connect(pump.hex) == ACCEPTED
    assert broker.board(old).connect(pump.hex) == NOT_AUTHORISED
    new.ping()


# --- what an enemy asks for --------------------------------------------------------------------------------------------------


def test_a_device_is_not_let_in_under_the_name_of_another(broker: IdentityBroker, pump: Device) -> None:
    other = make_device(make_account("mallory"), "Other")
    assert broker.board(files_of(other)).connect(pump.hex) == REJECTED
    assert broker.board(files_of(other)).connect("portal.bridge") == REJECTED
    assert broker.broker.connected() == set()


def test_what_a_request_asks_for_beyond_its_key_opens_nothing(broker: IdentityBroker, pump: Device) -> None:
    """A request that wants to be an authority, the broker, and another device: of it only the key is in the certificate."""
    key, victim = new_key(), make_device(make_account("bob"), "Victim")
    wishes = [
        x509.BasicConstraints(ca=True, path_length=None),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.UniformResourceIdentifier(victim.id.urn)]),
    ]
    with pytest.raises(CsrRefused):
        renew_certificate(device=pump, csr=for_name(victim.hex, key))
    made = renew_certificate(device=pump, csr=make_csr(key, *wishes))
    files = made.certificate.pem.encode() + private_key_pem(key)
    assert broker.board(files).connect(victim.hex) == REJECTED
    assert broker.board(files).connect(pump.hex) == ACCEPTED
    below = forged(x509.load_pem_x509_certificate(made.certificate.pem.encode()), key, victim.hex)
    with pytest.raises((AssertionError, OSError)):
        broker.board(below + made.certificate.pem.encode()).connect(victim.hex)
    assert broker.broker.connected() == {pump.hex}


def forged(issuer: x509.Certificate, key: EllipticCurvePrivateKey, name: str) -> bytes:
    """Return a certificate for `name` that a device signed with its own, and the key of it."""
    own, now = new_key(), timezone.now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(signing.as_name(name))
        .issuer_name(issuer.subject)
        .public_key(own.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return to_pem(certificate) + private_key_pem(own)

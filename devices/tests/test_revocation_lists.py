"""What is published of revoked certificates, as others read it."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from cryptography import x509
from django.conf import settings as django_settings
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Account
from devices import pki, services
from devices.models import Certificate, Device, RevocationList
from devices.services import publish_lists, retire_authorities, revoke_certificate
from devices.tests.factories import make_account, make_device


@pytest.fixture
def account(db: None, own_pki: Path) -> Account:
    return make_account("alice")


def active(device: Device) -> Certificate:
    return device.certificates.get(status="active")


def published(client: Client, issuer: str | None = None) -> x509.CertificateRevocationList:
    response = client.get(f"/pki/crl/{issuer or pki.authority().id}.crl")
    assert (response.status_code, response["Content-Type"]) == (200, "application/pkix-crl")
    return x509.load_der_x509_crl(response.content)


def test_the_list_is_signed_by_the_issuing_ca_and_names_what_was_revoked(account: Account, client: Client) -> None:
    stolen, replaced, good = (active(make_device(account, name)) for name in ("Stolen", "Replaced", "Good"))
    revoke_certificate(certificate=stolen, reason="key_compromise")
    revoke_certificate(certificate=replaced)
    assert publish_lists() == 1
    crl = published(client)
    issuing = pki.authority().issuing
    assert crl.is_signature_valid(issuing.public_key())  # type: ignore[arg-type]  # it is an EC key
    assert crl.issuer == issuing.subject
    named = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert named.key_identifier == bytes.fromhex(pki.authority().id)
    entry = crl.get_revoked_certificate_by_serial_number(int(stolen.serial, 16))
    assert entry is not None
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason == x509.ReasonFlags.key_compromise
    unspecified = crl.get_revoked_certificate_by_serial_number(int(replaced.serial, 16))
    assert unspecified is not None
    assert not list(unspecified.extensions)
    assert crl.get_revoked_certificate_by_serial_number(int(good.serial, 16)) is None
    assert crl.next_update_utc is not None
    assert timedelta(days=6) < crl.next_update_utc - datetime.now(UTC) <= timedelta(days=7)


def test_openssl_reads_it_and_refuses_what_is_in_it(account: Account, client: Client, own_pki: Path, tmp_path: Path) -> None:
    revoked, good = make_device(account, "Revoked"), make_device(account, "Good")
    revoke_certificate(certificate=active(revoked), reason="cessation_of_operation")
    publish_lists()
    der = client.get(f"/pki/crl/{pki.authority().id}.crl").content
    (tmp_path / "list.der").write_bytes(der)
    convert = [
        "openssl",
        "crl",
        "-inform",
        "DER",
        "-in",
        "list.der",
        "-out",
        "list.pem",
        "-CAfile",
        str(own_pki / "clients-ca.pem"),
    ]
    done = subprocess.run(convert, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=30)
    assert "verify OK" in done.stderr

    def verify(device: Device) -> subprocess.CompletedProcess[str]:
        (tmp_path / "device.pem").write_text(device.certificates.get().pem)
        command = [
            "openssl",
            "verify",
            "-crl_check",
            "-CRLfile",
            "list.pem",
            "-CAfile",
            str(own_pki / "clients-ca.pem"),
            "device.pem",
        ]
        return subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=30)

    assert verify(good).returncode == 0
    assert "certificate revoked" in verify(revoked).stderr


def test_each_list_has_a_higher_number(account: Account, client: Client) -> None:
    numbers = []
    for _ in range(3):
        publish_lists()
        numbers.append(published(client).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
    assert numbers == [1, 2, 3]


def test_what_has_ended_by_itself_is_left_out(account: Account, client: Client) -> None:
    certificate = active(make_device(account))
    revoke_certificate(certificate=certificate)
    Certificate.objects.update(not_after=timezone.now() - timedelta(seconds=1))
    publish_lists()
    assert len(list(published(client))) == 0


def test_a_deleted_devices_certificate_is_in_it(account: Account, client: Client) -> None:
    device = make_device(account)
    services.delete_device(device=device)
    publish_lists()
    assert len(list(published(client))) == 1


def test_each_issuing_ca_has_its_own_list_until_it_is_retired_and_a_last_one_then(account: Account, client: Client) -> None:
    device = make_device(account)
    old, certificate = pki.authority(), active(device)
    pki.rotate()
    revoke_certificate(certificate=active(make_device(account, "New")))
    assert publish_lists() == 2
    assert len(list(published(client, old.id))) == 0
    assert len(list(published(client))) == 1
    assert retire_authorities() == []  # the first device still uses it
    revoke_certificate(certificate=certificate)
    assert retire_authorities() == [old.id]
    last = published(client, old.id)
    assert last.next_update_utc == old.issuing.not_valid_after_utc
    assert len(list(last)) == 1
    assert publish_lists() == 1
    assert published(client, old.id) == last


def test_a_ca_is_not_retired_while_an_expired_certificate_may_be_let_in_again(account: Account) -> None:
    make_device(account)
    pki.rotate()
    Certificate.objects.update(not_after=timezone.now() - timedelta(days=29))
    assert retire_authorities() == []
    Certificate.objects.update(not_after=timezone.now() - timedelta(days=31))
    assert len(retire_authorities()) == 1


def test_the_root_is_for_everybody_and_other_lists_are_not_there(account: Account, client: Client) -> None:
    response = client.get("/pki/ca.pem")
    assert response.content == pki.authority().root_pem
    assert "PRIVATE" not in response.content.decode()
    assert client.get(f"/pki/crl/{'0' * 40}.crl").status_code == 404
    assert client.get("/pki/crl/../issuing-ca.key").status_code == 404
    assert client.post("/pki/ca.pem").status_code == 405


def test_certificates_say_where_the_list_is_if_the_setting_says_so(account: Account, settings: Settings) -> None:
    def points(device: Device) -> list[str]:
        extensions = x509.load_pem_x509_certificate(active(device).pem.encode()).extensions
        try:
            found = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        except x509.ExtensionNotFound:
            return []
        return [str(name.value) for point in found for name in point.full_name or []]

    assert points(make_device(account, "Without")) == []
    settings.CRL_IN_CERTIFICATES = True
    assert points(make_device(account, "With")) == [f"{settings.PORTAL_URL}/pki/crl/{pki.authority().id}.crl"]


@pytest.mark.django_db(transaction=True)
def test_a_revocation_has_the_lists_made_anew_once_for_all_of_the_same_second(pki: Path, clean_valkey: None) -> None:
    account = make_account("alice")
    devices = [make_device(account, name) for name in ("Pump", "Lamp")]
    with redis.Redis.from_url(django_settings.VALKEY_URL) as valkey:
        queued = valkey.llen("celery")
        for device in devices:
            revoke_certificate(certificate=active(device))
        services.delete_device(device=devices[0])
        assert valkey.llen("celery") == queued + 1
    assert not RevocationList.objects.exists()  # the worker makes them

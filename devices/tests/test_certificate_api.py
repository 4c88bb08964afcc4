"""Certificates in the API, from the request to the row."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import Account, ApiToken, User
from devices import services
from devices.models import Certificate, Device
from devices.tests.certificate_requests import for_name, make_csr, new_key
from devices.tests.factories import make_account, make_device
from devices.tests.test_api import DEVICES, client_of, path


@pytest.fixture
def alice(account: Account) -> User:
    return account.members.get()


@pytest.fixture
def api(alice: User) -> APIClient:
    return client_of(alice)


@pytest.fixture
def pump(account: Account) -> Device:
    return make_device(account)


def active(device: Device) -> Certificate:
    return device.certificates.get(status="active")


def at(certificate: Certificate, end: str = "") -> str:
    return path(certificate.device, f"/certificates/{certificate.pk.hex}{end}")


def test_a_device_with_its_own_key_is_registered(api: APIClient, account: Account) -> None:
    key = new_key()
    answer = api.post(DEVICES, {"name": "Board", "csr": make_csr(key)})
    assert answer.status_code == 201
    body = answer.json()
    assert body["private_key"] is None
    certificate = x509.load_pem_x509_certificate(body["certificate"].encode())
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == f"CN={body['id']}"


@pytest.mark.parametrize("csr", ["", "nonsense", "A" * 9000, 7, None, for_name("portal.gateway")])
def test_a_bad_request_is_refused_at_its_field(api: APIClient, account: Account, csr: object) -> None:
    answer = api.post(DEVICES, {"name": "Board", "csr": csr})
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["csr"]
    assert not Device.objects.exists()


def test_a_renewal_gives_the_new_certificate_and_its_key_once(api: APIClient, pump: Device) -> None:
    answer = api.post(path(pump, "/certificates"), {"key_algorithm": "rsa"})
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    body = answer.json()
    certificate = x509.load_pem_x509_certificate(body["certificate"].encode())
    assert load_pem_private_key(body["private_key"].encode(), None).public_key() == certificate.public_key()
    assert (body["status"], body["key_algorithm"], body["key_bits"]) == ("active", "rsa", 2048)
    assert "private_key" not in api.get(at(active(pump))).json()
    listed = api.get(path(pump, "/certificates")).json()["results"]
    assert [one["status"] for one in listed] == ["retiring", "active"]
    assert listed[0]["retires_at"] is not None


def test_a_device_renews_with_a_request_that_names_it(api: APIClient, pump: Device) -> None:
    assert api.post(path(pump, "/certificates"), {"csr": for_name(uuid4().hex)}).status_code == 400
    body = api.post(path(pump, "/certificates"), {"csr": for_name(pump.hex)}).json()
    assert (body["key_origin"], body["private_key"], body["key_kept"]) == ("device", None, False)


def test_a_revocation_is_for_ever(api: APIClient, pump: Device) -> None:
    certificate = active(pump)
    assert api.post(at(certificate, "/revoke"), {"reason": "because"}).status_code == 400
    body = api.post(at(certificate, "/revoke"), {"reason": "key_compromise"}).json()
    assert (body["status"], body["revocation_reason"]) == ("revoked", "key_compromise")
    assert api.post(at(certificate, "/revoke"), {}).json()["revocation_reason"] == "key_compromise"
    assert pump.events.get(kind="certificate_revoked").detail["by"] == "alice"


def test_an_expired_certificate_is_let_in_again_and_no_other(api: APIClient, pump: Device) -> None:
    certificate = active(pump)
    answer = api.post(at(certificate, "/rescue"), {})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_expired")
    Certificate.objects.update(not_after=timezone.now() - timedelta(days=1))
    assert api.post(at(certificate, "/rescue"), {}).json()["rescued_until"] is not None
    services.revoke_certificate(certificate=certificate)
    assert api.post(at(certificate, "/rescue"), {}).status_code == 409


def test_the_kept_key_is_forgotten_by_deleting_its_file(api: APIClient, pump: Device) -> None:
    assert api.delete(path(pump, "/files/device.crt")).status_code == 404
    for _ in range(2):
        assert api.delete(path(pump, "/files/device.key")).status_code == 204
    assert api.get(path(pump, "/files/device.key")).status_code == 409
    assert active(pump).is_valid()


def test_the_pkcs12_file_opens_with_its_password(api: APIClient, pump: Device) -> None:
    assert api.post(path(pump, "/pkcs12"), {"password": "short"}).status_code == 400
    answer = api.post(path(pump, "/pkcs12"), {"password": "long enough €"})
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/x-pkcs12")
    key, certificate, _ = load_key_and_certificates(answer.content, "long enough €".encode())
    assert key is not None
    assert certificate is not None
    assert key.public_key() == certificate.public_key()
    services.forget_key(device=pump)
    assert api.post(path(pump, "/pkcs12"), {"password": "long enough"}).json()["code"] == "key_unavailable"


def test_all_certificates_are_listed_and_narrowed(api: APIClient, pump: Device, account: Account) -> None:
    make_device(make_account("mallory"), "Foreign")
    services.renew_certificate(device=make_device(account, "Lamp"))
    assert len(api.get("/api/v1/certificates").json()["results"]) == 3
    assert len(api.get("/api/v1/certificates?status=retiring").json()["results"]) == 1
    assert api.get("/api/v1/certificates?status=lost").status_code == 400
    assert len(api.get("/api/v1/certificates?page_size=1").json()["results"]) == 1


def test_a_strangers_certificates_are_not_there(api: APIClient, pump: Device) -> None:
    foreign = active(make_device(make_account("mallory"), "Foreign"))
    for address in (at(foreign), path(pump, f"/certificates/{foreign.pk.hex}"), path(pump, "/certificates/x")):
        assert api.get(address).status_code == 404
        assert api.post(address + "/revoke", {}).status_code == 404
    assert api.get(path(foreign.device, "/certificates")).status_code == 404
    assert api.post(path(foreign.device, "/certificates"), {}).status_code == 404
    assert Certificate.objects.get(pk=foreign.pk).is_valid()


def test_a_reading_token_reads_and_does_no_more(alice: User, pump: Device) -> None:
    reader = client_of(alice, ApiToken.Scope.READ)
    certificate = active(pump)
    assert reader.get(path(pump, "/certificates")).status_code == 200
    assert reader.get(at(certificate)).status_code == 200
    for method, address in [
        ("post", path(pump, "/certificates")),
        ("post", at(certificate, "/revoke")),
        ("post", at(certificate, "/rescue")),
        ("post", path(pump, "/pkcs12")),
        ("delete", path(pump, "/files/device.key")),
        ("delete", path(pump, "/files/root-ca.pem")),
    ]:
        assert getattr(reader, method)(address, {}).status_code == 403, address

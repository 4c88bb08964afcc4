"""Certificates on the pages: register with a request, renew, revoke, let in again, what ends when."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account, Role, User
from devices import services
from devices.models import Certificate, Device
from devices.tests.certificate_requests import for_name, make_csr, new_key
from devices.tests.factories import make_account, make_device, make_member


@pytest.fixture
def alice(account: Account) -> User:
    return account.members.get()


@pytest.fixture
def browser(alice: User, client: Client) -> Client:
    client.force_login(alice)
    return client


@pytest.fixture
def pump(account: Account) -> Device:
    return make_device(account, "Greenhouse pump")


def active(device: Device) -> Certificate:
    return device.certificates.get(status="active")


def url(device: Device, name: str, *more: object) -> str:
    return reverse(f"devices:{name}", args=[device.hex, *more])


def page(client: Client, address: str, status: int = 200) -> str:
    response = client.get(address)
    assert response.status_code == status
    return response.content.decode()


def expire(device: Device) -> Certificate:
    certificate = active(device)
    Certificate.objects.filter(pk=certificate.pk).update(not_after=timezone.now() - timedelta(days=3))
    return active(device)


# --- registering with a request ----------------------------------------------------------------------------------------------

FORM = {"name": "Board", "profile": "standard", "key_algorithm": "csr"}


@pytest.mark.parametrize("pasted", [True, False], ids=["pasted", "uploaded"])
def test_a_device_with_its_own_key_is_registered(browser: Client, account: Account, pasted: bool) -> None:
    key = new_key()
    csr = make_csr(key)
    given = {"csr": csr} if pasted else {"csr_file": SimpleUploadedFile("device.csr", csr.encode())}
    response = browser.post(reverse("devices:register"), FORM | given, follow=True)
    html = response.content.decode()
    certificate = Certificate.objects.get(device__name="Board")
    assert x509.load_pem_x509_certificate(certificate.pem.encode()).public_key() == key.public_key()
    assert "made on the device and has never left it" in html
    assert "device.key" not in html
    assert "iot_config.h" in html


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "Paste the certificate request"),
        ({"csr": "nonsense"}, "not a certificate request"),
        ({"csr": "A" * 9000}, "at most 8192 characters"),
        ({"csr_file": SimpleUploadedFile("x.csr", b"\xff\xfe" * 20)}, "not a certificate request"),
        ({"csr_file": SimpleUploadedFile("x.csr", b"A" * 1_000_000)}, "8 KiB"),
        ({"csr": for_name("portal.gateway")}, "leave the subject empty"),
    ],
    ids=["nothing", "nonsense", "long", "bytes", "huge", "named"],
)
def test_a_bad_request_is_refused_at_its_field(browser: Client, account: Account, given: dict[str, object], said: str) -> None:
    response = browser.post(reverse("devices:register"), FORM | given)
    assert response.status_code == 400
    html = response.content.decode()
    assert said in html
    assert 'value="Board"' in html
    assert not Device.objects.exists()


def test_an_upload_that_never_ends_is_cut_off(browser: Client, account: Account) -> None:
    flood = SimpleUploadedFile("x.csr", b"A" * (13 * 1024 * 1024))
    assert browser.post(reverse("devices:register"), FORM | {"csr_file": flood}).status_code == 400
    assert not Device.objects.exists()


# --- renewing ----------------------------------------------------------------------------------------------------------------


def test_a_renewal_says_what_becomes_of_the_old_one(browser: Client, pump: Device) -> None:
    before = active(pump)
    html = page(browser, url(pump, "renew"))
    assert "keeps working until" in html
    assert "14 days" in html
    response = browser.post(url(pump, "renew"), {"key_algorithm": "rsa"}, follow=True)
    html = response.content.decode()
    assert active(pump).key_algorithm == "rsa"
    assert "The earlier certificate still works" in html
    assert url(pump, "certificate", before.pk) in html


def test_a_device_renews_with_a_request(browser: Client, pump: Device) -> None:
    assert browser.post(url(pump, "renew"), {"key_algorithm": "csr", "csr": for_name(uuid4().hex)}).status_code == 400
    browser.post(url(pump, "renew"), {"key_algorithm": "csr", "csr": for_name(pump.hex)})
    assert active(pump).key_origin == "device"
    assert 'value="csr" checked' in page(browser, url(pump, "renew"))


def test_a_certificate_has_a_page_with_everything_to_copy(browser: Client, pump: Device) -> None:
    certificate = active(pump)
    html = page(browser, url(pump, "certificate", certificate.pk))
    for shown in (certificate.serial, certificate.issuer, certificate.pem.splitlines()[3]):
        assert shown in html
    assert 'data-copy="#fingerprint"' in html
    assert "PRIVATE KEY" not in html


# --- revoking and letting in again -------------------------------------------------------------------------------------------


def test_a_revocation_asks_why_and_is_said_afterwards(browser: Client, pump: Device) -> None:
    certificate = active(pump)
    address = url(pump, "revoke", certificate.pk)
    assert "Revoke the certificate of Greenhouse pump?" in page(browser, address)
    assert browser.post(address, {"reason": "because"}).status_code == 400
    assert active(pump) == certificate
    html = browser.post(address, {"reason": "key_compromise"}, follow=True).content.decode()
    assert "The certificate is revoked." in html
    assert "It has no certificate, so the broker does not let it in" in html
    certificate.refresh_from_db()
    assert certificate.revocation_reason == "key_compromise"
    assert "lost or stolen" in page(browser, url(pump, "certificate", certificate.pk))


def test_an_expired_certificate_is_said_and_let_in_again_after_a_question(browser: Client, pump: Device) -> None:
    certificate = expire(pump)
    html = page(browser, url(pump, "detail"))
    assert "Its certificate ended on" in html
    assert "It tried to connect" not in html
    services.note_expired(certificate=certificate)
    html = page(browser, url(pump, "detail"))
    assert "It tried to connect" in html
    assert url(pump, "rescue", certificate.pk) in html
    assert url(pump, "rescue", certificate.pk) in page(browser, url(pump, "certificate", certificate.pk))
    assert "Whoever has its key" in page(browser, url(pump, "rescue", certificate.pk))
    html = browser.post(url(pump, "rescue", certificate.pk), follow=True).content.decode()
    assert "It is let in for 24 hours." in html
    assert active(pump).is_valid()
    assert url(pump, "rescue", certificate.pk) not in page(browser, url(pump, "certificate", certificate.pk))


def test_what_is_good_needs_no_rescue(browser: Client, pump: Device) -> None:
    html = browser.post(url(pump, "rescue", active(pump).pk), follow=True).content.decode()
    assert "It has not ended yet." in html
    assert active(pump).rescued_until is None


def test_two_places_are_said_with_what_to_do(browser: Client, pump: Device) -> None:
    certificate = active(pump)
    services.note_shared(fingerprint=certificate.fingerprint, addresses=["192.0.2.1"], times=4, minutes=10)
    html = page(browser, url(pump, "detail"))
    assert "used in two places at once" in html
    assert url(pump, "revoke", certificate.pk) in html
    Certificate.objects.update(shared_at=timezone.now() - timedelta(days=8))
    assert "used in two places at once" not in page(browser, url(pump, "detail"))
    Certificate.objects.update(shared_at=timezone.now())
    services.renew_certificate(device=pump)
    assert "used in two places at once" not in page(browser, url(pump, "detail"))


def test_a_certificate_that_ends_soon_is_said(browser: Client, pump: Device) -> None:
    Certificate.objects.update(not_after=timezone.now() + timedelta(days=9, hours=1))
    assert "Its certificate ends in 9 days." in page(browser, url(pump, "detail"))


# --- files -------------------------------------------------------------------------------------------------------------------


def test_the_pkcs12_file_opens_with_its_password_alone(browser: Client, pump: Device) -> None:
    assert "Password of the file" in page(browser, url(pump, "pkcs12"))
    assert browser.post(url(pump, "pkcs12"), {"password": "short"}).status_code == 400
    response = browser.post(url(pump, "pkcs12"), {"password": "a long way"})
    assert response["Content-Disposition"] == 'attachment; filename="greenhouse-pump.p12"'
    key, certificate, more = load_key_and_certificates(response.content, b"a long way")
    assert certificate is not None
    assert key is not None
    assert certificate.public_key() == key.public_key()
    assert len(more) == 2
    with pytest.raises(ValueError, match="password"):
        load_key_and_certificates(response.content, b"another way")
    services.forget_key(device=pump)
    assert browser.post(url(pump, "pkcs12"), {"password": "a long way"}).status_code == 409


# --- what ends when ----------------------------------------------------------------------------------------------------------


def test_the_forecast_lists_what_ends_by_month_and_the_ended_first(browser: Client, account: Account) -> None:
    now = timezone.now()
    for name, days in (("Gone", -3), ("Soon", 20), ("Later", 300)):
        device = make_device(account, name)
        Certificate.objects.filter(device=device).update(not_after=now + timedelta(days=days))
    make_device(make_account("mallory"), "Foreign")
    html = page(browser, reverse("devices:forecast"))
    assert html.index("Ended") < html.index("Gone") < html.index("Soon") < html.index("Later")
    assert f"{now + timedelta(days=300):%B %Y}" in html
    assert "Foreign" not in html


def test_an_empty_forecast_says_what_to_do(browser: Client, account: Account) -> None:
    assert "No certificates" in page(browser, reverse("devices:forecast"))


def test_several_are_renewed_in_one_go_once_that_was_confirmed(browser: Client, account: Account) -> None:
    first, second, third = (make_device(account, name) for name in ("Pump", "Lamp", "Fan"))
    before = {device: active(device) for device in (first, second, third)}
    ids = [before[first].pk.hex, before[second].pk.hex]
    html = browser.post(reverse("devices:forecast"), {"certificate": ids}).content.decode()
    assert "Renew 2 certificates?" in html
    assert active(first) == before[first]
    confirmed = {"certificate": ids, "confirmed": "1"}
    html = browser.post(reverse("devices:forecast"), confirmed).content.decode()
    assert "2 certificates renewed" in html
    assert url(first, "file", "device.zip") in html
    assert [active(device) == before[device] for device in (first, second, third)] == [False, False, True]
    again = active(first)
    browser.post(reverse("devices:forecast"), confirmed)  # the page is loaded again
    assert active(first) == again


def test_only_own_certificates_with_keys_of_the_portal_are_renewed(browser: Client, account: Account, pump: Device) -> None:
    foreign = make_device(make_account("mallory"), "Foreign")
    own = services.register_device(account=account, name="Board", csr=make_csr()).certificate
    ids = [active(foreign).pk.hex, own.pk.hex, "nonsense", str(uuid4()), ""]
    response = browser.post(reverse("devices:forecast"), {"certificate": ids, "confirmed": "1"})
    assert response.status_code == 400
    assert "Choose at least one certificate" in response.content.decode()
    assert Certificate.objects.count() == 3
    assert "renew with a request" in page(browser, reverse("devices:forecast"))


# --- others ------------------------------------------------------------------------------------------------------------------


def test_anothers_certificates_are_not_there(browser: Client, pump: Device, pki: Path) -> None:
    foreign = make_device(make_account("mallory"), "Foreign")
    theirs = active(foreign)
    for device in (foreign, pump):  # nor by way of a device of one's own
        for name in ("certificate", "revoke", "rescue"):
            page(browser, url(device, name, theirs.pk), 404)
        assert browser.post(url(device, "revoke", theirs.pk), {"reason": "unspecified"}).status_code == 404
    assert active(foreign) == theirs


def test_a_viewer_may_look_at_certificates_and_nothing_else(client: Client, account: Account, pump: Device) -> None:
    client.force_login(make_member(account, "victor", Role.VIEWER))
    certificate = active(pump)
    assert "Revoke" not in page(client, url(pump, "certificate", certificate.pk))
    for address in (url(pump, "renew"), url(pump, "revoke", certificate.pk), url(pump, "rescue", certificate.pk)):
        assert client.post(address, {"reason": "unspecified"}).status_code == 403
    ids = {"certificate": certificate.pk.hex, "confirmed": "1"}
    client.post(reverse("devices:forecast"), ids)
    assert active(pump) == certificate

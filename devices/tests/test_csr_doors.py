"""Every door that takes a certificate request, against the requests of an enemy."""

from __future__ import annotations

from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.test import Client

from accounts.models import Account
from devices.models import Certificate, Device
from devices.tests.certificate_requests import for_name, make_csr
from devices.tests.factories import make_device

WEAK = {
    "RSA of 1,024 bits": make_csr(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
    "exponent 3": make_csr(rsa.generate_private_key(public_exponent=3, key_size=2048)),
    "P-384": make_csr(ec.generate_private_key(ec.SECP384R1())),
    "secp256k1": make_csr(ec.generate_private_key(ec.SECP256K1())),
    "the portal's own name": for_name("portal.gateway"),
    "another device's name": for_name(UUID(int=7).hex),
}


@pytest.fixture
def browser(account: Account, client: Client) -> Client:
    client.force_login(account.members.get())
    return client


DOORS = ("/devices/register/", "/devices/{}/renew/", "/api/v1/devices", "/api/v1/devices/{}/certificates")


def send(browser: Client, door: str, device: Device, csr: str) -> int:
    """Send the request to a page or an address of the API; return what it answers."""
    named = {"name": f"Board {DOORS.index(door)}", "profile": "standard", "csr": csr}
    if door.startswith("/api/"):
        body = {"csr": csr} if "{}" in door else named
        return browser.post(door.format(device.hex), body, "application/json").status_code
    return browser.post(door.format(device.hex), {**named, "key_algorithm": "csr"}).status_code


@pytest.mark.parametrize("csr", WEAK.values(), ids=WEAK)
def test_no_door_takes_a_weak_key_or_another_name(browser: Client, account: Account, csr: str) -> None:
    device = make_device(account)
    assert [send(browser, door, device, csr) for door in DOORS] == [400] * 4
    assert Certificate.objects.get().device == Device.objects.get() == device


def test_no_door_gives_what_a_request_asks_for_beyond_its_key(browser: Client, account: Account) -> None:
    device = make_device(account)
    plain = {found.oid for found in x509.load_pem_x509_certificate(device.certificates.get().pem.encode()).extensions}
    wanted = [
        x509.BasicConstraints(ca=True, path_length=9),
        x509.SubjectAlternativeName([x509.DNSName("portal.example.com")]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING]),
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\xff" * 99),
    ]
    assert [send(browser, door, device, make_csr(None, *wanted)) for door in DOORS] == [302, 302, 201, 201]
    for pem in Certificate.objects.filter(key_origin="device").values_list("pem", flat=True):
        made = x509.load_pem_x509_certificate(pem.encode()).extensions
        assert {found.oid for found in made} == plain
        assert not made.get_extension_for_class(x509.BasicConstraints).value.ca
        assert list(made.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_one_key_is_one_devices_at_every_door(browser: Client, account: Account) -> None:
    device, csr = make_device(account), make_csr()
    assert [send(browser, door, device, csr) for door in DOORS] == [302, 400, 400, 400]

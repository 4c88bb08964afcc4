"""What the database refuses, whoever asks it."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, transaction

from accounts.models import Account
from devices.models import Certificate, Device, Pin
from devices.tests.factories import make_account, make_device

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def add_certificate(device: Device, **values: object) -> Certificate:
    given: dict[str, object] = {
        "serial": "1",
        "fingerprint": "f" * 64,
        "key_algorithm": "ec",
        "key_bits": 256,
        "key_hash": "e" * 64,
        "pem": "x",
        "not_before": NOW,
        "not_after": NOW,
    }
    return Certificate.objects.create(device=device, **{**given, **values})


def refused_by(constraint: str, action: Callable[[], object]) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        action()


def test_two_live_devices_of_an_account_have_two_names(account: Account) -> None:
    make_device(account, "Pump")
    refused_by("device_name_unique", lambda: Device.objects.create(account=account, name="pUMP"))
    Device.objects.create(account=account, name="PUMP", deleted_at=NOW)
    Device.objects.create(account=make_account("bob"), name="Pump")


def test_a_device_has_a_name(account: Account) -> None:
    refused_by("device_name_given", lambda: Device.objects.create(account=account, name=""))


def test_a_device_has_one_active_certificate(account: Account) -> None:
    device = make_device(account)
    refused_by("certificate_one_active", lambda: add_certificate(device))
    add_certificate(device, status=Certificate.Status.REVOKED, revoked_at=NOW, revocation_reason="unspecified")


def test_a_device_has_one_retiring_certificate(account: Account) -> None:
    device = make_device(account)
    retiring = {"status": Certificate.Status.RETIRING, "retires_at": NOW}
    add_certificate(device, **retiring)
    refused_by("certificate_one_retiring", lambda: add_certificate(device, serial="2", fingerprint="e" * 64, **retiring))


def test_two_devices_have_two_keys_unless_one_was_revoked(account: Account) -> None:
    pump, lamp = make_device(account, "Pump"), make_device(account, "Lamp")
    taken = {"key_hash": pump.certificates.get().key_hash, "serial": "2", "fingerprint": "e" * 64}
    lamp.certificates.all().delete()
    refused_by("certificate_key_of_one_device", lambda: add_certificate(lamp, **taken))
    pump.certificates.update(status="revoked", revoked_at=NOW, revocation_reason="superseded")
    add_certificate(lamp, **taken)


def test_a_retiring_certificate_says_until_when_and_a_revoked_one_why(account: Account) -> None:
    device = make_device(account)
    refused_by("certificate_revoked_when", lambda: device.certificates.update(status="retiring"))
    refused_by("certificate_revoked_when", lambda: device.certificates.update(status="revoked", revoked_at=NOW))
    refused_by("certificate_revoked_when", lambda: device.certificates.update(retires_at=NOW))
    refused_by("certificate_key_origin_known", lambda: device.certificates.update(key_origin="cloud"))


def test_a_revoked_certificate_says_since_when_and_an_active_one_does_not(account: Account) -> None:
    device = make_device(account)
    refused_by("certificate_revoked_when", lambda: add_certificate(device, status=Certificate.Status.REVOKED))
    refused_by("certificate_revoked_when", lambda: device.certificates.update(revoked_at=NOW))


def test_a_certificate_is_active_or_revoked(account: Account) -> None:
    device = make_device(account)
    refused_by("certificate_(status_known|revoked_when)", lambda: device.certificates.update(status="lost"))


def test_a_fingerprint_and_a_serial_number_are_one_certificates(account: Account) -> None:
    device = make_device(account)
    revoked = {"status": Certificate.Status.REVOKED, "revoked_at": NOW, "revocation_reason": "unspecified"}
    add_certificate(device, **revoked)
    refused_by("serial", lambda: add_certificate(device, fingerprint="e" * 64, **revoked))
    refused_by("fingerprint", lambda: add_certificate(device, serial="2", **revoked))


def test_a_pin_is_there_once(account: Account) -> None:
    device = make_device(account)
    Pin.objects.create(device=device, number=3)
    refused_by("pin_once", lambda: Pin.objects.create(device=device, number=3))

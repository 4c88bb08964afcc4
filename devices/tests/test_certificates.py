"""Renewal, revocation, rescue and warnings in the service: what becomes of which certificate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Account
from devices import hooks, pki, services
from devices.certificates import PAST_SHOWN, shelf
from devices.downloads import KeyUnavailable, device_files, header, private_key
from devices.hooks import ExpiringCertificate
from devices.models import Certificate, Device, EventKind
from devices.services import CsrRefused, KeyInUse, NotExpired, register_device, renew_certificate, revoke_certificate
from devices.tests.certificate_requests import for_name, make_csr, new_key
from devices.tests.factories import at_once, make_account, make_device
from iotportal.celery import app


@contextmanager
def told(hook: str) -> Iterator[list[Any]]:
    heard: list[Any] = []
    getattr(hooks, hook).register(heard.append)
    yield heard
    getattr(hooks, hook)._handlers.remove(heard.append)


def states(device: Device) -> list[str]:
    """Return the states of the device's certificates, the oldest first."""
    return list(device.certificates.order_by("created_at").values_list("status", flat=True))


def kinds(device: Device) -> list[str]:
    return list(device.events.order_by("time", "id").values_list("kind", flat=True))


def age(certificate: Certificate, *, ends_in: timedelta) -> None:
    """Let a year pass for a certificate."""
    end = timezone.now() + ends_in
    Certificate.objects.filter(pk=certificate.pk).update(
        not_before=end - timedelta(days=365), created_at=end - timedelta(days=365), not_after=end
    )


# --- registering with a request ------------------------------------------------------------------------------------------------


def test_a_device_with_its_own_key_is_certified_and_the_portal_has_no_key(account: Account) -> None:
    key = new_key()
    made = register_device(account=account, name="Pump", csr=make_csr(key))
    certificate = x509.load_pem_x509_certificate(made.certificate.pem.encode())
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == f"CN={made.device.hex}"
    assert made.private_key_pem is None
    assert made.certificate.sealed_key is None
    assert made.certificate.key_origin == "device"
    assert device_files(made.device).private_key is None
    assert "iot_private_key[]" not in header(made.device)
    assert "iot_certificate[]" in header(made.device)
    with pytest.raises(KeyUnavailable):
        private_key(made.device)


def test_what_a_request_asks_for_is_not_in_the_certificate(account: Account) -> None:
    asked = [
        x509.BasicConstraints(ca=True, path_length=None),
        x509.SubjectAlternativeName([x509.DNSName("localhost")]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    ]
    made = register_device(account=account, name="Pump", csr=make_csr(None, *asked))
    extensions = x509.load_pem_x509_certificate(made.certificate.pem.encode()).extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == [made.device.id.urn]


def test_a_bad_request_registers_nothing(account: Account) -> None:
    with pytest.raises(CsrRefused):
        register_device(account=account, name="Pump", csr="nonsense")
    assert not Device.objects.exists()


def test_one_key_is_not_shared_by_two_devices(account: Account) -> None:
    key = new_key()
    register_device(account=account, name="Pump", csr=make_csr(key))
    lamp = make_device(account, "Lamp")
    with pytest.raises(KeyInUse, match="Another device"):
        register_device(account=make_account("bob"), name="Fan", csr=make_csr(key))
    with pytest.raises(KeyInUse, match="Another device"):
        renew_certificate(device=lamp, csr=make_csr(key))
    assert states(lamp) == ["active"]
    assert Device.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_of_two_devices_registered_with_one_key_at_once_one_is(pki: Path) -> None:
    account, csr = make_account("alice"), make_csr()
    ended = at_once(*(partial(register_device, account=account, name=name, csr=csr) for name in ("Pump", "Lamp", "Fan")))
    assert sorted(type(one).__name__ for one in ended) == ["KeyInUse", "KeyInUse", "Registered"]


def test_the_key_of_a_deleted_device_may_start_anew_but_one_that_was_stolen_may_not(account: Account) -> None:
    key = new_key()
    first = register_device(account=account, name="Pump", csr=make_csr(key))
    services.delete_device(device=first.device)
    second = register_device(account=account, name="Pump", csr=make_csr(key))
    revoke_certificate(certificate=second.certificate, reason="key_compromise")
    with pytest.raises(KeyInUse, match="revoked"):
        renew_certificate(device=second.device, csr=make_csr(key))
    services.delete_device(device=second.device)
    with pytest.raises(KeyInUse, match="revoked"):
        register_device(account=account, name="Pump", csr=make_csr(key))


# --- renewing ------------------------------------------------------------------------------------------------------------------


def test_a_renewal_leaves_the_old_certificate_good_for_the_days_of_the_setting(account: Account, settings: Settings) -> None:
    settings.RENEWAL_OVERLAP_DAYS = 3
    device = make_device(account)
    made = renew_certificate(device=device)
    assert states(device) == ["retiring", "active"]
    old = device.certificates.get(status="retiring")
    assert old.is_valid()
    assert old.sealed_key is not None
    assert abs(old.ends_at - timezone.now() - timedelta(days=3)) < timedelta(minutes=1)
    assert not old.is_valid(timezone.now() + timedelta(days=3, minutes=1))
    assert device_files(device).certificate.decode() == made.certificate.pem


def test_the_old_certificate_goes_when_the_new_one_is_seen(account: Account) -> None:
    made = renew_certificate(device=make_device(account))
    with told("certificate_revoked") as heard:
        services.note_use(certificate=made.certificate)
        services.note_use(certificate=made.certificate)
    assert states(made.device) == ["revoked", "active"]
    old = made.device.certificates.get(status="revoked")
    assert (old.revocation_reason, old.sealed_key) == ("superseded", None)
    assert [one.pk for one in heard] == [old.pk]
    assert kinds(made.device) == ["registered", "certificate_renewed", "certificate_retired"]


def test_the_old_certificate_is_not_ended_by_its_own_use(account: Account) -> None:
    device = make_device(account)
    old = device.certificates.get()
    renew_certificate(device=device)
    services.note_use(certificate=old)
    assert states(device) == ["retiring", "active"]


def test_the_old_certificate_goes_when_its_days_are_over(account: Account) -> None:
    device, other = make_device(account), make_device(account, "Lamp")
    renew_certificate(device=device)
    renew_certificate(device=other)
    device.certificates.filter(status="retiring").update(retires_at=timezone.now())
    with told("certificate_revoked") as heard:
        assert services.end_overlaps() == 1
        assert services.end_overlaps() == 0
    assert (states(device), states(other)) == (["revoked", "active"], ["retiring", "active"])
    assert [one.device for one in heard] == [device]


def test_a_second_renewal_keeps_what_the_device_has_and_drops_what_it_never_used(account: Account) -> None:
    device = make_device(account)
    in_the_device = device.certificates.get()
    for _ in range(3):
        renew_certificate(device=device)
    assert states(device) == ["retiring", "revoked", "revoked", "active"]
    assert device.certificates.get(status="retiring") == in_the_device


def test_what_a_device_still_has_is_shown_however_often_it_was_renewed_since(account: Account) -> None:
    device = register_device(account=account, name="Pump").device
    first = device.certificates.get()
    for _ in range(PAST_SHOWN + 2):
        newest = renew_certificate(device=device).certificate
    found = shelf(device)
    assert (found.active, found.retiring, len(found.past)) == (newest, first, PAST_SHOWN)


def test_without_an_overlap_the_old_certificate_goes_at_once(account: Account, settings: Settings) -> None:
    settings.RENEWAL_OVERLAP_DAYS = 0
    device = make_device(account)
    with told("certificate_revoked") as heard:
        renew_certificate(device=device)
    assert states(device) == ["revoked", "active"]
    assert len(heard) == 1


def test_an_overlap_never_outlives_the_old_certificate(account: Account) -> None:
    device = make_device(account)
    old = device.certificates.get()
    age(old, ends_in=timedelta(days=2))
    old.refresh_from_db()
    renew_certificate(device=device)
    assert device.certificates.get(status="retiring").ends_at == old.not_after


def test_an_expired_certificate_is_not_kept_beside_the_new_one_unless_it_was_let_in_again(account: Account) -> None:
    device, rescued = make_device(account), make_device(account, "Lamp")
    for one in (device, rescued):
        age(one.certificates.get(), ends_in=-timedelta(days=1))
    services.rescue_certificate(certificate=rescued.certificates.get())
    renew_certificate(device=device)
    renew_certificate(device=rescued)
    assert states(device) == ["revoked", "active"]
    assert states(rescued) == ["retiring", "active"]
    assert rescued.certificates.get(status="retiring").is_valid()


def test_a_renewal_after_a_revocation_is_a_fresh_one_and_revives_nothing(account: Account) -> None:
    device = make_device(account)
    old = device.certificates.get()
    revoke_certificate(certificate=old)
    renew_certificate(device=device)
    assert states(device) == ["revoked", "active"]
    assert not device.certificates.get(pk=old.pk).is_valid()
    assert device.certificates.get(status="active").key_hash != old.key_hash


def test_a_device_renews_with_a_request_that_names_it_or_nobody(account: Account) -> None:
    device, key = make_device(account), new_key()
    with pytest.raises(CsrRefused, match="common name"):
        renew_certificate(device=device, csr=for_name(uuid4().hex))
    assert states(device) == ["active"]
    made = renew_certificate(device=device, csr=for_name(device.hex, key))
    assert made.private_key_pem is None
    again = renew_certificate(device=device, csr=make_csr(key))  # a secure element may have one key for life
    assert again.certificate.key_hash == made.certificate.key_hash


@pytest.mark.django_db(transaction=True)
def test_of_many_renewals_at_once_each_has_its_turn(pki: Path) -> None:
    device = make_device(make_account("alice"))
    ended = at_once(*(partial(renew_certificate, device=device) for _ in range(4)))
    assert [one for one in ended if isinstance(one, Exception)] == []
    assert sorted(states(device)) == ["active", "retiring", "revoked", "revoked", "revoked"]


@pytest.mark.django_db(transaction=True)
def test_a_renewal_and_the_first_sight_of_a_certificate_at_once_leave_a_way_in(pki: Path) -> None:
    device = make_device(make_account("alice"))
    made = renew_certificate(device=device)
    use, renew = partial(services.note_use, certificate=made.certificate), partial(renew_certificate, device=device)
    assert [one for one in at_once(use, renew) if isinstance(one, Exception)] == []
    assert states(device).count("active") == 1
    # Seen first, the new one stays beside the newest; renewed first, it was never used, and the oldest stays.
    assert states(device) in (["revoked", "retiring", "active"], ["retiring", "revoked", "active"])


# --- revoking ------------------------------------------------------------------------------------------------------------------


def test_a_revocation_is_for_ever_and_says_why(account: Account) -> None:
    device = make_device(account)
    certificate = device.certificates.get()
    with told("certificate_revoked") as heard:
        revoke_certificate(certificate=certificate, reason="key_compromise", by=account.members.get())
        revoke_certificate(certificate=device.certificates.get(), reason="superseded")
    stored = device.certificates.get()
    assert (stored.status, stored.revocation_reason, stored.sealed_key) == ("revoked", "key_compromise", None)
    assert heard == [certificate]
    event = device.events.get(kind=EventKind.CERTIFICATE_REVOKED)
    assert event.detail == {"serial": certificate.serial, "reason": "key_compromise", "by": "alice"}


def test_a_revocation_has_a_reason_that_there_is(account: Account) -> None:
    certificate = make_device(account).certificates.get()
    with pytest.raises(services.UnknownReason):
        revoke_certificate(certificate=certificate, reason="because")
    assert Certificate.objects.get().is_valid()


def test_revoking_the_new_certificate_leaves_the_old_one_its_days(account: Account) -> None:
    made = renew_certificate(device=make_device(account))
    revoke_certificate(certificate=made.certificate)
    assert states(made.device) == ["retiring", "revoked"]
    renew_certificate(device=made.device)
    assert states(made.device) == ["retiring", "revoked", "active"]


@pytest.mark.django_db(transaction=True)
def test_of_two_revocations_at_once_one_is_told(pki: Path) -> None:
    certificate = make_device(make_account("alice")).certificates.get()
    with told("certificate_revoked") as heard:
        assert at_once(*[partial(revoke_certificate, certificate=certificate)] * 3) == [None] * 3
    assert len(heard) == 1


# --- expired -------------------------------------------------------------------------------------------------------------------


def test_an_expired_certificate_is_let_in_for_a_day_when_its_owner_says_so(account: Account) -> None:
    device = make_device(account)
    age(device.certificates.get(), ends_in=-timedelta(days=9))
    rescued = services.rescue_certificate(certificate=device.certificates.get(), by=account.members.get())
    assert rescued.is_valid()
    assert not rescued.is_valid(timezone.now() + timedelta(hours=24, minutes=1))
    assert device.events.get(kind=EventKind.CERTIFICATE_RESCUED).detail["by"] == "alice"


def test_a_rescue_ends_with_the_authority_that_certified_it_and_needs_one_that_is_trusted(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_device(account).certificates.get()
    age(certificate, ends_in=-timedelta(days=9))
    root, issuing = pki.authority().root, pki.authority().issuing
    soon = timezone.now() + timedelta(hours=2)
    monkeypatch.setattr(pki, "issuers_of", lambda _: [SimpleNamespace(not_valid_after_utc=soon), root])
    assert services.rescue_certificate(certificate=certificate).rescued_until == soon
    for authorities in ([], [issuing, SimpleNamespace(not_valid_after_utc=timezone.now())]):
        monkeypatch.setattr(pki, "issuers_of", lambda _, found=authorities: found)
        with pytest.raises(NotExpired, match="no longer trusted"):
            services.rescue_certificate(certificate=certificate)


def test_a_certificate_that_is_good_or_was_revoked_is_not_rescued(account: Account) -> None:
    certificate = make_device(account).certificates.get()
    with pytest.raises(NotExpired, match="not ended yet"):
        services.rescue_certificate(certificate=certificate)
    age(certificate, ends_in=-timedelta(days=9))
    revoke_certificate(certificate=certificate)
    with pytest.raises(NotExpired, match="revoked"):
        services.rescue_certificate(certificate=certificate)


def test_each_warning_is_given_once(account: Account) -> None:
    certificate = make_device(account).certificates.get()
    heard: list[int] = []
    with told("certificate_expiring") as expiring:
        for left in (31, 30, 29, 15, 14, 8, 7, 2, 1, 0.5):
            age(certificate, ends_in=timedelta(days=left))
            services.warn_of_expiry()
            services.warn_of_expiry()
        heard = [one.days for one in expiring if isinstance(one, ExpiringCertificate)]
    assert heard == [30, 14, 7, 1]
    assert [
        event.detail["days"] for event in certificate.device.events.filter(kind="certificate_expiring").order_by("id")
    ] == heard


def test_after_an_absence_only_the_last_warning_is_given(account: Account) -> None:
    certificate = make_device(account).certificates.get()
    age(certificate, ends_in=timedelta(days=6))
    with told("certificate_expiring") as heard:
        assert services.warn_of_expiry() == 1
    assert [one.days for one in heard] == [7]


def test_the_beat_warns_and_ends_overlaps(account: Account, settings: Settings) -> None:
    """What the schedule names is run as a worker runs it, by its name."""
    soon, renewed = make_device(account), make_device(account, "Lamp")
    age(soon.certificates.get(), ends_in=timedelta(days=6))
    renew_certificate(device=renewed)
    renewed.certificates.filter(status="retiring").update(retires_at=timezone.now())
    entry = settings.CELERY_BEAT_SCHEDULE["look-after-certificates"]
    app.loader.import_default_modules()  # as a worker does when it starts
    assert entry["schedule"] <= 3600
    with told("certificate_expiring") as warned, told("certificate_revoked") as ended:
        for _ in range(2):
            app.tasks[entry["task"]]()
    assert [(one.certificate.device, one.days) for one in warned] == [(soon, 7)]
    assert [one.device for one in ended] == [renewed]
    assert EventKind.CERTIFICATE_EXPIRING in kinds(soon)
    assert kinds(renewed)[-1] == EventKind.CERTIFICATE_RETIRED


@pytest.mark.parametrize("change", ["renewed", "revoked", "deleted", "over"])
def test_nobody_is_warned_of_what_does_not_matter_any_more(account: Account, change: str) -> None:
    device = make_device(account)
    certificate = device.certificates.get()
    age(certificate, ends_in=timedelta(days=-1 if change == "over" else 3))
    match change:
        case "renewed":
            renew_certificate(device=device)
        case "revoked":
            revoke_certificate(certificate=certificate)
        case "deleted":
            services.delete_device(device=device)
    assert services.warn_of_expiry() == 0


def test_certificates_that_live_for_a_week_are_not_warned_of_at_thirty_days(account: Account, settings: Settings) -> None:
    settings.CERTIFICATE_DAYS = 7
    certificate = make_device(account).certificates.get()
    assert services.warn_of_expiry() == 0
    end = timezone.now() + timedelta(hours=20)
    Certificate.objects.update(created_at=end - timedelta(days=7), not_after=end)
    assert services.warn_of_expiry() == 1
    certificate.refresh_from_db()
    assert certificate.warned_days == 1


# --- used twice ----------------------------------------------------------------------------------------------------------------


def test_two_places_are_noted_on_the_certificate_and_once_in_a_while_in_the_timeline(account: Account) -> None:
    certificate = make_device(account).certificates.get()
    seen = partial(services.note_shared, fingerprint=certificate.fingerprint, addresses=["192.0.2.1", "192.0.2.2"])
    for times in (4, 5, 6):
        seen(times=times, minutes=10)
    event = certificate.device.events.get(kind=EventKind.CERTIFICATE_SHARED)
    assert event.detail["addresses"] == "192.0.2.1, 192.0.2.2"
    assert isinstance(Certificate.objects.get().shared_at, datetime)


def test_two_places_of_a_certificate_that_is_not_known_are_nobodys(db: None) -> None:
    services.note_shared(fingerprint="0" * 64, addresses=["192.0.2.1"], times=4, minutes=10)

"""Revoking certificates, and letting an expired one in again."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from cryptography import x509
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from devices import hooks, pki
from devices.events import record
from devices.models import Certificate, Device, DeviceSecret, EventKind
from devices.services.certificates import retire, revoke_rows
from devices.services.errors import NotExpired, UnknownReason
from devices.services.holding import hold_device

logger = logging.getLogger(__name__)

RESCUE = timedelta(hours=24)
TRIED_EVERY = timedelta(minutes=1)  # a device that comes again and again writes its row this often
SHARED_EVERY = timedelta(minutes=10)


def revoke_certificate(*, certificate: Certificate, reason: str = Certificate.Reason.UNSPECIFIED, by: User | None = None) -> None:
    """Revoke a certificate for ever: it opens nothing any more, and a connection made with it is cut. Twice is once.

    Calls `hooks.certificate_revoked`.

    Raises:
        UnknownReason: `reason` is none of `Certificate.Reason`.
        DeviceGone: the device was deleted, or is another account's than `certificate.device` says.
    """
    if reason not in Certificate.Reason.values:
        raise UnknownReason(f"A reason is {', '.join(Certificate.Reason.values)}, not {reason!r}.")
    with transaction.atomic():
        device = hold_device(certificate.device)
        for one in revoke_rows(device, [certificate], Certificate.Reason(reason)):
            record(device=device, kind=EventKind.CERTIFICATE_REVOKED, serial=one.serial, reason=reason, by=by)
            logger.info("certificate %s of device %s revoked: %s", one.serial, device.hex, reason)


def revoke_all(device: Device) -> None:
    """Revoke what a device has that is being deleted, within that transaction; whoever cares hears of the deletion."""
    standing = device.certificates.exclude(status=Certificate.Status.REVOKED)
    standing.update(
        status=Certificate.Status.REVOKED,
        revoked_at=timezone.now(),
        revocation_reason=Certificate.Reason.CESSATION,
        sealed_key=None,
    )
    DeviceSecret.objects.filter(device=device).delete()


def end_overlaps() -> int:
    """Revoke the certificates whose time beside a newer one is over; return how many."""
    due = Certificate.objects.filter(status=Certificate.Status.RETIRING, retires_at__lte=timezone.now())
    devices = list(due.values_list("device_id", flat=True))
    for device_id in devices:
        with transaction.atomic():
            device = Device.objects.select_for_update().get(pk=device_id)
            retire(device, list(due.filter(device=device)), why="time")
    return len(devices)


# --- expired ones --------------------------------------------------------------------------------------------------------------


def note_expired(*, certificate: Certificate) -> None:
    """Note that the device wanted in with a certificate that has ended."""
    now = timezone.now()
    rarely = Q(tried_at=None) | Q(tried_at__lt=now - TRIED_EVERY)
    Certificate.objects.filter(rarely, pk=certificate.pk).update(tried_at=now)


def rescue_certificate(*, certificate: Certificate, by: User | None = None) -> Certificate:
    """Let the device in with its expired certificate for `RESCUE` from now on, so that it can be given a new one.

    This certificate alone, and never past the end of the authorities that certified it.

    Raises:
        NotExpired: the certificate is still good, or was revoked, which nothing undoes, or its authorities have ended.
        DeviceGone: the device was deleted, or is another account's than `certificate.device` says.
    """
    with transaction.atomic():
        device = hold_device(certificate.device)
        certificate = Certificate.objects.get(pk=certificate.pk)
        if not certificate.is_expired():
            good = certificate.status != Certificate.Status.REVOKED
            raise NotExpired("It has not ended yet." if good else "It was revoked, and nothing undoes that. Renew it.")
        until = certificate.rescued_until = _rescue_until(certificate)
        certificate.save(update_fields=["rescued_until"])
        record(device=device, kind=EventKind.CERTIFICATE_RESCUED, serial=certificate.serial, until=until.isoformat(), by=by)
    logger.info("expired certificate %s of device %s is let in for %s", certificate.serial, device.hex, RESCUE)
    return certificate


def _rescue_until(certificate: Certificate) -> datetime:
    """Return the end of a rescue that begins now. Raises NotExpired."""
    authorities = pki.issuers_of(x509.load_pem_x509_certificate(certificate.pem.encode()))
    now = timezone.now()
    until = min([now + RESCUE, *(authority.not_valid_after_utc for authority in authorities)])
    if not authorities or until <= now:
        raise NotExpired("The authority that certified it is no longer trusted. Renew it.")
    return until


# --- used twice ----------------------------------------------------------------------------------------------------------------


def note_shared(*, fingerprint: str, addresses: list[str], times: int, minutes: int) -> None:
    """Note that a certificate is in use in two places: connections made with it, from `addresses`, push each other out.

    `times` in `minutes`: how often. Calls `hooks.certificate_shared`, at most every `SHARED_EVERY`, inside the transaction.
    """
    now = timezone.now()
    rarely = Q(shared_at=None) | Q(shared_at__lt=now - SHARED_EVERY)
    with transaction.atomic():
        if not Certificate.objects.filter(rarely, fingerprint=fingerprint).update(shared_at=now):
            return
        certificate = Certificate.objects.select_related("device").get(fingerprint=fingerprint)
        places = ", ".join(addresses[:4])
        record(
            device=certificate.device, kind=EventKind.CERTIFICATE_SHARED, serial=certificate.serial, addresses=places,
            times=times, minutes=minutes,
        )  # fmt: skip
        hooks.certificate_shared(hooks.SharedCertificate(certificate, tuple(addresses), times, minutes))
    logger.warning("one certificate in two places: device %s, from %s", certificate.device.hex, places)

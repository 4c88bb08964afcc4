"""Telling in time that a certificate ends."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from devices import hooks
from devices.events import record
from devices.hooks import ExpiringCertificate
from devices.models import Certificate, EventKind

WARN_DAYS = (30, 14, 7, 1)  # before the end


def warn_of_expiry() -> int:
    """Warn once for each of `WARN_DAYS` that a certificate in use ends within them; return how many warnings were given.

    Calls `hooks.certificate_expiring`. Where several are due (the portal was away), only the last is given. A mark that is longer
    than the whole life of a certificate does not count for it.
    """
    now = timezone.now()
    standing = Certificate.objects.filter(status=Certificate.Status.ACTIVE, device__deleted_at=None, not_after__gt=now)
    due = standing.filter(not_after__lte=now + timedelta(days=max(WARN_DAYS))).select_related("device")
    warned = sum(_warn(certificate, now) for certificate in due.defer("pem", "sealed_key").iterator())
    _note_ended(now)
    return warned


def _note_ended(now: datetime) -> None:
    """Write into the timelines which certificates have ended, each once."""
    ended = Certificate.objects.filter(status=Certificate.Status.ACTIVE, device__deleted_at=None, not_after__lte=now)
    for certificate in ended.exclude(warned_days=0).select_related("device").defer("pem", "sealed_key"):
        with transaction.atomic():
            if Certificate.objects.filter(pk=certificate.pk).exclude(warned_days=0).update(warned_days=0):
                at, serial = certificate.not_after, certificate.serial
                record(device=certificate.device, kind=EventKind.CERTIFICATE_EXPIRED, at=at, serial=serial)


def _warn(certificate: Certificate, now: datetime) -> bool:
    left = certificate.not_after - now
    span = certificate.not_after - certificate.created_at
    marks = [days for days in WARN_DAYS if left <= timedelta(days=days) < span]
    if not marks:
        return False
    days = min(marks)
    unwarned = Q(warned_days=None) | Q(warned_days__gt=days)
    with transaction.atomic():
        if not Certificate.objects.filter(unwarned, pk=certificate.pk).update(warned_days=days):
            return False
        until = certificate.not_after.isoformat()
        record(device=certificate.device, kind=EventKind.CERTIFICATE_EXPIRING, serial=certificate.serial, days=days, until=until)
        hooks.certificate_expiring(ExpiringCertificate(certificate, days))
    return True

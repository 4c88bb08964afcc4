"""Passwords of devices that cannot hold a certificate."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from devices import hooks
from devices.events import record
from devices.models import Device, DeviceSecret, EventKind
from devices.services.errors import SecretsForbidden
from devices.services.holding import hold_device
from iotportal.sealing import parse_seal_key

logger = logging.getLogger(__name__)

SECRET_BYTES = 32


def secret_hash(device_id: UUID, secret: bytes) -> str:
    """Return what is kept of a device's secret: HMAC-SHA-256 with a key made from PORTAL_SEAL_KEY, 64 hex digits.

    A slow hash is for what people choose. Nobody finds 256 random bits by trying, and a fast one lets a thousand devices come
    back at once. The key keeps whoever can only write to the database from letting himself in; the id ties it to its device.
    """
    key = hashlib.sha256(b"iotportal device secret" + parse_seal_key(settings.SEAL_KEY)).digest()
    return hmac.new(key, device_id.bytes + secret, hashlib.sha256).hexdigest()


def issue_secret(*, device: Device, by: User | None = None) -> str:
    """Give the device a new secret (43 characters) and return it: the only time that it is seen. An earlier one ends at once.

    Calls `hooks.secret_revoked` with an earlier one, within the transaction.

    Raises:
        SecretsForbidden: the operator has not switched device passwords on.
        DeviceGone: it was deleted meanwhile, or is another account's.
    """
    if not settings.DEVICE_PASSWORDS:
        raise SecretsForbidden
    secret = secrets.token_urlsafe(SECRET_BYTES)
    with transaction.atomic():
        locked = hold_device(device)
        rotated = take_away(locked)
        DeviceSecret.objects.create(device=locked, secret_hash=secret_hash(locked.pk, secret.encode()))
        record(device=locked, kind=EventKind.SECRET_ISSUED, rotated=rotated, by=by)
    logger.info("device %s has a new password", device.hex)
    return secret


def revoke_secret(*, device: Device, by: User | None = None) -> bool:
    """Take the device's secret away, and cut a connection made with it; say whether there was one.

    Possible with device passwords switched off too.

    Raises:
        DeviceGone: it was deleted meanwhile, or is another account's.
    """
    with transaction.atomic():
        locked = hold_device(device)
        had = take_away(locked)
        if had:
            record(device=locked, kind=EventKind.SECRET_REVOKED, by=by)
            logger.info("password of device %s revoked", device.hex)
    return had


def take_away(device: Device) -> bool:
    """End the secret of a device that the caller holds, within that transaction; say whether there was one.

    Calls `hooks.secret_revoked`.
    """
    found = DeviceSecret.objects.filter(device=device).first()
    if found is None:
        return False
    found.delete()
    hooks.secret_revoked(hooks.RevokedSecret(device, found.secret_hash))
    return True


def note_secret_use(*, secret: DeviceSecret) -> None:
    """Note that the device was seen with its secret for the first time."""
    DeviceSecret.objects.filter(pk=secret.pk, used_at=None).update(used_at=timezone.now())

"""Issuing and renewing certificates, and what becomes of their keys."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import User
from devices import hooks, pki, sealing
from devices.events import record
from devices.models import Certificate, Device, EventKind
from devices.pki import KeyAlgorithm
from devices.services.errors import DeviceGone, KeyInUse, UnknownKeyAlgorithm
from devices.services.holding import hold_device
from devices.services.integrity import as_refusal

logger = logging.getLogger(__name__)

Status, Reason = Certificate.Status, Certificate.Reason
# After these the key is as good as before; after any other nobody should be let in with it again.
HARMLESS = (Reason.SUPERSEDED, Reason.CESSATION)


@dataclass(frozen=True, slots=True)
class Key:
    """What a certificate is to be issued for; `private_pem` (PKCS #8) is None where the device made the key and keeps it."""

    public: pki.PublicKey
    private_pem: bytes | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registration or renewal made; the key is PKCS #8 PEM, None where it never left the device."""

    device: Device
    certificate: Certificate
    private_key_pem: bytes | None


def make_key(key_algorithm: str) -> Key:
    """Make a key pair. Raises UnknownKeyAlgorithm."""
    try:
        algorithm = KeyAlgorithm(key_algorithm)
    except ValueError:
        raise UnknownKeyAlgorithm(f"A key is {' or '.join(KeyAlgorithm)}, not {key_algorithm!r}.") from None
    private = pki.new_private_key(algorithm)
    return Key(private.public_key(), pki.private_key_pem(private))


def certify(device: Device, key: Key) -> Certificate:
    """Issue and record the certificate that the device is to use from now on; a key of ours is kept, sealed.

    Raises:
        KeyInUse: the key was revoked as one that is not to be trusted.
        django.db.IntegrityError: see `as_refusal`; another device has the key.
        devices.pki.PkiError: the certificate authority is not usable.
    """
    issued = pki.issue_device_certificate(device.id, key.public)
    certificate = Certificate(
        device=device,
        issuer=pki.authority().id,
        serial=f"{issued.serial_number:040x}",
        fingerprint=pki.fingerprint(issued),
        key_algorithm=pki.algorithm_of(key.public),
        key_bits=key.public.key_size,
        key_hash=pki.key_hash(key.public),
        key_origin=Certificate.KeyOrigin.PORTAL if key.private_pem else Certificate.KeyOrigin.DEVICE,
        pem=pki.to_pem(issued).decode("ascii"),
        sealed_key=sealing.seal(key.private_pem, device.id) if key.private_pem else None,
        not_before=issued.not_valid_before_utc,
        not_after=issued.not_valid_after_utc,
    )
    if key.private_pem is None:
        _wait_for(certificate.key_hash)
        _refuse_untrusted(certificate.key_hash)
    certificate.save(force_insert=True)
    return certificate


def _wait_for(key_hash: str) -> None:
    """Let whoever is bringing the same key end first: two who check an exclusion constraint against each other are a deadlock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key_hash])


def _refuse_untrusted(key_hash: str) -> None:
    """Refuse a key that somebody revoked because it is not to be trusted any more."""
    if Certificate.objects.filter(key_hash=key_hash, status=Status.REVOKED).exclude(revocation_reason__in=HARMLESS).exists():
        raise KeyInUse("A certificate for this key was revoked, so it opens nothing any more. Make a new key on the device.")


def renew_certificate(
    *, device: Device, key_algorithm: str = KeyAlgorithm.EC, csr: str | None = None, by: User | None = None
) -> Registered:
    """Give the device a new certificate: for a key of ours, or for that of a certificate request (PEM).

    The old one stays good until the new one has been seen at the broker, for `PORTAL_RENEWAL_OVERLAP_DAYS` at the most; one that
    was revoked stays revoked. Calls `hooks.certificate_revoked` for each that the device has no use for.

    Raises:
        DeviceGone: it was deleted, or is another account's.
        UnknownKeyAlgorithm: there is none of that name.
        CsrRefused: the request is not taken (KeyInUse: its key is not).
        devices.pki.PkiError: the certificate authority is not usable.
    """
    key = make_key(key_algorithm) if csr is None else Key(pki.read_csr(csr, device_id=device.id))
    try:
        with transaction.atomic():
            hold_device(device)
            _make_way(device)
            certificate = certify(device, key)
            record(
                device=device, kind=EventKind.CERTIFICATE_RENEWED, serial=certificate.serial,
                until=certificate.not_after.isoformat(), key=certificate.key_origin, by=by,
            )  # fmt: skip
    except IntegrityError as error:
        raise as_refusal(error) from error
    logger.info("device %s has a new certificate", device.hex)
    return Registered(device, certificate, key.private_pem)


def renew_several(*, certificates: Sequence[Certificate], by: User | None = None) -> list[Device]:
    """Give the device of each certificate a new one, with a key of ours of the same kind; return the devices that have one."""
    renewed = []
    for certificate in certificates:
        try:
            renewed.append(renew_certificate(device=certificate.device, key_algorithm=certificate.key_algorithm, by=by).device)
        except DeviceGone:
            continue
    return renewed


def _make_way(device: Device) -> None:
    """Let the active certificate retire; of two that are good, the one that was never used goes at once."""
    now = timezone.now()
    standing = {one.status: one for one in device.certificates.exclude(status=Status.REVOKED)}
    active, retiring = standing.get(Status.ACTIVE), standing.get(Status.RETIRING)
    if active is None:
        return
    last = now + timedelta(days=settings.RENEWAL_OVERLAP_DAYS)
    if retiring is not None:  # so the active one has not been seen yet
        revoke_rows(device, [active], Reason.SUPERSEDED)
        Certificate.objects.filter(pk=retiring.pk).update(retires_at=min(last, retiring.not_after))
    elif last > now and active.is_valid(now):
        Certificate.objects.filter(pk=active.pk).update(status=Status.RETIRING, retires_at=min(last, active.ends_at))
    else:
        revoke_rows(device, [active], Reason.SUPERSEDED)


def revoke_rows(device: Device, certificates: list[Certificate], reason: Certificate.Reason) -> list[Certificate]:
    """Revoke these certificates of the device and destroy their kept keys, within the caller's transaction.

    Calls `hooks.certificate_revoked` for each that was not revoked before, and returns those.
    """
    revoked = [certificate for certificate in certificates if _revoke(certificate, reason)]
    for certificate in revoked:
        certificate.device = device
        hooks.certificate_revoked(certificate)
    return revoked


def _revoke(certificate: Certificate, reason: Certificate.Reason) -> bool:
    """Revoke if it is not revoked; conditional, so that of two at once one does it."""
    values = {"status": Status.REVOKED, "revoked_at": timezone.now(), "revocation_reason": reason, "sealed_key": None}
    if not Certificate.objects.filter(pk=certificate.pk).exclude(status=Status.REVOKED).update(**values):
        return False
    for name, value in values.items():
        setattr(certificate, name, value)
    return True


def note_use(*, certificate: Certificate) -> None:
    """Note that the device was seen with this certificate for the first time; the one that it replaces is revoked."""
    with transaction.atomic():
        # The device first, as in a renewal: whoever has it decides which of its certificates is which.
        device = Device.objects.select_for_update().get(pk=certificate.device_id)
        if not Certificate.objects.filter(pk=certificate.pk, used_at=None).update(used_at=timezone.now()):
            return
        if device.certificates.filter(pk=certificate.pk, status=Status.ACTIVE).exists():
            retire(device, list(device.certificates.filter(status=Status.RETIRING)), why="used")


def retire(device: Device, certificates: list[Certificate], *, why: str) -> None:
    """End the overlap of a renewal. `why`: "used" (the new one was seen) or "time" (its days are over)."""
    for certificate in revoke_rows(device, certificates, Reason.SUPERSEDED):
        record(device=device, kind=EventKind.CERTIFICATE_RETIRED, serial=certificate.serial, why=why)


def forget_key(*, device: Device, by: User | None = None) -> None:
    """Destroy the portal's copies of the device's private keys; the device keeps working with its own. Raises DeviceGone."""
    with transaction.atomic():
        hold_device(device)
        if device.certificates.exclude(sealed_key=None).update(sealed_key=None):
            record(device=device, kind=EventKind.KEY_FORGOTTEN, by=by)
    logger.info("private key of device %s forgotten", device.hex)

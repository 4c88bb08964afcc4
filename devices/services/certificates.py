"""Certificates and keys."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from devices import hooks, pki, sealing
from devices.models import Certificate, Device
from devices.pki import KeyAlgorithm
from devices.services.errors import DeviceGone, UnknownKeyAlgorithm

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registration made; the key is PKCS #8 PEM, None where the owner made it himself."""

    device: Device
    certificate: Certificate
    private_key_pem: bytes | None


def as_algorithm(name: str) -> KeyAlgorithm:
    """Return the key algorithm of that name. Raises UnknownKeyAlgorithm."""
    try:
        return KeyAlgorithm(name)
    except ValueError:
        raise UnknownKeyAlgorithm(f"A key is {' or '.join(KeyAlgorithm)}, not {name!r}.") from None


def certify(device: Device, key: pki.PrivateKey) -> Certificate:
    """Issue and record a certificate for the device's key, which is kept sealed."""
    issued = pki.issue_device_certificate(device.id, key.public_key())
    return Certificate.objects.create(
        device=device,
        serial=f"{issued.serial_number:040x}",
        fingerprint=pki.fingerprint(issued),
        key_algorithm=pki.algorithm_of(key),
        pem=pki.to_pem(issued).decode("ascii"),
        sealed_key=sealing.seal(pki.private_key_pem(key), device.id),
        not_before=issued.not_valid_before_utc,
        not_after=issued.not_valid_after_utc,
    )


def revoke(device: Device) -> None:
    """Revoke the device's active certificate; a key that opens nothing any more is not kept."""
    active = device.certificates.filter(status=Certificate.Status.ACTIVE)
    active.update(status=Certificate.Status.REVOKED, revoked_at=timezone.now(), sealed_key=None)


def replace_certificate(*, device: Device, key_algorithm: str = KeyAlgorithm.EC) -> Registered:
    """Give the device a new key and certificate and revoke the old one at once.

    Calls `hooks.certificate_revoked`: whoever is connected with the old one is cut.

    Raises:
        DeviceGone: it was deleted.
        UnknownKeyAlgorithm: there is none of that name.
    """
    key = pki.new_private_key(as_algorithm(key_algorithm))
    with transaction.atomic():
        if not Device.objects.live().select_for_update().filter(pk=device.pk).exists():
            raise DeviceGone
        revoke(device)
        certificate = certify(device, key)
        hooks.certificate_revoked(device)
    logger.info("device %s has a new certificate", device.hex)
    return Registered(device, certificate, pki.private_key_pem(key))


def forget_key(*, device: Device) -> None:
    """Destroy the portal's copy of the device's private key; the device keeps working with its own."""
    device.certificates.update(sealed_key=None)
    logger.info("private key of device %s forgotten", device.hex)

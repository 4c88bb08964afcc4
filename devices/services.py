"""Every write of the registry that has a consequence."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Account
from devices import hooks, pki, sealing
from devices.downloads import DeviceFiles, KeyUnavailable, device_files, device_zip
from devices.models import Certificate, Device, Pin
from devices.names import PIN_NAME_LENGTH, InvalidName, clean_name
from devices.pki import KeyAlgorithm
from devices.profiles import UnknownProfile, get_profile

__all__ = [
    "DeviceFiles", "DeviceGone", "InvalidName", "InvalidPin", "KeyUnavailable", "NameTaken", "Registered",
    "UnknownKeyAlgorithm", "UnknownProfile", "change_profile", "delete_device", "device_files", "device_zip", "forget_key",
    "name_pin", "register_device", "rename_device", "replace_certificate",
]  # fmt: skip

logger = logging.getLogger(__name__)

HIGHEST_PIN = 255  # what every profile allows at the most


class NameTaken(Exception):
    """The account has a live device of that name (upper and lower case count as the same)."""

    def __str__(self) -> str:
        return "You have a device of that name already."


class DeviceGone(Exception):
    """The device was deleted in the meantime."""

    def __str__(self) -> str:
        return "This device was deleted."


class InvalidPin(ValueError):
    """A pin number that no device has."""


class UnknownKeyAlgorithm(ValueError):
    """A key algorithm that is not one of `KeyAlgorithm`."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registration made; the key is PKCS #8 PEM, None where the owner made it himself."""

    device: Device
    certificate: Certificate
    private_key_pem: bytes | None


# --- registering, changing, deleting -----------------------------------------------------------------------------------------


def register_device(
    *, account: Account, name: str, profile: str = "standard", key_algorithm: str = KeyAlgorithm.EC
) -> Registered:
    """Register a device of `account` and make its identity: id, key (kept sealed) and certificate, in one transaction.

    Calls `hooks.device_registered` inside it.

    Raises:
        InvalidName, NameTaken: the name cannot be had.
        UnknownProfile, UnknownKeyAlgorithm: there is none of that name.
        devices.pki.PkiError: the certificate authority is not usable.
    """
    device = Device(account=account, name=clean_name(name), profile=get_profile(profile).slug)
    key = pki.new_private_key(_algorithm(key_algorithm))  # before the transaction: an RSA key takes its time
    try:
        with transaction.atomic():
            device.save(force_insert=True)
            certificate = _certify(device, key)
            hooks.device_registered(device)
    except IntegrityError as error:  # the constraint decides, not a look before: two at once cannot both win
        raise _as_name_taken(error) from error
    logger.info("device %s registered in account %s", device.hex, account.pk)
    return Registered(device, certificate, pki.private_key_pem(key))


def rename_device(*, device: Device, name: str) -> Device:
    """Give the device another name; calls `hooks.device_changed`.

    Raises:
        InvalidName, NameTaken: the name cannot be had.
        DeviceGone: it was deleted.
    """
    return _change(device, name=clean_name(name))


def change_profile(*, device: Device, profile: str) -> Device:
    """Say what kind of device it is; calls `hooks.device_changed`.

    Raises:
        UnknownProfile: there is no such profile.
        DeviceGone: it was deleted.
    """
    return _change(device, profile=get_profile(profile).slug)


def delete_device(*, device: Device) -> None:
    """Delete the device: its certificates are revoked, its kept key is destroyed, its history stays. Twice is once.

    Calls `hooks.device_deleted`, which makes the broker cut its connection after the commit; its name is free again.
    """
    with transaction.atomic():
        now = timezone.now()
        # Conditional, so that of two at once one does it: the row is locked until the commit, and the second finds it deleted.
        if not Device.objects.live().filter(pk=device.pk).update(deleted_at=now):
            return
        device.deleted_at = now
        _revoke(device)
        hooks.device_deleted(device)
    logger.info("device %s deleted", device.hex)


def name_pin(*, device: Device, number: int, name: str) -> Pin:
    """Name a pin of the device; an empty name takes the name away and keeps the pin in the list.

    Raises:
        InvalidName: the name is too long or cannot be shown.
        InvalidPin: there is no pin of that number.
    """
    if not 0 <= number <= HIGHEST_PIN:
        raise InvalidPin(f"Pins are numbered 0 to {HIGHEST_PIN}.")
    values = {"name": clean_name(name, longest=PIN_NAME_LENGTH, optional=True)}
    return Pin.objects.update_or_create(device=device, number=number, defaults=values)[0]


def _change(device: Device, **values: str) -> Device:
    """Change columns of a live device and tell who wants to know."""
    try:
        with transaction.atomic():
            if not Device.objects.live().filter(pk=device.pk).update(**values):
                raise DeviceGone
            for column, value in values.items():
                setattr(device, column, value)
            hooks.device_changed(device)
    except IntegrityError as error:
        raise _as_name_taken(error) from error
    return device


def _as_name_taken(error: IntegrityError) -> Exception:
    """Return the domain's error if the constraint on names refused, otherwise `error` itself."""
    diagnosis = getattr(error.__cause__, "diag", None)
    return NameTaken() if getattr(diagnosis, "constraint_name", None) == "device_name_unique" else error


# --- certificates and keys -----------------------------------------------------------------------------------------------------


def _algorithm(name: str) -> KeyAlgorithm:
    try:
        return KeyAlgorithm(name)
    except ValueError:
        raise UnknownKeyAlgorithm(f"A key is {' or '.join(KeyAlgorithm)}, not {name!r}.") from None


def _certify(device: Device, key: pki.PrivateKey) -> Certificate:
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


def _revoke(device: Device) -> None:
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
    key = pki.new_private_key(_algorithm(key_algorithm))
    with transaction.atomic():
        if not Device.objects.live().select_for_update().filter(pk=device.pk).exists():
            raise DeviceGone
        _revoke(device)
        certificate = _certify(device, key)
        hooks.certificate_revoked(device)
    logger.info("device %s has a new certificate", device.hex)
    return Registered(device, certificate, pki.private_key_pem(key))


def forget_key(*, device: Device) -> None:
    """Destroy the portal's copy of the device's private key; the device keeps working with its own."""
    device.certificates.update(sealed_key=None)
    logger.info("private key of device %s forgotten", device.hex)

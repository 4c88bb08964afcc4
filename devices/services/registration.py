"""Registering, changing and deleting devices."""

from __future__ import annotations

import logging

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Account
from devices import hooks, pki
from devices.models import Device, Pin
from devices.names import PIN_NAME_LENGTH, clean_name
from devices.pki import KeyAlgorithm
from devices.profiles import get_profile
from devices.services.certificates import Registered, as_algorithm, certify, revoke
from devices.services.errors import DeviceGone, InvalidPin, NameTaken

logger = logging.getLogger(__name__)

HIGHEST_PIN = 255  # what every profile allows at the most


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
    key = pki.new_private_key(as_algorithm(key_algorithm))  # before the transaction: an RSA key takes its time
    try:
        with transaction.atomic():
            device.save(force_insert=True)
            certificate = certify(device, key)
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
        revoke(device)
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

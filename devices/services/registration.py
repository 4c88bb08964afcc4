"""Registering, changing and deleting devices."""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.access import hold_account
from accounts.models import Account, User
from devices import hooks, pki
from devices.events import record
from devices.models import Device, EventKind, Pin
from devices.names import PIN_NAME_LENGTH, clean_name
from devices.pki import KeyAlgorithm
from devices.selectors import highest_pin
from devices.services.certificates import Key, Registered, certify, make_key
from devices.services.errors import InvalidPin
from devices.services.holding import hold_device
from devices.services.integrity import as_refusal
from devices.services.profiles import kind_of
from devices.services.revocation import revoke_all

logger = logging.getLogger(__name__)


def register_device(
    *,
    account: Account,
    name: str,
    profile: str = "standard",
    key_algorithm: str = KeyAlgorithm.EC,
    csr: str | None = None,
    by: User | None = None,
) -> Registered:
    """Register a device of `account` and make its identity: id, key and certificate, in one transaction.

    The portal makes the key and keeps it sealed, unless `csr` is a certificate request (PEM) that proves the device has one.
    Calls `hooks.device_registered` inside the transaction.

    Raises:
        InvalidName, NameTaken: the name cannot be had.
        UnknownProfile, UnknownKeyAlgorithm: there is none of that name.
        CsrRefused: the request is not taken (KeyInUse: its key is not).
        devices.pki.PkiError: the certificate authority is not usable.
        Http404: the account was closed meanwhile.
    """
    what = kind_of(account, profile)
    device = Device(account=account, name=clean_name(name), profile=what.slug, own_profile_id=what.own_id)
    key = make_key(key_algorithm) if csr is None else Key(pki.read_csr(csr))  # before the transaction: RSA takes its time
    try:
        with transaction.atomic():
            hold_account(account)
            device.save(force_insert=True)
            certificate = certify(device, key)
            record(device=device, kind=EventKind.REGISTERED, name=device.name, key=certificate.key_origin, by=by)
            hooks.device_registered(device)
    except IntegrityError as error:
        raise as_refusal(error) from error
    logger.info("device %s registered in account %s", device.hex, account.pk)
    return Registered(device, certificate, key.private_pem)


def rename_device(*, device: Device, name: str, by: User | None = None) -> Device:
    """Give the device another name; calls `hooks.device_changed`.

    Raises:
        InvalidName, NameTaken: the name cannot be had.
        DeviceGone: it was deleted, or is another account's.
    """
    return _change(device, "name", clean_name(name), EventKind.RENAMED, by)


def change_profile(*, device: Device, profile: str, by: User | None = None) -> Device:
    """Say what kind of device it is; calls `hooks.device_changed`.

    Raises:
        UnknownProfile: there is no such profile.
        DeviceGone: it was deleted, or is another account's.
    """
    new = kind_of(device.account, profile)
    return _change(device, "profile", new.slug, EventKind.PROFILE_CHANGED, by, own_profile_id=new.own_id)


def delete_device(*, device: Device) -> bool:
    """Delete the device: its certificates are revoked, its kept key is destroyed, its history stays; say whether it was there.

    Calls `hooks.device_deleted`, which makes the broker cut its connection after the commit; its name is free again.
    """
    with transaction.atomic():
        now = timezone.now()
        # Conditional, so that of two at once one does it: the row is locked until the commit, and the second finds it deleted.
        # One that was claimed meanwhile is no longer this account's to delete.
        if not Device.objects.live().filter(pk=device.pk, account_id=device.account_id).update(deleted_at=now):
            return False
        device.deleted_at = now
        revoke_all(device)
        hooks.device_deleted(device)
    logger.info("device %s deleted", device.hex)
    return True


def name_pin(*, device: Device, number: int, name: str) -> Pin:
    """Name a pin of the device; an empty name takes the name away and keeps the pin in the list.

    Raises:
        InvalidName: the name is too long or cannot be shown.
        InvalidPin: there is no pin of that number.
        DeviceGone: it was deleted, or is another account's.
    """
    highest = highest_pin(device)
    if not 0 <= number <= highest:
        raise InvalidPin(f"Pins are numbered 0 to {highest}.")
    values = {"name": clean_name(name, longest=PIN_NAME_LENGTH, optional=True)}
    with transaction.atomic():
        hold_device(device)
        return Pin.objects.update_or_create(device=device, number=number, defaults=values)[0]


def _change(device: Device, column: str, value: str, kind: EventKind, by: User | None, **besides: UUID | None) -> Device:
    """Change a column of a live device, and those that go with it, and tell who wants to know."""
    try:
        with transaction.atomic():
            before = str(getattr(hold_device(device), column))
            Device.objects.filter(pk=device.pk).update(**{column: value}, **besides)
            for name, new in {column: value, **besides}.items():
                setattr(device, name, new)
            if before != value:
                record(device=device, kind=kind, by=by, before=before, after=value)
            hooks.device_changed(device)
    except IntegrityError as error:
        raise as_refusal(error) from error
    return device

"""Handing a device over: its account makes a code, and whoever types it in gets the device.

A code is 78 random bits; its hash alone is kept. It works once, until `CLAIM_CODE_DAYS` are over, for a device that is still
where it was made. Every other code gets the same answer, after a lookup that does not tell them apart.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.access import hold_account
from accounts.models import Account, User
from accounts.services import personal_account
from devices import hooks
from devices.codes import ALPHABET, random_code
from devices.events import record
from devices.models import ClaimCode, Device, EventKind
from devices.names import DEVICE_NAME_LENGTH
from devices.services.errors import ClaimRefused
from devices.services.holding import hold_device
from devices.services.integrity import as_refusal
from devices.services.secrets import take_away

logger = logging.getLogger(__name__)

GROUPS, LETTERS = 4, 4


@dataclass(frozen=True, slots=True)
class Code:
    """A code as it is shown once."""

    device: Device
    text: str
    expires_at: datetime


def code_hash(text: str) -> str:
    """Return what is kept of a code; case, blanks and hyphens do not count."""
    plain = "".join(letter for letter in text.upper()[:100] if letter in ALPHABET)
    return hashlib.sha256(b"iotportal claim code " + plain.encode()).hexdigest()


def make_claim_codes(*, account: Account, devices: Iterable[Device], by: User) -> list[Code]:
    """Make a code for each device of `account`, in place of the one that it has; a kind of the account's own cannot go along.

    Devices that are deleted, another account's, or of an own kind get none.
    """
    ends = timezone.now() + timedelta(days=settings.CLAIM_CODE_DAYS)
    with transaction.atomic():
        ids = [device.pk for device in devices]
        live = Device.objects.live().select_for_update().filter(pk__in=ids, account=account, own_profile=None)
        found = list(live.order_by("created_at", "id"))
        ClaimCode.objects.filter(device__in=found).delete()
        codes = [Code(device, random_code(GROUPS, LETTERS), ends) for device in found]
        ClaimCode.objects.bulk_create(
            ClaimCode(device=one.device, code_hash=code_hash(one.text), made_by=by, expires_at=one.expires_at) for one in codes
        )
    logger.info("%d claim codes made in account %s", len(codes), account.pk)
    return codes


def withdraw_claim_code(*, device: Device) -> None:
    """Make the device's code worthless. Twice is once. Raises DeviceGone."""
    with transaction.atomic():
        hold_device(device)
        ClaimCode.objects.filter(device=device).delete()


def claim_device(*, user: User, code: str) -> Device:
    """Move the device of this code to the user's personal account; of two at once one gets it.

    What happened before stays with the account that had it, and a device password ends. The certificate stays: the device would
    be locked out without it. Calls `hooks.device_moving` before, and `hooks.device_moved` after.

    Raises:
        ClaimRefused: no such code: wrong, used, over, withdrawn, or the user's own device.
    """
    account = personal_account(user)
    try:
        with transaction.atomic():
            hold_account(account)
            device = _device_of(code, account)
            before = device.account
            hooks.device_moving(device)
            take_away(device)  # whoever had the device knows it
            ClaimCode.objects.filter(device=device).delete()
            device.account, device.name, device.moved_at = account, _free_name(account, device.name), timezone.now()
            device.save(update_fields=["account", "name", "moved_at"])
            device.pins.all().delete()
            record(device=device, kind=EventKind.CLAIMED, by=user)
            hooks.device_moved(device)
    except IntegrityError as error:
        raise as_refusal(error) from error
    logger.info("device %s claimed: from account %s to %s", device.hex, before.pk, account.pk)
    return device


def _device_of(code: str, account: Account) -> Device:
    """Return the code's device, locked. Raises ClaimRefused."""
    found = ClaimCode.objects.filter(code_hash=code_hash(code), expires_at__gt=timezone.now()).values("device_id")
    device = Device.objects.live().select_for_update(of=("self",)).select_related("account").filter(pk__in=found).first()
    # Once more under the lock: of two at once the second finds the code used.
    if device is None or not ClaimCode.objects.filter(device=device, code_hash=code_hash(code)).exists():
        raise ClaimRefused
    if device.account_id == account.pk or device.own_profile_id is not None:
        raise ClaimRefused
    return device


def _free_name(account: Account, name: str) -> str:
    """Return the name, with a number behind it if the account has it already."""
    number = 1
    candidate = name
    while Device.objects.live().filter(account=account, name__iexact=candidate).exists():
        number += 1
        ending = f" {number}"
        candidate = name[: DEVICE_NAME_LENGTH - len(ending)] + ending
    return candidate

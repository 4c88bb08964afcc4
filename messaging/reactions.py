"""What messaging does when accounts and devices change."""

from __future__ import annotations

from functools import partial

from django.db import transaction

from accounts.models import Membership
from devices.models import Device
from messaging import cache
from messaging.models import Presence


def make_presence(device: Device) -> None:
    """Give a new device its presence row: not heard yet."""
    Presence.objects.create(device=device)


def forget_access(device: Device) -> None:
    """Make every process look the device up again: it was renamed, re-profiled or deleted."""
    users = list(Membership.objects.filter(account_id=device.account_id).values_list("user_id", flat=True))
    transaction.on_commit(partial(cache.forget_access, device.hex, users))


def forget_token(token_hash: str) -> None:
    """Make a revoked token dead for the hot path too."""
    transaction.on_commit(partial(cache.forget_token, token_hash))


def cut_connection(device: Device) -> None:
    """Close the device's connection to the broker, now."""
    transaction.on_commit(partial(cache.ask_broker_to_disconnect, device.hex))

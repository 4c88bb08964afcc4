"""May this be sent to this address? The one place that says so, asked again right before each try.

The account's own people are written to at the addresses that they have confirmed and in the browsers that they switched on, and
its own devices always; webhooks and other services that its managers added are its own; any other address must have
agreed once. Nobody is written to who unsubscribed, whose mail came back, or who complained.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from allauth.account.models import EmailAddress
from django.db.models.functions import Lower

from accounts.models import User
from devices.models import Device
from notifications.models import Cause, Channel, Notification, Recipient, Suppression
from notifications.services import browsers

Place = tuple[UUID, str]  # an account, and an address


_NO = {
    Channel.DEVICE: "not_yours", Channel.SMS: "unconfirmed_phone", Channel.PUSH: "no_browser", Channel.WEBHOOK: "unknown_name",
    Channel.APPRISE: "unknown_name",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it may be sent: `reason` is "" then. `own`: the address is one of the account's own people or
    devices, or it is asked whether it may be written to.
    """

    reason: str
    own: bool = False


def verdicts(notifications: Sequence[Notification]) -> dict[UUID, Verdict]:
    """Return whether each may be sent, with a few queries for all of them together."""
    own, refused = _own(notifications), _suppressed(notifications)
    agreed = _agreed(one for one in notifications if one.channel and (one.account_id, one.address) not in own[one.channel])
    found = {}
    for one in notifications:
        place = (one.account_id, one.address)
        reason = refused.get((one.channel, one.account_id, one.address), "")
        if not one.channel:
            reason = "bad_recipient"
        elif not reason and one.cause != Cause.CONFIRM and place not in own[one.channel] and place not in agreed[one.channel]:
            reason = _NO.get(Channel(one.channel), "unconfirmed")  # and not what came of an address that is a stranger to it
        elif not reason:
            reason = refused.get((one.channel, None, one.address), "")
        free = one.cause == Cause.CONFIRM or bool(one.channel and place in own[one.channel])
        found[one.pk] = Verdict(reason, free)
    return found


def _own(notifications: Iterable[Notification]) -> dict[str, set[Place]]:
    found: dict[str, set[Place]] = {channel: set() for channel in Channel.values}
    by_channel = _asked(notifications)
    if asked := by_channel.get(Channel.EMAIL):
        accounts, addresses = zip(*asked, strict=True)
        people = EmailAddress.objects.filter(verified=True, user__is_active=True, user__memberships__account__in=accounts)
        lower = people.alias(lower=Lower("email")).filter(lower__in=addresses)
        found[Channel.EMAIL] = set(lower.values_list("user__memberships__account", Lower("email")))
    if asked := by_channel.get(Channel.SMS):
        accounts, numbers = zip(*asked, strict=True)
        users = User.objects.filter(is_active=True, phone_verified=True, phone__in=numbers, memberships__account__in=accounts)
        found[Channel.SMS] = set(users.values_list("memberships__account", "phone"))
    if asked := by_channel.get(Channel.DEVICE):
        accounts, ids = zip(*asked, strict=True)
        devices = Device.objects.live().filter(account__in=accounts, pk__in=[UUID(hex=one) for one in ids])
        found[Channel.DEVICE] = {(one.account_id, one.hex) for one in devices.only("id", "account_id")}
    if asked := by_channel.get(Channel.PUSH):
        found[Channel.PUSH] = browsers.places(asked)
    return found


def _agreed(notifications: Iterable[Notification]) -> dict[str, set[Place]]:
    found: dict[str, set[Place]] = {channel: set() for channel in Channel.values}
    for channel, asked in _asked(notifications).items():
        if channel not in {Channel.DEVICE, Channel.PUSH}:
            accounts, addresses = zip(*asked, strict=True)
            rows = Recipient.objects.filter(channel=channel, account__in=accounts, confirmed_at__isnull=False)
            found[channel] = set(rows.filter(address__in=addresses).values_list("account", "address"))
    return found


def _suppressed(notifications: Sequence[Notification]) -> dict[tuple[str, UUID | None, str], str]:
    rows = Suppression.objects.filter(address__in={one.address for one in notifications if one.address})
    return {(channel, account, address): reason for channel, account, address, reason in rows.values_list(
        "channel", "account", "address", "reason"
    )}  # fmt: skip


def _asked(notifications: Iterable[Notification]) -> dict[str, set[Place]]:
    found: dict[str, set[Place]] = {}
    for one in notifications:
        if one.channel:
            found.setdefault(one.channel, set()).add((one.account_id, one.address))
    return found

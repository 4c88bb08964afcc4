"""What notifications do when something happens in the apps on the left."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from django.conf import settings
from django.urls import reverse

from accounts.hooks import SignIn
from accounts.services import personal_account
from accounts.user_agents import describe
from billing.hooks import BalanceLow
from devices.hooks import ExpiringCertificate
from devices.models import Device
from messaging.hooks import NotificationRequest, Outage
from messaging.reasons import in_words
from notifications.models import Cause, Standard
from notifications.services import alerts, intake, templates
from notifications.templating.languages import counted, day, moment, number, phrase


def on_requests(requests: Sequence[NotificationRequest]) -> None:
    """Take what devices want to be said; told again after a crash of the bridge, it is taken once."""
    stored = _standards([one for one in requests if not one.recipient.strip() or not one.message.strip()])
    devices = Device.objects.filter(pk__in={one.device_id for one in requests})
    # By account, too: one that was claimed meanwhile has a name that is not the old owner's business.
    names = {(pk, account): name for pk, account, name in devices.values_list("pk", "account_id", "name")}
    asked = []
    for one in requests:
        recipient, message = one.recipient, one.message
        if standard := stored.get((one.device_id, one.account_id)):
            recipient, message = recipient.strip() or standard.recipient, message.strip() or standard.message
        row = intake.row(
            account_id=one.account_id, device_id=one.device_id, cause=Cause.DEVICE, source=f"message:{one.message_id.hex}",
            recipient=recipient, message=message, asked_at=one.time,
        )  # fmt: skip
        asked.append(templates.of_device(row, names.get((one.device_id, one.account_id))))
    templates.dress(asked)
    intake.announce(intake.keep([one.one for one in asked]))


def _standards(requests: Sequence[NotificationRequest]) -> dict[tuple[UUID, UUID], Standard]:
    """Return what is stored for the devices that left something out, by device and account."""
    if not requests:
        return {}
    found = Standard.objects.filter(device__in={one.device_id for one in requests}).select_related("device")
    return {(one.device_id, one.device.account_id): one for one in found}


def on_offline(outage: Outage) -> None:
    """Tell those who manage a device that it is offline for longer than they want. In the transaction that tells of it."""
    alerts.alert(
        account=outage.device.account, device=outage.device, cause=Cause.OFFLINE, source=f"event:{outage.event_id.hex}",
        values={
            "since": moment(outage.since), "limit": counted(outage.limit_minutes, "minute"),
            "reason": phrase(in_words(outage.reason)),
        },
    )  # fmt: skip


def on_back(outage: Outage) -> None:
    """Tell the same people that it is back."""
    back = outage.back_at or outage.since
    minutes = max(1, round((back - outage.since).total_seconds() / 60))
    alerts.alert(
        account=outage.device.account, device=outage.device, cause=Cause.BACK, source=f"event:{outage.event_id.hex}",
        values={"after": counted(minutes, "minute")},
    )  # fmt: skip


def on_expiring(expiring: ExpiringCertificate) -> None:
    """Tell those who manage a device that its certificate ends soon."""
    certificate, device = expiring.certificate, expiring.certificate.device
    alerts.alert(
        account=device.account, device=device, cause=Cause.CERTIFICATE,
        source=f"certificate:{certificate.pk.hex}:{expiring.days}", values={"ends": day(certificate.not_after)},
    )  # fmt: skip


def on_new_place(sign_in: SignIn) -> None:
    """Tell somebody that they, or somebody else in their name, signed in with a browser that was not known."""
    user = sign_in.user
    alerts.alert_person(
        user=user, account=personal_account(user), cause=Cause.SIGN_IN, source=f"sign-in:{_digest(sign_in.session_key)}",
        values={
            "person": user.get_username(), "browser": describe(sign_in.agent).words,
            "place": sign_in.address or phrase("an unknown address"), "page": settings.PORTAL_URL + reverse("accounts:account"),
        },
    )  # fmt: skip


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()[:32]


def on_low_balance(low: BalanceLow) -> None:
    """Tell those who see to an account's bills that its credits run low. In the transaction of the entry that took some."""
    page = settings.PORTAL_URL + reverse("billing:subscription", args=[low.account.pk])
    alerts.alert(
        account=low.account, device=None, cause=Cause.CREDITS, source=f"entry:{low.entry_id.hex}",
        values={"left": counted(low.credits, "credit"), "below": number(low.below), "page": page},
    )  # fmt: skip

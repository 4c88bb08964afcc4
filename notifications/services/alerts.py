"""Telling an account's people what happened to their devices, as they want it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from django.db import transaction
from django.db.models import QuerySet

from accounts.access import Action, roles_for
from accounts.models import Account, User
from devices.models import Device
from notifications.models import Cause, Notification, Preference
from notifications.services import intake

CHOICES = (Cause.OFFLINE, Cause.BACK, Cause.CERTIFICATE)  # what people can switch off


def alert(
    *, account: Account, cause: Cause, source: str, subject: str, message: str, device: Device | None
) -> list[Notification]:
    """Mail those who manage an account, or its bills, each once for a `source`; they are told after the commit."""
    taken = []
    for user in _listeners(account, cause):
        one = intake.take(
            account_id=account.pk, device_id=device.pk if device else None, cause=cause, source=f"{source}:{user.uuid.hex}",
            recipient=user.email, subject=subject, message=message,
        )  # fmt: skip
        if one is not None:
            taken.append(one)
    transaction.on_commit(partial(intake.announce, taken))
    return taken


def _listeners(account: Account, cause: Cause) -> QuerySet[User]:
    needed = Action.BILLING if cause == Cause.CREDITS else Action.MANAGE
    people = User.objects.filter(is_active=True, memberships__account=account, memberships__role__in=roles_for(needed))
    return people.exclude(notification_preferences__in=Preference.objects.filter(cause=cause, wanted=False))


def preferences(user: User) -> dict[Cause, bool]:
    """Return what somebody wants to hear of."""
    said = dict(Preference.objects.filter(user=user).values_list("cause", "wanted"))
    return {cause: said.get(cause.value, True) for cause in CHOICES}


def set_preferences(*, user: User, wanted: Mapping[Cause, bool]) -> None:
    """Keep what somebody wants to hear of."""
    for cause, yes in wanted.items():
        Preference.objects.update_or_create(user=user, cause=cause, defaults={"wanted": yes})

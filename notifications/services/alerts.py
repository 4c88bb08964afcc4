"""Telling an account's people what happened to their devices, each by the channels that they want."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from accounts.access import Action, roles_for
from accounts.models import Account, User
from devices.models import Device
from notifications.models import Browser, Cause, Channel, Notification, Preference
from notifications.services import intake, templates
from notifications.templating.languages import Value

CHOICES = (Cause.OFFLINE, Cause.BACK, Cause.CERTIFICATE, Cause.CREDITS, Cause.SIGN_IN)  # what people can switch off
CHANNELS = (Channel.EMAIL, Channel.PUSH, Channel.SMS)
_DEFAULTS = {Channel.EMAIL: True, Channel.PUSH: True, Channel.SMS: False}  # an SMS costs credits
_ROLES = {Cause.CREDITS: Action.BILLING}

Choice = tuple[Cause, Channel]


def alert(
    *, account: Account, cause: Cause, source: str, values: Mapping[str, Value], device: Device | None
) -> list[Notification]:
    """Tell those who manage an account, or its bills, each once for a `source`; they are told after the commit.

    `values`: of the variables of the event that is called like `cause`; a device's name and page are known.
    """
    roles = roles_for(_ROLES.get(cause, Action.MANAGE))
    people = User.objects.filter(is_active=True, memberships__account=account, memberships__role__in=roles)
    if device is not None:
        page = f"{settings.PORTAL_URL}{reverse('devices:detail', args=[device.hex])}"
        values = {"device": device.name, "page": page, **values}
    return _tell(people, account=account, cause=cause, source=source, values=values, device=device)


def alert_person(*, user: User, account: Account, cause: Cause, source: str, values: Mapping[str, Value]) -> list[Notification]:
    """Tell one person what concerns nobody else, in the name of `account`."""
    return _tell([user], account=account, cause=cause, source=source, values=values, device=None)


def _tell(
    people: Iterable[User], *, account: Account, cause: Cause, source: str, values: Mapping[str, Value], device: Device | None
) -> list[Notification]:
    people = list(people)
    said = _said(people, cause)
    pushed = set(Browser.objects.filter(user__in=people).values_list("user", flat=True))
    rows = [
        intake.row(
            account_id=account.pk, device_id=device.pk if device else None, cause=cause, source=_source(source, user, channel),
            recipient=address, message=None,
        )
        for user in people
        for channel, address in _addresses(user, pushed=user.pk in pushed).items()
        if said.get((user.pk, channel), _DEFAULTS[channel])
    ]  # fmt: skip
    templates.dress([templates.Asked(one, cause, values) for one in rows])
    kept = intake.keep(rows)
    transaction.on_commit(partial(intake.announce, kept))
    return kept


def _source(source: str, user: User, channel: Channel) -> str:
    mail = f"{source}:{user.uuid.hex}"
    return mail if channel == Channel.EMAIL else f"{mail}:{channel}"


def _addresses(user: User, *, pushed: bool) -> dict[Channel, str]:
    """Return how somebody can be told, by channel."""
    found = {Channel.EMAIL: user.email}
    if pushed:
        found[Channel.PUSH] = f"push:{user.uuid.hex}"
    if settings.SENDERS.sms and user.phone_verified:
        found[Channel.SMS] = user.phone
    return found


def _said(people: Iterable[User], cause: Cause) -> dict[tuple[int, str], bool]:
    rows = Preference.objects.filter(user__in=people, cause=cause).values_list("user", "channel", "wanted")
    return {(user, channel): wanted for user, channel, wanted in rows}


def channels_of(user: User) -> list[Channel]:
    """Return by what somebody can be told, or could if they switched on a browser."""
    return list(_addresses(user, pushed=True))


def preferences(user: User) -> dict[Choice, bool]:
    """Return what somebody wants to hear of, and by what."""
    rows = Preference.objects.filter(user=user).values_list("cause", "channel", "wanted")
    said = {(cause, channel): wanted for cause, channel, wanted in rows}
    channels = channels_of(user)
    return {
        (cause, channel): said.get((cause.value, channel.value), _DEFAULTS[channel]) for cause in CHOICES for channel in channels
    }


def set_preferences(*, user: User, wanted: Mapping[Choice, bool]) -> None:
    """Keep what somebody wants to hear of, and by what."""
    rows = [Preference(user=user, cause=cause, channel=channel, wanted=yes) for (cause, channel), yes in wanted.items()]
    Preference.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["user", "cause", "channel"], update_fields=["wanted"]
    )

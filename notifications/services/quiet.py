"""Quiet hours: what is not urgent waits until they are over, by the clock of whom it is for.

They are somebody's own, so they hold for what goes to that person, whoever sends it: their mail, their phone, their browsers.
What a person asked for just now, a request to confirm, and a sign-in with a new browser do not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from accounts.models import User
from notifications.models import Cause, Channel, Notification, QuietHours

_AT_ONCE = frozenset({Cause.PERSON, Cause.CONFIRM, Cause.SIGN_IN})


class BadHours(ValueError):
    """No hours: one end is missing, or they are the same. The text says so."""


def set_hours(*, user: User, starts: time | None, ends: time | None) -> None:
    """Keep somebody's quiet hours; without both there are none. Raises BadHours."""
    if starts is None and ends is None:
        QuietHours.objects.filter(user=user).delete()
        return
    if starts is None or ends is None or starts == ends:
        raise BadHours("Say when they begin and when they end.")
    QuietHours.objects.update_or_create(user=user, defaults={"starts": starts, "ends": ends})


def hours_of(user: User) -> QuietHours | None:
    """Return somebody's quiet hours."""
    return QuietHours.objects.filter(user=user).first()


def ends_at(hours: QuietHours, now: datetime) -> datetime | None:
    """Return when the quiet hours end in which `now` lies; None if it lies in none."""
    local = now.astimezone(ZoneInfo(hours.user.time_zone))
    clock, over_midnight = local.time(), hours.ends < hours.starts
    if not (clock >= hours.starts or clock < hours.ends if over_midnight else hours.starts <= clock < hours.ends):
        return None
    day = local.date() + timedelta(days=1 if over_midnight and clock >= hours.starts else 0)
    # `fold`: of the hour that comes twice when summer time ends, the one that it is.
    return datetime.combine(day, hours.ends.replace(fold=local.fold), tzinfo=local.tzinfo)


def waits(notifications: Sequence[Notification], *, now: datetime | None = None) -> dict[UUID, datetime]:
    """Return of notifications those that have to wait, and until when; one query for all of them."""
    now = now or timezone.now()
    waiting = [one for one in notifications if not one.urgent and one.cause not in _AT_ONCE]
    addresses = {channel: {one.address for one in waiting if one.channel == channel} for channel in _READ}
    if not any(addresses.values()):
        return {}
    until: dict[tuple[str, str], datetime] = {}
    whose = (
        Q(email__in=addresses[Channel.EMAIL])
        | Q(user__phone__in=addresses[Channel.SMS] - {""}, user__phone_verified=True)
        | Q(user__uuid__in=[UUID(hex=one) for one in addresses[Channel.PUSH]])
    )
    for hours in QuietHours.objects.alias(email=Lower("user__email")).filter(whose).select_related("user"):
        end = ends_at(hours, now)
        if end is not None:
            until |= {(channel, read(hours.user)): end for channel, read in _READ.items()}
    return {one.pk: until[one.channel, one.address] for one in waiting if (one.channel, one.address) in until}


# How an address of each channel names a person.
_READ: dict[Channel, Callable[[User], str]] = {
    Channel.EMAIL: lambda user: user.email.lower(),
    Channel.SMS: lambda user: user.phone if user.phone_verified else "",  # another's, for all that we know
    Channel.PUSH: lambda user: user.uuid.hex,
}

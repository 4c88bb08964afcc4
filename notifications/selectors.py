"""What pages and the API read of notifications."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Q, QuerySet

from accounts.models import User
from devices.models import Device
from iotportal.cursor import Cursor
from messaging.selectors import account_ids
from notifications.models import Notification
from notifications.reasons import in_words

_FLAGS = {
    "queued": ("to", "queued"), "sent": ("live", "sent"), "delivered": ("live", "delivered"), "failed": ("bad", "failed"),
    "refused": ("warn", "not sent"),
}  # fmt: skip
ICONS = {
    "email": "mail", "sms": "device-mobile", "device": "cpu", "push": "bell", "webhook": "world", "apprise": "message", "": "x",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filter:
    """What is wanted of the log; what is empty is all of it."""

    device_id: UUID | None = None
    status: str = ""
    channel: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A notification as a list shows it."""

    one: Notification
    flag: tuple[str, str]
    icon: str
    why: str
    took_ms: float | None  # from what caused it until a sender took it


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the log, newest first."""

    lines: list[Line] = field(default_factory=list)
    next: Cursor | None = None
    previous: Cursor | None = None


def log(user: User, wanted: Filter, cursor: str | None = None, limit: int = 50) -> Page:
    """Return a page of what was said in all accounts of a user. Raises iotportal.cursor.BadCursor."""
    place = Cursor.parse(cursor) if cursor else None
    back = place is not None and place.back
    found = _beyond(_wanted(Notification.objects.filter(account__in=account_ids(user)), wanted), place)
    order = ("created_at", "id") if back else ("-created_at", "-id")
    rows = list(found.select_related("device", "account").order_by(*order)[: limit + 1])
    more, rows = len(rows) > limit, rows[:limit]
    if back:
        rows.reverse()
    older, newer = rows and (more or back), rows and (more if back else place)
    return Page(
        [line(one) for one in rows],
        Cursor(rows[-1].created_at, rows[-1].id) if older else None,
        Cursor(rows[0].created_at, rows[0].id, back=True) if newer else None,
    )


def of_device(device: Device, limit: int = 5) -> list[Line]:
    """Return the newest of a device, since this account has it."""
    found = Notification.objects.filter(device=device, account=device.account_id).select_related("device")
    return [line(one) for one in found[:limit]]


def line(one: Notification) -> Line:
    """Return what a list says of a notification."""
    took = (one.sent_at - one.asked_at).total_seconds() * 1000 if one.sent_at else None
    flag = _FLAGS[one.status]
    if one.status == "queued" and one.tries:
        flag = ("warn", "trying again")
    return Line(one, flag, ICONS[one.channel], in_words(one.reason), took)


def _wanted(rows: QuerySet[Notification], wanted: Filter) -> QuerySet[Notification]:
    exact = {"device": wanted.device_id, "status": wanted.status, "channel": wanted.channel}
    rows = rows.filter(**{name: value for name, value in exact.items() if value})
    if wanted.text:
        rows = rows.filter(Q(recipient__icontains=wanted.text) | Q(message__icontains=wanted.text))
    return rows


def _beyond(rows: QuerySet[Notification], place: Cursor | None) -> QuerySet[Notification]:
    if place is None:
        return rows
    if place.back:
        return rows.filter(created_at__gte=place.time).exclude(created_at=place.time, id__lte=place.id)
    return rows.filter(created_at__lte=place.time).exclude(created_at=place.time, id__gte=place.id)

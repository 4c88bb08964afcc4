"""What pages and the API read of notifications."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Q, QuerySet

from accounts.models import User
from devices.models import Device
from iotportal.cursor import Cursor, page_of
from messaging.selectors import account_ids
from notifications.models import Channel, Notification
from notifications.reasons import in_words
from notifications.services import browsers

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
    to: str  # whom, in the words of who reads it
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
    found = _beyond(_wanted(Notification.objects.filter(account__in=account_ids(user)), wanted), place)
    order = ("created_at", "id") if place and place.back else ("-created_at", "-id")
    rows = list(found.select_related("device", "account").order_by(*order)[: limit + 1])
    page = page_of(rows, limit, place, lambda one: (one.created_at, one.id))
    return Page(lines(page.rows, user), page.next, page.previous)


def of_device(device: Device, reader: User, limit: int = 5) -> list[Line]:
    """Return the newest of a device, since this account has it."""
    found = list(Notification.objects.filter(device=device, account=device.account_id)[:limit])
    for one in found:
        one.device = device
    return lines(found, reader)


def lines(found: Iterable[Notification], reader: User) -> list[Line]:
    """Return what a list says of notifications to somebody who may see them."""
    found = list(found)
    named = browsers.in_words(reader, _places(found, Channel.PUSH)) | _device_names(_places(found, Channel.DEVICE))
    return [_line(one, named.get((one.account_id, one.address)) or one.recipient) for one in found]


def _places(found: Iterable[Notification], channel: Channel) -> list[tuple[UUID, str]]:
    return [(one.account_id, one.address) for one in found if one.channel == channel]


def _device_names(asked: Sequence[tuple[UUID, str]]) -> dict[tuple[UUID, str], str]:
    """Return what the devices of these accounts are called; another's are left out, whatever id was named."""
    if not asked:
        return {}
    accounts, ids = zip(*asked, strict=True)
    rows = Device.objects.filter(account__in=accounts, pk__in=[UUID(hex=one) for one in ids])
    return {(account, pk.hex): name for pk, account, name in rows.values_list("pk", "account", "name")}


def _line(one: Notification, to: str) -> Line:
    took = (one.sent_at - one.asked_at).total_seconds() * 1000 if one.sent_at else None
    flag = _FLAGS[one.status]
    if one.status == "queued" and one.tries:
        flag = ("warn", "trying again")
    return Line(one, to, flag, ICONS[one.channel], in_words(one.reason), took)


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

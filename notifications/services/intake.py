"""Taking what is to be said: one row each, once, and a word to a worker."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from django.db import connection
from django.utils import timezone

from accounts.models import User
from devices.models import Device
from notifications.addresses import BadRecipient, clean_message, one_line, read
from notifications.events import tell
from notifications.models import ADDRESS_CHARACTERS, Cause, Notification, Status
from notifications.services import bell, templates
from notifications.templating.languages import Value

_COLUMNS = {str(field.column): field.attname for field in Notification._meta.concrete_fields}
_NAMES = ", ".join(_COLUMNS)
# One trip, whatever their number; PostgreSQL reads the values by the types of the table.
_KEEP = f"""
INSERT INTO notifications_notification ({_NAMES})
SELECT {_NAMES} FROM json_populate_recordset(NULL::notifications_notification, %s) ON CONFLICT DO NOTHING RETURNING id
"""  # noqa: S608 - our own column names


def row(
    *,
    account_id: UUID,
    cause: Cause,
    source: str,
    recipient: str,
    message: str | None,
    device_id: UUID | None = None,
    user: User | None = None,
    asked_at: datetime | None = None,
    urgent: bool = False,
) -> Notification:
    """Return one notification to be kept by `keep`.

    Whether it may be sent is asked when it is. What names nobody, or says nothing, is kept too, refused: the log has to show it.
    `source`: names what it is for, at most 120 characters. `message`: what somebody says; None where its words are all the
    portal's. Either way `templates.dress` gives it its words before it is kept.
    """
    now = timezone.now()
    text = clean_message(message or "")
    one = Notification(
        account_id=account_id, device_id=device_id, user=user, cause=cause, source=source, message=text, created_at=now,
        due_at=now, recipient=_kept(recipient), asked_at=min(asked_at or now, now), urgent=urgent,
    )  # fmt: skip
    try:
        found = read(recipient)
        one.channel, one.address = found.channel, found.address or account_id.hex  # push: to whom the account belongs
    except BadRecipient:
        _refuse(one, "bad_recipient", now)
    if one.status == Status.QUEUED and message is not None and not text:
        _refuse(one, "empty", now)
    return one


def keep(rows: Sequence[Notification]) -> list[Notification]:
    """Keep notifications to be sent; returns those whose `source` was not taken before."""
    if not rows:
        return []
    said = [{column: getattr(one, name) for column, name in _COLUMNS.items()} for one in rows]
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [json.dumps(said, default=_spelled)])
        new = {pk for (pk,) in cursor.fetchall()}
    return [one for one in rows if one.pk in new]


def _spelled(value: object) -> str:
    if isinstance(value, UUID | datetime):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no spelling for PostgreSQL")


def take(
    *, account_id: UUID, cause: Cause, source: str, recipient: str, message: str | None, event: str = "",
    values: Mapping[str, Value] | None = None, user: User | None = None, device: Device | None = None, urgent: bool = False,
) -> Notification | None:  # fmt: skip
    """Keep one notification of an event, or of what somebody says, to be sent, as `row` makes it; None if `source` was taken
    before.
    """
    one = row(
        account_id=account_id, cause=cause, source=source, recipient=recipient, message=message, user=user,
        device_id=device.pk if device else None, urgent=urgent,
    )  # fmt: skip
    said = templates.of_device(one, device.name if device else None)
    templates.dress([templates.Asked(one, event, values or {}) if event else said])
    kept = keep([one])
    return kept[0] if kept else None


def announce(notifications: Sequence[Notification]) -> None:
    """Have what was taken sent soon, and shown; after the commit."""
    for channel in {one.channel for one in notifications if one.status == Status.QUEUED}:
        bell.ring(channel)
    tell(notifications)


def resend(*, notification: Notification, user: User, key: str) -> Notification:
    """Say the same to the same once more. `key`: names the request, so that a second click finds the first one's."""
    source = f"resend:{notification.hex}:{sha256(key.encode(errors='replace')).hexdigest()[:32]}"
    again = row(
        account_id=notification.account_id, cause=Cause.PERSON, source=source, recipient=notification.recipient, user=user,
        message=notification.message, device_id=notification.device_id,
    )  # fmt: skip
    for name in ("subject", "html", "language"):
        setattr(again, name, getattr(notification, name))
    kept = keep([again])
    return kept[0] if kept else Notification.objects.get(source=source)


def _kept(recipient: str) -> str:
    """Return a recipient as the log shows it: what was sent, without what a page or a header could stumble over."""
    return one_line(recipient, ADDRESS_CHARACTERS)


def _refuse(one: Notification, reason: str, now: datetime) -> None:
    one.status, one.reason, one.ended_at = Status.REFUSED, reason, now

"""Taking what is to be said: one row, once, and a word to a worker."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from uuid import UUID

import redis
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts.models import User
from iotportal.cache import valkey
from notifications.addresses import BadRecipient, clean_message, one_line, read
from notifications.events import tell
from notifications.models import ADDRESS_CHARACTERS, Cause, Notification, Status

logger = logging.getLogger(__name__)

WAKE = "notifications:wake"  # set while a worker has been told and has not begun yet
WAKE_S = 5


def take(
    *,
    account_id: UUID,
    cause: Cause,
    source: str,
    recipient: str,
    message: str,
    subject: str = "",
    device_id: UUID | None = None,
    user: User | None = None,
    asked_at: datetime | None = None,
) -> Notification | None:
    """Keep one notification to be sent; None if `source` was taken before.

    Whether it may be sent is asked when it is. What names nobody, or says nothing, is kept too, refused: the log has to show it.
    `source`: names what it is for, at most 120 characters.
    """
    now = timezone.now()
    text = clean_message(message)
    one = Notification(
        account_id=account_id, device_id=device_id, user=user, cause=cause, source=source, message=text, created_at=now,
        due_at=now, recipient=_kept(recipient), subject=one_line(subject, 200), asked_at=min(asked_at or now, now),
    )  # fmt: skip
    try:
        found = read(recipient)
        one.channel, one.address = found.channel, found.address
    except BadRecipient:
        _refuse(one, "bad_recipient", now)
    if one.status == Status.QUEUED and not text:
        _refuse(one, "empty", now)
    Notification.objects.bulk_create([one], ignore_conflicts=True)
    if not Notification.objects.filter(pk=one.pk).exists():
        return None
    return one


def announce(notifications: Sequence[Notification]) -> None:
    """Have what was taken sent soon, and shown; after the commit."""
    if any(one.status == Status.QUEUED for one in notifications):
        wake()
    tell(notifications)


def wake() -> None:
    """Tell a worker that there is something to send, unless one was told and has not begun yet; the sweep finds the rest."""
    from notifications import tasks  # it imports services

    try:
        if valkey().set(WAKE, 1, nx=True, ex=WAKE_S):
            tasks.deliver.apply_async(expires=60)
    except (OperationalError, redis.RedisError) as error:
        logger.warning("no worker could be told of notifications: %s", type(error).__name__)


def resend(*, notification: Notification, user: User, key: str) -> Notification:
    """Say the same to the same once more. `key`: names the request, so that a second click finds the first one's."""
    source = f"resend:{notification.hex}:{sha256(key.encode(errors='replace')).hexdigest()[:32]}"
    again = take(
        account_id=notification.account_id, cause=Cause.PERSON, source=source, recipient=notification.recipient, user=user,
        message=notification.message, subject=notification.subject, device_id=notification.device_id,
    )  # fmt: skip
    return again or Notification.objects.get(source=source)


def _kept(recipient: str) -> str:
    """Return a recipient as the log shows it: what was sent, without what a page or a header could stumble over."""
    return one_line(recipient, ADDRESS_CHARACTERS)


def _refuse(one: Notification, reason: str, now: datetime) -> None:
    one.status, one.reason, one.ended_at = Status.REFUSED, reason, now

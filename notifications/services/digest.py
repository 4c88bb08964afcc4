"""In place of a flood one summary: what was too much in ten minutes is told together at their end."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

from django.db.models import Count
from django.utils import timezone

from notifications.addresses import clean_message, one_line
from notifications.models import Cause, Channel, Notification, Status

EVERY = timedelta(minutes=10)
_SHOWN = 20
_SLACK = timedelta(seconds=5)  # the first of them ended a moment after its summary was begun, or before


def fold(one: Notification) -> str:
    """Have one that is too much told in a summary; returns the reason why it is not sent by itself."""
    if one.channel != Channel.EMAIL:
        return "too_many"
    now = timezone.now()
    span = int(now.timestamp() // EVERY.total_seconds())
    due = now + EVERY - timedelta(seconds=now.timestamp() % EVERY.total_seconds())
    whom = sha256(one.address.encode()).hexdigest()[:32]  # the address itself may be too long
    summary = Notification(
        account_id=one.account_id, cause=Cause.DIGEST, source=f"digest:{one.account_id.hex}:{whom}:{span}",
        channel=one.channel, recipient=one.recipient, address=one.address, message="-", asked_at=now, due_at=due,
    )  # fmt: skip
    Notification.objects.bulk_create([summary], ignore_conflicts=True)
    return "in_digest"


def write(summary: Notification) -> None:
    """Write the text of a summary, when it is about to be sent."""
    rows = Notification.objects.filter(
        account=summary.account_id, channel=summary.channel, address=summary.address, status=Status.REFUSED, reason="in_digest",
        ended_at__gte=summary.created_at - _SLACK,
    )  # fmt: skip
    counts = list(rows.order_by().values_list("device__name").annotate(number=Count("pk")).order_by("-number"))
    total = sum(number for _, number in counts)
    told = ", ".join(f"{number} from {name or 'the portal'}" for name, number in counts[:_SHOWN])
    last = [_line(one) for one in rows.select_related("device")[:_SHOWN]]
    summary.subject = f"{total} more notifications"
    text = "\n".join([f"{summary.subject} in ten minutes: {told}.", "", "The last of them (UTC):", *last])
    summary.message = clean_message(text)
    Notification.objects.filter(pk=summary.pk).update(subject=summary.subject, message=summary.message)


def _line(one: Notification) -> str:
    return f"{one.asked_at:%H:%M:%S} {one.device.name if one.device else ''}: {one_line(one.message, 120)}"

"""In place of a flood one summary: what was too much in ten minutes is told together at their end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256

from django.db.models import Case, Count, F, When
from django.utils import timezone

from notifications.addresses import one_line
from notifications.models import Cause, Channel, Notification, Status
from notifications.services import templates
from notifications.templating.languages import Value, counted, phrase, written

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
    ours = Case(When(device__account=F("account"), then=F("device__name")))  # as `Notification.device_name`
    counts = list(rows.order_by().annotate(name=ours).values_list("name").annotate(number=Count("pk")).order_by("-number"))
    total = sum(number for _, number in counts)
    last = [_line(one) for one in rows.select_related("device")[:_SHOWN]]
    values = {"more": counted(total, "more notification"), "who": _who(counts[:_SHOWN]), "last": "\n".join(last)}
    templates.dress([templates.Asked(summary, summary.cause, values)])
    said = {name: getattr(summary, name) for name in ("subject", "message", "html", "language")}
    Notification.objects.filter(pk=summary.pk).update(**said)


def _who(counts: Sequence[tuple[str | None, int]]) -> Value:
    def write(language: str) -> str:
        from_, ours = written(phrase("from"), language), written(phrase("from the portal"), language)
        return ", ".join(f"{number} {f'{from_} {name}' if name else ours}" for name, number in counts)

    return write


def _line(one: Notification) -> str:
    return f"{one.asked_at:%H:%M:%S} {one.device_name}: {one_line(one.message, 120)}"

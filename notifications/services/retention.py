"""Forgetting what was said long ago."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from notifications.models import Notification, Status

CHUNK = 2_000


def forget_old(*, now: datetime | None = None) -> int:
    """Delete notifications that are older than `EVENT_DAYS`, with their tries; return how many."""
    before = (now or timezone.now()) - timedelta(days=settings.EVENT_DAYS)
    rows = Notification.objects.filter(created_at__lt=before).exclude(status=Status.QUEUED).order_by("created_at")
    forgotten = 0
    while ids := list(rows.values_list("pk", flat=True)[:CHUNK]):
        Notification.objects.filter(pk__in=ids).delete()
        forgotten += len(ids)
    return forgotten

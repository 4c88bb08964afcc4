"""What a sender says later of what it took: that it arrived, or did not. Told twice, or out of order, it changes nothing more."""

from __future__ import annotations

import logging

from django.db import transaction
from django.utils import timezone

from notifications.events import tell
from notifications.models import Attempt, Notification, Status
from notifications.services import limits, payments

logger = logging.getLogger(__name__)


def delivered(*, sender: str, vendor_id: str) -> bool:
    """Note that it arrived; False if we know of no such message."""
    return _end(sender, vendor_id, Status.DELIVERED)


def failed(*, sender: str, vendor_id: str, detail: str) -> bool:
    """Note that it did not arrive, and give back what was paid; False if we know of no such message."""
    return _end(sender, vendor_id, Status.FAILED, "refused_by_server", detail)


def _end(sender: str, vendor_id: str, status: Status, reason: str = "", detail: str = "") -> bool:
    attempt = Attempt.objects.filter(sender=sender, vendor_id=vendor_id, outcome=Attempt.Outcome.ACCEPTED).first()
    if attempt is None or not vendor_id:
        return False
    with transaction.atomic():
        one = Notification.objects.select_for_update().get(pk=attempt.notification_id)
        if one.status != Status.SENT:
            return True
        one.status, one.reason, one.detail, one.ended_at = status, reason, detail[:300], timezone.now()
        one.save(update_fields=["status", "reason", "detail", "ended_at"])
        if status == Status.FAILED:
            payments.give_back(notification=one, country=limits.country_of(one))
    tell([one])
    logger.info("notification %s: %s, says %s", one.hex, status, sender)
    return True

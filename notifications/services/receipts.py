"""What a sender says later of what it took: that it arrived, or did not. Told twice, or out of order, it changes nothing more;
of what we know nothing of (a code, or a further part of an SMS) it is nothing.
"""

from __future__ import annotations

import logging
from hashlib import sha256

from django.core.cache import cache
from django.db import transaction
from django.utils import timezone

from notifications import metrics
from notifications.addresses import one_line
from notifications.events import tell
from notifications.models import Attempt, Channel, Notification, Status, Suppression
from notifications.services import limits, payments

logger = logging.getLogger(__name__)

KNOWN_S = 30 * 86_400  # how long what was told is known again: a bounce that somebody tells anew after that is too old to count


def delivered(*, sender: str, vendor_id: str) -> None:
    """Note that it arrived."""
    _end(_attempt(sender, vendor_id), Status.DELIVERED)


def failed(*, sender: str, vendor_id: str, detail: str) -> None:
    """Note that it did not arrive, and give back what was paid."""
    _end(_attempt(sender, vendor_id), Status.FAILED, "refused_by_server", detail)


def came_back(*, sender: str, vendor_id: str, address: str, detail: str, for_good: bool) -> None:
    """Note that a mail came back. `for_good`: the address takes none, so nobody writes to it any more.

    Of a message to that address alone: whoever knows the way in here can block no others.
    """
    attempt = _attempt(sender, vendor_id, address)
    if attempt is not None and for_good:
        _suppress(attempt, Suppression.Reason.BOUNCED, detail)
    _end(attempt, Status.FAILED, "came_back", detail)


def complained(*, sender: str, vendor_id: str, address: str, detail: str) -> None:
    """Note that somebody called a mail of ours spam: nobody writes to them any more. Of ours alone, as `came_back`."""
    attempt = _attempt(sender, vendor_id, address)
    if attempt is None:
        return
    _suppress(attempt, Suppression.Reason.COMPLAINED, detail)
    Attempt.objects.filter(pk=attempt.pk).update(detail=one_line(f"complained: {detail}", 300))


def is_known(*, sender: str, key: str) -> bool:
    """Say whether a receipt was taken before. `key`: what its sender calls it."""
    return cache.get(_name(sender, key)) is not None


def remember(*, sender: str, key: str) -> None:
    """Know a receipt from now on. Once what it says is written down: until then it may be told again, and change nothing more."""
    cache.set(_name(sender, key), 1, timeout=KNOWN_S)


def _name(sender: str, key: str) -> str:
    return f"receipts:{sender}:{sha256(key.encode(errors='replace')).hexdigest()}"


def _attempt(sender: str, vendor_id: str, address: str | None = None) -> Attempt | None:
    if not vendor_id or "\0" in vendor_id:
        return None
    rows = Attempt.objects.filter(sender=sender, vendor_id=vendor_id, outcome=Attempt.Outcome.ACCEPTED)
    found = rows.select_related("notification").first()
    return found if found and address in {None, found.notification.address} else None


def _suppress(attempt: Attempt, reason: Suppression.Reason, detail: str) -> None:
    about = {"reason": reason, "detail": one_line(detail, 300)}
    Suppression.objects.get_or_create(account=None, channel=Channel.EMAIL, address=attempt.notification.address, defaults=about)


def _end(attempt: Attempt | None, status: Status, reason: str = "", detail: str = "") -> None:
    if attempt is None:
        return
    with transaction.atomic():
        one = Notification.objects.select_for_update().get(pk=attempt.notification_id)
        if one.status != Status.SENT:
            return
        one.status, one.reason, one.detail, one.ended_at = status, reason, one_line(detail, 300), timezone.now()
        one.save(update_fields=["status", "reason", "detail", "ended_at"])
        if status == Status.FAILED:
            Attempt.objects.filter(pk=attempt.pk).update(detail=one_line(f"later: {detail}", 300))
            payments.give_back(notification=one, country=limits.country_of(one))
        metrics.became(one.channel, status)
    tell([one])
    logger.info("notification %s: %s, says %s", one.hex, status, attempt.sender)

"""Writing down what came of a claimed notification: each try, and where it stands. What a claim that has passed to another says
changes nothing but its own try.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from notifications import metrics
from notifications.channels.base import PermanentFailure, SendFailure
from notifications.models import Attempt, Notification, Status
from notifications.services import limits, payments

logger = logging.getLogger(__name__)

_FIRST_WAIT_S, _LONGEST_WAIT_S = 5, 3600

# One statement is one trip and one commit: once it is on its way, a kill of ours changes nothing any more. PostgreSQL may have
# committed it and not got round to saying so; a second time it writes nothing.
_ACCEPTED = """
WITH written AS (
    UPDATE notifications_notification
    SET status = 'sent', sent_at = %(now)s, reason = '', detail = '', tries = tries + 1, judged_at = %(judged_at)s
    WHERE id = %(id)s AND claim = %(claim)s AND status = 'queued'
)
INSERT INTO notifications_attempt (notification_id, at, sender, outcome, took_ms, vendor_id, detail)
SELECT %(id)s, %(now)s, %(sender)s, 'accepted', %(took_ms)s, %(vendor_id)s, ''
WHERE NOT EXISTS (SELECT FROM notifications_attempt WHERE notification_id = %(id)s AND at = %(now)s)
"""
_INSIST_S = (0.1, 0.4, 1, 2, 4, 8)  # less than is left of a claim


def accepted(one: Notification, sender: str, began: float, vendor_id: str) -> None:
    """Write down that a sender took it; `began`: by the monotonic clock."""
    now, took_ms = timezone.now(), (time.monotonic() - began) * 1000
    _insist(_ACCEPTED, {
        "id": one.pk, "claim": one.claim, "now": now, "judged_at": one.judged_at, "sender": sender, "took_ms": took_ms,
        "vendor_id": vendor_id[:200],
    })  # fmt: skip
    one.status, one.sent_at, one.reason, one.detail, one.tries = Status.SENT, now, "", "", one.tries + 1
    metrics.tried(one.channel, took_ms)
    metrics.became(one.channel, Status.SENT)
    logger.info("notification %s by %s: accepted after %.0f ms", one.hex, sender, took_ms)


def _insist(statement: str, about: Mapping[str, Any]) -> None:
    """Execute what must not be forgotten, again where PostgreSQL goes away over it: what was taken would be said once more."""
    for wait_s in (*_INSIST_S, None):
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, about)
        except (OperationalError, InterfaceError):
            if wait_s is None:
                raise
            connection.close()
            time.sleep(wait_s)
        else:
            return


def postpone(one: Notification, failure: SendFailure) -> None:
    """Have it tried again, later each time, and not all of them at once."""
    wait_s = min(_FIRST_WAIT_S * 2**one.tries, _LONGEST_WAIT_S) * random.uniform(0.5, 1.0)
    due = timezone.now() + timedelta(seconds=wait_s)
    mark(one, due_at=due, reason=failure.code, detail=failure.detail, tries=one.tries + 1, judged_at=one.judged_at)


@transaction.atomic
def finish(one: Notification, status: Status, reason: str, detail: str = "") -> None:
    """End it unsent, and give back what was paid for it."""
    if mark(one, status=status, ended_at=timezone.now(), reason=reason, detail=detail, judged_at=one.judged_at):
        payments.give_back(notification=one, country=limits.country_of(one) if one.paid else "")
        metrics.became(one.channel, status)


def failed(one: Notification, sender: str, began: float, failure: SendFailure) -> None:
    """Write down a try that failed; `began`: by the monotonic clock."""
    outcome = Attempt.Outcome.PERMANENT if isinstance(failure, PermanentFailure) else Attempt.Outcome.TEMPORARY
    took_ms = (time.monotonic() - began) * 1000
    Attempt.objects.create(notification=one, sender=sender, outcome=outcome, took_ms=took_ms, detail=failure.detail)
    metrics.tried(one.channel, took_ms)
    logger.info("notification %s by %s: %s after %.0f ms", one.hex, sender, outcome, took_ms)


def leave(claimed: Sequence[Notification]) -> None:
    """Let others have at once what was claimed and not reached; it counts as not claimed."""
    rows = Notification.objects.filter(pk__in=[one.pk for one in claimed], claim=claimed[0].claim, status=Status.QUEUED)
    rows.update(due_at=timezone.now(), claims=F("claims") - 1)


def mark(one: Notification, **values: object) -> bool:
    """Change a claimed row; False if the claim has passed to another, whose word counts then."""
    changed = Notification.objects.filter(pk=one.pk, claim=one.claim, status=Status.QUEUED).update(**values)
    for name, value in values.items():
        setattr(one, name, value)
    return bool(changed)

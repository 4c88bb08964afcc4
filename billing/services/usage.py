"""How much was used day by day: the counters of Valkey know months alone, so what they say is noted every few minutes."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from uuid import UUID

from django.utils import timezone

from accounts.models import Account
from billing.models import Usage
from billing.services.quota import counted_accounts, month_key, used_by

_BATCH = 500
_KEPT = timedelta(days=400)


def record_usage(*, now: datetime | None = None) -> int:
    """Note what every account that sent something has used of this month; returns how many those are."""
    now = now or timezone.now()
    month, today = month_key(now), now.astimezone(UTC).date()
    keys, noted = iter(counted_accounts(month)), 0
    while some := list(islice(keys, _BATCH)):
        counts = used_by(some, month)
        there = set(Account.objects.filter(pk__in=counts).values_list("pk", flat=True))
        rows = [Usage(account_id=key, day=today, upto=count) for key, count in counts.items() if key in there]
        Usage.objects.bulk_create(rows, update_conflicts=True, unique_fields=["account", "day"], update_fields=["upto"])
        noted += len(rows)
    Usage.objects.filter(day__lt=today - _KEPT).delete()
    return noted


@dataclass(frozen=True, slots=True)
class Day:
    """The messages of one day."""

    day: date
    messages: int


def days_of(account_id: UUID, *, used: int, today: date) -> list[Day]:
    """Return the days of the month of `today` up to it, with the messages of each; `used`: what the counter says now."""
    rows = Usage.objects.filter(account_id=account_id, day__gte=today.replace(day=1), day__lt=today)
    upto, before, found = dict(rows.values_list("day", "upto")), 0, []
    for number in range(1, today.day + 1):
        day = today.replace(day=number)
        total = max(before, used if day == today else upto.get(day, before))
        found.append(Day(day, total - before))
        before = total
    return found


def month_days(today: date) -> int:
    """Return how many days the month has."""
    return calendar.monthrange(today.year, today.month)[1]

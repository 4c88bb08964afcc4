"""How much was used day by day: the counters of Valkey know months alone, so what they say is noted every few minutes."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from uuid import UUID

from django.utils import timezone

from accounts.models import Account
from billing.models import Usage
from billing.services.months import month_key, months_anywhere, zone_named
from billing.services.quota import counted_accounts, used_by

_BATCH = 500
_KEPT = timedelta(days=400)


def record_usage(*, now: datetime | None = None) -> int:
    """Note what every account that sent something has used of this month; returns how many those are."""
    now = now or timezone.now()
    noted = 0
    for month in months_anywhere(now):
        keys = iter(counted_accounts(month))
        while some := list(islice(keys, _BATCH)):
            noted += _record(some, month, now)
    Usage.objects.filter(day__lt=now.date() - _KEPT).delete()
    return noted


def _record(account_ids: list[UUID], month: str, now: datetime) -> int:
    """Note what those have used that it is this month for."""
    found = Account.objects.filter(pk__in=account_ids).values_list("pk", "time_zone")
    zones = {pk: zone_named(name) for pk, name in found}
    counts = used_by({pk: month for pk, zone in zones.items() if month_key(now, zone) == month})
    rows = [Usage(account_id=pk, day=now.astimezone(zones[pk]).date(), upto=count) for pk, count in counts.items()]
    Usage.objects.bulk_create(rows, update_conflicts=True, unique_fields=["account", "day"], update_fields=["upto"])
    return len(rows)


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

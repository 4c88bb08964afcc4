"""Calendar months as an account counts them: in its own time zone, so that the free messages begin when its first day does.

The key of a month, yyyymm, is the same in every zone: an account that moves to another zone in the middle of one goes on counting
where it was, and gets none of its months twice.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from accounts.models import Account


def zone_named(name: str) -> tzinfo:
    """Return a time zone; UTC for a name that the tz database does not have any more."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def zone_of(account_id: UUID) -> tzinfo:
    """Return the time zone of an account."""
    return zone_named(Account.objects.filter(pk=account_id).values_list("time_zone", flat=True).first() or "UTC")


def month_key(at: datetime, zone: tzinfo = UTC) -> str:
    """Return the month of a moment, yyyymm, as the counters' keys spell it."""
    return f"{at.astimezone(zone):%Y%m}"


def month_begins(key: str, zone: tzinfo = UTC) -> datetime:
    """Return the moment (UTC) at which a month begins: the first of its first day, also where the clocks are changed then."""
    return datetime(int(key[:4]), int(key[4:]), 1, tzinfo=zone).astimezone(UTC)


def month_ends(key: str, zone: tzinfo = UTC) -> datetime:
    """Return the moment (UTC) at which the next month begins."""
    return month_begins(f"{date(int(key[:4]), int(key[4:]), 1) + timedelta(days=31):%Y%m}", zone)


def months_anywhere(at: datetime) -> set[str]:
    """Return the months that it is somewhere on Earth at a moment."""
    return {month_key(at + timedelta(hours=hours)) for hours in (-14, 14)}

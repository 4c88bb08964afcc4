"""What an account may use and has used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from uuid import UUID

import redis
from django.conf import settings

from billing.models import LedgerAccount, Meter, Price
from billing.services.months import month_begins, month_ends, month_key, zone_named, zone_of
from billing.services.prices import free_messages, price_of

_NO_LIMIT = 10**15


@lru_cache(maxsize=1)
def _valkey() -> redis.Redis:
    return redis.Redis.from_url(settings.VALKEY_URL, decode_responses=True)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many commands an account may send in its month (yyyymm), which ends at a moment (UTC)."""

    limit: int
    month: str
    ends_at: datetime


def allowance(account_id: UUID) -> Allowance:
    """Return what an account may send in the calendar month that it is where the account is: free, and what its credits pay."""
    now, zone = datetime.now(UTC), zone_of(account_id)
    month = month_key(now, zone)
    free = free_messages(month_begins(month, zone))
    return Allowance(_limit(_credits(account_id), now, month, free), month, month_ends(month, zone))


def message_limit(account_id: UUID) -> int:
    """Return how many commands an account may send in its calendar month: the free ones and what its credits pay for."""
    return allowance(account_id).limit


def _credits(account_id: UUID) -> LedgerAccount | None:
    return LedgerAccount.objects.filter(owner_id=account_id, kind=LedgerAccount.Kind.CREDITS).first()


def _limit(credits: LedgerAccount | None, now: datetime, month: str, free: int) -> int:
    if credits is None:
        return free
    meter = Meter.objects.filter(account=credits, month=month).first()
    paid = max(free, meter.paid_upto if meter else 0)
    price = price_of(Price.Item.MESSAGE, at=now) if credits.balance else None
    if price is None:
        return paid
    return paid + credits.balance // price.credits * price.per if price.credits else _NO_LIMIT


def messages_used(account_id: UUID) -> int:
    """Return how many commands an account has sent in its calendar month, as the admission of commands counts them."""
    return used_by({account_id: month_key(datetime.now(UTC), zone_of(account_id))}).get(account_id, 0)


def counted_accounts(month: str) -> Iterator[UUID]:
    """Yield the accounts that have sent something in a month (yyyymm)."""
    for key in _valkey().scan_iter(f"quota:*:{month}", count=1000):
        _, account, _ = str(key).split(":")
        yield UUID(hex=account)


def used_by(months: Mapping[UUID, str]) -> dict[UUID, int]:
    """Return how many commands each account has sent in its month (yyyymm); those that sent none are left out."""
    if not months:
        return {}
    counts = _valkey().mget([f"quota:{one.hex}:{month}" for one, month in months.items()])
    return {one: int(count) for one, count in zip(months, counts, strict=True) if count}


@dataclass(frozen=True, slots=True)
class Subscription:
    """What an account has and has used in its calendar month; `paid`: its credits go on where the free ones end.

    `today`: the day that it is where the account is; `ends_at`: when its next month begins; `free`: messages that cost nothing.
    """

    paid: bool
    credits: int
    used: int
    limit: int
    free: int
    today: date
    ends_at: datetime

    @property
    def left(self) -> int:
        """How many commands may still be sent."""
        return max(0, self.limit - self.used)


def subscription(account_id: UUID, *, time_zone: str = "") -> Subscription:
    """Return the account's subscription. `time_zone`: the account's, where it is known already."""
    credits, now, zone = _credits(account_id), datetime.now(UTC), zone_named(time_zone) if time_zone else zone_of(account_id)
    has, month = credits.balance if credits else 0, month_key(now, zone)
    free = free_messages(month_begins(month, zone))
    return Subscription(
        paid=has > 0,
        credits=has,
        used=used_by({account_id: month}).get(account_id, 0),
        limit=_limit(credits, now, month, free),
        free=free,
        today=now.astimezone(zone).date(),
        ends_at=month_ends(month, zone),
    )

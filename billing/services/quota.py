"""What an account may use and has used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

import redis
from django.conf import settings

from billing.models import LedgerAccount, Meter, Price
from billing.services.prices import free_messages, price_of

_NO_LIMIT = 10**15


@lru_cache(maxsize=1)
def _valkey() -> redis.Redis:
    return redis.Redis.from_url(settings.VALKEY_URL, decode_responses=True)


def month_key(at: datetime) -> str:
    """Return the calendar month (UTC) of a moment, yyyymm, as the counters' keys spell it."""
    return f"{at.astimezone(UTC):%Y%m}"


def message_limit(account_id: UUID) -> int:
    """Return how many commands `account_id` may send in this calendar month (UTC): the free ones and what its credits pay for."""
    return _limit(account_id, _credits(account_id))


def _credits(account_id: UUID) -> LedgerAccount | None:
    return LedgerAccount.objects.filter(owner_id=account_id, kind=LedgerAccount.Kind.CREDITS).first()


def _limit(account_id: UUID, credits: LedgerAccount | None) -> int:
    now = datetime.now(UTC)
    free = free_messages(now)
    if credits is None:
        return free
    meter = Meter.objects.filter(account=credits, month=month_key(now)).first()
    paid = max(free, meter.paid_upto if meter else 0)
    price = price_of(Price.Item.MESSAGE, at=now) if credits.balance else None
    if price is None:
        return paid
    return paid + credits.balance // price.credits * price.per if price.credits else _NO_LIMIT


def messages_used(account_id: UUID) -> int:
    """Return how many commands `account_id` has sent in this calendar month (UTC), as the admission of commands counts them."""
    return used_by([account_id], month_key(datetime.now(UTC))).get(account_id, 0)


def counted_accounts(month: str) -> Iterator[UUID]:
    """Yield the accounts that have sent something in a month (yyyymm)."""
    for key in _valkey().scan_iter(f"quota:*:{month}", count=1000):
        _, account, _ = str(key).split(":")
        yield UUID(hex=account)


def used_by(account_ids: Sequence[UUID], month: str) -> dict[UUID, int]:
    """Return how many commands each account has sent in a month (yyyymm); those that sent none are left out."""
    if not account_ids:
        return {}
    counts = _valkey().mget([f"quota:{one.hex}:{month}" for one in account_ids])
    return {one: int(count) for one, count in zip(account_ids, counts, strict=True) if count}


@dataclass(frozen=True, slots=True)
class Subscription:
    """What an account has and has used in this calendar month (UTC); `paid`: its credits go on where the free ones end."""

    paid: bool
    credits: int
    used: int
    limit: int

    @property
    def left(self) -> int:
        """How many commands may still be sent."""
        return max(0, self.limit - self.used)


def subscription(account_id: UUID) -> Subscription:
    """Return the account's subscription."""
    credits = _credits(account_id)
    has = credits.balance if credits else 0
    return Subscription(paid=has > 0, credits=has, used=messages_used(account_id), limit=_limit(account_id, credits))

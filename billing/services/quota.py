"""What an account may use and has used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import redis
from django.conf import settings

from billing.services.months import month_begins, month_ends, month_key, months_anywhere, zone_named, zone_of
from iotportal.rows import rows

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
    ((found, _),) = allowances_of(_ITSELF, {"account": account_id})
    return found


def allowances_of(asked: str, params: Mapping[str, object]) -> list[tuple[Allowance, tuple[Any, ...]]]:
    """Return the rows of a statement, each with what its account may send, in one trip to the database.

    `asked`: SQL made of constants with an `account_id` among its columns; `params`: its named parameters.
    """
    now = datetime.now(UTC)
    return [(found.allowance(now), row) for found, row in _facts(asked, params, now)]


def message_limit(account_id: UUID) -> int:
    """Return how many commands an account may send in its calendar month: the free ones and what its credits pay for."""
    return allowance(account_id).limit


class _Facts(NamedTuple):
    """What is known of an account and of all: `paid_upto` in `months`, `free` messages by the plans that began at `starts`.

    `credits` for `per` messages is their price now, None where they have none.
    """

    time_zone: str | None
    balance: int | None
    months: list[str] | None
    paid_upto: list[int] | None
    starts: list[datetime] | None
    plans: list[int] | None
    credits: int | None
    per: int | None

    @property
    def zone(self) -> tzinfo:
        """The account's time zone."""
        return zone_named(self.time_zone or "UTC")

    def free(self, month: str) -> int:
        """Return how many messages cost nothing in its month, as `prices.free_messages` does."""
        begins = month_begins(month, self.zone)
        plans = zip(self.starts or (), self.plans or (), strict=True)
        return next((messages for starts, messages in plans if starts <= begins), settings.FREE_MESSAGES_PER_MONTH)

    def limit(self, month: str) -> int:
        """Return how many messages it may send in its month."""
        paid = dict(zip(self.months or (), self.paid_upto or (), strict=True))
        limit = max(self.free(month), paid.get(month, 0))
        if not self.balance or self.credits is None or self.per is None:
            return limit
        return limit + self.balance // self.credits * self.per if self.credits else _NO_LIMIT

    def allowance(self, now: datetime) -> Allowance:
        """Return what it may send in the month that it is where it is."""
        month = month_key(now, self.zone)
        return Allowance(self.limit(month), month, month_ends(month, self.zone))


_ITSELF = "SELECT %(account)s::uuid AS account_id"
# Which month it is, Python says: its time zones need not be PostgreSQL's. So what may count is read for each month that it is
# anywhere, and all plans, of which there is one for each time that an operator thought better of it.
_OF_ACCOUNTS = """
    SELECT account.time_zone, credits.balance, meters.months, meters.paid, plans.starts, plans.messages, price.credits, price.per,
        asked.*
    FROM ({asked}) asked
    LEFT JOIN accounts_account account ON account.id = asked.account_id
    LEFT JOIN LATERAL (
        SELECT id, balance FROM billing_ledgeraccount
        WHERE owner_id = asked.account_id AND kind = 'credits' ORDER BY id LIMIT 1
    ) credits ON TRUE
    LEFT JOIN LATERAL (
        SELECT array_agg(month::text) AS months, array_agg(paid_upto) AS paid FROM billing_meter
        WHERE account_id = credits.id AND month = ANY(%(months)s)
    ) meters ON TRUE
    CROSS JOIN (
        SELECT array_agg(starts_at ORDER BY starts_at DESC) AS starts,
            array_agg(messages_per_month ORDER BY starts_at DESC) AS messages
        FROM billing_plan WHERE starts_at <= %(now)s
    ) plans
    LEFT JOIN (
        SELECT credits, per FROM billing_price
        WHERE item = 'message' AND country = '' AND starts_at <= %(now)s ORDER BY starts_at DESC LIMIT 1
    ) price ON TRUE
"""


def _facts(asked: str, params: Mapping[str, object], now: datetime) -> list[tuple[_Facts, tuple[Any, ...]]]:
    """Return what is known of the account of each row of a statement, and the row."""
    known = {"now": now, "months": list(months_anywhere(now)), **params}
    width = len(_Facts._fields)
    return rows(lambda *row: (_Facts(*row[:width]), row[width:]), _OF_ACCOUNTS.format(asked=asked), known)


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


def subscription(account_id: UUID) -> Subscription:
    """Return the account's subscription."""
    now = datetime.now(UTC)
    ((found, _),) = _facts(_ITSELF, {"account": account_id}, now)
    month = month_key(now, found.zone)
    return Subscription(
        paid=bool(found.balance),
        credits=found.balance or 0,
        used=used_by({account_id: month}).get(account_id, 0),
        limit=found.limit(month),
        free=found.free(month),
        today=now.astimezone(found.zone).date(),
        ends_at=month_ends(month, found.zone),
    )

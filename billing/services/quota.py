"""What an account may use and has used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

import redis
from django.conf import settings


@lru_cache(maxsize=1)
def _valkey() -> redis.Redis:
    return redis.Redis.from_url(settings.VALKEY_URL, decode_responses=True)


def message_limit(account_id: UUID) -> int:
    """Return how many commands `account_id` may send in a calendar month (UTC)."""
    return settings.FREE_MESSAGES_PER_MONTH


def messages_used(account_id: UUID) -> int:
    """Return how many commands `account_id` has sent in this calendar month (UTC), as the admission of commands counts them."""
    count = _valkey().get(f"quota:{account_id.hex}:{datetime.now(UTC):%Y%m}")
    return int(count or 0)


@dataclass(frozen=True, slots=True)
class Subscription:
    """What an account has and has used in this calendar month (UTC)."""

    paid: bool
    credits: int
    used: int
    left: int


def subscription(account_id: UUID) -> Subscription:
    """Return the account's subscription; until credits can be bought, everybody has the free one."""
    used = messages_used(account_id)
    return Subscription(paid=False, credits=0, used=used, left=max(0, message_limit(account_id) - used))

"""Hours of emulators: what a month has for nothing, what ran, and what credits pay beyond it.

Who runs the emulators counts, in the transaction that moves its own mark of what is counted; so a process that is killed has done
both or neither. A price is for so many hours together; a begun lot is charged whole, and used up before the next is charged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from billing.models import EmulatorMeter, Entry, LedgerAccount, Price
from billing.services.ledger import Leg, operator_account, post_entry
from billing.services.months import month_key
from billing.services.prices import free_emulator_hours, price_of

logger = logging.getLogger(__name__)

HOUR_S = 3600
_NO_LIMIT = 10**12  # seconds
_LATE = timedelta(days=3)  # what a month that is over left open is still charged for so long


@dataclass(frozen=True, slots=True)
class EmulatorTime:
    """What emulators of an account's devices used in this calendar month (UTC) and may use, in seconds."""

    used_s: int
    limit_s: int

    @property
    def unlimited(self) -> bool:
        """Whether what goes beyond the free hours costs nothing."""
        return self.limit_s >= _NO_LIMIT

    @property
    def left_s(self) -> int:
        """How long they may still run, all together."""
        return max(0, self.limit_s - self.used_s)


def emulator_time(account_id: UUID, *, now: datetime | None = None) -> EmulatorTime:
    """Return what an account's emulators used, and the limit: the free hours, the paid ones, and what the credits pay for now."""
    now = now or timezone.now()
    meter = EmulatorMeter.objects.filter(account_id=account_id, month=month_key(now)).first()
    paid_hours = meter.paid_hours if meter else 0
    hours = free_emulator_hours(now) + paid_hours + _affordable_hours(account_id, now)
    return EmulatorTime(meter.seconds if meter else 0, hours * HOUR_S)


def _affordable_hours(account_id: UUID, now: datetime) -> int:
    credits = LedgerAccount.objects.filter(owner_id=account_id, kind=LedgerAccount.Kind.CREDITS).first()
    price = price_of(Price.Item.EMULATOR_HOUR, at=now)
    if price is None:
        return 0
    if not price.credits:
        return _NO_LIMIT // HOUR_S
    return credits.balance // price.credits * price.per if credits else 0


def add_emulator_time(seconds: Mapping[UUID, int], *, now: datetime) -> None:
    """Add so many seconds to each account's month (UTC) of `now`. Call it in the transaction that marks them as counted."""
    rows = [(account, month_key(now), count) for account, count in sorted(seconds.items()) if count > 0]
    with connection.cursor() as db:
        db.executemany(
            "INSERT INTO billing_emulatormeter (account_id, month, seconds) VALUES (%s, %s, %s) "
            "ON CONFLICT (account_id, month) DO UPDATE SET seconds = billing_emulatormeter.seconds + EXCLUDED.seconds",
            rows,
        )


def without_emulator_time(account_ids: Iterable[UUID], *, now: datetime) -> set[UUID]:
    """Charge what these accounts' emulators have begun, and return the accounts that have no time left."""
    free_s, used_up = free_emulator_hours(now) * HOUR_S, set()
    beyond = EmulatorMeter.objects.filter(
        account__in=set(account_ids), month=month_key(now), seconds__gte=F("paid_hours") * HOUR_S + free_s
    )
    for account_id in beyond.values_list("account_id", flat=True):
        _try(account_id, month_key(now), now)
        if not emulator_time(account_id, now=now).left_s:
            used_up.add(account_id)
    return used_up


def charge_emulator_time(*, now: datetime | None = None) -> int:
    """Charge what ran this month, and last month while that is just over; returns how many credits that was.

    Whoever runs the emulators charges as they run; this finds what a killed process, or an empty balance, left open.
    """
    now, charged = now or timezone.now(), 0
    for month in {month_key(now), month_key(now - _LATE)}:
        free_s = free_emulator_hours(_first(month)) * HOUR_S
        beyond = EmulatorMeter.objects.filter(month=month, seconds__gt=F("paid_hours") * HOUR_S + free_s)
        for account_id in beyond.values_list("account_id", flat=True):
            charged += _try(account_id, month, now)
    return charged


def _try(account_id: UUID, month: str, now: datetime) -> int:
    try:
        return _charge(account_id, month, now)
    except Exception:
        logger.exception("the emulators of %s in %s could not be charged; the next run tries again", account_id, month)
        return 0


def _first(month: str) -> datetime:
    return datetime(int(month[:4]), int(month[4:]), 1, tzinfo=UTC)


@transaction.atomic
def _charge(account_id: UUID, month: str, now: datetime) -> int:
    """Charge the begun hours of a month, as far as the credits go. Of two at once one charges, and the other finds it done."""
    free_s = free_emulator_hours(_first(month)) * HOUR_S
    mine = EmulatorMeter.objects.filter(account_id=account_id, month=month, seconds__gt=free_s)
    meter = mine.select_for_update().first()
    credits = (
        LedgerAccount.objects.filter(owner_id=account_id, kind=LedgerAccount.Kind.CREDITS).select_for_update(no_key=True).first()
    )
    price = price_of(Price.Item.EMULATOR_HOUR, at=now)
    if meter is None or price is None:
        return 0
    open_s = meter.seconds - free_s - meter.paid_hours * HOUR_S
    lots = max(0, -(-open_s // (price.per * HOUR_S)))
    if price.credits:
        lots = min(lots, credits.balance // price.credits if credits else 0)
    if not lots:
        return 0
    meter.paid_hours += lots * price.per
    meter.save(update_fields=["paid_hours"])
    cost = lots * price.credits
    if cost and credits:
        legs = [Leg(credits, -cost), Leg(operator_account(LedgerAccount.Kind.REVENUE), cost)]
        key = f"emulators:{account_id.hex}:{month}:{meter.paid_hours}"
        post_entry(cause=Entry.Cause.SPEND, key=key, legs=legs)
    return cost

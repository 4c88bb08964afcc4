"""From the counters of messages to the ledger: what goes beyond the free ones is charged in batches, each of them once.

Valkey counts when a command is admitted and refuses the one beyond the limit (402), which is what is free and what the credits
pay for. A price is for so many messages together; a begun lot is charged whole, and used up before the next is charged.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.utils import timezone

from billing.models import Entry, LedgerAccount, Meter, Price
from billing.services.ledger import Leg, operator_account, post_entry
from billing.services.months import month_begins, month_key, zone_named, zone_of
from billing.services.prices import free_messages, price_of
from billing.services.quota import used_by

logger = logging.getLogger(__name__)

_BATCH = 500  # counters that are read at once
_LATE = timedelta(days=3)  # a month that is over is still read for so long, should no worker have run at its end


def charge_messages(*, now: datetime | None = None) -> int:
    """Charge what was counted in each owner's month, and in the last one while that is just over; returns how many credits.

    One owner whose charge fails keeps nobody else from theirs.
    """
    now = now or timezone.now()
    owners = LedgerAccount.objects.filter(kind=LedgerAccount.Kind.CREDITS, balance__gt=0).order_by("pk")
    last, charged = 0, 0
    while some := list(owners.select_related("owner").filter(pk__gt=last)[:_BATCH]):
        last = some[-1].pk
        for late in (_LATE, timedelta()):
            charged += _charge_months(some, now, late)
    return charged


def _charge_months(accounts: Sequence[LedgerAccount], now: datetime, late: timedelta) -> int:
    """Charge the months that it was `late` ago, each where its owner is; nothing where it still is that month."""
    months = {}
    for account in accounts:
        if account.owner is not None:
            zone = zone_named(account.owner.time_zone)
            if not late or month_key(now - late, zone) != month_key(now, zone):
                months[account.owner.pk] = month_key(now - late, zone)
    counts = used_by(months)
    return sum(_try(one, months[one.owner_id], counts[one.owner_id], now) for one in accounts if one.owner_id in counts)


def _try(account: LedgerAccount, month: str, used: int, now: datetime) -> int:
    try:
        return charge_month(account=account, month=month, used=used, now=now) if used else 0
    except Exception:
        logger.exception("the messages of %s in %s could not be charged; the next run tries again", account.owner_id, month)
        return 0


@transaction.atomic
def charge_month(*, account: LedgerAccount, month: str, used: int, now: datetime) -> int:
    """Charge the messages of a month (yyyymm) up to `used`, as far as the credits go; returns how many credits that was.

    Locks the account, so that of two workers one charges and the other finds it done. What the credits do not pay for stays
    open: it is charged when there are some.
    """
    locked = LedgerAccount.objects.select_for_update(no_key=True).get(pk=account.pk)
    begins = month_begins(month, zone_of(locked.owner_id) if locked.owner_id else UTC)
    start = {"paid_upto": free_messages(begins), "read_at": now}
    meter, _ = Meter.objects.get_or_create(account=locked, month=month, defaults=start)
    price = price_of(Price.Item.MESSAGE, at=meter.read_at)
    credits = 0
    if price is not None and used > meter.paid_upto:
        lots = -(-(used - meter.paid_upto) // price.per)
        if price.credits:
            lots = min(lots, locked.balance // price.credits)
        meter.paid_upto += lots * price.per
        credits = lots * price.credits
    if credits:
        legs = [Leg(locked, -credits), Leg(operator_account(LedgerAccount.Kind.REVENUE), credits)]
        key = f"messages:{locked.owner_id}:{month}:{meter.paid_upto}"
        post_entry(cause=Entry.Cause.SPEND, key=key, legs=legs)
    meter.read_at = max(now, meter.read_at)
    meter.save(update_fields=["paid_upto", "read_at"])
    return credits

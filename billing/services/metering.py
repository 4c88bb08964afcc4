"""From the counters of messages to the ledger: what goes beyond the free ones is charged in batches, each of them once.

Valkey counts when a command is admitted and refuses the one beyond the limit (402), which is what is free and what the credits
pay for. A price is for so many messages together; a begun lot is charged whole, and used up before the next is charged.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.utils import timezone

from billing.models import Entry, LedgerAccount, Meter, Price
from billing.services.ledger import Leg, operator_account, post_entry
from billing.services.prices import free_messages, price_of
from billing.services.quota import month_key, used_by

logger = logging.getLogger(__name__)

_BATCH = 500  # counters that are read at once
_LATE = timedelta(days=3)  # a month that is over is still read for so long, should no worker have run at its end


def charge_messages(*, now: datetime | None = None) -> int:
    """Charge what was counted this month, and last month while that is just over; returns how many credits that was.

    One owner whose charge fails keeps nobody else from theirs.
    """
    now = now or timezone.now()
    owners = LedgerAccount.objects.filter(kind=LedgerAccount.Kind.CREDITS, balance__gt=0).order_by("pk")
    last, charged = 0, 0
    while some := list(owners.filter(pk__gt=last)[:_BATCH]):
        last = some[-1].pk
        for month in {month_key(now), month_key(now - _LATE)}:
            counts = used_by([one.owner_id for one in some if one.owner_id], month)
            for account in some:
                used = counts.get(account.owner_id, 0) if account.owner_id else 0
                charged += _try(account, month, used, now)
    return charged


def _try(account: LedgerAccount, month: str, used: int, now: datetime) -> int:
    try:
        return charge_month(account=account, month=month, used=used, now=now) if used else 0
    except Exception:
        logger.exception("the messages of %s in %s could not be charged; the next run tries again", account.owner_id, month)
        return 0


@transaction.atomic
def charge_month(*, account: LedgerAccount, month: str, used: int, now: datetime) -> int:
    """Charge the messages of a month (yyyymm, UTC) up to `used`, as far as the credits go; returns how many credits that was.

    Locks the account, so that of two workers one charges and the other finds it done. What the credits do not pay for stays
    open: it is charged when there are some.
    """
    locked = LedgerAccount.objects.select_for_update(no_key=True).get(pk=account.pk)
    first = datetime(int(month[:4]), int(month[4:]), 1, tzinfo=UTC)
    start = {"paid_upto": free_messages(first), "read_at": now}
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

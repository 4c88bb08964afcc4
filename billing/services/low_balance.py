"""Saying that credits run low: once, and again only after there were more.

It is looked at in the transaction of each entry, which holds the account's row, so that of two that spend at once one tells.
"""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import Account
from billing import hooks
from billing.models import LedgerAccount, LowBalance

MOST = 1_000_000


def threshold(account: Account) -> int:
    """Return below how many credits the people of an account are told; 0: never."""
    chosen = LowBalance.objects.filter(account=account).values_list("below", flat=True).first()
    return settings.LOW_BALANCE if chosen is None else chosen


@transaction.atomic
def set_threshold(*, account: Account, below: int) -> None:
    """Have the people of an account told below so many credits, 0: never. If there are fewer now, the next use tells.

    Raises:
        ValueError: it is below zero, or more than a million.
    """
    if not 0 <= below <= MOST:
        raise ValueError(f"Between 0 and {MOST:,}.")
    credits = LedgerAccount.objects.select_for_update(no_key=True).filter(owner=account, kind=LedgerAccount.Kind.CREDITS).first()
    row, _ = LowBalance.objects.get_or_create(account=account)
    row.below = below
    if credits is not None and credits.balance >= below:
        row.told_at = None
    row.save(update_fields=["below", "told_at"])


def watch(account_pk: int, entry_id: UUID, *, fell: bool) -> None:
    """Look at what an entry left of an owner's credits, within its transaction, and tell whoever listens if that is little."""
    about = LedgerAccount.objects.filter(pk=account_pk)
    balance, owner, chosen, told = about.values_list(
        "balance", "owner", "owner__low_balance__below", "owner__low_balance__told_at"
    ).get()
    below = settings.LOW_BALANCE if chosen is None else chosen
    if balance >= below:
        if told is not None:
            LowBalance.objects.filter(account=owner).update(told_at=None)
    elif told is None and fell:  # a gift of a few is nothing to warn of
        LowBalance.objects.update_or_create(account_id=owner, defaults={"told_at": timezone.now()})
        hooks.balance_low(hooks.BalanceLow(Account.objects.get(pk=owner), balance, below, entry_id))

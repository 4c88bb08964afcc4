"""What moved an owner's credits, in words that the owner understands."""

from __future__ import annotations

from django.db.models import QuerySet, Sum

from accounts.models import Account
from billing.models import Entry, LedgerAccount


def movements(account: Account) -> QuerySet[Entry]:
    """Return the entries that moved the credits of an owner, the newest first, each with `moved`, how many."""
    mine = LedgerAccount.objects.filter(owner=account)
    found = Entry.objects.filter(postings__account__in=mine)
    return found.annotate(moved=Sum("postings__amount")).select_related("payment__order").order_by("-pk")


def debt(account: Account) -> int:
    """Return how many credits an owner has used and got the money back for."""
    found = LedgerAccount.objects.filter(owner=account, kind=LedgerAccount.Kind.DEBTS).values_list("balance", flat=True).first()
    return -(found or 0)

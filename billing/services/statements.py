"""What moved an owner's credits, in words that the owner understands."""

from __future__ import annotations

from django.db.models import QuerySet, Sum

from accounts.models import Account
from billing.models import Entry, LedgerAccount
from iotportal.cursor import Cursor, Page, page_of


def movements(account: Account) -> QuerySet[Entry]:
    """Return the entries that moved the credits of an owner, the newest first, each with `moved`, how many."""
    mine = LedgerAccount.objects.filter(owner=account)
    found = Entry.objects.filter(postings__account__in=mine)
    return found.annotate(moved=Sum("postings__amount")).select_related("payment__order").order_by("-pk")


def page_of_movements(account: Account, cursor: str | None = None, limit: int = 20) -> Page[Entry]:
    """Return a page of what moved the credits of an owner, the newest first. Raises iotportal.cursor.BadCursor."""
    place = Cursor.parse(cursor) if cursor else None
    found = movements(account)  # by id, which is as old as the entry
    if place and place.back:
        found = found.filter(pk__gt=place.id).order_by("pk")
    elif place:
        found = found.filter(pk__lt=place.id)
    return page_of(list(found[: limit + 1]), limit, place, lambda one: (one.at, one.pk))


def debt(account: Account) -> int:
    """Return how many credits an owner has used and got the money back for."""
    found = LedgerAccount.objects.filter(owner=account, kind=LedgerAccount.Kind.DEBTS).values_list("balance", flat=True).first()
    return -(found or 0)

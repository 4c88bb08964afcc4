"""What things cost, from when on, and what can be bought."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from billing.models import Package, Plan, Price
from billing.services.months import month_begins, month_key


def price_of(item: Price.Item, *, country: str = "", at: datetime | None = None) -> Price | None:
    """Return the price of `item` at a moment (now): the country's own, else the one of everywhere; None if it has no price."""
    begun = Price.objects.filter(item=item, country__in={country.upper(), ""}, starts_at__lte=at or timezone.now())
    return begun.order_by("-country", "-starts_at").first()


def prices_of(items: Iterable[Price.Item]) -> dict[str, Price]:
    """Return what each of these things costs now where no country has a price of its own; those without a price are left out."""
    sql = """
        SELECT DISTINCT ON (item) * FROM billing_price
        WHERE item = ANY(%s) AND country = '' AND starts_at <= %s ORDER BY item, starts_at DESC
    """  # written out, since each look at a device asks
    return {price.item: price for price in Price.objects.raw(sql, [list(items), timezone.now()])}


def prices_now() -> list[Price]:
    """Return what each thing costs now, those of everywhere before those of single countries."""
    begun = Price.objects.filter(starts_at__lte=timezone.now()).order_by("item", "country", "-starts_at")
    return list(begun.distinct("item", "country"))


def cost(item: Price.Item, count: int = 1, *, country: str = "", at: datetime | None = None) -> int | None:
    """Return how many credits `count` of `item` cost, a begun one counted whole; None if it has no price and cannot be had."""
    price = price_of(item, country=country, at=at)
    return None if price is None else -(-count * price.credits // price.per)


def _plan(begins: datetime) -> Plan | None:
    """Return the plan of the calendar month that begins at a moment: it holds for whole months."""
    return Plan.objects.filter(starts_at__lte=begins).order_by("-starts_at").first()


def free_messages(begins: datetime) -> int:
    """Return how many messages cost nothing in the calendar month that begins at a moment."""
    plan = _plan(begins)
    return settings.FREE_MESSAGES_PER_MONTH if plan is None else plan.messages_per_month


def free_emulator_hours(month: datetime) -> int:
    """Return how many hours of emulators cost nothing in the calendar month (UTC) of a moment."""
    plan = _plan(month_begins(month_key(month)))
    return settings.FREE_EMULATOR_HOURS_PER_MONTH if plan is None else plan.emulator_hours_per_month


def packages() -> QuerySet[Package]:
    """Return what can be bought, the smallest first."""
    return Package.objects.filter(offered=True)

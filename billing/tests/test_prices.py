"""Plans, prices and packages: what holds when, and that nothing is changed once it has begun."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.conf import LazySettings
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from billing.models import Package, Plan, Price
from billing.services import cost, free_messages, packages, price_of

pytestmark = pytest.mark.django_db
SMS = Price.Item.SMS


@pytest.fixture(autouse=True)
def _nothing_has_a_price(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE billing_price, billing_package, billing_plan")


def test_a_price_holds_from_its_start_and_the_countrys_own_comes_first() -> None:
    assert cost(SMS) is None
    tomorrow = timezone.now() + timedelta(days=1)
    Price.objects.create(item="sms", credits=10, starts_at=Now())
    Price.objects.create(item="sms", credits=12, starts_at=tomorrow)
    Price.objects.create(item="sms", credits=7, country="DE", starts_at=tomorrow)
    assert (cost(SMS), cost(SMS, country="DE")) == (10, 10)
    later = tomorrow + timedelta(seconds=1)
    assert [cost(SMS, 2, country=place, at=later) for place in ("", "de", "FR")] == [24, 14, 24]


@pytest.mark.parametrize(("count", "credits"), [(0, 0), (1, 1), (100, 1), (101, 2), (1_000_000, 10_000)])
def test_a_part_of_what_is_sold_together_costs_the_whole(count: int, credits: int) -> None:
    Price.objects.create(item="message", credits=1, per=100, starts_at=Now())
    assert cost(Price.Item.MESSAGE, count) == credits


def test_a_price_that_has_begun_stays_and_none_begins_in_the_past() -> None:
    begun = Price.objects.create(item="sms", credits=10, starts_at=Now())
    coming = Price.objects.create(item="sms", credits=11, starts_at=timezone.now() + timedelta(days=1))
    past = timezone.now() - timedelta(days=1)
    for attack in (
        lambda: Price.objects.filter(pk=begun.pk).update(credits=1),
        lambda: Price.objects.filter(pk=begun.pk).update(starts_at=timezone.now() + timedelta(days=1)),
        lambda: Price.objects.filter(pk=begun.pk).delete(),
        lambda: Price.objects.filter(pk=coming.pk).update(starts_at=past),
        lambda: Price.objects.create(item="sms", credits=1, starts_at=past),
        lambda: Plan.objects.create(messages_per_month=1, starts_at=past),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            attack()
    Price.objects.filter(pk=coming.pk).update(credits=12)
    coming.delete()
    assert cost(SMS, at=timezone.now() + timedelta(days=2)) == 10


def test_a_plan_holds_from_the_next_month_on(settings: LazySettings) -> None:
    settings.FREE_MESSAGES_PER_MONTH = 100
    Plan.objects.create(messages_per_month=50, starts_at=datetime(2099, 5, 10, tzinfo=UTC))
    Plan.objects.create(messages_per_month=60, starts_at=datetime(2099, 7, 1, tzinfo=UTC))
    assert [free_messages(datetime(2099, month, 1, tzinfo=UTC)) for month in (5, 6, 7)] == [100, 50, 60]


def test_the_migration_sets_prices_for_everything_and_four_packages() -> None:
    import_module("billing.migrations.0003_prices").add_defaults(apps, None)
    assert [one.credits for one in packages()] == [500, 1000, 5000, 10000]
    assert all(price_of(item) for item in Price.Item)
    Package.objects.filter(credits=500).update(offered=False)
    assert packages().count() == 3


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (Price, {"item": "message", "credits": -1}),
        (Price, {"item": "message", "credits": 1, "per": 0}),
        (Price, {"item": "horse", "credits": 1}),
        (Price, {"item": "sms", "credits": 1, "country": "de"}),
        (Plan, {"messages_per_month": -1}),
        (Package, {"credits": 0, "price_minor": 5}),
        (Package, {"credits": 5, "price_minor": 0}),
        (Package, {"credits": 5, "price_minor": 5, "currency": "CRD"}),
    ],
)
def test_the_database_refuses_what_makes_no_sense(model: type[Price | Plan | Package], values: dict[str, object]) -> None:
    start = {} if model is Package else {"starts_at": Now()}
    with pytest.raises(IntegrityError), transaction.atomic():
        model.objects.create(**values, **start)

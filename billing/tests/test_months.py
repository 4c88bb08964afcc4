"""The free messages begin anew with the account's own month: at its midnight, around changes of the clocks, once a month."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.test import Client
from pytest_django import Settings

from accounts.models import Account
from accounts.services import create_organisation
from accounts.services.profile import change_profile
from billing.models import Plan, Usage
from billing.services import balance, message_limit, subscription
from billing.services.metering import charge_messages
from billing.services.months import month_begins, month_ends, month_key, months_anywhere, zone_named
from billing.services.usage import record_usage
from billing.tests.helpers import with_credits
from billing.tests.test_metering import count, prices
from iotportal.time_zones import time_zones

pytestmark = pytest.mark.usefixtures("clean_valkey")
__all__ = ["prices"]

EAST, WEST = "Pacific/Kiritimati", "Pacific/Pago_Pago"  # UTC+14, UTC-11


@pytest.mark.parametrize("year", [2011, 2024, 2026])
def test_months_follow_each_other_without_gap_or_overlap_in_every_zone(year: int) -> None:
    for name, _ in time_zones():
        zone = zone_named(name)
        for month in (f"{year}{number:02d}" for number in range(1, 13)):
            begins, ends = month_begins(month, zone), month_ends(month, zone)
            assert month_key(begins, zone) == month == month_key(ends - timedelta(seconds=1), zone), name
            assert month_key(begins - timedelta(seconds=1), zone) < month < month_key(ends, zone), name
            assert month in months_anywhere(begins) & months_anywhere(ends - timedelta(seconds=1))


def test_a_month_that_ends_with_the_clocks_put_back_or_forward_has_its_true_length() -> None:
    for name, month, hours in (
        ("Europe/Stockholm", "202603", 31 * 24 - 1),
        ("Europe/Stockholm", "202610", 31 * 24 + 1),
        ("America/Asuncion", "201710", 31 * 24 - 1),  # midnight of the first was left out: its month begins at one
        ("UTC", "202402", 29 * 24),
        ("Asia/Kathmandu", "202612", 31 * 24),
    ):
        assert (month_ends(month, ZoneInfo(name)) - month_begins(month, ZoneInfo(name))) == timedelta(hours=hours), name


def test_a_zone_that_nobody_knows_any_more_counts_in_utc() -> None:
    for name in ("Mars/Olympus", "", "../../etc/passwd", "x" * 300):
        assert zone_named(name) is UTC


@pytest.mark.django_db
def test_moving_over_the_date_line_gives_no_month_twice(alice: Account, settings: Settings) -> None:
    settings.FREE_MESSAGES_PER_MONTH = 100
    user = alice.memberships.get().user
    count(alice, 100, "202611")
    with time_machine.travel(datetime(2026, 11, 30, 23, tzinfo=UTC), tick=False):  # the first of December in the east
        assert subscription(alice.pk).left == 0
        change_profile(user=user, time_zone=EAST)
        found = subscription(alice.pk)
        assert (found.left, found.today, found.ends_at) == (100, date(2026, 12, 1), datetime(2026, 12, 31, 10, tzinfo=UTC))
        count(alice, 70, "202612")
        change_profile(user=user, time_zone=WEST)
        assert subscription(alice.pk).left == 0
    with time_machine.travel(datetime(2026, 12, 1, 11, tzinfo=UTC), tick=False):
        assert subscription(alice.pk).left == 30


@pytest.mark.django_db
def test_a_plan_counts_from_the_first_month_that_begins_after_it_where_the_account_is(
    alice: Account, bob: Account, settings: Settings
) -> None:
    settings.FREE_MESSAGES_PER_MONTH = 10
    Account.objects.filter(pk=alice.pk).update(time_zone=EAST)
    Account.objects.filter(pk=bob.pk).update(time_zone=WEST)
    Plan.objects.create(messages_per_month=20, starts_at=datetime(2099, 2, 28, 12, tzinfo=UTC))  # March goes on in the east
    Plan.objects.create(messages_per_month=30, starts_at=datetime(2099, 3, 20, tzinfo=UTC))
    for day, east, west in ((datetime(2099, 3, 25, tzinfo=UTC), 10, 20), (datetime(2099, 4, 5, tzinfo=UTC), 30, 30)):
        with time_machine.travel(day, tick=False):
            assert (message_limit(alice.pk), message_limit(bob.pk)) == (east, west)
            assert [subscription(one.pk).free for one in (alice, bob)] == [east, west]


@pytest.mark.django_db
@pytest.mark.usefixtures("prices")
def test_each_owner_is_charged_for_the_months_of_its_own_zone(alice: Account, bob: Account) -> None:
    Account.objects.filter(pk=alice.pk).update(time_zone=EAST)
    Account.objects.filter(pk=bob.pk).update(time_zone=WEST)
    now = datetime(2099, 2, 28, 23, tzinfo=UTC)  # March in the east, the last day of February in the west
    for one in (alice, bob):
        with_credits(one, 50)
        count(one, 110, "209902")
        count(one, 120, "209903")
    assert charge_messages(now=now) == (2 + 4) + 2
    assert (balance(alice), balance(bob)) == (44, 48)
    assert record_usage(now=now) == 2
    assert dict(Usage.objects.values_list("account__name", "day")) == {"alice": date(2099, 3, 1), "bob": date(2099, 2, 28)}


@pytest.mark.django_db
def test_an_organisation_has_a_zone_of_its_own(alice: Account, client: Client) -> None:
    user = alice.memberships.get().user
    change_profile(user=user, time_zone="Asia/Tokyo")
    organisation = create_organisation(user=user, name="Pumps")
    assert organisation.time_zone == "Asia/Tokyo"
    client.force_login(user)
    path = f"/account/organisations/{organisation.pk}/"
    assert client.post(f"{path}time-zone/", {"time_zone": "Mars/Olympus"}).status_code == 400
    assert client.post(f"{path}time-zone/", {"time_zone": "Europe/Paris"}).status_code == 302
    organisation.refresh_from_db()
    alice.refresh_from_db()
    assert (organisation.time_zone, alice.time_zone) == ("Europe/Paris", "Asia/Tokyo")
    assert '<option value="Europe/Paris" selected>' in client.get(path).content.decode()

"""What Valkey counted is charged: once, at the price of its time, as far as the credits go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import redis
from django.conf import LazySettings, settings
from django.db import connection
from django.db.models.functions import Now
from django.template import Context, Template
from django.utils import timezone

from accounts.models import Account
from accounts.tests.helpers import at_once
from billing.models import Entry, Meter, Price
from billing.services import balance, message_limit, subscription, verify_ledger
from billing.services.metering import charge_messages
from billing.services.months import month_key
from billing.tasks import charge_messages as charge_messages_task
from billing.tests.conftest import make_account
from billing.tests.helpers import total, with_credits

pytestmark = pytest.mark.usefixtures("clean_valkey", "prices")


@pytest.fixture
def prices(db: None, settings: LazySettings) -> None:
    """A hundred messages are free, and ten more cost two credits."""
    settings.FREE_MESSAGES_PER_MONTH = 100
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE billing_price, billing_plan")
    Price.objects.create(item="message", credits=2, per=10, starts_at=Now())


def count(account: Account, used: int, month: str | None = None) -> None:
    """Have Valkey say that so many were sent."""
    with redis.Redis.from_url(settings.VALKEY_URL) as link:
        link.set(f"quota:{account.pk.hex}:{month or month_key(timezone.now())}", used)


@pytest.mark.parametrize(("used", "left"), [(0, 50), (100, 50), (101, 48), (110, 48), (111, 46), (349, 0), (350, 0)])
def test_what_goes_beyond_the_free_ones_is_charged_once(alice: Account, bob: Account, used: int, left: int) -> None:
    with_credits(alice, 50)
    count(alice, used)
    limit = message_limit(alice.pk)
    for _ in range(3):
        charge_messages_task()
        assert (balance(alice), message_limit(alice.pk)) == (left, limit), "charging changes nothing of what may be sent"
    assert limit == 100 + 250
    assert message_limit(bob.pk) == 100
    assert (total(), verify_ledger()) == (0, [])


def test_each_batch_charges_what_came_since() -> None:
    alice = make_account("alice")
    with_credits(alice, 50)
    for used, left in ((105, 48), (109, 48), (131, 42), (130, 42), (132, 42)):  # one that was never sent is counted back
        count(alice, used)
        charge_messages()
        assert balance(alice) == left
    assert Entry.objects.filter(cause="spend").count() == 2
    found = subscription(alice.pk)
    assert (found.paid, found.credits, found.used, found.left) == (True, 42, 132, 140 + 210 - 132)
    page = Template("{% load billing %}{% subscription account %}").render(Context({"account": alice}))
    assert "Paid" in page
    assert '132</span><span class="dim">of 350 messages used' in page
    assert "42 credits left" in page


def test_what_the_credits_do_not_pay_for_is_charged_when_there_are_some(alice: Account) -> None:
    with_credits(alice, 5)
    count(alice, 171)  # credits went elsewhere meanwhile
    assert (charge_messages(), charge_messages()) == (4, 0)
    assert (balance(alice), message_limit(alice.pk)) == (1, 120)
    with_credits(alice, 500)
    assert charge_messages() == 12
    assert balance(alice) == 489


def test_a_worker_that_dies_charges_neither_twice_nor_never(alice: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    with_credits(alice, 50)
    count(alice, 150)

    plain = Meter.save

    def dies(self: Meter, **kwargs: object) -> None:
        if not self.pk:
            return plain(self, **kwargs)  # type: ignore[arg-type]  # passed through as they came
        assert Entry.objects.filter(cause="spend").exists()
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Meter, "save", dies)
        with pytest.raises(SystemExit):
            charge_messages()
    assert (balance(alice), Meter.objects.count()) == (50, 0)
    assert (charge_messages(), charge_messages()) == (10, 0)


@pytest.mark.usefixtures("committed")
def test_of_many_workers_at_once_one_charges() -> None:
    alice = make_account("alice")
    with_credits(alice, 50)
    count(alice, 150)
    assert sorted(at_once(8, charge_messages), key=str) == [0] * 7 + [10]
    assert balance(alice) == 40


def test_one_owner_in_trouble_keeps_nobody_else_from_being_charged(
    alice: Account, bob: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in (alice, bob):
        with_credits(one, 50)
        count(one, 150)
    plain = Meter.save

    def save(self: Meter, **kwargs: object) -> None:
        if self.account.owner_id == alice.pk and self.pk:
            raise ValueError
        plain(self, **kwargs)  # type: ignore[arg-type]  # passed through as they came

    monkeypatch.setattr(Meter, "save", save)
    assert charge_messages() == 10
    assert (balance(alice), balance(bob)) == (50, 40)


def test_a_new_price_is_not_charged_for_what_was_sent_before_it(alice: Account) -> None:
    with_credits(alice, 50)
    now = timezone.now()
    charge_messages(now=now)
    count(alice, 101)
    charge_messages(now=now)
    Price.objects.create(item="message", credits=5, per=1, starts_at=now + timedelta(seconds=30))
    for used, after_s, left in ((120, 60, 46), (121, 120, 41)):
        count(alice, used)
        charge_messages(now=now + timedelta(seconds=after_s))
        assert balance(alice) == left


def test_the_last_messages_of_a_month_are_charged_after_its_end(alice: Account) -> None:
    with_credits(alice, 50)
    now = datetime(timezone.now().year + 1, 3, 1, 0, 0, 30, tzinfo=UTC)
    count(alice, 110, f"{now.year}02")
    count(alice, 120, f"{now.year}03")
    assert charge_messages(now=now) == 2 + 4
    assert charge_messages(now=now + timedelta(days=5)) == 0


def test_without_a_price_nothing_is_charged_and_only_what_is_free_may_be_sent(alice: Account) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE billing_price")
    with_credits(alice, 50)
    count(alice, 150)
    assert (charge_messages(), message_limit(alice.pk)) == (0, 100)

"""Whatever is bought, paid back, spent and given at once, with connections cut in the middle: the books balance."""

from __future__ import annotations

import pytest
from django.conf import LazySettings
from django.db import connection
from django.db.models.functions import Now

from billing.models import Entry, PaymentNotice, Price, PromoCode
from billing.tests.conftest import make_account
from billing.tests.paypal import Sandbox
from billing.tests.storm import Storm
from simulators.paypal.world import IDENTITY_TOKEN

pytestmark = pytest.mark.usefixtures("committed", "clean_valkey", "prices")


@pytest.fixture
def prices(committed: None, settings: LazySettings) -> None:
    """No message is free, and ten cost two credits."""
    settings.FREE_MESSAGES_PER_MONTH, settings.PAYPAL_PDT_TOKEN = 0, IDENTITY_TOKEN
    with connection.cursor() as db:
        db.execute("TRUNCATE billing_price")
    Price.objects.create(item="message", credits=2, per=10, starts_at=Now())


def test_the_books_balance_after_a_storm_with_cut_connections(pay_pal: Sandbox) -> None:
    storm = Storm([make_account(name) for name in ("alice", "bob", "carl")], pay_pal, seed=1, cut_every=6)
    storm.blow(160, threads=4)
    assert storm.faults() == []
    assert storm.cuts
    assert storm.asked_again
    assert {"purchase", "spend", "gift", "refund", "correction", "promotion"} <= set(
        Entry.objects.values_list("cause", flat=True)
    )
    assert PaymentNotice.objects.filter(kind="return").exists()
    assert PaymentNotice.objects.filter(outcome="rejected").exists()
    assert storm.redeemed


def test_what_is_missing_or_doubled_would_be_seen(pay_pal: Sandbox) -> None:
    alice = make_account("alice")
    storm = Storm([alice], pay_pal, seed=2, cut_every=10**6)
    storm.blow(20, threads=1)
    assert storm.faults() == []
    storm.journal[alice.pk] -= 1
    assert len(storm.faults()) == 1
    storm.journal[alice.pk] += 1
    PromoCode.objects.filter(code="STORM0").update(used=1 - PromoCode.objects.get(code="STORM0").used)
    assert len(storm.faults()) == 1

"""What a command costs is said before it is sent, and who has none left is shown where there are more."""

from __future__ import annotations

import pytest
from django.template import Context, Template

from accounts.models import Account, Membership, Role
from billing.services.counter import forget_counters
from billing.tests.conftest import make_account
from billing.tests.helpers import with_credits
from billing.tests.paypal import Sandbox
from billing.tests.test_metering import count, prices

pytestmark = pytest.mark.usefixtures("clean_valkey", "prices")
__all__ = ["prices"]


def said(account: Account, role: str = Role.OWNER) -> str:
    forget_counters(account.pk)
    user = account.memberships.get(role=role).user
    return Template("{% load billing %}{% what_a_command_costs user id %}").render(Context({"user": user, "id": account.pk}))


def test_the_price_is_told_as_long_as_there_are_messages(alice: Account) -> None:
    count(alice, 40)
    assert "60 cost nothing this month, then 2 credits for 10." in said(alice)
    with_credits(alice, 20)
    count(alice, 130)
    page = said(alice)
    assert "it costs 2 credits for 10; 70 are paid for." in page


def test_who_has_none_left_is_led_to_more(alice: Account, pay_pal: Sandbox) -> None:
    vera = make_account("vera").memberships.get().user
    Membership.objects.create(account=alice, user=vera, role=Role.OPERATOR)
    count(alice, 100)
    assert f'href="/account/billing/{alice.pk}/buy/"' in said(alice)
    page = said(alice, Role.OPERATOR)
    assert "All messages of this month are used" in page
    assert "/buy/" not in page
    assert f'href="/account/billing/{alice.pk}/"' in page

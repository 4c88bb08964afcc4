"""The pages of a purchase."""

from __future__ import annotations

import re
from html import unescape

import pytest
import requests
from django.test import Client
from pytest_django import Settings

from accounts.models import Account, Membership, Role
from billing.models import Order, Package, VatRate
from billing.services import balance
from billing.tests.conftest import make_account
from billing.tests.paypal import Sandbox, order_of, tell
from billing.views.buying import ORDERS

pytestmark = pytest.mark.usefixtures("clean_valkey")


def browser(account: Account) -> Client:
    client = Client()
    client.force_login(account.memberships.get().user)
    return client


def buy_url(account: Account) -> str:
    return f"/account/billing/{account.pk}/buy/"


def test_a_purchase_from_the_package_to_the_new_balance(pay_pal: Sandbox, alice: Account) -> None:
    VatRate.objects.create(country="SE", basis_points=2500)
    client = browser(alice)
    page = client.get(buy_url(alice)).content.decode()
    assert "0.01 each" in page
    package = Package.objects.get(credits=500, currency="USD")
    Package.objects.filter(pk=package.pk).update(price_minor=500)

    made = client.post(buy_url(alice), {"package": package.pk, "country": "SE"})
    order = Order.objects.get()
    assert made.headers["location"] == f"/account/orders/{order.pk}/"
    Package.objects.filter(pk=package.pk).update(price_minor=900)  # the order keeps its price
    confirm = client.get(made.headers["location"]).content.decode()
    assert "USD 4.00" in confirm  # without the tax
    assert "VAT 25 %, SE" in confirm
    assert "USD 5.00" in confirm

    going = client.post(f"/account/orders/{order.pk}/pay/").content.decode()
    found = re.search(r'content="0;url=([^"]+)"', going)
    assert found
    approve = requests.get(unescape(found[1]), timeout=10)
    assert "USD 5.00" in approve.text
    sale = list(pay_pal.world.sales.values())[-1]
    back = requests.post(f"{pay_pal.url}/sales/{sale.token}", data={"do": "cancel"}, timeout=10, allow_redirects=False)
    stopped = client.get(back.headers["location"].removeprefix("http://testserver")).content.decode()
    assert "No payment was made" in stopped
    assert "Pay via PayPal" in stopped

    waiting = client.get(f"/account/orders/{order.pk}/return/").content.decode()
    assert "Waiting for PayPal" in waiting
    assert '<noscript><meta http-equiv="refresh"' in waiting
    tell(pay_pal.world.payment(sale))
    done = client.get(f"/account/orders/{order.pk}/return/").content.decode()
    assert "500 credits added" in done
    assert "You have 500 now" in done
    assert balance(alice) == 500
    assert "Receipt 1" in done
    assert client.post(f"/account/orders/{order.pk}/pay/").headers["location"] == f"/account/orders/{order.pk}/"


def test_an_order_is_of_those_who_may_buy_for_its_account(pay_pal: Sandbox, alice: Account) -> None:
    order = order_of(alice)
    mallory = make_account("mallory")
    for path in ("", "return/", "cancelled/"):
        assert browser(mallory).get(f"/account/orders/{order.pk}/{path}").status_code == 404
    assert browser(mallory).post(f"/account/orders/{order.pk}/pay/").status_code == 404
    assert browser(mallory).get(buy_url(alice)).status_code == 404
    user = mallory.memberships.get().user
    Membership.objects.create(account=alice, user=user, role=Role.OPERATOR)
    assert browser(mallory).get(buy_url(alice)).status_code == 403
    assert browser(mallory).get(f"/account/orders/{order.pk}/").status_code == 403


@pytest.mark.parametrize("package", ["", "999999", "x", "-1"])
def test_only_what_is_offered_can_be_ordered(pay_pal: Sandbox, alice: Account, package: str) -> None:
    assert browser(alice).post(buy_url(alice), {"package": package}).status_code == 400
    one = Package.objects.get(credits=500, currency="USD")
    Package.objects.filter(pk=one.pk).update(offered=False)
    assert browser(alice).post(buy_url(alice), {"package": one.pk}).status_code == 400
    assert not Order.objects.exists()


def test_nothing_is_for_sale_where_no_way_to_pay_is_set_up(alice: Account, settings: Settings) -> None:
    settings.PAYMENTS = "off"
    assert "Nothing is for sale here" in browser(alice).get(buy_url(alice)).content.decode()
    one = Package.objects.get(credits=500, currency="USD")
    assert browser(alice).post(buy_url(alice), {"package": one.pk}).status_code == 400
    assert Client().post("/payments/paypal/ipn/", b"", content_type="application/x-www-form-urlencoded").status_code == 404


def test_how_many_orders_one_makes_is_limited(pay_pal: Sandbox, alice: Account) -> None:
    client, one = browser(alice), Package.objects.get(credits=500, currency="USD")
    for _ in range(29):
        ORDERS.allow(str(alice.memberships.get().user_id))
    answers = [client.post(buy_url(alice), {"package": one.pk}).status_code for _ in range(2)]
    assert answers == [302, 429]

"""The second provider: PayPal's Orders v2, through its SDK, against the sandbox."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from html import unescape

import pytest
import requests
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Account, User
from billing.checks import check_payments
from billing.models import Order, PaymentNotice, PaymentTransaction
from billing.providers import ProviderError
from billing.services import balance, orders, refunds, verify_ledger
from billing.services.notices import process_open_notices
from billing.tests.paypal import Sandbox, order_of, tell, tell_event
from simulators.paypal.world import Sale

pytestmark = pytest.mark.usefixtures("clean_valkey")

WEBHOOK = "/payments/paypal/webhook/"


@pytest.fixture
def order(pay_pal: Sandbox, settings: Settings, alice: Account) -> Order:
    settings.PAYMENTS = "paypal_orders"
    return order_of(alice)


def approved(pay_pal: Sandbox, order: Order, how: str = "") -> Sale:
    """Begin the payment and approve it at PayPal; `how`: what PayPal then does."""
    url = orders.begin_payment(order)
    sale = pay_pal.rest.sale(url.rpartition("=")[2])
    assert sale
    requests.post(f"{pay_pal.url}/sales/{sale.token}", data={"do": "pay", "how": how}, timeout=10, allow_redirects=False)
    return sale


def test_what_the_buyer_approved_is_captured_when_they_come_back(pay_pal: Sandbox, order: Order, alice: Account) -> None:
    client = Client()
    client.force_login(alice.memberships.get().user)
    going = client.post(f"/account/orders/{order.pk}/pay/").content.decode()
    found = re.search(r'content="0;url=([^"]+)"', going)
    assert found
    url = unescape(found[1])
    assert "USD 5.00" in requests.get(url, timeout=10).text
    assert "Waiting for PayPal" in client.get(f"/account/orders/{order.pk}/return/").content.decode()  # not approved
    sale = approved(pay_pal, Order.objects.get())
    assert sale is pay_pal.rest.sale(url.rpartition("=")[2])  # asked twice, made once
    assert "You have 500 now" in client.get(f"/account/orders/{order.pk}/return/").content.decode()
    assert tell_event(pay_pal.rest.captured(sale)) == "repeated"
    assert (balance(alice), PaymentTransaction.objects.count()) == (500, 1)
    assert verify_ledger() == []


def test_webhooks_bring_payments_refunds_and_reversals(pay_pal: Sandbox, order: Order, alice: Account) -> None:
    sale = approved(pay_pal, order)
    rest = pay_pal.rest
    assert [tell_event(rest.captured(sale, "PENDING")), tell_event(rest.captured(sale))] == ["applied"] * 2
    assert balance(alice) == 500
    assert tell_event(rest.refunded(sale, Decimal("2.50"))) == "applied"
    assert balance(alice) == 250
    assert tell_event(rest.refunded(sale, event="REVERSED")) == "applied"
    order.refresh_from_db()
    assert (balance(alice), order.status) == (0, "disputed")
    assert tell_event(rest.event("CUSTOMER.DISPUTE.CREATED", {"dispute_id": "PP-1"})) == "ignored"


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": {"value": "0.01", "currency_code": "USD"}},
        {"amount": {"value": "5.00", "currency_code": "HUF"}},
        {"amount": "5.00"},
        {"amount": None},
        {"custom_id": "0" * 32},
        {"payee": {"email_address": "mallory@example.com", "merchant_id": "MALLORY"}},
        {"id": ""},
    ],
)
def test_a_webhook_about_other_money_brings_nothing_and_is_kept(
    pay_pal: Sandbox, order: Order, alice: Account, changes: dict[str, object]
) -> None:
    assert tell_event(pay_pal.rest.captured(approved(pay_pal, order), changes=changes)) == "rejected"
    assert (balance(alice), PaymentNotice.objects.count()) == (0, 1)


def test_money_that_is_on_its_way_at_the_capture_comes_later(pay_pal: Sandbox, order: Order, alice: Account) -> None:
    sale = approved(pay_pal, order, "Pending")
    client = Client()
    client.force_login(alice.memberships.get().user)
    assert "not the money yet" in client.get(f"/account/orders/{order.pk}/return/").content.decode()
    assert balance(alice) == 0
    pay_pal.rest.decide(sale, "clear")
    assert [tell_event(event) for event in pay_pal.rest.news()] == ["applied"]
    assert balance(alice) == 500


def test_a_webhook_that_paypal_did_not_sign_brings_nothing(
    pay_pal: Sandbox, order: Order, alice: Account, settings: Settings
) -> None:
    event = pay_pal.rest.captured(approved(pay_pal, order))
    other = pay_pal.rest.captured(approved(pay_pal, order))
    for forged in (replace(event, body=event.body + b" "), replace(event, body=b"[]"), replace(event, headers=other.headers)):
        assert tell_event(forged) == "rejected"
    assert tell_event(event, PAYPAL_TRANSMISSION_SIG="") == "rejected"
    assert tell_event(event, PAYPAL_TRANSMISSION_TIME="2020-01-01T00:00:00Z") == "rejected"
    smuggled = event.body[:-1] + b'}, "webhook_id": "WH-OTHER"'
    assert tell_event(replace(event, body=smuggled)) == "rejected"
    settings.PAYPAL_WEBHOOK_ID = "WH-ANOTHER"
    assert tell_event(event) == "rejected"
    assert balance(alice) == 0
    settings.PAYPAL_WEBHOOK_ID = "WH-SANDBOX"
    assert tell_event(event) == "applied"


def test_an_ipn_cannot_pay_an_order_of_the_other_provider(pay_pal: Sandbox, order: Order, alice: Account) -> None:
    assert tell(pay_pal.world.payment(pay_pal.sale(order))) == ["rejected"]
    assert balance(alice) == 0


def test_without_paypal_the_buyer_is_told(pay_pal: Sandbox, order: Order, alice: Account, settings: Settings) -> None:
    settings.PAYPAL_URL = "http://127.0.0.1:9"
    client = Client()
    client.force_login(alice.memberships.get().user)
    answer = client.post(f"/account/orders/{order.pk}/pay/")
    assert (answer.status_code, "PayPal cannot be reached right now" in answer.content.decode()) == (503, True)


def test_while_paypal_gives_no_token_the_buyer_is_told(
    pay_pal: Sandbox, order: Order, alice: Account, settings: Settings
) -> None:
    orders.begin_payment(order)
    settings.PAYPAL_CLIENT_ID = ""
    client = Client()
    client.force_login(alice.memberships.get().user)
    answer = client.post(f"/account/orders/{order.pk}/pay/")
    assert (answer.status_code, "PayPal cannot be reached right now" in answer.content.decode()) == (503, True)
    assert "Waiting for PayPal" in client.get(f"/account/orders/{order.pk}/return/").content.decode()


def test_a_payment_that_failed_can_be_made_again(pay_pal: Sandbox, order: Order, alice: Account) -> None:
    first = approved(pay_pal, order)
    rest = pay_pal.rest
    assert [tell_event(rest.captured(first, event)) for event in ("PENDING", "DENIED")] == ["applied"] * 2
    order.refresh_from_db()
    assert order.status == "failed"
    second = approved(pay_pal, order)
    assert second is not first
    assert orders.complete_payment(Order.objects.get()).status == "paid"
    assert [tell_event(rest.captured(second)), tell_event(rest.captured(first, "DENIED"))] == ["repeated"] * 2
    assert (balance(alice), Order.objects.get().status, verify_ledger()) == (500, "paid", [])


def test_who_pays_by_a_card_that_is_declined_is_told_and_pays_by_another(pay_pal: Sandbox, order: Order, alice: Account) -> None:
    client, back = Client(), f"/account/orders/{order.pk}/return/"
    client.force_login(alice.memberships.get().user)
    approved(pay_pal, order, "Denied")
    page = client.get(back).content.decode()
    assert ("choose another card" in page, "Pay via PayPal" in page, "Waiting for PayPal" in page) == (True, True, False)
    approved(pay_pal, Order.objects.get())
    assert "You have 500 now" in client.get(back).content.decode()


def test_money_that_went_to_another_receiver_breaks_no_page(
    pay_pal: Sandbox, order: Order, alice: Account, settings: Settings
) -> None:
    sale = approved(pay_pal, order)
    settings.PAYPAL_RECEIVER = "another@example.com"
    client = Client()
    client.force_login(alice.memberships.get().user)
    assert client.get(f"/account/orders/{order.pk}/return/").status_code == 200
    assert (tell_event(pay_pal.rest.captured(sale)), balance(alice)) == ("rejected", 0)


def test_a_notice_at_which_paypal_stumbles_keeps_no_other(
    pay_pal: Sandbox, order: Order, alice: Account, settings: Settings
) -> None:
    event = pay_pal.rest.captured(approved(pay_pal, order))
    bad = {**event.headers, "PAYPAL-AUTH-ALGO": "none"}
    assert Client().post(WEBHOOK, event.body, content_type="application/json", headers=bad).status_code == 503
    settings.PAYPAL_URL = "http://127.0.0.1:9"
    assert Client().post(WEBHOOK, event.body, content_type="application/json", headers=event.headers).status_code == 503
    settings.PAYPAL_URL = pay_pal.url
    PaymentNotice.objects.update(received_at=timezone.now() - timedelta(minutes=1))
    assert (process_open_notices(), balance(alice)) == (1, 500)
    assert sorted(PaymentNotice.objects.values_list("outcome", flat=True)) == ["applied", "open"]


@pytest.mark.parametrize("name", ["PAYPAL_CLIENT_ID", "PAYPAL_WEBHOOK_ID"])
def test_a_shop_without_webhooks_takes_none(pay_pal: Sandbox, order: Order, settings: Settings, name: str) -> None:
    event = pay_pal.rest.captured(approved(pay_pal, order))
    assert check_payments() == []
    setattr(settings, name, "")
    answer = Client().post(WEBHOOK, event.body, content_type="application/json", headers=event.headers)
    assert (answer.status_code, PaymentNotice.objects.exists()) == (404, False)
    [found] = check_payments()
    assert f"PORTAL_{name}" in str(found.hint)


def test_an_operator_refunds_and_the_credits_go_with_it(pay_pal: Sandbox, order: Order, alice: Account) -> None:
    with pytest.raises(refunds.NotRefundable):
        refunds.refund_order(order=order, amount_minor=100)
    sale = approved(pay_pal, order)
    orders.complete_payment(Order.objects.get())
    root = Client()
    root.force_login(User.objects.create_superuser("root3", "root3@example.org", "x"))

    def refund(amount: str) -> str:
        about = {"action": "refund", "_selected_action": [str(order.pk)], "confirmed": "yes", "why": "Sorry", "amount": amount}
        return root.post("/admin/billing/order/", about, follow=True).content.decode()

    assert "Refund: done for 1" in refund("2.00")
    repaid = PaymentTransaction.objects.get(kind=PaymentTransaction.Kind.REFUND).reference
    assert tell_event(pay_pal.rest.refunded(sale, Decimal("2.00"), id=repaid)) == "repeated"  # as PayPal tells of it as well
    order.refresh_from_db()
    assert (balance(alice), order.status) == (300, "partly_refunded")
    buyer = Client()
    buyer.force_login(order.account.members.get())
    page = buyer.get(f"/account/orders/{order.pk}/").content.decode()
    assert "<b>USD 2.00 was paid back.</b> 200 credits were taken back with it." in page
    assert "USD 3.00 of it can still be paid back" in refund("3.01")
    assert "Refund: done for 1" in refund("3")
    assert "USD 0.00 of it" in refund("1")
    order.refresh_from_db()
    assert (balance(alice), order.status) == (0, "refunded")
    assert verify_ledger() == []


def test_a_refund_that_paypal_refuses_takes_no_credits_and_says_where_to_look(
    pay_pal: Sandbox, order: Order, alice: Account
) -> None:
    sale = approved(pay_pal, order)
    orders.complete_payment(Order.objects.get())
    pay_pal.rest.decide(sale, "refund")  # on PayPal's own pages; its webhook is still on its way
    with pytest.raises(ProviderError, match="it did so already"):
        refunds.refund_order(order=Order.objects.get(), amount_minor=100)
    assert balance(alice) == 500


def test_a_refund_of_payments_standard_is_made_at_paypal(pay_pal: Sandbox, alice: Account) -> None:
    order = order_of(alice)
    tell(pay_pal.world.payment(pay_pal.sale(order)))
    with pytest.raises(refunds.NotRefundable, match="on PayPal's pages"):
        refunds.refund_order(order=order, amount_minor=100)
    assert balance(alice) == 500

"""Buyers who are back with the name of a payment (PDT): what PayPal says of it counts like an IPN, and nothing else does."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Account
from accounts.tests.helpers import at_once
from billing.models import Order, PaymentNotice, PaymentTransaction
from billing.services import balance, verify_ledger
from billing.services.notices import process_open_notices, receive_return
from billing.tests.conftest import make_account
from billing.tests.paypal import Sandbox, order_of, tell
from billing.views.buying import RETURNS
from simulators.paypal.server import Manner, PayPal
from simulators.paypal.world import IDENTITY_TOKEN, Sale, World

pytestmark = pytest.mark.usefixtures("clean_valkey")


@pytest.fixture(autouse=True)
def token(pay_pal: Sandbox, settings: Settings) -> None:
    settings.PAYPAL_PDT_TOKEN = IDENTITY_TOKEN


def come_back(order: Order, payment: str) -> str:
    """Come back from PayPal as the order's buyer; returns the page."""
    client = Client()
    client.force_login(order.account.memberships.get().user)
    return client.get(f"/account/orders/{order.pk}/return/", {"tx": payment, "st": "Completed"}, follow=True).content.decode()


def outcomes() -> list[tuple[str, str, str]]:
    return list(PaymentNotice.objects.order_by("pk").values_list("kind", "verification", "outcome"))


def paid(pay_pal: Sandbox, order: Order, status: str = "Completed") -> Sale:
    """Pay an order at PayPal; the IPN of it is lost."""
    sale = pay_pal.sale(order)
    pay_pal.world.payment(sale, status)
    return sale


def test_the_buyer_sees_the_credits_before_the_ipn_is_there(pay_pal: Sandbox, alice: Account) -> None:
    order = order_of(alice)
    sale = pay_pal.sale(order)
    ipn = pay_pal.world.payment(sale)
    page = come_back(order, sale.txn_id)
    assert "500 credits added" in page
    assert "You have 500 now" in page
    notice = PaymentNotice.objects.get()
    assert (notice.kind, notice.outcome, notice.order) == ("return", "applied", order)
    assert b"payment_status=Completed" in bytes(notice.answer or b"")
    assert IDENTITY_TOKEN.encode() not in bytes(notice.body) + bytes(notice.answer or b"")
    assert tell(ipn) == ["repeated"]
    assert (balance(alice), PaymentTransaction.objects.count(), verify_ledger()) == (500, 1, [])


def test_after_the_ipn_nothing_is_asked_any_more_and_who_asks_all_the_same_gets_nothing(pay_pal: Sandbox, alice: Account) -> None:
    order = order_of(alice)
    sale = pay_pal.sale(order)
    tell(pay_pal.world.payment(sale))
    assert "You have 500 now" in come_back(order, sale.txn_id)
    assert [one[0] for one in outcomes()] == ["notice"]
    notice = receive_return(order=order, payment=sale.txn_id, address=None)
    assert notice is not None
    assert (notice.outcome, balance(alice)) == ("repeated", 500)


def test_ipn_and_return_at_once_bring_the_credits_once(committed: None, pay_pal: Sandbox) -> None:
    alice = make_account("alice")
    order = order_of(alice)
    sale = pay_pal.sale(order)
    body = pay_pal.world.payment(sale)
    ways = iter(["ipn", "return"] * 3)
    at_once(6, lambda: tell(body)[0] if next(ways) == "ipn" else come_back(order, sale.txn_id))
    assert (balance(alice), Counter(one[2] for one in outcomes())["applied"], verify_ledger()) == (500, 1, [])


@pytest.mark.parametrize("payment", ["ABCDEFGH123456789", "x' OR 1=1 --", "9" * 500, "ä", "\0"])
def test_a_payment_that_paypal_does_not_know_brings_nothing_and_is_kept(pay_pal: Sandbox, alice: Account, payment: str) -> None:
    order = order_of(alice)
    for _ in range(2):  # it is asked about once
        assert "Waiting for PayPal" in come_back(order, payment)
    assert outcomes() == [("return", "refused", "rejected")]
    assert "knows no such payment" in PaymentNotice.objects.get().why
    assert balance(alice) == 0


def test_a_payment_of_another_order_brings_nothing_here_or_there(pay_pal: Sandbox, alice: Account, bob: Account) -> None:
    theirs, mine = order_of(alice), order_of(bob)
    sale = paid(pay_pal, theirs)
    assert "Waiting for PayPal" in come_back(mine, sale.txn_id)
    notice = PaymentNotice.objects.get()
    assert (notice.outcome, notice.order) == ("rejected", mine)
    assert "another order" in notice.why
    assert (balance(alice), balance(bob)) == (0, 0)
    client = Client()
    client.force_login(bob.memberships.get().user)
    assert client.get(f"/account/orders/{theirs.pk}/return/", {"tx": sale.txn_id}).status_code == 404
    assert PaymentNotice.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"business": "mallory@example.com"}, "another receiver"),
        ({"amount": "0.01"}, "costs USD 5.00"),
        ({"currency_code": "HUF"}, "in USD"),
        ({"custom": "0" * 32}, "no order of ours"),
    ],
)
def test_a_payment_that_does_not_agree_with_the_order_is_rejected_like_an_ipn(
    pay_pal: Sandbox, alice: Account, fields: dict[str, str], why: str
) -> None:
    order = order_of(alice)
    sale = pay_pal.world.begin({**pay_pal.sale(order).fields, **fields})
    pay_pal.world.payment(sale)
    come_back(order, sale.txn_id)
    notice = PaymentNotice.objects.get()
    assert (notice.verification, notice.outcome, balance(alice)) == ("verified", "rejected", 0)
    assert why in notice.why


def test_a_pending_payment_is_pending_and_the_ipn_ends_it(pay_pal: Sandbox, alice: Account) -> None:
    order = order_of(alice)
    sale = paid(pay_pal, order, "Pending")
    assert "PayPal has your payment, but not the money yet" in come_back(order, sale.txn_id)
    assert balance(alice) == 0
    assert tell(pay_pal.world.payment(sale)) == ["applied"]
    assert balance(alice) == 500


def test_a_payment_that_was_paid_back_meanwhile_does_not_stand_in_the_way_of_its_ipns(pay_pal: Sandbox, alice: Account) -> None:
    order = order_of(alice)
    sale = pay_pal.sale(order)
    payment, refund = pay_pal.world.payment(sale), pay_pal.world.refund(sale, Decimal("5.00"))
    come_back(order, sale.txn_id)
    assert outcomes()[0] == ("return", "verified", "ignored")
    assert tell(payment, refund) == ["applied", "applied"]
    assert balance(alice) == 0


def test_where_paypal_does_not_answer_the_return_is_kept_and_looked_at_again(
    pay_pal: Sandbox, alice: Account, settings: Settings
) -> None:
    order = order_of(alice)
    sale = paid(pay_pal, order)
    settings.PAYPAL_URL = "http://127.0.0.1:9"
    assert "Waiting for PayPal" in come_back(order, sale.txn_id)
    assert outcomes() == [("return", "open", "open")]
    settings.PAYPAL_URL = pay_pal.url
    PaymentNotice.objects.update(received_at=timezone.now() - timedelta(minutes=1))
    assert process_open_notices() == 1
    assert (balance(alice), outcomes()) == (500, [("return", "verified", "applied")])


@pytest.mark.parametrize(("token", "kept"), [("", []), ("WRONG-TOKEN", [("return", "refused", "rejected")])])
def test_without_the_token_everything_is_as_by_ipn_alone(
    pay_pal: Sandbox, alice: Account, settings: Settings, token: str, kept: list[tuple[str, str, str]]
) -> None:
    settings.PAYPAL_PDT_TOKEN = token
    order = order_of(alice)
    sale = pay_pal.sale(order)
    ipn = pay_pal.world.payment(sale)
    assert "Waiting for PayPal" in come_back(order, sale.txn_id)
    assert (outcomes(), balance(alice)) == (kept, 0)
    assert tell(ipn) == ["applied"]
    assert balance(alice) == 500


def test_how_often_paypal_is_asked_for_one_person_is_limited(pay_pal: Sandbox, alice: Account) -> None:
    order = order_of(alice)
    for _ in range(29):
        RETURNS.allow(str(alice.memberships.get().user_id))
    for number in range(3):
        come_back(order, f"GUESS{number}")
    assert PaymentNotice.objects.count() == 1


def way_back(app: PayPal, sale: Sale, **form: str) -> str:
    """Press Continue at PayPal; returns where the buyer goes then. Its notices are as late as they can be."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": urlencode({"do": "pay", **form}).encode()}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": f"/sales/{sale.token}", "headers": [(b"host", b"127.0.0.1")]}
    asyncio.run(app(scope, receive, send))
    return str(dict(sent[0]["headers"])[b"location"], "ascii")


def test_the_paypal_to_try_with_names_what_was_paid_on_the_way_back() -> None:
    world, back = World(), "http://testserver/return/"
    app = PayPal(world, ["http://testserver"], Manner(delay_s=60))
    about = {"business": "seller@example.com", "amount": "5.00", "custom": "c", "return": back, "notify_url": back}
    sale = world.begin(about)
    assert way_back(app, sale, how="forged") == back, "nothing was paid"
    assert way_back(app, sale) == f"{back}?tx={sale.txn_id}&st=Completed&amt=5.00&cc=USD&cm=c&item_number="
    assert way_back(app, sale, back="plain") == back
    assert way_back(PayPal(world, ["http://testserver"], Manner(), pdt=False), sale) == back

"""What IPNs bring, and what they cannot."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from accounts.limits import Limit
from accounts.models import Account
from billing.models import LedgerAccount, Order, PaymentNotice, PaymentTransaction, Receipt
from billing.services import FollowsPayment, balance, credits_of, notices, reverse_entry, spend_credits, verify_ledger
from billing.services.notices import MAX_BYTES, forget_old_notices, forget_refused_notices, process_open_notices
from billing.tests.helpers import total
from billing.tests.paypal import Sandbox, order_of, tell
from simulators.paypal.world import Sale, World

Status = Order.Status


def debt(account: Account) -> int:
    return sum(LedgerAccount.objects.filter(owner=account, kind="debts").values_list("balance", flat=True))


def status(order: Order) -> str:
    order.refresh_from_db()
    return order.status


def test_a_completed_payment_brings_its_credits_once_and_a_receipt(pay_pal: Sandbox, alice: Account) -> None:
    order = order_of(alice)
    sale = pay_pal.sale(order)
    body = pay_pal.world.payment(sale)
    assert tell(body, body, pay_pal.world.payment(sale)) == ["applied", "repeated", "repeated"]
    assert (balance(alice), status(order), total()) == (500, Status.PAID, 0)
    assert PaymentTransaction.objects.get().entry is not None
    assert Receipt.objects.get(order=order).number == 1
    notice = PaymentNotice.objects.order_by("pk")[0]
    assert (bytes(notice.body), notice.verification, notice.order) == (body, "verified", order)
    assert verify_ledger() == []


def test_a_pending_payment_brings_its_credits_when_the_money_comes_and_a_late_pending_changes_nothing(
    pay_pal: Sandbox, alice: Account
) -> None:
    order = order_of(alice)
    sale = pay_pal.sale(order)
    pending = pay_pal.world.payment(sale, "Pending")
    assert tell(pending) == ["applied"]
    assert (balance(alice), status(order)) == (0, Status.PENDING)
    assert tell(pay_pal.world.payment(sale), pending) == ["applied", "repeated"]
    assert (balance(alice), status(order)) == (500, Status.PAID)


def test_a_denied_payment_brings_nothing_and_may_be_tried_again(pay_pal: Sandbox, alice: Account) -> None:
    order = order_of(alice)
    tell(pay_pal.world.payment(pay_pal.sale(order), "Pending"), pay_pal.world.payment(pay_pal.sale(order), "Denied"))
    first = pay_pal.sale(order)
    tell(pay_pal.world.payment(first, "Pending"), pay_pal.world.payment(first, "Denied"))
    assert balance(alice) == 0
    assert tell(pay_pal.world.payment(pay_pal.sale(order))) == ["applied"]
    assert (balance(alice), status(order)) == (500, Status.PAID)


def _changed(**changes: str) -> Callable[[World, Sale], bytes]:
    return lambda world, sale: world.payment(sale, **changes)


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        (_changed(receiver_email="mallory@example.com", receiver_id="MALLORY"), "another receiver"),
        (_changed(mc_gross="0.01"), "costs USD 5.00"),
        (_changed(mc_gross="5,00"), "no amount"),
        (_changed(mc_gross="-5.00"), "costs USD 5.00"),
        (_changed(mc_currency="HUF"), "in USD"),
        (_changed(custom="0" * 32), "no order of ours"),
        (_changed(custom="'; DROP TABLE"), "no order of ours"),
        (_changed(txn_type="send_money"), "no sale"),
        (_changed(txn_id=""), "names no transaction"),
        (lambda world, sale: world.send(world.payment(sale) + b"&mc_gross=5.00"), "twice"),
        (lambda world, sale: world.payment(sale) + b"&x=1", "did not send this"),
        (lambda world, sale: world.payment(sale).replace(b"5.00", b"500"), "did not send this"),
        (lambda world, sale: b"", "did not send this"),
        (lambda world, sale: b"\xff\x00" * 50, "did not send this"),
    ],
)
def test_a_forged_notice_brings_nothing_and_is_kept(
    pay_pal: Sandbox, alice: Account, forge: Callable[[World, Sale], bytes], why: str
) -> None:
    order = order_of(alice)
    body = forge(pay_pal.world, pay_pal.sale(order))
    assert tell(body) == ["rejected"]
    kept = PaymentNotice.objects.get()
    assert bytes(kept.body) == body
    assert why in kept.why
    assert (balance(alice), status(order), PaymentTransaction.objects.count()) == (0, Status.OPEN, 0)


def test_a_payment_of_one_order_cannot_be_replayed_for_another(pay_pal: Sandbox, alice: Account, bob: Account) -> None:
    first, second = order_of(alice), order_of(bob)
    sale = pay_pal.sale(first)
    assert tell(pay_pal.world.payment(sale), pay_pal.world.payment(sale, custom=second.pk.hex)) == ["applied", "rejected"]
    assert (balance(alice), balance(bob)) == (500, 0)


def test_a_second_payment_of_an_order_is_left_to_the_operator(pay_pal: Sandbox, alice: Account) -> None:
    order = order_of(alice)
    assert tell(pay_pal.world.payment(pay_pal.sale(order)), pay_pal.world.payment(pay_pal.sale(order))) == ["applied", "rejected"]
    assert balance(alice) == 500
    assert "Refund this one" in PaymentNotice.objects.order_by("-pk")[0].why


def test_a_payment_in_the_sandbox_buys_nothing_for_real_money(pay_pal: Sandbox, alice: Account, settings: Settings) -> None:
    settings.PAYPAL_ENVIRONMENT = "live"
    assert tell(pay_pal.world.payment(pay_pal.sale(order_of(alice)))) == ["rejected"]
    assert balance(alice) == 0


def test_refunds_take_their_part_of_the_credits_back(pay_pal: Sandbox, alice: Account) -> None:
    order = order_of(alice)
    sale = pay_pal.sale(order)
    tell(pay_pal.world.payment(sale))
    part = pay_pal.world.refund(sale, Decimal("1.99"))
    assert tell(part, part) == ["applied", "repeated"]
    assert (balance(alice), status(order)) == (301, Status.PARTLY_REFUNDED)
    assert tell(pay_pal.world.refund(sale, Decimal("3.01"))) == ["applied"]
    assert (balance(alice), debt(alice), status(order), total()) == (0, 0, Status.REFUNDED, 0)


def test_a_refund_counts_though_nothing_is_for_sale_any_more(pay_pal: Sandbox, alice: Account, settings: Settings) -> None:
    sale = pay_pal.sale(order_of(alice))
    tell(pay_pal.world.payment(sale))
    settings.PAYMENTS = "off"
    refund = pay_pal.world.refund(sale)
    assert Client().post(reverse("billing:ipn"), refund, content_type="application/x-www-form-urlencoded").status_code == 200
    assert balance(alice) == 0


def test_credits_that_are_used_already_become_a_debt_which_the_next_purchase_pays(pay_pal: Sandbox, alice: Account) -> None:
    sale = pay_pal.sale(order_of(alice))
    tell(pay_pal.world.payment(sale))
    spend_credits(account=alice, credits=400, key="use")
    tell(pay_pal.world.refund(sale))
    assert (balance(alice), debt(alice)) == (0, -400)
    tell(pay_pal.world.payment(pay_pal.sale(order_of(alice))))
    assert (balance(alice), debt(alice), total()) == (100, 0, 0)
    assert verify_ledger() == []


def test_what_a_payment_moved_is_undone_by_a_refund_alone(pay_pal: Sandbox, alice: Account) -> None:
    sale = pay_pal.sale(order_of(alice))
    tell(pay_pal.world.payment(sale))
    moved = PaymentTransaction.objects.get().entry
    assert moved is not None
    with pytest.raises(FollowsPayment):
        reverse_entry(entry=moved, reason="Fraud")
    tell(pay_pal.world.refund(sale))
    assert (balance(alice), debt(alice), verify_ledger()) == (0, 0, [])


def test_a_chargeback_takes_the_credits_and_a_won_dispute_gives_them_again(pay_pal: Sandbox, alice: Account) -> None:
    order = order_of(alice)
    sale = pay_pal.sale(order)
    tell(pay_pal.world.payment(sale))
    spend_credits(account=alice, credits=100, key="use")
    assert tell(pay_pal.world.reversal(sale)) == ["applied"]
    assert (balance(alice), debt(alice), status(order)) == (0, -100, Status.DISPUTED)
    assert tell(pay_pal.world.reinstatement(sale)) == ["applied"]
    assert (balance(alice), debt(alice), status(order)) == (400, 0, Status.PAID)


def test_a_refund_that_comes_before_its_payment_bites_when_that_comes(pay_pal: Sandbox, alice: Account) -> None:
    order = order_of(alice)
    sale = pay_pal.sale(order)
    payment, refund = pay_pal.world.payment(sale), pay_pal.world.refund(sale, Decimal("2.50"))
    assert tell(refund) == ["applied"]
    assert (balance(alice), status(order)) == (0, Status.OPEN)
    assert tell(payment) == ["applied"]
    assert (balance(alice), status(order), total()) == (250, Status.PARTLY_REFUNDED, 0)


def test_more_than_was_paid_cannot_be_taken_back(pay_pal: Sandbox, alice: Account) -> None:
    sale = pay_pal.sale(order_of(alice))
    tell(pay_pal.world.payment(sale), pay_pal.world.refund(sale, Decimal("4.00")), pay_pal.world.reversal(sale))
    assert (balance(alice), debt(alice)) == (0, 0)
    assert tell(pay_pal.world.refund(sale, Decimal("5.01")), pay_pal.world.refund(sale, parent_txn_id="X")) == ["rejected"] * 2


def test_a_notice_that_cannot_be_verified_now_is_kept_and_done_later(
    pay_pal: Sandbox, alice: Account, settings: Settings
) -> None:
    order = order_of(alice)
    body = pay_pal.world.payment(pay_pal.sale(order))
    settings.PAYPAL_URL = "http://127.0.0.1:9"
    answer = Client().post(reverse("billing:ipn"), body, content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, PaymentNotice.objects.get().outcome, balance(alice)) == (503, "open", 0)
    settings.PAYPAL_URL = pay_pal.url
    assert process_open_notices() == 0  # whoever received it may still be at it
    PaymentNotice.objects.update(received_at=timezone.now() - timedelta(minutes=1))
    assert process_open_notices() == 1
    assert (balance(alice), PaymentNotice.objects.get().outcome) == (500, "applied")
    assert process_open_notices() == 0


def test_what_is_too_large_is_not_kept(db: None, pay_pal: Sandbox) -> None:
    answer = Client().post(reverse("billing:ipn"), b"x" * (MAX_BYTES + 1), content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, PaymentNotice.objects.count()) == (413, 0)
    assert Client().get(reverse("billing:ipn")).status_code == 405


def test_a_flood_of_forgeries_is_not_kept_and_hides_no_payment(
    pay_pal: Sandbox, alice: Account, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "REFUSED", Limit("payment_notice_refused", "2/h/key"))
    monkeypatch.setattr(notices, "OPEN_KEPT", 2)
    real = pay_pal.world.payment(pay_pal.sale(order_of(alice)))

    def send(body: bytes) -> int:
        return Client().post(reverse("billing:ipn"), body, content_type="application/x-www-form-urlencoded").status_code

    assert [send(b"forged=%d" % number) for number in range(4)] == [200, 200, 429, 429]
    settings.PAYPAL_URL = "http://127.0.0.1:9"
    assert [send(b"open=%d" % number) for number in range(4)] == [503] * 4
    assert sorted(PaymentNotice.objects.values_list("outcome", flat=True)) == ["open", "open", "rejected", "rejected"]
    settings.PAYPAL_URL = pay_pal.url
    assert (send(b"forged=more"), send(real), balance(alice)) == (429, 200, 500)
    assert PaymentNotice.objects.get(outcome="applied").verification == "verified"
    assert PaymentNotice.objects.count() == 5


def test_an_order_opens_its_owners_credits(alice: Account, pay_pal: Sandbox) -> None:
    order_of(alice)
    assert credits_of(alice).balance == 0


def test_what_was_no_providers_is_kept_for_some_weeks(pay_pal: Sandbox, alice: Account) -> None:
    tell(pay_pal.world.payment(pay_pal.sale(order_of(alice))), b"forged=1")
    PaymentNotice.objects.create(provider="paypal_standard", body=b"nobody=verified")
    PaymentNotice.objects.update(received_at=timezone.now() - timedelta(days=29))
    assert forget_refused_notices() == 0
    PaymentNotice.objects.update(received_at=timezone.now() - timedelta(days=31))
    assert forget_refused_notices() == 2
    assert PaymentNotice.objects.get().outcome == "applied"


def test_what_is_done_with_is_forgotten_after_a_year_and_its_credits_stay(pay_pal: Sandbox, alice: Account) -> None:
    tell(pay_pal.world.payment(pay_pal.sale(order_of(alice))))
    PaymentNotice.objects.create(provider="paypal_standard", body=b"still=open", verification="verified")
    PaymentNotice.objects.update(received_at=timezone.now() - timedelta(days=399))
    assert forget_old_notices() == 0
    PaymentNotice.objects.update(received_at=timezone.now() - timedelta(days=401))
    assert forget_old_notices() == 1
    assert PaymentNotice.objects.get().outcome == "open"
    assert (balance(alice), verify_ledger()) == (500, [])

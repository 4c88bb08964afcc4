"""What the provider did with the money, brought to the order and to the ledger.

An order's transactions are stored as they become known, in whatever order that is; the credits follow from all of them
together. A refund that is known before its payment waits in its row, and bites in the moment in which the payment is there.
Everything about one order happens under the lock of its row, and each transaction moves credits once: it has one entry at most,
whose idempotency key is the transaction's own reference.
"""

from __future__ import annotations

import logging

from django.conf import settings
from django.db import connection
from django.db.models import Max, Sum
from django.utils import timezone

from billing import hooks, money
from billing.models import CREDITS, Entry, LedgerAccount, Order, PaymentTransaction, Posting, Receipt
from billing.providers import NotForUs, Report
from billing.services import promo_codes
from billing.services.counter import forget_counters
from billing.services.ledger import Leg, credits_of, operator_account, post_entry
from iotportal.after_commit import after_commit

logger = logging.getLogger(__name__)

Kind, Status = PaymentTransaction.Kind, PaymentTransaction.Status
_RECEIPTS = 0x42494C4C  # of the lock under which a receipt gets its number


def apply_report(order: Order, report: Report) -> bool:
    """Bring what is reported to an order, in the transaction that is open; False where it was known before.

    Raises:
        NotForUs: it is not about this order's money.
    """
    locked = Order.objects.select_for_update().get(pk=order.pk)
    amount = _checked_amount(locked, report)
    known = PaymentTransaction.objects.filter(provider=locked.provider, reference=report.reference).first()
    if known is not None:
        return _follow(locked, known, report, amount)
    one = PaymentTransaction.objects.create(
        order=locked,
        provider=locked.provider,
        reference=report.reference,
        kind=report.kind,
        status=report.status,
        amount_minor=amount,
        reason=report.reason,
    )
    logger.info("order %s: %s", locked.pk, one)
    _settle(locked)
    return True


def _follow(order: Order, known: PaymentTransaction, report: Report, amount: int) -> bool:
    """Move a known transaction on: a pending one ends, and what has ended stays as it is."""
    if (known.order_id, known.kind, known.amount_minor) != (order.pk, report.kind, amount):
        raise NotForUs("That transaction is known as another one.", rejected=True)
    if known.status == report.status or known.status == Status.COMPLETED or report.status == Status.PENDING:
        return False
    known.status, known.reason = report.status, report.reason
    known.save(update_fields=["status", "reason"])
    logger.info("order %s: %s", order.pk, known)
    _settle(order)
    return True


def _checked_amount(order: Order, report: Report) -> int:
    """Return the amount, in the smallest unit of the order's currency.

    Raises:
        NotForUs: currency, amount or parent are not those of this order.
    """
    if not 0 < len(report.reference) <= 64:
        raise NotForUs("It names no transaction.", rejected=True)
    if report.currency != order.currency:
        raise NotForUs(f"The order is in {order.currency}.", rejected=True)
    try:
        amount = money.to_minor(report.amount, order.currency)
    except money.NotAnAmount as error:
        raise NotForUs(str(error), rejected=True) from error
    paid = order.transactions.filter(kind=Kind.PAYMENT, status=Status.COMPLETED).first()
    if report.kind == Kind.PAYMENT:
        if amount != order.price_minor:
            raise NotForUs(f"The order costs {order.price}.", rejected=True)
        if paid is not None and paid.reference != report.reference and report.status != Status.FAILED:
            raise NotForUs("The order was paid before, by another transaction. Refund this one.", rejected=True)
        return amount
    if not 0 < amount <= order.price_minor:
        raise NotForUs(f"The order costs {order.price}; that is no part of it.", rejected=True)
    parents = {one.reference for one in order.transactions.all()}
    if paid is not None and report.parent not in parents:
        raise NotForUs("It is about another payment than that of this order.", rejected=True)
    return amount


# --- from transactions to credits -------------------------------------------------------------------------------------------


def _settle(order: Order) -> None:
    """Give and take the credits that follow from the transactions, and bring the order's status up to date."""
    ended = [one for one in order.transactions.all() if one.status == Status.COMPLETED]
    payment = next((one for one in ended if one.kind == Kind.PAYMENT), None)
    if payment is not None:
        if payment.entry is None:
            _bring_bought(order, payment)
            order.paid_at = timezone.now()
            _issue_receipt(order)
        unsettled = [one for one in ended if one.entry is None]
        due = order.all_credits - _credits_for(order, _returned(ended)) - _moved(order)
        if unsettled and due:
            _move(order, unsettled[-1], due)
    order.status = _status(order, ended, paid=payment is not None)
    order.save(update_fields=["status", "paid_at", "bonus_credits"])
    hooks.order_changed(order)
    after_commit(forget_counters, order.account_id)


def paid_back(order: Order) -> tuple[int, int]:
    """Return how much of the price is with the buyer again, in the smallest unit, and how many credits went with it."""
    minor = _returned([one for one in order.transactions.all() if one.status == Status.COMPLETED])
    return minor, _credits_for(order, minor)


def _returned(ended: list[PaymentTransaction]) -> int:
    """Return how much of the price is with the buyer again."""
    ways = {Kind.PAYMENT: 0, Kind.REFUND: 1, Kind.REVERSAL: 1, Kind.REINSTATEMENT: -1}
    return sum(ways[Kind(one.kind)] * one.amount_minor for one in ended)


def _moved(order: Order) -> int:
    """Return how many credits the order has brought so far, less what was taken back."""
    postings = Posting.objects.filter(entry__payment__order=order, account__owner=order.account_id)
    return postings.aggregate(sum=Sum("amount"))["sum"] or 0


def _credits_for(order: Order, minor: int) -> int:
    """Return how many of the order's credits go with a part of its price; a begun one stays with the buyer."""
    return order.all_credits * min(max(minor, 0), order.price_minor) // order.price_minor


def _status(order: Order, ended: list[PaymentTransaction], *, paid: bool) -> Order.Status:
    if not paid:
        under_way = order.transactions.filter(kind=Kind.PAYMENT)
        if under_way.filter(status=Status.PENDING).exists():
            return Order.Status.PENDING
        return Order.Status.FAILED if under_way.exists() else Order.Status.OPEN
    total = {kind: sum(one.amount_minor for one in ended if one.kind == kind) for kind in Kind}
    if total[Kind.REVERSAL] > total[Kind.REINSTATEMENT]:
        return Order.Status.DISPUTED
    if total[Kind.REFUND] >= order.price_minor:
        return Order.Status.REFUNDED
    return Order.Status.PARTLY_REFUNDED if total[Kind.REFUND] else Order.Status.PAID


def _move(order: Order, one: PaymentTransaction, credits: int) -> None:
    if credits > 0:
        _bring(order, one, credits)
    elif credits < 0:
        _take(order, one, -credits)


def _bring_bought(order: Order, payment: PaymentTransaction) -> None:
    """Give the credits of a package, and what a promo code that waited for it brings more."""
    _held(order)  # a code that is redeemed at this moment was so before this, or waits for the next package
    redeemed = promo_codes.take_waiting(order)
    if redeemed is not None:
        order.bonus_credits = promo_codes.bonus(order.credits, redeemed.percent)
    _bring(order, payment, order.credits, order.bonus_credits)
    if redeemed is not None and payment.entry is not None:
        promo_codes.spend_on(order, redeemed, payment.entry)


def _bring(order: Order, one: PaymentTransaction, credits: int, bonus: int = 0) -> None:
    """Give credits: what the owner is in debt with first, the rest to use. `bonus`: how many more by a promo code."""
    mine, debts = _held(order)
    paid_off = min(credits + bonus, -debts.balance)
    purchases, promotions = LedgerAccount.Kind.PURCHASES, LedgerAccount.Kind.PROMOTIONS
    came_from = [Leg(operator_account(purchases), -credits), *([Leg(operator_account(promotions), -bonus)] if bonus else [])]
    _post(one, Entry.Cause.PURCHASE, [Leg(debts, paid_off), Leg(mine, credits + bonus - paid_off), *came_from])


def _take(order: Order, one: PaymentTransaction, credits: int) -> None:
    """Take credits back; those that are used up already become a debt, for a balance never goes below zero."""
    mine, debts = _held(order)
    there = min(credits, mine.balance)
    legs = [Leg(mine, -there), Leg(debts, there - credits), Leg(operator_account(LedgerAccount.Kind.REFUNDS), credits)]
    _post(one, Entry.Cause.REFUND, legs)


def _held(order: Order) -> tuple[LedgerAccount, LedgerAccount]:
    """Return the owner's credits and debts, locked in that order, as they are now."""
    credits_of(order.account)
    found = LedgerAccount.objects.filter(owner=order.account, kind=LedgerAccount.Kind.DEBTS).first()
    if found is None:
        LedgerAccount.objects.get_or_create(owner=order.account, kind=LedgerAccount.Kind.DEBTS, currency=CREDITS)
    held = LedgerAccount.objects.select_for_update(no_key=True).order_by("pk").filter(owner=order.account)
    by_kind = {one.kind: one for one in held}
    return by_kind[LedgerAccount.Kind.CREDITS], by_kind[LedgerAccount.Kind.DEBTS]


def _post(one: PaymentTransaction, cause: Entry.Cause, legs: list[Leg]) -> None:
    key = f"payment:{one.provider}:{one.reference}"
    one.entry = post_entry(cause=cause, key=key, legs=[leg for leg in legs if leg.amount])
    one.save(update_fields=["entry"])


def _issue_receipt(order: Order) -> None:
    """Number a receipt: under a lock and in the transaction that needs it, so that no number is left out or given twice."""
    with connection.cursor() as db:
        db.execute("SELECT pg_advisory_xact_lock(%s)", [_RECEIPTS])
    last = Receipt.objects.aggregate(last=Max("number"))["last"] or 0
    Receipt.objects.create(number=last + 1, order=order, seller=settings.SELLER, buyer=order.account.name)

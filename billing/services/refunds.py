"""Refunds that an operator decides on. The credits go back by what the provider says of it, as with every refund."""

from __future__ import annotations

from django.db import transaction

from billing import money, providers
from billing.models import Order, PaymentTransaction
from billing.services.ledger import BillingError
from billing.services.payments import apply_report

Kind, Status = PaymentTransaction.Kind, PaymentTransaction.Status


class NotRefundable(BillingError):
    """That much cannot be paid back of this order, or not from here."""


def refund_order(*, order: Order, amount_minor: int) -> None:
    """Have the provider pay a part or all of an order back, and take the same part of its credits.

    Raises:
        NotRefundable: it is not paid, less than that is left of it, or the provider's own pages are the place for it.
        ProviderError: the provider did not do it; ask again.
        NotForUs: it did something else.
    """
    payment = order.transactions.filter(kind=Kind.PAYMENT, status=Status.COMPLETED).first()
    if payment is None:
        raise NotRefundable("It is not paid.")
    refunds = [one.amount_minor for one in order.transactions.filter(kind=Kind.REFUND, status=Status.COMPLETED)]
    left = order.price_minor - sum(refunds)
    if not 0 < amount_minor <= left:
        raise NotRefundable(f"{money.words(left, order.currency)} of it can still be paid back.")
    key = f"refund-{order.pk.hex}-{len(refunds)}-{amount_minor}"  # a second click asks for the same refund
    report = providers.provider_named(order.provider).refund(payment, amount_minor, key=key)
    if report is None:
        raise NotRefundable("Refund it on PayPal's pages: the credits are taken back when PayPal says so.")
    with transaction.atomic():
        apply_report(order, report)

"""What a person takes along of billing: what moved their credits, orders with payments and receipts, promo codes, and use."""

from __future__ import annotations

from collections.abc import Iterator

from accounts.exports import PIECE, Export
from accounts.models import Account
from billing import money
from billing.models import Order, PaymentTransaction, PromoRedemption, Usage
from billing.services import orders, promo_codes, statements

_MOVED = ["at", "cause", "credits", "reason", "id"]
_ORDERED = [
    "order", "made_at", "status", "credits", "currency", "price", "tax", "tax_name", "country", "paid_at", "receipt",
    "receipt_issued_at", "receipt_seller", "receipt_buyer", "bonus_credits",
]  # fmt: skip
_REDEEMED = ["at", "code", "credits", "percent", "order", "id"]
_PAID = ["at", "order", "kind", "status", "currency", "amount", "reference", "reason"]


def add_billing(export: Export) -> None:
    """Add movements, orders with their receipts, payments, promo codes and days of use, the newest first."""
    account = export.account
    days = Usage.objects.filter(account=account).order_by("-day").values_list("day", "upto")
    export.add_table("credits.csv", _MOVED, lambda: _movements(account))
    export.add_table("orders.csv", _ORDERED, lambda: map(_order, _by_id(account)))
    export.add_table("payments.csv", _PAID, lambda: _payments(account))
    export.add_table("promo-codes.csv", _REDEEMED, lambda: (_redeemed(one) for one in promo_codes.redemptions_of(account)))
    export.add_table("messages-used.csv", ["day", "used_in_month_upto"], lambda: (list(row) for row in days))


def _movements(account: Account) -> Iterator[list[object]]:
    """Read by key set, so that no cursor stays open for as long as somebody downloads."""
    found = statements.movements(account)
    some = list(found[:PIECE])
    while some:
        yield from ([one.at, one.cause, one.moved, one.reason, one.pk] for one in some)  # type: ignore[attr-defined]  # annotated
        some = list(found.filter(pk__lt=some[-1].pk)[:PIECE])


def _redeemed(one: PromoRedemption) -> list[object]:
    return [one.redeemed_at, one.promo_code.code, one.credits, one.percent, one.order_id, one.pk]


def _by_id(account: Account) -> Iterator[Order]:
    found = orders.orders_of(account)
    some = list(found[:PIECE])
    while some:
        yield from some
        some = list(found.filter(pk__lt=some[-1].pk)[:PIECE])


def _order(order: Order) -> list[object]:
    receipt = getattr(order, "receipt", None)
    return [
        order.pk, order.made_at, order.status, order.credits, order.currency, money.to_text(order.price_minor, order.currency),
        money.to_text(order.tax_minor, order.currency), order.tax_name, order.country, order.paid_at,
        receipt and receipt.number, receipt and receipt.issued_at, receipt and receipt.seller, receipt and receipt.buyer,
        order.bonus_credits,
    ]  # fmt: skip


def _payments(account: Account) -> Iterator[list[object]]:
    found = PaymentTransaction.objects.filter(order__account=account).select_related("order").order_by("-pk")
    some = list(found[:PIECE])
    while some:
        for one in some:
            amount, currency = money.to_text(one.amount_minor, one.order.currency), one.order.currency
            yield [one.at, one.order_id, one.kind, one.status, currency, amount, one.reference, one.reason]
        some = list(found.filter(pk__lt=some[-1].pk)[:PIECE])

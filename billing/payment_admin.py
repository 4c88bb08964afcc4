"""What operators see of purchases: orders with their transactions, and every notice as it came with what was made of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from accounts.admin import Acting, ReadOnlyAdmin, Refused, Shelf, asks_why
from accounts.admin.base import ModelAdmin, NarrowLookups, TabularInline, WhyForm
from accounts.models import Account
from billing import money
from billing.models import Order, PaymentNotice, PaymentTransaction, VatRate
from billing.providers import NotForUs, ProviderError
from billing.services import BillingError, refunds

_SHOWN = 20


def orders_of_account(account: Account) -> Shelf:
    """Return an owner's latest orders."""
    rows = [(one.made_at, str(one), one.get_status_display()) for one in account.orders.all()[:_SHOWN]]
    return Shelf("Orders", ("When", "What", "Status"), rows, f"{reverse('admin:billing_order_changelist')}?account={account.pk}")


class TransactionInline(ReadOnlyAdmin, TabularInline):
    """What the provider did with the money."""

    model = PaymentTransaction
    extra = 0
    can_delete = False
    fields = ("at", "kind", "status", "reference", "amount", "reason", "entry")
    readonly_fields = fields

    @admin.display
    def amount(self, one: PaymentTransaction) -> str:
        """Show the money."""
        return money.words(one.amount_minor, one.order.currency)


class RefundForm(WhyForm):
    """How much of the price, and why."""

    amount = forms.DecimalField(
        min_value=Decimal("0.01"),
        max_digits=9,
        decimal_places=2,
        help_text="In the order's currency; its part of the credits goes with it",
    )


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin, Acting):
    """What was ordered, and what became of it."""

    act_permission = "billing.move_credits"
    actions = ("refund",)
    lookups = ("account",)
    list_display = ("made_at", "account", "credits", "price", "status", "provider", "paid_at")
    list_filter = ("status", "provider")
    list_select_related = ("account",)
    search_fields = ("=id", "=transactions__reference", "account__name")
    search_help_text = "Order id, the provider's transaction, or the owner's name"
    date_hierarchy = "made_at"
    show_full_result_count = False
    fields = (
        "id", "account", "buyer", "credits", "price", "country", "tax_name", "tax_basis_points", "status", "provider",
        "reference", "made_at", "paid_at", "receipt",
    )  # fmt: skip
    readonly_fields = fields
    inlines: ClassVar = [TransactionInline]

    @asks_why(
        "Refund",
        says="PayPal pays it back to the buyer, and the same part of the credits is taken back; those that are used already "
        "become a debt. Orders by Payments Standard are refunded on PayPal's own pages.",
        form=RefundForm,
    )
    def refund(self, request: HttpRequest, order: Order, amount: Decimal) -> None:
        """Pay a part or all of it back."""
        try:
            refunds.refund_order(order=order, amount_minor=money.to_minor(str(amount), order.currency))
        except (BillingError, ProviderError, NotForUs, money.NotAnAmount) as error:
            raise Refused(str(error)) from error


@admin.register(PaymentNotice)
class PaymentNoticeAdmin(ReadOnlyAdmin, ModelAdmin):
    """What came in as a message of a payment provider, word for word. It names buyers: for eyes that need it."""

    lookups = ("order",)
    list_display = ("received_at", "provider", "kind", "verification", "outcome", "why", "order", "address")
    list_filter = ("outcome", "verification", "kind", "provider")
    list_select_related = ("order",)
    search_fields = ("=id", "=order__id", "why")
    date_hierarchy = "received_at"
    show_full_result_count = False
    fields = (
        "id", "received_at", "provider", "kind", "address", "verification", "outcome", "why", "order", "headers", "text",
        "answer_text",
    )  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[PaymentNotice]:
        """Leave the text of many where it is."""
        found: QuerySet[PaymentNotice] = super().get_queryset(request)
        return found if request.resolver_match and request.resolver_match.kwargs else found.defer("body", "answer", "headers")

    @admin.display(description="as it came")
    def text(self, notice: PaymentNotice) -> str:
        """Show what was sent, one field a line."""
        return bytes(notice.body).decode("ascii", "backslashreplace").replace("&", "\n&")

    @admin.display(description="PayPal's answer to a return")
    def answer_text(self, notice: PaymentNotice) -> str:
        """Show what was answered, as it came."""
        return bytes(notice.answer or b"").decode("ascii", "backslashreplace")


@admin.register(VatRate)
class VatRateAdmin(NarrowLookups, ModelAdmin):
    """The tax that prices include. A change holds for orders that are made from then on."""

    list_display = ("country", "name", "rate")
    fields = ("country", "name", "basis_points")

    @admin.display(ordering="basis_points")
    def rate(self, one: Any) -> str:
        """Show it in percent."""
        return money.percent(one.basis_points)

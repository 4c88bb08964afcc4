"""What an account has, has used and has paid."""

from __future__ import annotations

from datetime import UTC
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.formats import date_format
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.access import Action, access_membership, role_may
from accounts.http import AREA, AuthedRequest
from billing import money, providers, services
from billing.charts import usage_chart
from billing.forms import LowBalanceForm, PromoCodeForm
from billing.models import Order
from billing.services import low_balance, orders, promo_codes, statements, usage
from iotportal.csv_text import csv_lines
from iotportal.cursor import BadCursor

_PAGE = 25


@login_required
@require_safe
@never_cache
def subscription(request: AuthedRequest, account_id: UUID) -> HttpResponse:
    """Show the kind of subscription, what is used and left this month, day by day, what things cost, and what moved credits."""
    return subscription_page(request, account_id)


@login_required
@require_POST
@never_cache
def tell_below(request: AuthedRequest, account_id: UUID) -> HttpResponse:
    """Choose below how many credits the account's people are told."""
    account = access_membership(request.user, account_id, Action.BILLING).account
    form = LowBalanceForm(request.POST)
    if not form.is_valid():
        return subscription_page(request, account_id, low_form=form)
    low_balance.set_threshold(account=account, below=form.cleaned_data["below"])
    messages.success(request, "Saved.")
    return redirect("billing:subscription", account.pk)


def subscription_page(
    request: AuthedRequest,
    account_id: UUID,
    *,
    low_form: LowBalanceForm | None = None,
    promo_form: PromoCodeForm | None = None,
) -> HttpResponse:
    """Show the subscription, with what is wrong with a form of it that was sent."""
    membership = access_membership(request.user, account_id)
    account, may_buy = membership.account, role_may(membership.role, Action.BILLING)
    bad = bool(low_form or promo_form)
    try:
        movements = statements.page_of_movements(account, request.GET.get("cursor")) if may_buy else None
    except BadCursor:  # a link that somebody cut off: the first page is what it can show
        movements, bad = statements.page_of_movements(account), True
    found = services.subscription(account.pk)
    context = {
        **AREA,
        "account": account,
        "found": found,
        "emulators": services.emulator_time(account.pk),
        "debt": services.debt(account),
        "chart": usage_chart(usage.days_of(account.pk, used=found.used, today=found.today)),
        "prices": services.prices_now(),
        "movements": movements,
        "may_buy": may_buy,
        "for_sale": providers.current() is not None,
        "promo_form": promo_form or PromoCodeForm(),
        "waiting": promo_codes.waiting(account) if may_buy else None,
        "low_form": low_form or LowBalanceForm(initial={"below": low_balance.threshold(account)}),
    }
    return render(request, "billing/subscription.html", context, status=400 if bad else 200)


@login_required
@require_safe
@never_cache
def payments(request: AuthedRequest, account_id: UUID) -> HttpResponse:
    """List an account's orders, the newest first."""
    account = access_membership(request.user, account_id, Action.BILLING).account
    page = Paginator(orders.orders_of(account), _PAGE).get_page(request.GET.get("page"))
    return render(request, "billing/payments.html", {**AREA, "account": account, "page": page})


@login_required
@require_safe
@never_cache
def payments_csv(request: AuthedRequest, account_id: UUID) -> HttpResponse:
    """Send all orders as a table."""
    account = access_membership(request.user, account_id, Action.BILLING).account
    head = [
        "order",
        "made",
        "status",
        "credits",
        "currency",
        "price",
        "tax",
        "tax rate",
        "country",
        "paid",
        "receipt",
        "bonus credits",
    ]
    rows = (_row(one) for one in orders.orders_of(account).iterator(500))
    response = HttpResponse(csv_lines([head, *rows]), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="payments.csv"'
    return response


def _row(order: Order) -> list[object]:
    receipt = getattr(order, "receipt", None)
    return [
        order.pk.hex,
        order.made_at.astimezone(UTC).isoformat(timespec="seconds"),
        order.status,
        order.credits,
        order.currency,
        money.to_text(order.price_minor, order.currency),
        money.to_text(order.tax_minor, order.currency),
        money.percent(order.tax_basis_points) if order.tax_basis_points else "",
        order.country,
        order.paid_at.astimezone(UTC).isoformat(timespec="seconds") if order.paid_at else "",
        receipt.number if receipt else "",
        order.bonus_credits,
    ]


@login_required
@require_safe
@never_cache
def receipt(request: AuthedRequest, order_id: UUID) -> HttpResponse:
    """Show the receipt of a paid order."""
    order = _paid(request, order_id)
    return render(request, "billing/receipt.html", {**AREA, "order": order, "account": order.account, "receipt": order.receipt})


@login_required
@require_safe
@never_cache
def receipt_file(request: AuthedRequest, order_id: UUID) -> HttpResponse:
    """Send the receipt as PDF."""
    from billing.receipts import receipt_pdf  # the library takes most of a second to load, and few ask for this

    order = _paid(request, order_id)
    body = receipt_pdf(order, issued=date_format(order.receipt.issued_at, "j M Y"))
    response = HttpResponse(body, content_type="application/pdf")
    response["Content-Disposition"] = f'attachment; filename="receipt-{order.receipt.number}.pdf"'
    return response


def _paid(request: AuthedRequest, order_id: UUID) -> Order:
    order = orders.access_order(request.user, order_id)
    if not hasattr(order, "receipt"):
        raise Http404("There is a receipt once the order is paid.")
    return order

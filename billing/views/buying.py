"""Buying credits: choose, confirm, pay at the provider, come back."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from allauth.account.adapter import get_adapter
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import Action, access_account
from accounts.http import AREA, AuthedRequest, too_many
from accounts.limits import Limit
from accounts.models import Account
from billing import providers, services
from billing.forms import BuyForm, PromoCodeForm
from billing.models import Order
from billing.providers import ProviderError, WayDeclined
from billing.services import notices, orders, promo_codes

ORDERS = Limit("order", "30/h/key")
RETURNS = Limit("payment_return", "30/h/key")  # each asks PayPal; beyond it the IPN tells
_UNDER_WAY = {Order.Status.OPEN, Order.Status.PENDING}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def buy(request: AuthedRequest, account_id: UUID) -> HttpResponse:
    """Choose a package, and make the order of it."""
    account = access_account(request.user, account_id, Action.BILLING)
    form = BuyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if not ORDERS.allow(str(request.user.pk)):
            return too_many(request, ORDERS.wait_s(str(request.user.pk)))
        try:
            order = orders.place_order(
                account=account,
                buyer=request.user,
                package_id=form.cleaned_data["package"].pk,
                country=form.cleaned_data["country"],
            )
        except orders.NothingForSale as error:
            form.add_error(None, str(error))
        else:
            return redirect("billing:order", order.pk)
    return buy_page(request, account, form)


def buy_page(request: AuthedRequest, account: Account, form: BuyForm, promo_form: PromoCodeForm | None = None) -> HttpResponse:
    """Show the packages, with what is wrong with a form that was sent."""
    context = {
        **AREA,
        "account": account,
        "form": form,
        "balance": services.balance(account),
        "for_sale": providers.current() is not None,
        "promo_form": promo_form or PromoCodeForm(),
        "waiting": promo_codes.waiting(account),
        "at_packages": True,
    }
    return render(request, "billing/buy.html", context, status=400 if form.errors or promo_form else 200)


@login_required
@require_safe
@never_cache
def order(request: AuthedRequest, order_id: UUID) -> HttpResponse:
    """Show an order: to confirm it, or what became of it."""
    return _page(request, orders.access_order(request.user, order_id))


@login_required
@require_POST
@never_cache
def pay(request: AuthedRequest, order_id: UUID) -> HttpResponse:
    """Go to the provider, by a page that goes on by itself: the policy on forms forbids what would follow this one elsewhere."""
    found = orders.access_order(request.user, order_id)
    try:
        url = orders.begin_payment(found, site=f"{request.scheme}://{request.get_host()}")
    except orders.NotPayable:
        return redirect("billing:order", found.pk)
    except (ProviderError, orders.NothingForSale) as error:
        return _page(request, found, problem=str(error), status=503)
    return render(request, "billing/going.html", {**AREA, "order": found, "url": url})


@login_required
@require_safe
@never_cache
def returned(request: AuthedRequest, order_id: UUID) -> HttpResponse:
    """Wait for what the provider says of the payment, and then show the new balance."""
    found = orders.access_order(request.user, order_id)
    payment = orders.returned_with(found, request.GET)
    if payment:
        if RETURNS.allow(str(request.user.pk)):
            with suppress(ProviderError):  # it is kept, and a job asks again
                notices.receive_return(order=found, payment=payment, address=get_adapter(request).get_client_ip(request))
        return redirect("billing:returned", found.pk)  # what is asked about once need not stay in the address
    try:
        found = orders.complete_payment(found)
    except ProviderError as error:  # the page asks again, but for a way to pay that was declined: that the buyer has to change
        if isinstance(error, WayDeclined):
            return _page(request, found, problem=str(error))
    return _page(request, found, came_back=True)


@login_required
@require_safe
@never_cache
def cancelled(request: AuthedRequest, order_id: UUID) -> HttpResponse:
    """Say that nothing was paid. A link brings people here, so it changes nothing: the order can still be paid."""
    return _page(request, orders.access_order(request.user, order_id), stopped=True)


def _page(request: AuthedRequest, order: Order, *, status: int = 200, **more: object) -> HttpResponse:
    waiting = bool(more.get("came_back")) and order.status in _UNDER_WAY
    balance = services.balance(order.account)
    redeemed = promo_codes.waiting(order.account) if order.paid_at is None else None
    context = {
        **AREA,
        "order": order,
        "account": order.account,
        "balance": balance,
        "waiting": waiting,
        "promo": redeemed,
        **more,
    }
    return render(request, "billing/order.html", context, status=status)

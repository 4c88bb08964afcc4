"""Redeeming a promo code."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import pluralize
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.access import Action, access_account
from accounts.http import AuthedRequest, too_many
from accounts.limits import Limit
from billing.forms import BuyForm, PromoCodeForm
from billing.services import promo_codes
from billing.views.buying import buy_page
from billing.views.subscription import subscription_page

TRIES = Limit("promo_code", "10/10m/key,50/d/key,60/h/ip")  # right ones as well: who guesses learns nothing by the count


@login_required
@require_POST
@never_cache
def redeem(request: AuthedRequest, account_id: UUID) -> HttpResponse:
    """Redeem a code from the page of the subscription or that of the packages, and go on where it counts."""
    account = access_account(request.user, account_id, Action.BILLING)
    form = PromoCodeForm(request.POST)
    if form.is_valid():
        if not TRIES.allow(str(request.user.pk), request):
            return too_many(request, TRIES.wait_s(str(request.user.pk), request))
        try:
            redeemed = promo_codes.redeem_code(account=account, user=request.user, typed=form.cleaned_data["code"])
        except promo_codes.PromoCodeRefused as error:
            form.add_error("code", str(error))
        else:
            if redeemed.credits:
                messages.success(request, f"{redeemed.credits:,} credit{pluralize(redeemed.credits)} added.")
                return redirect("billing:subscription", account.pk)
            messages.success(request, f"{redeemed.percent} % more credits with your next package.")
            return redirect("billing:buy", account.pk)
    if request.POST.get("page") == "buy":
        return buy_page(request, account, BuyForm(), form)
    return subscription_page(request, account_id, promo_form=form)

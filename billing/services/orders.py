"""Orders: made and stored before anybody pays, and what the buyer is shown of them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404
from django.urls import reverse

from accounts.access import Action, access_account, hold_account
from accounts.models import Account, User
from billing import providers
from billing.models import Order, Package, VatRate
from billing.providers import ChargesByConsent, NotForUs, PaymentProvider, Ways
from billing.services.ledger import BillingError, credits_of
from billing.services.payments import apply_report
from iotportal.uuid7 import uuid7

_PAYABLE = {Order.Status.OPEN, Order.Status.FAILED}


class NothingForSale(BillingError):
    """No payment provider is set up, or the package is not offered."""


class NotPayable(BillingError):
    """The order is paid, or its payment is under way."""


def place_order(
    *,
    account: Account,
    buyer: User,
    package_id: int,
    country: str = "",
    provider: PaymentProvider | ChargesByConsent | None = None,
    order_id: UUID | None = None,
) -> Order:
    """Make and store an order of a package at its price of now, which includes the tax of `country` (two letters).

    `provider`: who takes the money, the current one if nobody is named. `order_id`: its id, by which whoever asks twice finds the
    one that is there.

    Raises:
        NothingForSale: nothing can be bought, or not that.
        Http404: the account is closed.
    """
    provider = provider or providers.current()
    package = Package.objects.filter(pk=package_id, offered=True).first()
    if provider is None or package is None:
        raise NothingForSale("That cannot be bought here right now.")
    rate = VatRate.objects.filter(country=country).first()
    with transaction.atomic():
        hold_account(account)
        credits_of(account)  # open, so that what is paid late finds it even where nobody is left
        about = {
            "account": account,
            "buyer": buyer,
            "provider": provider.name,
            "credits": package.credits,
            "price_minor": package.price_minor,
            "currency": package.currency,
            "country": rate.country if rate else "",
            "tax_name": rate.name if rate else "",
            "tax_basis_points": rate.basis_points if rate else 0,
        }
        return Order.objects.get_or_create(pk=order_id or uuid7(), defaults=about)[0]


def access_order(user: User, order_id: UUID) -> Order:
    """Return an order if `user` may buy for its account.

    Raises:
        Http404: there is none, or it is of an account that the user is no member of.
        PermissionDenied: a member whose role does not reach that far.
    """
    order = Order.objects.select_related("account", "receipt").filter(pk=order_id).first()
    if order is None:
        raise Http404("No such order.")
    access_account(user, order.account_id, Action.BILLING)
    return order


def orders_of(account: Account) -> QuerySet[Order]:
    """Return an account's orders, the newest first."""
    return Order.objects.filter(account=account).select_related("receipt")


def complete_payment(order: Order) -> Order:
    """Carry out what the buyer approved, where the provider leaves that to us; returns the order as it is then.

    Raises:
        ProviderError: the provider does not answer now; ask again.
    """
    if order.status in _PAYABLE:
        with suppress(NotForUs):  # then the provider's notice of it will say what is wrong
            report = providers.provider_named(order.provider).complete(order)
            if report is not None:
                with transaction.atomic():
                    apply_report(order, report)
                order.refresh_from_db()
    return order


def returned_with(order: Order, query: Mapping[str, str]) -> str:
    """Return the payment that a buyer's way back names, as long as that could still pay the order; empty: none."""
    if order.paid_at is not None:
        return ""
    return providers.provider_named(order.provider).returned_with(query)


def begin_payment(order: Order, *, site: str = "") -> str:
    """Return the address at which the buyer approves the payment. `site`: under which address the buyer uses the portal.

    Raises:
        NotPayable: it is paid, or the payment is under way.
        NothingForSale: the operator has switched payments off since.
        ProviderError: the provider does not take it now.
    """
    if order.status not in _PAYABLE:
        raise NotPayable("This order is paid, or its payment is under way.")
    if providers.current() is None:
        raise NothingForSale("Payments are switched off here.")
    base = f"{site or settings.PORTAL_URL}{reverse('billing:order', args=[order.pk])}"
    provider = providers.provider_named(order.provider)
    notify = f"{settings.PORTAL_URL}{reverse('billing:ipn')}"
    begun = provider.begin(order, Ways(back=f"{base}return/", cancel=f"{base}cancelled/", notify=notify))
    if begun.reference and begun.reference != order.reference:
        order.reference = begun.reference
        order.save(update_fields=["reference"])
    return begun.url

"""The payment providers. Which one new orders go to is a setting; notices about old ones are read by whose they are."""

from __future__ import annotations

from django.conf import settings

from billing.models import Provider
from billing.providers.base import (
    ChargesByConsent,
    Consent,
    NotForUs,
    PaymentProvider,
    ProviderError,
    ProviderUnavailable,
    Report,
    WayDeclined,
    Ways,
)
from billing.providers.paypal_orders import PayPalOrders
from billing.providers.paypal_standard import PayPalStandard

_ALL: dict[str, PaymentProvider] = {
    Provider.PAYPAL_STANDARD: PayPalStandard(),
    Provider.PAYPAL_ORDERS: PayPalOrders(),
}


def provider_named(name: str) -> PaymentProvider:
    """Return one of them."""
    return _ALL[name]


def current() -> PaymentProvider | None:
    """Return the one that new orders go to; None while nothing can be bought."""
    return _ALL.get(settings.PAYMENTS)


__all__ = [
    "ChargesByConsent",
    "Consent",
    "NotForUs",
    "PaymentProvider",
    "ProviderError",
    "ProviderUnavailable",
    "Report",
    "WayDeclined",
    "Ways",
    "current",
    "provider_named",
]

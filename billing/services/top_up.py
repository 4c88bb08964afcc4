"""Buying again by itself when credits run low: what is there for a provider that can charge by a consent.

None of the portal's own providers can, and nothing in the pages offers it. Whoever adds one registers it here
(`ChargesByConsent` is its contract); then the entry that leaves an account too little has a worker make an order and have it
charged. It is made once for each fall of a balance: the order has the id of that entry, and that is the key of the charge.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404

from accounts.access import Action, access_account
from accounts.models import Account
from billing.models import Order
from billing.providers import ChargesByConsent, Consent
from billing.services.orders import place_order
from billing.services.payments import apply_report

logger = logging.getLogger(__name__)

_chargers: list[ChargesByConsent] = []


def register(charger: ChargesByConsent) -> None:
    """Have accounts that gave `charger` a consent topped up by it; adding it twice changes nothing."""
    if charger not in _chargers:
        _chargers.append(charger)


def unregister(charger: ChargesByConsent) -> None:
    """Have it charge nothing more."""
    _chargers.remove(charger)


def consent_of(account: Account) -> tuple[ChargesByConsent, Consent] | None:
    """Return whom an account lets charge it, for what; None: nobody."""
    found = ((charger, charger.consent_of(account)) for charger in _chargers)
    return next(((charger, consent) for charger, consent in found if consent is not None), None)


def top_up(*, account: Account, entry_id: UUID) -> Order | None:
    """Make and have charged what an account agreed to, because `entry_id` left it too little; None where it agreed to nothing.

    However often it is asked for, there is one order of an entry, and one charge.

    Raises:
        NothingForSale: the package is not offered any more.
        ProviderUnavailable: ask again.
        ProviderError: nothing was charged.
        NotForUs: something else was charged than the order; look at it.
    """
    agreed = consent_of(account)
    if agreed is None:
        return None
    charger, consent = agreed
    try:
        access_account(consent.buyer, account.pk, Action.BILLING)
    except (Http404, PermissionDenied):
        logger.warning("account %s is not topped up: who agreed does not see to its bills any more", account.pk)
        return None
    order = place_order(
        account=account,
        buyer=consent.buyer,
        package_id=consent.package_id,
        country=consent.country,
        provider=charger,
        order_id=entry_id,
    )
    if order.status == Order.Status.OPEN:
        report = charger.charge(order, key=order.pk.hex)
        with transaction.atomic():
            apply_report(order, report)
        order.refresh_from_db()
    return order

"""Notices of payment providers: kept as they come, verified with who is said to have sent them, then held against our orders.

A notice is stored before anything else is done with it, so that a process that dies at any moment leaves it behind, open: the
provider sends it again because it got no answer, and a job looks at what stayed open. Both may happen; credits move once.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from time import monotonic
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.limits import Limit
from billing import providers
from billing.models import Order, PaymentNotice
from billing.providers import NotForUs, ProviderUnavailable, Report
from billing.services.payments import apply_report

logger = logging.getLogger(__name__)

Verification, Outcome = PaymentNotice.Verification, PaymentNotice.Outcome
_REFUSED = {
    PaymentNotice.Kind.NOTICE: "The provider says that it did not send this.",
    PaymentNotice.Kind.RETURN: "The provider knows no such payment to us.",
}
_NAME = 100  # characters of a payment's name; a provider's has at most 64
MAX_BYTES = 32 * 1024  # an IPN has about 2 kB, a webhook 4
_LEFT_OPEN = timedelta(seconds=30)  # for so long, whoever received a notice may still be at it
_GIVEN_UP = timedelta(days=4)  # until when a provider itself repeats a notice
_REFUSED_KEPT = timedelta(days=30)
# Anybody can send us something, so what no provider has said to be its own has bounds: 2.4 GB of refused ones at the very most,
# where each is as large as one can be, and 160 MB of open ones.
REFUSED = Limit("payment_notice_refused", "100/h/key")
OPEN_KEPT = 5_000
_BATCH = 200
_SWEEP_S = 30.0  # so long at the most a run of the job asks a provider that does not answer


class NotKept(Exception):
    """The provider says that it did not send it, and there was too much of that of late to keep this one as well."""


def receive_notice(*, provider: str, body: bytes, headers: dict[str, str], address: str | None) -> PaymentNotice:
    """Keep what came in, ask the provider about it, and do what follows from it.

    While very much is open, it is asked about first, and kept if it is the provider's.

    Raises:
        ProviderUnavailable: it could not be verified now; it is to be sent again, and, if it is kept, looked at again.
        NotKept: it is nobody's, one of too many.
    """
    notice = PaymentNotice(provider=provider, body=body, headers=headers, address=address)
    if PaymentNotice.objects.filter(outcome=Outcome.OPEN)[:OPEN_KEPT].count() >= OPEN_KEPT:
        if not providers.provider_named(provider).verify(notice):
            raise NotKept
        notice.verification = Verification.VERIFIED
    notice.save(force_insert=True)
    process_notice(notice)
    if notice.verification == Verification.REFUSED and not REFUSED.allow("all"):
        notice.delete()
        raise NotKept
    return notice


def receive_return(*, order: Order, payment: str, address: str | None) -> PaymentNotice | None:
    """Ask the provider about the payment that a buyer is back with, and do what follows from it as from a notice.

    Each is asked about once for an order; None if it was. What the provider does not know as a payment of this order brings
    nothing, and is kept like a notice that does not agree.

    Raises:
        ProviderUnavailable: it does not answer now; it is kept, and looked at again.
    """
    body = urlencode({"tx": payment[:_NAME]}).encode()
    returns = PaymentNotice.objects.filter(order=order, kind=PaymentNotice.Kind.RETURN)
    if returns.filter(body=body).exists():
        return None
    notice = PaymentNotice.objects.create(
        provider=order.provider, kind=PaymentNotice.Kind.RETURN, body=body, order=order, address=address
    )
    return process_notice(notice)


def process_notice(notice: PaymentNotice) -> PaymentNotice:
    """Verify a notice and do what follows from it; what is done already is not done again. Raises ProviderUnavailable."""
    provider = providers.provider_named(notice.provider)
    if notice.verification == Verification.OPEN:
        notice.verification = Verification.VERIFIED if provider.verify(notice) else Verification.REFUSED
        if notice.verification == Verification.REFUSED:
            _end(notice, Outcome.REJECTED, _REFUSED[PaymentNotice.Kind(notice.kind)])
            return notice
        notice.save(update_fields=["verification", "answer"])
    try:
        report = provider.read(notice)
        with transaction.atomic():
            if PaymentNotice.objects.select_for_update().get(pk=notice.pk).outcome != Outcome.OPEN:
                notice.refresh_from_db()  # another looked at it meanwhile
                return notice
            order = _order_of(notice.provider, report)
            if notice.order_id not in {None, order.pk}:
                raise NotForUs("It pays another order than that which the buyer is back at.", rejected=True)
            notice.order = order
            applied = apply_report(order, report)
            _end(notice, Outcome.APPLIED if applied else Outcome.REPEATED, f"{report.kind} {report.reference}: {report.status}")
    except NotForUs as error:
        _end(notice, Outcome.REJECTED if error.rejected else Outcome.IGNORED, str(error))
    return notice


def process_open_notices() -> int:
    """Look at the notices that were left open: whoever received them died, or could not reach the provider; returns how many."""
    now = timezone.now()
    open_ones = PaymentNotice.objects.filter(
        outcome=Outcome.OPEN, received_at__lt=now - _LEFT_OPEN, received_at__gt=now - _GIVEN_UP
    )
    done, ends = 0, monotonic() + _SWEEP_S
    for notice in open_ones.order_by("?")[:_BATCH]:  # anybody can send one at which the provider stumbles: none keeps the others
        if monotonic() > ends:
            break
        try:
            process_notice(notice)
        except ProviderUnavailable as error:
            logger.warning("notice %s stays open: %s", notice.pk, error)
        except Exception:
            logger.exception("notice %s stays open", notice.pk)
        else:
            done += 1
    return done


def forget_refused_notices() -> int:
    """Take away what no provider said was its own, some weeks after it came: anybody can send it; returns how many."""
    unowned = PaymentNotice.objects.exclude(verification=Verification.VERIFIED)
    old = unowned.filter(received_at__lt=timezone.now() - _REFUSED_KEPT)
    return old.delete()[0]


def forget_old_notices() -> int:
    """Take the words of notices away that are done with, after `PORTAL_NOTICE_DAYS`: they name buyers; returns how many.

    What they did stays, in the orders' transactions and in the ledger. What is the provider's and open stays whole.
    """
    old = PaymentNotice.objects.filter(received_at__lt=timezone.now() - timedelta(days=settings.NOTICE_DAYS))
    return old.exclude(outcome=Outcome.OPEN).delete()[0]


def _order_of(provider: str, report: Report) -> Order:
    try:
        wanted = UUID(report.order_id)
    except ValueError as error:
        raise NotForUs("It names no order of ours.", rejected=True) from error
    order = Order.objects.filter(pk=wanted, provider=provider).first()
    if order is None:
        raise NotForUs("It names no order of ours.", rejected=True)
    return order


def _end(notice: PaymentNotice, outcome: PaymentNotice.Outcome, why: str) -> None:
    notice.outcome, notice.why = outcome, why[:300]
    notice.save(update_fields=["verification", "answer", "outcome", "why", "order"])
    if outcome == Outcome.REJECTED:
        logger.warning("notice %s of %s rejected: %s", notice.pk, notice.provider, why)

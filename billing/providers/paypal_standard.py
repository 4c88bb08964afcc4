"""PayPal Payments Standard: the buyer is sent to PayPal with the order in the address, and PayPal tells us by an IPN.

With Payment Data Transfer (PDT) the buyer's way back names the payment too, and PayPal, asked about it with our identity token,
tells the same as the IPN; whichever is first counts.

The fields of the address pass through the buyer's hands, so nothing is believed for having been in it: what the IPN says is held
against the stored order. django-paypal makes the fields and knows PayPal's addresses and words. Its own view of IPNs is not used:
it lets the message choose where it is verified (`test_ipn`), stores it only after that, and waits for PayPal without end. Nor is
its PDT: it stores the answer in the same way, and drops a field with an equals sign in it.

Source of the fields: PayPal, "IPN and PDT variables"; of the post-back: PayPal, "Implement an IPN listener"; of PDT: PayPal,
"Payment Data Transfer".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from django.conf import settings
from paypal.standard import models as words
from paypal.standard.forms import PayPalPaymentsForm

from billing import money
from billing.models import Order, PaymentNotice, PaymentTransaction, Provider
from billing.providers import paypal
from billing.providers.base import Begun, NotForUs, ProviderUnavailable, Report, Ways

Kind, Status = PaymentTransaction.Kind, PaymentTransaction.Status

# The status of a payment, as what it means for us. What is not here moves no money.
_MEANS: dict[str, tuple[PaymentTransaction.Kind, PaymentTransaction.Status]] = {
    words.ST_PP_COMPLETED: (Kind.PAYMENT, Status.COMPLETED),
    words.ST_PP_PENDING: (Kind.PAYMENT, Status.PENDING),
    words.ST_PP_PROCESSED: (Kind.PAYMENT, Status.PENDING),
    words.ST_PP_CREATED: (Kind.PAYMENT, Status.PENDING),
    words.ST_PP_DENIED: (Kind.PAYMENT, Status.FAILED),
    words.ST_PP_FAILED: (Kind.PAYMENT, Status.FAILED),
    words.ST_PP_EXPIRED: (Kind.PAYMENT, Status.FAILED),
    words.ST_PP_VOIDED: (Kind.PAYMENT, Status.FAILED),
    words.ST_PP_REFUNDED: (Kind.REFUND, Status.COMPLETED),
    words.ST_PP_REVERSED: (Kind.REVERSAL, Status.COMPLETED),
    words.ST_PP_CANCELED_REVERSAL: (Kind.REINSTATEMENT, Status.COMPLETED),
}
_PAYMENT_ID = re.compile(r"[0-9A-Za-z]{1,64}", re.ASCII)
_MAX_ANSWER = 32 * 1024  # bytes; one has about 1 kB
_SALE = "web_accept"  # the txn_type of a "Buy now" button; a refund has none, or its payment's


class PayPalStandard:
    """Payments Standard with IPN."""

    name = Provider.PAYPAL_STANDARD

    def missing(self) -> list[str]:
        """Name who is paid."""
        return [] if settings.PAYPAL_RECEIVER else ["PORTAL_PAYPAL_RECEIVER"]

    def begin(self, order: Order, ways: Ways) -> Begun:
        """Return PayPal's page for this order, which a guest may pay with a card."""
        fields = {
            "business": settings.PAYPAL_RECEIVER,
            "amount": money.to_text(order.price_minor, order.currency),
            "currency_code": order.currency,
            "item_name": f"{order.credits:,} credits",
            "item_number": str(order.credits),
            "quantity": "1",
            "custom": order.pk.hex,
            "invoice": order.pk.hex,  # PayPal takes each once: a second payment of one order is stopped there already
            "no_note": "1",
            "rm": "1",  # back with GET and without data, but for the name of the payment where PDT is on
            "return": ways.back,
            "cancel_return": ways.cancel,
            "notify_url": ways.notify,
        }
        form = PayPalPaymentsForm(initial=fields)
        values = {name: form.initial.get(name, field.initial) for name, field in form.fields.items()}
        return Begun(f"{paypal.checkout_url()}?{urlencode(values)}")

    def complete(self, order: Order) -> Report | None:
        """PayPal carries out what is approved by itself, and says so by an IPN."""
        return None

    def returned_with(self, query: Mapping[str, str]) -> str:
        """Return the transaction that the way back names, where there is a token to ask about it with."""
        return query.get("tx", "") if settings.PAYPAL_PDT_TOKEN else ""

    def refund(self, payment: PaymentTransaction, amount_minor: int, *, key: str) -> Report | None:
        """Payments Standard has no way to ask for it: the operator refunds on PayPal's pages, and an IPN says so."""
        return None

    def verify(self, notice: PaymentNotice) -> bool:
        """Send the notice back to PayPal, byte for byte, and hear whether it is PayPal's; for a return, what it knows of it."""
        if notice.kind == PaymentNotice.Kind.RETURN:
            return _look_up(notice)
        response = paypal.ask(
            "POST",
            paypal.postback_url(),
            data=b"cmd=_notify-validate&" + bytes(notice.body),
            headers=_headers(),
        )
        if response.content not in {b"VERIFIED", b"INVALID"}:
            raise ProviderUnavailable("PayPal's answer was neither VERIFIED nor INVALID.")
        return response.content == b"VERIFIED"

    def read(self, notice: PaymentNotice) -> Report:
        """Return what an IPN says, or PayPal's answer to a return."""
        returned = notice.kind == PaymentNotice.Kind.RETURN
        fields = _answered(notice) if returned else _fields(bytes(notice.body))
        _require_ours(fields)
        status = fields.get("payment_status", "")
        if status not in _MEANS:
            raise NotForUs(f"Nothing follows from a payment status of {status[:40]!r}.", rejected=False)
        kind, became = _MEANS[status]
        if kind == Kind.PAYMENT and fields.get("txn_type") != _SALE:
            raise NotForUs(f"{fields.get('txn_type', '')[:40]!r} is no sale.", rejected=True)
        if kind != Kind.PAYMENT and returned:  # it has the payment's own id: a refund has another, which only its IPN tells
            raise NotForUs(f"What follows from {status!r} comes by IPN.", rejected=False)
        amount = fields.get("mc_gross", "")
        return Report(
            order_id=fields.get("custom", ""),
            reference=fields.get("txn_id", ""),
            kind=kind,
            status=became,
            amount=amount.removeprefix("-") if kind in {Kind.REFUND, Kind.REVERSAL} else amount,
            currency=fields.get("mc_currency", ""),
            parent=fields.get("parent_txn_id", ""),
            reason=(fields.get("pending_reason") or fields.get("reason_code") or "")[:64],
        )


def _headers() -> dict[str, str]:
    return {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": f"IoT-Portal/{settings.VERSION}"}


def _look_up(notice: PaymentNotice) -> bool:
    """Ask PayPal about the payment that a return names, and keep the answer with it; whether PayPal knows it as ours.

    Raises:
        ProviderUnavailable: it does not say.
    """
    payment = _fields(bytes(notice.body)).get("tx", "")
    if not _PAYMENT_ID.fullmatch(payment):
        return False
    asked = {"cmd": "_notify-synch", "tx": payment, "at": settings.PAYPAL_PDT_TOKEN}
    response = paypal.ask("POST", paypal.postback_url(), data=urlencode(asked), headers=_headers())
    said = response.content.partition(b"\n")[0].strip()
    if response.status_code != 200 or said not in {b"SUCCESS", b"FAIL"} or len(response.content) > _MAX_ANSWER:
        raise ProviderUnavailable("PayPal's answer was neither SUCCESS nor FAIL.")
    notice.answer = response.content
    return said == b"SUCCESS"


def _answered(notice: PaymentNotice) -> dict[str, str]:
    """Read PayPal's answer: a line that says SUCCESS, then a field a line, encoded as in a form.

    Raises:
        NotForUs: it is about another payment than that which was asked about, or a field is there twice.
    """
    lines = bytes(notice.answer or b"").splitlines()[1:]
    fields = _fields(b"&".join(line.strip() for line in lines))
    if fields.get("txn_id") != _fields(bytes(notice.body)).get("tx"):
        raise NotForUs("PayPal told about another payment than that which was asked about.", rejected=True)
    return fields


def _fields(body: bytes) -> dict[str, str]:
    """Read a form as PayPal sends it. What decides is ASCII; names of people are in the encoding that `charset` names.

    Raises:
        NotForUs: a field is there twice, so that two who read it could read two things.
    """
    pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True, encoding="utf-8", errors="replace")
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise NotForUs(f"A field is there twice: {twice[0][:40]}.", rejected=True)
    return dict(pairs)


def _require_ours(fields: dict[str, str]) -> None:
    """Look whether it was paid to us, in the world we are in.

    `business` is what the button said, which the buyer can change; the receiver is who got the money.

    Raises:
        NotForUs: it was not.
    """
    receivers = {fields.get("receiver_email", "").strip().casefold(), fields.get("receiver_id", "").strip().casefold()}
    if settings.PAYPAL_RECEIVER.strip().casefold() not in receivers - {""}:
        raise NotForUs("The money went to another receiver.", rejected=True)
    if settings.PAYPAL_ENVIRONMENT == "live" and fields.get("test_ipn", "0") not in {"", "0"}:
        raise NotForUs("A payment of PayPal's sandbox, where this portal takes real money.", rejected=True)

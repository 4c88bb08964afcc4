"""PayPal's Orders v2: the order is made at PayPal first, captured once its buyer has approved it, and webhooks tell the rest.

The calls go through PayPal's own SDK. A webhook is verified by asking PayPal, as an IPN is. Source: PayPal's REST reference,
"Orders v2", "Webhooks".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

from django.conf import settings

from billing.models import Order, PaymentNotice, PaymentTransaction, Provider
from billing.providers import paypal
from billing.providers.base import Begun, Declined, NotForUs, ProviderError, ProviderUnavailable, Report, Ways
from billing.providers.paypal import read_json

Kind, Status = PaymentTransaction.Kind, PaymentTransaction.Status
SIGNED = ("auth-algo", "cert-url", "transmission-id", "transmission-sig", "transmission-time")  # PAYPAL-… of a webhook

_EVENTS: dict[str, tuple[PaymentTransaction.Kind, PaymentTransaction.Status]] = {
    "PAYMENT.CAPTURE.COMPLETED": (Kind.PAYMENT, Status.COMPLETED),
    "PAYMENT.CAPTURE.PENDING": (Kind.PAYMENT, Status.PENDING),
    "PAYMENT.CAPTURE.DENIED": (Kind.PAYMENT, Status.FAILED),
    "PAYMENT.CAPTURE.DECLINED": (Kind.PAYMENT, Status.FAILED),
    "PAYMENT.CAPTURE.REFUNDED": (Kind.REFUND, Status.COMPLETED),
    "PAYMENT.CAPTURE.REVERSED": (Kind.REVERSAL, Status.COMPLETED),
}
_CAPTURES = {"COMPLETED": Status.COMPLETED, "PENDING": Status.PENDING, "DECLINED": Status.FAILED, "FAILED": Status.FAILED}


class PayPalOrders:
    """Orders v2 with webhooks."""

    name = Provider.PAYPAL_ORDERS

    def missing(self) -> list[str]:
        """Name the app at PayPal and its webhook; a PayPal on this machine asks for no secret."""
        needed = {"CLIENT_ID": settings.PAYPAL_CLIENT_ID, "WEBHOOK_ID": settings.PAYPAL_WEBHOOK_ID}
        needed |= {} if settings.PAYPAL_URL else {"CLIENT_SECRET": settings.PAYPAL_CLIENT_SECRET}
        return [f"PORTAL_PAYPAL_{name}" for name, value in needed.items() if not value]

    def begin(self, order: Order, ways: Ways) -> Begun:
        """Make the order at PayPal, the same one however often it is asked for, and return where its buyer approves it.

        One whose payment failed is over at PayPal: paying again takes another.
        """
        failed = order.transactions.filter(kind=Kind.PAYMENT, status=Status.FAILED).count()
        made = _sdk().create_order(order, ways, name=f"{order.pk.hex}-{failed}" if failed else order.pk.hex)
        urls = [link["href"] for link in made.get("links", ()) if link.get("rel") in {"approve", "payer-action"}]
        if not urls or not made.get("id"):
            raise ProviderError("PayPal did not say where the payment is approved.")
        return Begun(urls[0], made["id"])

    def complete(self, order: Order) -> Report | None:
        """Capture an approved order; None where the buyer has not approved it, or a webhook is to tell."""
        if not order.reference:
            return None
        try:
            done = _sdk().capture_order(order)
        except Declined:  # not approved yet, or captured before
            return None
        captures = [one for unit in done.get("purchase_units", ()) for one in unit.get("payments", {}).get("captures", ())]
        if not captures or captures[0].get("status") not in _CAPTURES:
            return None
        return _report(captures[0], Kind.PAYMENT, _CAPTURES[captures[0]["status"]], order_id=order.pk.hex)

    def returned_with(self, query: Mapping[str, str]) -> str:
        """Nothing: who is back has the order captured (`complete`), and that says what there is to know."""
        return ""

    def refund(self, payment: PaymentTransaction, amount_minor: int, *, key: str) -> Report | None:
        """Have PayPal pay a part or all of a capture back."""
        order = payment.order
        try:
            done = _sdk().refund_capture(payment, amount_minor, key=key)
        except Declined as error:
            text = "PayPal does not pay that back: it did so already, or the payment is older than 180 days. Its pages say why."
            raise ProviderError(text) from error
        if done.get("status") != "COMPLETED":
            raise ProviderError("PayPal has taken the refund and not carried it out yet; its webhook will say when.")
        report = _report(done, Kind.REFUND, Status.COMPLETED, order_id=order.pk.hex)
        return replace(report, parent=payment.reference)

    def verify(self, notice: PaymentNotice) -> bool:
        """Ask PayPal whether it signed a webhook of ours."""
        raw = bytes(notice.body)
        if read_json(raw) is None or not all(notice.headers.get(name) for name in SIGNED):
            return False
        about = {name.replace("-", "_"): notice.headers[name] for name in SIGNED}
        head = json.dumps({**about, "webhook_id": settings.PAYPAL_WEBHOOK_ID})
        base, authorization = _sdk().authorization()
        asked = head[:-1].encode() + b', "webhook_event": ' + raw + b"}"  # as it came: the signature is over its bytes
        url = f"{base}/v1/notifications/verify-webhook-signature"
        response = paypal.ask("POST", url, data=asked, headers={**authorization, "Content-Type": "application/json"})
        if response.status_code != 200:
            raise ProviderUnavailable(f"PayPal answered {response.status_code}.")
        said: object = read_json(response.content)
        return isinstance(said, dict) and said.get("verification_status") == "SUCCESS"

    def read(self, notice: PaymentNotice) -> Report:
        """Return what a webhook says."""
        event = read_json(bytes(notice.body)) or {}
        kind = str(event.get("event_type", ""))
        resource = event.get("resource")
        if kind not in _EVENTS or not isinstance(resource, dict):
            raise NotForUs(f"Nothing follows from {kind[:60]!r}.", rejected=False)
        try:
            return _report(resource, *_EVENTS[kind], order_id=str(resource.get("custom_id", "")))
        except (KeyError, TypeError, AttributeError) as error:
            raise NotForUs("It lacks what such an event has.", rejected=True) from error


def _report(
    resource: dict[str, Any], kind: PaymentTransaction.Kind, status: PaymentTransaction.Status, *, order_id: str
) -> Report:
    """Return what PayPal says of a capture or of a refund, which names its capture in a link."""
    payee = resource.get("payee") or {}
    receiver = settings.PAYPAL_RECEIVER.casefold()
    if receiver and payee and receiver not in {str(value).casefold() for value in payee.values()}:
        raise NotForUs("The money went to another receiver.", rejected=True)
    up = [link["href"] for link in resource.get("links", ()) if link.get("rel") == "up"]
    return Report(
        order_id=order_id,
        reference=str(resource["id"]),
        kind=kind,
        status=status,
        amount=str(resource["amount"]["value"]),
        currency=str(resource["amount"]["currency_code"]),
        parent=up[0].rpartition("/")[2] if up and kind != Kind.PAYMENT else "",
        reason=str((resource.get("status_details") or {}).get("reason", ""))[:64],
    )


def _sdk() -> ModuleType:
    """Return what calls PayPal's SDK; loading that takes half a second, which processes that sell nothing need not spend."""
    from billing.providers import paypal_sdk

    return paypal_sdk

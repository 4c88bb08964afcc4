"""PayPal's Orders v2: the order is made at PayPal first, captured once its buyer has approved it, and webhooks tell the rest.

The calls go through PayPal's own SDK. A webhook is verified by asking PayPal, as an IPN is. Source: PayPal's REST reference,
"Orders v2", "Webhooks".
"""

from __future__ import annotations

import json
import threading
from typing import Any

from django.conf import settings
from paypalserversdk.configuration import Configuration, Environment, Server
from paypalserversdk.exceptions.api_exception import ApiException
from paypalserversdk.http.auth.o_auth_2 import ClientCredentialsAuthCredentials
from paypalserversdk.models.amount_with_breakdown import AmountWithBreakdown
from paypalserversdk.models.order_application_context import OrderApplicationContext
from paypalserversdk.models.order_request import OrderRequest
from paypalserversdk.models.purchase_unit_request import PurchaseUnitRequest
from paypalserversdk.paypal_serversdk_client import PaypalServersdkClient
from requests import RequestException

from billing import money
from billing.models import Order, PaymentNotice, PaymentTransaction, Provider
from billing.providers import paypal
from billing.providers.base import Begun, NotForUs, ProviderError, ProviderUnavailable, Report, Ways

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
_local = threading.local()


class _Where(Configuration):  # type: ignore[misc]  # the SDK has no types
    """The SDK's configuration, with a PayPal on this machine where the settings name one."""

    def get_base_uri(self, server: Server = Server.DEFAULT) -> str:
        """Return where the API is."""
        return settings.PAYPAL_URL or str(super().get_base_uri(server))


def _client() -> Any:
    """Return this thread's client, which keeps its token until that ends."""
    about = (settings.PAYPAL_URL, settings.PAYPAL_ENVIRONMENT, settings.PAYPAL_CLIENT_ID, settings.PAYPAL_CLIENT_SECRET)
    if getattr(_local, "about", None) != about:
        live = settings.PAYPAL_ENVIRONMENT == "live"
        keys = ClientCredentialsAuthCredentials(settings.PAYPAL_CLIENT_ID, settings.PAYPAL_CLIENT_SECRET)
        environment = Environment.PRODUCTION if live else Environment.SANDBOX
        where = _Where(timeout=paypal.TIMEOUT_S, environment=environment, client_credentials_auth_credentials=keys)
        _local.client, _local.about = PaypalServersdkClient(config=where), about
    return _local.client


class PayPalOrders:
    """Orders v2 with webhooks."""

    name = Provider.PAYPAL_ORDERS

    def begin(self, order: Order, ways: Ways) -> Begun:
        """Make the order at PayPal, the same one however often it is asked for, and return where its buyer approves it."""
        amount = AmountWithBreakdown(order.currency, money.to_text(order.price_minor, order.currency))
        unit = PurchaseUnitRequest(
            amount, custom_id=order.pk.hex, invoice_id=order.pk.hex, description=f"{order.credits:,} credits"
        )
        context = OrderApplicationContext(
            shipping_preference="NO_SHIPPING", user_action="PAY_NOW", return_url=ways.back, cancel_url=ways.cancel
        )
        body = OrderRequest("CAPTURE", [unit], application_context=context)
        made = _asked("create_order", {"body": body, "paypal_request_id": order.pk.hex, "prefer": "return=representation"})
        urls = [link["href"] for link in made.get("links", ()) if link.get("rel") in {"approve", "payer-action"}]
        if not urls or not made.get("id"):
            raise ProviderError("PayPal did not say where the payment is approved.")
        return Begun(urls[0], made["id"])

    def complete(self, order: Order) -> Report | None:
        """Capture an approved order; None where the buyer has not approved it, or a webhook is to tell."""
        if not order.reference:
            return None
        wanted = {"id": order.reference, "paypal_request_id": f"capture-{order.reference}", "prefer": "return=representation"}
        try:
            done = _asked("capture_order", wanted)
        except _Declined:  # not approved yet, or captured before
            return None
        captures = [one for unit in done.get("purchase_units", ()) for one in unit.get("payments", {}).get("captures", ())]
        if not captures or captures[0].get("status") not in _CAPTURES:
            return None
        return _report(captures[0], Kind.PAYMENT, _CAPTURES[captures[0]["status"]], order_id=order.pk.hex)

    def verify(self, notice: PaymentNotice) -> bool:
        """Ask PayPal whether it signed a webhook of ours."""
        raw = bytes(notice.body)
        if _event(raw) is None or not all(notice.headers.get(name) for name in SIGNED):
            return False
        about = {name.replace("-", "_"): notice.headers[name] for name in SIGNED}
        head = json.dumps({**about, "webhook_id": settings.PAYPAL_WEBHOOK_ID})
        client = _client()
        try:
            valid = client.oauth_2.is_valid()
        except (ApiException, RequestException) as error:
            raise ProviderUnavailable("PayPal cannot be reached right now.") from error
        if not valid:
            raise ProviderUnavailable("PayPal gave no token.")
        authorization: dict[str, str] = {}
        client.oauth_2.apply(_Headers(authorization))
        response = paypal.ask(
            "POST",
            f"{client.config.get_base_uri()}/v1/notifications/verify-webhook-signature",
            data=head[:-1].encode()
            + b', "webhook_event": '
            + raw
            + b"}",  # the event as it came: the signature is over its bytes
            headers={**authorization, "Content-Type": "application/json"},
        )
        if response.status_code != 200:
            raise ProviderUnavailable(f"PayPal answered {response.status_code}.")
        said: object = _event(response.content)
        return isinstance(said, dict) and said.get("verification_status") == "SUCCESS"

    def read(self, notice: PaymentNotice) -> Report:
        """Return what a webhook says."""
        event = _event(bytes(notice.body)) or {}
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


class _Declined(ProviderError):
    """PayPal does not do that with this order."""


def _asked(operation: str, options: dict[str, Any]) -> dict[str, Any]:
    """Call an operation of Orders v2 and return its answer as it came.

    Raises:
        ProviderError: PayPal refused.
        ProviderUnavailable: it did not answer.
    """
    try:
        answer = getattr(_client().orders, operation)(options)
    except ApiException as error:
        if error.response_code in {404, 422}:
            raise _Declined("PayPal does not do that with this order.") from error
        if error.response_code in {400, 403}:
            raise ProviderError("PayPal refused the order.") from error
        raise ProviderUnavailable(f"PayPal answered {error.response_code}.") from error
    except RequestException as error:
        raise ProviderUnavailable("PayPal cannot be reached right now.") from error
    found = _event(answer.text.encode() if isinstance(answer.text, str) else answer.text)
    if found is None:
        raise ProviderUnavailable("PayPal's answer could not be read.")
    return found


def _event(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


class _Headers:
    """Takes the header that the SDK signs a request with."""

    def __init__(self, into: dict[str, str]) -> None:
        self._into = into

    def add_header(self, name: str, value: str) -> None:
        """Take one."""
        self._into[name] = value

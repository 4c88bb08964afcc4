"""Calls of PayPal's own SDK, in the words of `paypal_orders`. It has no types and many modules, so it stays behind this one."""

from __future__ import annotations

import logging
import threading
from typing import Any

from apimatic_core.exceptions.auth_validation_exception import AuthValidationException
from django.conf import settings
from paypalserversdk.configuration import Configuration, Environment, Server
from paypalserversdk.exceptions.api_exception import ApiException
from paypalserversdk.http.auth.o_auth_2 import ClientCredentialsAuthCredentials
from paypalserversdk.models.amount_with_breakdown import AmountWithBreakdown
from paypalserversdk.models.money import Money
from paypalserversdk.models.order_application_context import OrderApplicationContext
from paypalserversdk.models.order_request import OrderRequest
from paypalserversdk.models.purchase_unit_request import PurchaseUnitRequest
from paypalserversdk.models.refund_request import RefundRequest
from paypalserversdk.paypal_serversdk_client import PaypalServersdkClient
from requests import RequestException

from billing import money
from billing.models import Order, PaymentTransaction
from billing.providers.base import Declined, ProviderError, ProviderUnavailable, WayDeclined, Ways
from billing.providers.paypal import TIMEOUT_S, read_json

logger = logging.getLogger(__name__)

_local = threading.local()
_WHOLE = {"prefer": "return=representation"}


class _Where(Configuration):  # type: ignore[misc]  # the SDK has no types
    """The SDK's configuration, with a PayPal on this machine where the settings name one."""

    def get_base_uri(self, server: Server = Server.DEFAULT) -> str:
        """Return where the API is."""
        return settings.PAYPAL_URL or str(super().get_base_uri(server))


def create_order(order: Order, ways: Ways, *, name: str) -> dict[str, Any]:
    """Make an order at PayPal, the same one however often it is asked for with this name. Raises ProviderError."""
    amount = AmountWithBreakdown(order.currency, money.to_text(order.price_minor, order.currency))
    about = {"custom_id": order.pk.hex, "invoice_id": name, "description": f"{order.credits:,} credits"}
    way = {"return_url": ways.back, "cancel_url": ways.cancel, "user_action": "PAY_NOW", "shipping_preference": "NO_SHIPPING"}
    body = OrderRequest("CAPTURE", [PurchaseUnitRequest(amount, **about)], application_context=OrderApplicationContext(**way))
    return _asked(_client().orders.create_order, {"body": body, "paypal_request_id": name, **_WHOLE})


def capture_order(order: Order) -> dict[str, Any]:
    """Capture an approved order, once. Raises Declined if it is not approved or was captured, and ProviderError."""
    wanted = {"id": order.reference, "paypal_request_id": f"capture-{order.reference}", **_WHOLE}
    return _asked(_client().orders.capture_order, wanted)


def refund_capture(payment: PaymentTransaction, amount_minor: int, *, key: str) -> dict[str, Any]:
    """Pay a part or all of a capture back, once for a key. Raises ProviderError."""
    order = payment.order
    value = Money(order.currency, money.to_text(amount_minor, order.currency))
    body = RefundRequest(amount=value, custom_id=order.pk.hex)
    wanted = {"capture_id": payment.reference, "paypal_request_id": key, "body": body, **_WHOLE}
    return _asked(_client().payments.refund_captured_payment, wanted)


def authorization() -> tuple[str, dict[str, str]]:
    """Return where the API is, and the header that a call of it needs. Raises ProviderUnavailable."""
    client, headers = _client(), _Headers()
    try:
        valid = client.oauth_2.is_valid()
    except (ApiException, RequestException) as error:
        raise ProviderUnavailable("PayPal cannot be reached right now.") from error
    if not valid:
        raise ProviderUnavailable("PayPal gave no token.")
    client.oauth_2.apply(headers)
    return client.config.get_base_uri(), headers.taken


def _client() -> Any:
    """Return this thread's client, which keeps its token until that ends."""
    about = (settings.PAYPAL_URL, settings.PAYPAL_ENVIRONMENT, settings.PAYPAL_CLIENT_ID, settings.PAYPAL_CLIENT_SECRET)
    if getattr(_local, "about", None) != about:
        keys = ClientCredentialsAuthCredentials(settings.PAYPAL_CLIENT_ID, settings.PAYPAL_CLIENT_SECRET)
        environment = Environment.PRODUCTION if settings.PAYPAL_ENVIRONMENT == "live" else Environment.SANDBOX
        where = _Where(timeout=TIMEOUT_S, environment=environment, client_credentials_auth_credentials=keys)
        _local.client, _local.about = PaypalServersdkClient(config=where), about
    return _local.client


def _asked(operation: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Call an operation of the SDK and return its answer as it came.

    Raises:
        Declined: PayPal does not do that with this order.
        WayDeclined: PayPal does, but not with the buyer's card or account.
        ProviderError: PayPal refused.
        ProviderUnavailable: it did not answer.
    """
    try:
        answer = operation(options)
    except ApiException as error:
        if "INSTRUMENT_DECLINED" in _issues(error):
            text = "PayPal could not take the money that way. Nothing was charged: pay again, and choose another card or account."
            raise WayDeclined(text) from error
        if error.response_code in {404, 422}:
            raise Declined("PayPal does not do that with this order.") from error
        if error.response_code in {400, 403}:
            raise ProviderError("PayPal refused the order.") from error
        raise ProviderUnavailable(f"PayPal answered {error.response_code}.") from error
    except AuthValidationException as error:
        logger.error("PayPal gave no token: is it away, or are PORTAL_PAYPAL_CLIENT_ID and its secret not those of an app there?")
        raise ProviderUnavailable("PayPal cannot be reached right now.") from error
    except RequestException as error:
        raise ProviderUnavailable("PayPal cannot be reached right now.") from error
    found = read_json(answer.text.encode() if isinstance(answer.text, str) else answer.text)
    if found is None:
        raise ProviderUnavailable("PayPal's answer could not be read.")
    return found


def _issues(error: ApiException) -> set[str]:
    """Return the words by which PayPal names what is wrong."""
    details = (read_json(error.response.text) or {}).get("details")
    return {str(one.get("issue")) for one in details if isinstance(one, dict)} if isinstance(details, list) else set()


class _Headers:
    """Takes the header that the SDK signs a request with."""

    def __init__(self) -> None:
        self.taken: dict[str, str] = {}

    def add_header(self, name: str, value: str) -> None:
        """Take one."""
        self.taken[name] = value

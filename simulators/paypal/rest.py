"""The REST face of this PayPal: tokens, Orders v2, webhooks that it signs and whose signature it verifies when it is asked.

    POST /v1/oauth2/token
    POST /v2/checkout/orders, /v2/checkout/orders/ID/capture, /v2/payments/captures/ID/refund
    POST /v1/notifications/verify-webhook-signature
    GET  /checkoutnow?token=ID           the page that asks the buyer

Shapes: PayPal's REST reference. No I/O here.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zlib import crc32

from simulators.paypal.world import Sale, World, new_id

MERCHANT = {"email_address": "seller@example.com", "merchant_id": "SANDBOXSELLER"}
_WEBHOOK = "WH-SANDBOX"


@dataclass(frozen=True, slots=True)
class Event:
    """A webhook as it is sent."""

    body: bytes
    headers: dict[str, str]


class Rest:
    """What the REST face knows: orders, the tokens it gave, and the key that it signs with."""

    def __init__(self, world: World, url: str) -> None:
        self._world, self._url = world, url
        self._tokens: set[str] = set()
        self._key = secrets.token_bytes(32)
        self._orders: dict[str, Sale] = {}
        self._asked: dict[str, str] = {}  # PayPal-Request-Id: order
        self._refunds: dict[str, dict[str, Any]] = {}
        self._told: dict[str, list[Event]] = {}  # by order
        self._news: list[Event] = []

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        """Answer a call; returns status and JSON."""
        if path == "/v1/oauth2/token":
            if not _client_id(headers.get("authorization", "")):
                return 401, {"error": "invalid_client"}
            token = secrets.token_urlsafe(24)
            self._tokens.add(token)
            return 200, {
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": 32_400,
                "scope": "",
                "app_id": "APP-SANDBOX",
            }
        if headers.get("authorization", "").removeprefix("Bearer ") not in self._tokens:
            return 401, {"name": "AUTHENTICATION_FAILURE", "message": "Authentication failed."}
        if path == "/v1/notifications/verify-webhook-signature":
            if b'"auth_algo": "SHA256withRSA"' not in body:
                return 400, {"name": "VALIDATION_ERROR", "message": "Invalid request - see details."}
            return 200, {"verification_status": "SUCCESS" if self._signed(body) else "FAILURE"}
        if path == "/v2/checkout/orders":
            return self._create(json.loads(body), headers.get("paypal-request-id", ""))
        if path.startswith("/v2/payments/captures/"):
            return self._refund(path.split("/")[4], json.loads(body or b"{}"), headers.get("paypal-request-id", ""))
        parts = path.split("/")
        sale = self._orders.get(parts[4]) if len(parts) == 6 and parts[5] == "capture" else None
        return self._capture(sale) if sale else _refused(404, "RESOURCE_NOT_FOUND")

    def sale(self, order_id: str) -> Sale | None:
        """Return the sale of an order."""
        return self._orders.get(order_id)

    def _create(self, body: dict[str, Any], request_id: str) -> tuple[int, dict[str, Any]]:
        if request_id and request_id in self._asked:
            return 200, self._shown(self._asked[request_id])
        unit, context = body["purchase_units"][0], body["application_context"]
        sale = self._world.begin(
            {
                "amount": unit["amount"]["value"],
                "currency_code": unit["amount"]["currency_code"],
                "custom": unit["custom_id"],
                "item_name": unit.get("description", ""),
                "business": MERCHANT["email_address"],
                "return": context["return_url"],
                "cancel_return": context["cancel_url"],
            }
        )
        order_id = new_id()
        self._orders[order_id] = sale
        sale.rest = order_id
        if request_id:
            self._asked[request_id] = order_id
        return 201, self._shown(order_id)

    def _capture(self, sale: Sale) -> tuple[int, dict[str, Any]]:
        if sale.status == "Declined":
            return _refused(422, "INSTRUMENT_DECLINED")
        if sale.status != "Approved":
            return _refused(422, "ORDER_ALREADY_CAPTURED" if sale.status else "ORDER_NOT_APPROVED")
        sale.status = "Pending" if sale.how == "Pending" else "Completed"
        self._tell(sale, self.captured(sale, sale.status.upper()))
        return 201, self._shown(sale.rest)

    def _refund(self, capture: str, body: dict[str, Any], request_id: str) -> tuple[int, dict[str, Any]]:
        if request_id in self._refunds:
            return 200, self._refunds[request_id]
        sale = next((one for one in self._orders.values() if one.txn_id == capture), None)
        if sale is None or sale.status != "Completed":
            return _refused(422, "CAPTURE_FULLY_REFUNDED")
        amount = body.get("amount") or {"value": str(sale.left), "currency_code": sale.currency}
        if Decimal(amount["value"]) > sale.left:
            return _refused(422, "REFUND_AMOUNT_EXCEEDED")
        done: dict[str, Any] = {
            "id": new_id(),
            "status": "COMPLETED",
            "amount": amount,
            "custom_id": sale.fields["custom"],
            "links": [],
        }
        self._refunds[request_id] = done
        sale.give_back(Decimal(amount["value"]))
        self._tell(sale, self.refunded(sale, Decimal(amount["value"]), id=done["id"]))
        return 201, done

    def _shown(self, order_id: str) -> dict[str, Any]:
        sale = self._orders[order_id]
        captured = sale.status in {"Completed", "Pending"}
        payments = {"payments": {"captures": [self._resource(sale)]}} if captured else {}
        return {
            "id": order_id,
            "status": "COMPLETED" if captured else "CREATED",
            "links": [{"rel": "approve", "href": f"{self._url}/checkoutnow?token={order_id}", "method": "GET"}],
            "purchase_units": [{"reference_id": "default", **payments}],
        }

    # --- webhooks ----------------------------------------------------------------------------------------------------------

    def captured(self, sale: Sale, event: str = "COMPLETED", changes: Mapping[str, object] | None = None) -> Event:
        """Return the webhook of a capture; `changes` are of its resource."""
        return self.event(f"PAYMENT.CAPTURE.{event}", {**self._resource(sale), **(changes or {})})

    def refunded(self, sale: Sale, amount: Decimal | None = None, event: str = "REFUNDED", id: str = "") -> Event:
        """Return the webhook of a refund, new or with the `id` of one that was made by a call, or of a reversal."""
        value = {"value": str(amount or sale.amount), "currency_code": sale.currency}
        up = [{"rel": "up", "href": f"{self._url}/v2/payments/captures/{sale.txn_id}", "method": "GET"}]
        about = {"id": id or new_id(), "amount": value, "custom_id": sale.fields["custom"], "status": "COMPLETED", "links": up}
        return self.event(f"PAYMENT.CAPTURE.{event}", about)

    def news(self) -> list[Event]:
        """Return the webhooks that are to be sent now."""
        told, self._news = self._news, []
        return told

    def decide(self, sale: Sale, what: str) -> bool:
        """Do to a sale what PayPal decides later, and have its webhook told; False if that cannot be."""
        match what, sale.status:
            case "clear" | "deny", "Pending":
                sale.status = "Completed" if what == "clear" else "Denied"
                self._tell(sale, self.captured(sale, sale.status.upper()))
            case "refund" | "refund-half", "Completed":
                half = (sale.amount / 2).quantize(Decimal("0.01"))
                amount = min(half, sale.left) if what == "refund-half" else sale.left
                sale.give_back(amount)
                self._tell(sale, self.refunded(sale, amount))
            case "reverse", "Completed":
                sale.status = "Reversed"
                self._tell(sale, self.refunded(sale, sale.left, event="REVERSED"))
            case "again", _ if sale.rest in self._told:
                self._news += self._told[sale.rest]
            case "forge", _ if sale.status:
                real = self.captured(sale)
                self._news.append(replace(real, body=real.body + b" "))  # not as it was signed
            case _:
                return False
        return True

    def _tell(self, sale: Sale, event: Event) -> None:
        self._told.setdefault(sale.rest, []).append(event)
        sale.notices.append(event.body)
        self._news.append(event)

    def event(self, event_type: str, resource: Mapping[str, Any]) -> Event:
        """Return a signed webhook."""
        about = {
            "id": f"WH-{new_id()}",
            "event_version": "1.0",
            "create_time": datetime.now(UTC).isoformat(),
            "resource_type": "capture",
            "event_type": event_type,
            "resource": resource,
        }
        body = json.dumps(about).encode()
        transmission, at = secrets.token_hex(16), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers = {
            "PAYPAL-AUTH-ALGO": "SHA256withRSA",
            "PAYPAL-CERT-URL": f"{self._url}/certificate",
            "PAYPAL-TRANSMISSION-ID": transmission,
            "PAYPAL-TRANSMISSION-SIG": self._signature(transmission, at, body),
            "PAYPAL-TRANSMISSION-TIME": at,
        }
        return Event(body, headers)

    def _signature(self, transmission: str, at: str, body: bytes) -> str:
        """Sign as PayPal says: id, time, webhook and the CRC of the body; with a key that only this PayPal has."""
        said = f"{transmission}|{at}|{_WEBHOOK}|{crc32(body)}".encode()
        return base64.b64encode(hmac.digest(self._key, said, "sha256")).decode()

    def _signed(self, body: bytes) -> bool:
        """Say whether a signature is ours, for the bytes of the event as they stand in the question."""
        _, _, event = body.partition(b', "webhook_event": ')
        try:
            about = json.loads(body)
        except ValueError:
            return False
        expected = self._signature(str(about.get("transmission_id")), str(about.get("transmission_time")), event[:-1])
        return about.get("webhook_id") == _WEBHOOK and hmac.compare_digest(expected, str(about.get("transmission_sig")))

    def _resource(self, sale: Sale) -> dict[str, Any]:
        return {
            "id": sale.txn_id,
            "status": "PENDING" if sale.status == "Pending" else "COMPLETED",
            "amount": {"value": sale.fields["amount"], "currency_code": sale.currency},
            "custom_id": sale.fields["custom"],
            "invoice_id": sale.fields["custom"],
            "payee": MERCHANT,
            "final_capture": True,
            "links": [],
        }


def _client_id(authorization: str) -> str:
    """Return who says that it asks, of HTTP's Basic authorization; nothing where nobody does."""
    kind, _, word = authorization.partition(" ")
    return base64.b64decode(word).partition(b":")[0].decode("latin-1") if kind == "Basic" else ""


def _refused(status: int, issue: str) -> tuple[int, dict[str, Any]]:
    details = [{"issue": issue, "description": issue.replace("_", " ").capitalize()}]
    return status, {"name": "UNPROCESSABLE_ENTITY", "message": "It cannot be done.", "debug_id": new_id(13), "details": details}

"""What this PayPal knows: sales and what became of them, and every notice it ever sent, by which it knows its own.

No I/O here. Names of fields: PayPal, "IPN and PDT variables".
"""

from __future__ import annotations

import secrets
import string
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from urllib.parse import quote_plus, urlencode

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LETTERS = string.ascii_uppercase + string.digits
_PACIFIC = timezone(timedelta(hours=-8))
_KEPT = 1000
RECEIVER_ID = "SANDBOXSELLER"
IDENTITY_TOKEN = "SANDBOX-IDENTITY-TOKEN"  # of the one shop, for PDT
_CHARSET = "windows-1252"
_OF_NOTICES = {"notify_version", "verify_sign", "test_ipn", "ipn_track_id"}  # what IPNs have and PDT has not


def new_id(length: int = 17) -> str:
    """Return an id as PayPal makes them, of a transaction or a case."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


@dataclass
class Sale:
    """What a buyer came with, and what became of it. `fields` are those of the button."""

    fields: Mapping[str, str]
    token: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    txn_id: str = field(default_factory=new_id)
    status: str = ""
    rest: str = ""  # its id in Orders v2
    how: str = ""  # what becomes of the money there: Pending, Denied, or it comes
    returned: Decimal = Decimal(0)
    notices: list[bytes] = field(default_factory=list)

    @property
    def amount(self) -> Decimal:
        """What is to be paid."""
        return Decimal(self.fields.get("amount", "0"))

    @property
    def currency(self) -> str:
        """Of what."""
        return self.fields.get("currency_code", "USD")

    @property
    def left(self) -> Decimal:
        """What can still be paid back."""
        return self.amount - self.returned

    def give_back(self, amount: Decimal) -> None:
        """Note that a part or all of it was paid back."""
        self.returned += amount
        if not self.left:
            self.status = "Refunded"


class World:
    """One PayPal. It keeps the newest sales and notices."""

    def __init__(self) -> None:
        self.sales: dict[str, Sale] = {}
        self._sent: deque[bytes] = deque(maxlen=10 * _KEPT)

    def begin(self, fields: Mapping[str, str]) -> Sale:
        """Take the fields of a button."""
        sale = Sale(dict(fields))
        self.sales[sale.token] = sale
        while len(self.sales) > _KEPT:
            self.sales.pop(next(iter(self.sales)))
        return sale

    def is_ours(self, body: bytes) -> bool:
        """Say whether a notice was sent from here, to the last byte."""
        return body in self._sent

    def send(self, body: bytes) -> bytes:
        """Note a notice as our own."""
        self._sent.append(body)
        return body

    def payment(self, sale: Sale, status: str = "Completed", **changes: str) -> bytes:
        """Return the IPN that tells of the payment; `changes` are of its fields."""
        sale.status = status
        about = {"txn_id": sale.txn_id, "txn_type": "web_accept", "payment_status": status, **_paid_by(status)}
        return self._notice(sale, {**about, **changes})

    def details(self, txn_id: str) -> bytes:
        """Return what is told of a payment to the shop that asks for it by its id (PDT), as the real one words it."""
        sale = next((one for one in list(self.sales.values()) if one.txn_id == txn_id and one.status and not one.rest), None)
        if sale is None:
            return b"FAIL\nError: 4003"
        about = {"txn_id": sale.txn_id, "txn_type": "web_accept", "payment_status": sale.status, **_paid_by(sale.status)}
        fields = {name: value for name, value in _fields(sale, about).items() if name not in _OF_NOTICES}
        return "\n".join(
            ["SUCCESS", *(f"{name}={quote_plus(value, encoding=_CHARSET)}" for name, value in fields.items()), ""]
        ).encode()

    def refund(self, sale: Sale, amount: Decimal | None = None, **changes: str) -> bytes:
        """Return the IPN of a refund, of all of it or of a part."""
        sale.status = "Refunded"
        return self._back(sale, "Refunded", -(amount or sale.amount), {"reason_code": "refund", **changes})

    def reversal(self, sale: Sale, **changes: str) -> bytes:
        """Return the IPN of a chargeback."""
        sale.status = "Reversed"
        return self._back(sale, "Reversed", -sale.amount, {"reason_code": "chargeback", **changes})

    def reinstatement(self, sale: Sale, **changes: str) -> bytes:
        """Return the IPN of a dispute that the seller won."""
        sale.status = "Completed"
        return self._back(sale, "Canceled_Reversal", sale.amount, {"reason_code": "other", **changes})

    def _back(self, sale: Sale, status: str, amount: Decimal, changes: Mapping[str, str]) -> bytes:
        return self._notice(
            sale,
            {
                "txn_id": new_id(),
                "parent_txn_id": sale.txn_id,
                "payment_status": status,
                "payment_type": "instant",
                "mc_gross": str(amount),
                **changes,
            },
        )

    def _notice(self, sale: Sale, more: Mapping[str, str]) -> bytes:
        notice = self.send(urlencode(_fields(sale, more), encoding=_CHARSET, errors="replace").encode())
        sale.notices.append(notice)
        return notice


def _paid_by(status: str) -> dict[str, str]:
    return {"pending_reason": "echeck", "payment_type": "echeck"} if status == "Pending" else {"payment_type": "instant"}


def _fields(sale: Sale, more: Mapping[str, str]) -> dict[str, str]:
    """Return all that there is to tell of a sale."""
    business = sale.fields.get("business", "")
    return {
        "mc_gross": str(sale.amount),
        "protection_eligibility": "Ineligible",
        "payer_id": "BUYER23456789",
        "payment_date": _pacific(datetime.now(UTC)),
        "charset": _CHARSET,
        "first_name": "Zoë",
        "last_name": "Buyer",
        "mc_fee": "0.47",
        "notify_version": "3.9",
        "custom": sale.fields.get("custom", ""),
        "invoice": sale.fields.get("invoice", ""),
        "payer_status": "verified",
        "business": business,
        "quantity": sale.fields.get("quantity", "1"),
        "verify_sign": secrets.token_urlsafe(42),
        "payer_email": "buyer@example.com",
        "receiver_email": business if "@" in business else "seller@example.com",
        "receiver_id": RECEIVER_ID if "@" in business else business,
        "item_name": sale.fields.get("item_name", ""),
        "item_number": sale.fields.get("item_number", ""),
        "mc_currency": sale.currency,
        "residence_country": "US",
        "test_ipn": "1",
        "ipn_track_id": secrets.token_hex(7)[:13],
        **more,
    }


def _pacific(at: datetime) -> str:
    """Write a time as PayPal does: 20:12:59 Jan 13, 2009 PST."""
    local = at.astimezone(_PACIFIC)
    return f"{local:%H:%M:%S} {_MONTHS[local.month - 1]} {local.day:02d}, {local.year} PST"

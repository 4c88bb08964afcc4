"""What happens in billing and others may react to. Handlers run inside the transaction that it happens in."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from accounts.models import Account
from billing.models import Order
from iotportal.hooks import Hook


@dataclass(frozen=True, slots=True)
class BalanceLow:
    """An account has fewer than `below` credits left, by an entry of the ledger; told once until it has more again."""

    account: Account
    credits: int
    below: int
    entry_id: UUID


order_changed: Hook[Order] = Hook()  # its money moved, and with it perhaps its account's credits
balance_low: Hook[BalanceLow] = Hook()

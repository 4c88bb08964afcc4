"""What happens in billing and others may react to. Handlers run inside the transaction that it happens in."""

from __future__ import annotations

from billing.models import Order
from iotportal.hooks import Hook

order_changed: Hook[Order] = Hook()  # its money moved, and with it perhaps its account's credits

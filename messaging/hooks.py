"""What happens among messages and others may react to.

Handlers are called by the bridge after the commit that put the message into the history, and before the broker is told that
it was taken. So after a crash a handler may be called again for the same message, with the same `message_id`: it must take
that id for its own record and do nothing the second time. What it raises is logged and stops nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from iotportal.hooks import Hook


@dataclass(frozen=True, slots=True)
class NotificationRequest:
    """A device asks the portal to deliver `message` to `recipient` (an e-mail address, a phone number or a device id)."""

    message_id: UUID  # of the history row, the same however often this is told
    time: datetime
    account_id: UUID
    device_id: UUID
    recipient: str
    message: str


notification_requested: Hook[NotificationRequest] = Hook()

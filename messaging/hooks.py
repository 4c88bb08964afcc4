"""What happens among messages and others may react to.

Handlers of `notifications_requested`, `devices_spoke` and `commands_failed` are called by the bridge with all of a batch, after
the commit that put it into the history, and before the broker is told that it was taken. So a handler may be called again for the
same message, with the same `message_id`: after a crash, and one by one after it raised. It must take that id for its own record
and do nothing the second time. What it raises for one alone is logged and stops nothing. No failed command is told again.

Handlers of `device_offline` and `device_back` are called inside the transaction that tells of the outage: what they write is
written with it or not at all, and what they raise is logged, undoes it, and has it told again some seconds later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from accounts.models import User
from devices.models import Device
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


class DeviceMessage(NamedTuple):
    """What a device said, as it stands in the history."""

    message_id: UUID
    time: datetime
    account_id: UUID
    device_id: UUID
    api: str
    payload: str


@dataclass(frozen=True, slots=True)
class FailedCommand:
    """A command that the device did not answer as it should have, as it stands in the history."""

    message_id: UUID  # of the command
    time: datetime  # when it ended
    account_id: UUID
    device_id: UUID
    api: str
    outcome: str  # of messaging.models.Outcome


@dataclass(frozen=True, slots=True)
class Outage:
    """A device is offline for longer than its owner wants, or came back after that was told."""

    event_id: UUID  # of its line in the device's timeline
    device: Device
    since: datetime  # when it went
    limit_minutes: int
    reason: str  # why it went, a code of messaging.reasons
    back_at: datetime | None = None


@dataclass(slots=True)
class ControlPage:
    """The Control page of one device; `more` is what apps on the right show on it, by the names that templates use."""

    user: User
    device: Device
    more: dict[str, object] = field(default_factory=dict)


notifications_requested: Hook[Sequence[NotificationRequest]] = Hook()
devices_spoke: Hook[Sequence[DeviceMessage]] = Hook()  # all that could be read of a batch
commands_failed: Hook[Sequence[FailedCommand]] = Hook()  # of a batch; only those by which the device, or nobody, is to blame
control_shown: Hook[ControlPage] = Hook()
device_offline: Hook[Outage] = Hook()
device_back: Hook[Outage] = Hook()

"""What notifications do when something happens in the apps on the left."""

from __future__ import annotations

from messaging.hooks import NotificationRequest
from notifications.models import Cause
from notifications.services import intake


def on_request(request: NotificationRequest) -> None:
    """Take what a device wants to be said; told again after a crash of the bridge, it is taken once."""
    taken = intake.take(
        account_id=request.account_id, device_id=request.device_id, cause=Cause.DEVICE,
        source=f"message:{request.message_id.hex}", recipient=request.recipient, message=request.message, asked_at=request.time,
    )  # fmt: skip
    if taken is not None:
        intake.announce([taken])

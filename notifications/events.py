"""Telling open pages how far a notification is."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import redis

from messaging.events import Outbox, notification_event
from notifications.models import Notification

logger = logging.getLogger(__name__)


def tell(notifications: Iterable[Notification]) -> None:
    """Tell those who watch the device or the account; a failure is logged, for pages also poll."""
    outbox = Outbox()
    for one in notifications:
        device_id = one.device_id or one.account_id  # without a device: those who watch the whole account alone
        event = notification_event(
            id=one.pk, device_id=one.device_id, status=one.status, reason=one.reason, channel=one.channel, asked_at=one.asked_at
        )
        outbox.add(one.account_id, device_id, event)
    if outbox:
        try:
            outbox.send()
        except redis.RedisError as error:
            logger.warning("nobody was told of notifications: %s", error)

"""What notifications leave to a worker."""

from __future__ import annotations

import logging

from celery import shared_task

from notifications.services import bell, outbox, retention

logger = logging.getLogger(__name__)

WAIT_S = 2.0  # how long one that has sent something waits for more


@shared_task
def deliver() -> None:
    """Send what is due, and wait a moment for more. Whoever brings something from here on calls another worker."""
    bell.answer()
    outbox.deliver(wait_s=WAIT_S)


@shared_task
def forget_old_notifications() -> None:
    """Delete what was said so long ago that it is not kept."""
    forgotten = retention.forget_old()
    if forgotten:
        logger.info("forgot %d old notifications", forgotten)

"""What notifications leave to a worker."""

from __future__ import annotations

import logging

from celery import shared_task

from notifications.services import bell, lanes, outbox, retention

logger = logging.getLogger(__name__)

WAIT_S = 2.0  # how long one that has sent something waits for more


@shared_task
def deliver(channel: str = "") -> None:
    """Send what is due on a channel, and wait a moment for more; without one: call a worker for each that has something due.

    Whoever brings something from here on calls another worker.
    """
    if not channel:
        for one in outbox.due():
            bell.ring(one)
        return
    bell.answer(channel)
    with lanes.place(channel) as is_ours:
        if is_ours:
            outbox.deliver(channel, wait_s=WAIT_S)


@shared_task
def forget_old_notifications() -> None:
    """Delete what was said so long ago that it is not kept."""
    forgotten = retention.forget_old()
    if forgotten:
        logger.info("forgot %d old notifications", forgotten)

"""What notifications leave to a worker."""

from __future__ import annotations

import logging

from celery import shared_task

from iotportal.cache import valkey
from notifications.services import intake, outbox, retention

logger = logging.getLogger(__name__)


@shared_task
def deliver() -> None:
    """Send what is due. Whoever brings more from here on tells another worker."""
    valkey().delete(intake.WAKE)
    outbox.deliver()


@shared_task
def forget_old_notifications() -> None:
    """Delete what was said so long ago that it is not kept."""
    forgotten = retention.forget_old()
    if forgotten:
        logger.info("forgot %d old notifications", forgotten)

"""What notifications leave to a worker."""

from __future__ import annotations

from celery import shared_task

from iotportal.cache import valkey
from notifications.services import intake, outbox


@shared_task
def deliver() -> None:
    """Send what is due. Whoever brings more from here on tells another worker."""
    valkey().delete(intake.WAKE)
    outbox.deliver()

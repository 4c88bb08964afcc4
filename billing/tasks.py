"""What billing leaves to a worker."""

from __future__ import annotations

from celery import shared_task

from billing.services import verification


@shared_task
def verify_ledger() -> None:
    """Compare the balances with what was posted; it fails, loudly, where they differ."""
    verification.sound_alarm_if_wrong()

"""What billing leaves to a worker."""

from __future__ import annotations

import logging

from celery import shared_task

from billing.services import metering, notices, usage, verification
from billing.services.emulator_time import charge_emulator_time as charge_open_time

logger = logging.getLogger(__name__)


@shared_task
def verify_ledger() -> None:
    """Compare the balances with what was posted; it fails, loudly, where they differ."""
    verification.sound_alarm_if_wrong()


@shared_task
def charge_messages() -> None:
    """Charge the messages that were counted beyond the free ones."""
    charged = metering.charge_messages()
    if charged:
        logger.info("charged %d credits for messages", charged)


@shared_task
def charge_emulator_time() -> None:
    """Charge the hours of emulators beyond the free ones that were left open."""
    charged = charge_open_time()
    if charged:
        logger.info("charged %d credits for emulators", charged)


@shared_task
def process_payment_notices() -> None:
    """Look at what payment providers said and nobody could take to its end."""
    done = notices.process_open_notices()
    if done:
        logger.info("%d payment notices that were left open are done", done)


@shared_task
def record_usage() -> None:
    """Note what was used today, for the charts."""
    usage.record_usage()


@shared_task
def forget_refused_notices() -> None:
    """Take old notices away: those that were no payment provider's, and later those that are done with."""
    gone, old = notices.forget_refused_notices(), notices.forget_old_notices()
    if gone or old:
        logger.info("%d notices that were no provider's are gone, and %d that are done with", gone, old)

"""What billing leaves to a worker."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from celery import Task, shared_task

from accounts.models import Account
from billing.providers import ProviderUnavailable
from billing.services import metering, notices, usage, verification
from billing.services import top_up as top_ups
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


@shared_task(bind=True, max_retries=11)
def top_up(self: Task[Any, None], *, account_id: str, entry_id: str) -> None:
    """Have an account charged that agreed to it; a provider that does not answer is asked again, after 1, 2, 4 … seconds."""
    account = Account.objects.filter(pk=UUID(account_id)).first()
    if account is None:
        return
    try:
        order = top_ups.top_up(account=account, entry_id=UUID(entry_id))
    except ProviderUnavailable as error:
        raise self.retry(exc=error, countdown=min(2**self.request.retries, 300)) from None
    if order is not None:
        logger.info("account %s: order %s is %s", account.pk, order.pk, order.status)

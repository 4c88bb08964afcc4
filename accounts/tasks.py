"""Periodic work of accounts."""

import logging

from celery import shared_task

from accounts import services

logger = logging.getLogger(__name__)


@shared_task
def delete_ended_logins() -> None:
    """Clear away the logins of programs that nobody can renew any more."""
    gone = services.delete_ended_logins()
    if gone:
        logger.info("deleted %d ended logins", gone)

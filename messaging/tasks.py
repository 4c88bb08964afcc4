"""Periodic work of messaging."""

import logging

from celery import shared_task
from django.conf import settings

from messaging import partitions

logger = logging.getLogger(__name__)


@shared_task
def make_partitions() -> None:
    """Keep the history's partitions ahead of the calendar."""
    made = partitions.make_partitions(settings.PARTITION_MONTHS_AHEAD)
    if made:
        logger.info("made partitions %s", ", ".join(made))

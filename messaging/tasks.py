"""Periodic work of messaging."""

import logging

from celery import shared_task
from django.conf import settings

from devices.events import forget_old as forget_old_events
from messaging import partitions
from messaging.services import presence

logger = logging.getLogger(__name__)


@shared_task
def make_partitions() -> None:
    """Keep the history's partitions ahead of the calendar."""
    made = partitions.make_partitions(settings.PARTITION_MONTHS_AHEAD)
    if made:
        logger.info("made partitions %s", ", ".join(made))


@shared_task
def drop_old_history() -> None:
    """Drop the history of months that are older than is kept."""
    dropped = partitions.drop_partitions(settings.HISTORY_MONTHS)
    if dropped:
        logger.info("dropped partitions %s", ", ".join(dropped))


@shared_task
def tell_outages() -> None:
    """Tell of devices that are offline for too long, and of those that came back."""
    presence.tell_outages()


@shared_task
def forget_old_presence() -> None:
    """Drop changes of presence and lines of timelines that are older than is kept."""
    forgotten = presence.forget_old() + forget_old_events()
    if forgotten:
        logger.info("forgot %d old changes of presence and events", forgotten)

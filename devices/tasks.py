"""Periodic work of the registry."""

from __future__ import annotations

import logging
from uuid import UUID

from celery import shared_task

from devices import services

logger = logging.getLogger(__name__)


@shared_task
def look_after_certificates() -> None:
    """End what renewals left standing, warn of what ends soon, and retire issuing CAs that have nothing good left."""
    ended, warned, retired = services.end_overlaps(), services.warn_of_expiry(), services.retire_authorities()
    logger.info("certificates: %d retired, %d warnings, %d issuing CAs retired", ended, warned, len(retired))


@shared_task
def publish_revocation_lists() -> None:
    """Sign the revocation lists anew."""
    services.publish_lists()


@shared_task
def register_devices(job_id: str) -> None:
    """Register what is left of a job's devices."""
    services.work_on(job_id=UUID(hex=job_id))


@shared_task
def look_after_jobs() -> None:
    """Have somebody go on with jobs whose worker died, and forget old ones."""
    services.continue_jobs()
    services.forget_jobs()

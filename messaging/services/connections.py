"""Cutting connections on somebody's word."""

from __future__ import annotations

import logging

from django.db import transaction

from accounts.models import User
from devices.events import record
from devices.models import Device, EventKind
from iotportal.after_commit import after_commit
from messaging import cache

logger = logging.getLogger(__name__)


def disconnect_device(*, device: Device, by: User) -> None:
    """Cut the device's connection, if it has one, and say so in its timeline.

    It may come back at once: only a revocation keeps it out.
    """
    with transaction.atomic():
        record(device=device, kind=EventKind.CUT, by=by)
        after_commit(cache.ask_broker_to_disconnect, device.hex, "operator")
    logger.warning("connection of device %s cut by %s", device.hex, by.username)

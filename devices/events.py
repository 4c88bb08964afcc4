"""The timeline of a device: what happened to it besides messages. Connections are kept by `messaging`, which shows both as one.

A kind that is new is added to `EventKind` and its constraint (a migration), and its sentence to the timeline's template.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from devices import hooks
from devices.models import Device, DeviceEvent, EventKind

MAX_DETAIL_BYTES = 2_000

Detail = str | int | float | bool | None


def record(
    *, device: Device, kind: EventKind, at: datetime | None = None, by: User | None = None, **detail: Detail
) -> DeviceEvent:
    """Write what happened to a device into its timeline, within the caller's transaction; calls `hooks.device_event_recorded`.

    `at`: when it happened, now if not given. `by`: who did it, whose user name goes into the detail. `detail`: what the sentence
    has to name (a serial, an address, a number of minutes): plain values, never a secret; nothing that grows with input from
    outside.

    Raises:
        ValueError: the detail is longer than `MAX_DETAIL_BYTES` as JSON.
    """
    if by is not None:
        detail["by"] = by.username
    if len(json.dumps(detail)) > MAX_DETAIL_BYTES:
        raise ValueError(f"The detail of an event has at most {MAX_DETAIL_BYTES} bytes.")
    with transaction.atomic(savepoint=False):
        event = DeviceEvent.objects.create(device=device, kind=kind, time=at or timezone.now(), detail=detail)
        hooks.device_event_recorded(event)
    return event


def forget_old(*, now: datetime | None = None) -> int:
    """Delete events that are older than `EVENT_DAYS`; return how many."""
    before = (now or timezone.now()) - timedelta(days=settings.EVENT_DAYS)
    return DeviceEvent.objects.filter(time__lt=before).delete()[0]

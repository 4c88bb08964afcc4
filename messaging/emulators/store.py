"""What the process of the emulators reads and writes: all in one thread, so on one connection, which holds its lock."""

from __future__ import annotations

import json
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import OuterRef, Subquery

from accounts.access import Action, role_may
from accounts.models import Membership
from devices.downloads import NOT_KEPT, KeyUnavailable, device_config, device_files, profile_file
from devices.models import Device
from messaging import events
from messaging.emulators import meter
from messaging.models import Emulator
from simulators.settings import CA_FILE, CERTIFICATE_FILE, CONFIG_FILE, KEY_FILE, DeviceSettings, Overrides, load
from simulators.transport import make_context

LOCK = 0x_E3_0000  # any number that nothing else in this database locks


@dataclass(frozen=True, slots=True)
class Change:
    """What has become of an emulator."""

    device_id: UUID
    account_id: UUID
    state: str
    said: str
    board: dict[str, Any]
    used_at: datetime


def take_office() -> bool:
    """Take the lock that two processes cannot have at once; it ends with the connection."""
    with connection.cursor() as db:
        db.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        return bool(db.fetchone()[0])


def leave_office() -> None:
    """Give the lock back, with the connection."""
    connection.close()


def wanted() -> list[Emulator]:
    """Return what is to run; forget what nobody may run any more: a deleted device's, and of who lost the right to the device."""
    roles = Membership.objects.filter(user=OuterRef("user"), account=OuterRef("device__account")).values("role")
    rows = Emulator.objects.select_related("device", "user").annotate(role=Subquery(roles[:1]))
    good: list[Emulator] = []
    bad: list[Emulator] = []
    for row in rows:
        may = row.role is not None and role_may(row.role, Action.MANAGE)
        (good if may and row.user.is_active and row.device.deleted_at is None else bad).append(row)
    if bad:
        forget([row.device_id for row in bad])
    return good


def begin_counting(device_id: UUID) -> None:
    """Have its time counted from now on."""
    meter.begin(device_id)


def count(device_ids: Iterable[UUID]) -> bool:
    """Count what these ran, and forget those whose account has no time left; returns whether there were some."""
    ids = list(device_ids)
    over = meter.used_up(meter.count(ids))
    if over:
        forget(Emulator.objects.filter(pk__in=ids, device__account__in=over).values_list("pk", flat=True))
    return bool(over)


def forget(device_ids: Iterable[UUID]) -> None:
    """Have these run no more, and tell their pages."""
    rows = list(Emulator.objects.filter(pk__in=list(device_ids)).select_related("device"))
    meter.count([row.pk for row in rows], and_end=True)
    _tell((row.device.account_id, row.device_id, "stopped") for row in rows)


def identity(device_id: UUID) -> tuple[DeviceSettings, ssl.SSLContext]:
    """Return what the device connects with. Its key is on the disk for this moment alone: ssl reads files only.

    Raises:
        KeyUnavailable: the portal has no key of it, or it has no certificate.
        SettingsError
    """
    device = Device.objects.get(pk=device_id)
    files = device_files(device)
    if files.private_key is None:
        raise KeyUnavailable(NOT_KEPT)
    config = json.dumps(device_config(device)).encode()
    content = {CONFIG_FILE: config, CA_FILE: files.root_ca, CERTIFICATE_FILE: files.certificate, KEY_FILE: files.private_key}
    with tempfile.TemporaryDirectory() as name:  # which nobody else may look into
        folder = Path(name)
        for file, data in (content | profile_file(device)).items():
            (folder / file).write_bytes(data)
        found = load(folder, Overrides(host=settings.MQTT_HOST, port=settings.MQTT_PORT), folder)
        return found, make_context(found)


def save(changes: Iterable[Change]) -> None:
    """Write what changed and tell open pages. One that was stopped meanwhile stays stopped."""
    told = []
    for change in changes:
        values = {"state": change.state, "said": change.said, "board": change.board, "used_at": change.used_at}
        if Emulator.objects.filter(pk=change.device_id).update(**values):
            told.append((change.account_id, change.device_id, change.state))
    _tell(told)


def _tell(about: Iterable[tuple[UUID, UUID, str]]) -> None:
    outbox = events.Outbox()
    for account_id, device_id, state in about:
        outbox.add(account_id, device_id, events.emulator_event(device_id=device_id, state=state))
    if outbox:
        outbox.send()

"""What a person takes along of the registry: devices, certificates without private keys, timelines, own profiles."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from accounts.exports import PIECE, Export
from devices.models import Certificate, Device, DeviceEvent, OwnProfile, Pin, since_moved


def add_registry(export: Export) -> None:
    """Add the devices of the personal account, deleted ones too; those of organisations are the organisations'."""
    theirs = {"device__account": export.account}
    export.add_table(
        "devices.csv",
        ["id", "name", "profile", "registered", "deleted"],
        lambda: (
            [one.hex, one.name, one.profile, one.created_at, one.deleted_at]
            for one in Device.objects.filter(account=export.account).iterator(PIECE)
        ),
    )
    export.add_table(
        "pins.csv",
        ["device_id", "number", "name"],
        lambda: (
            [device.hex, number, name]
            for device, number, name in Pin.objects.filter(**theirs).values_list("device_id", "number", "name").iterator(PIECE)
        ),
    )
    columns = ["serial", "fingerprint", "status", "not_before", "not_after", "revoked_at", "revocation_reason", "pem"]
    export.add_table(
        "certificates.csv",
        ["device_id", *columns],
        lambda: (
            [device.hex, *rest]
            for device, *rest in Certificate.objects.filter(**theirs).values_list("device_id", *columns).iterator(PIECE)
        ),
    )
    export.add_table(
        "timeline.csv",
        ["device_id", "time", "kind", "detail"],
        lambda: (
            [one.device_id.hex, one.time, one.kind, json.dumps(one.detail, ensure_ascii=False)]
            for one in DeviceEvent.objects.filter(since_moved(), **theirs).iterator(PIECE)
        ),
    )
    for profile in OwnProfile.objects.filter(account=export.account):
        export.add_json(f"profiles/{profile.slug}.json", partial(_newest, profile))


def _newest(profile: OwnProfile) -> Any:
    return profile.versions.values_list("document", flat=True).first()

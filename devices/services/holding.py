"""Holding a device while it is changed."""

from __future__ import annotations

from devices.models import Device
from devices.services.errors import DeviceGone


def hold_device(device: Device) -> Device:
    """Return the device as stored, locked until the caller's transaction ends.

    Whoever calls was let in as somebody of `device.account`, before the lock: a claim in between takes the device away from them.

    Raises:
        DeviceGone: it was deleted, or is another account's.
    """
    stored = Device.objects.live().select_for_update().filter(pk=device.pk, account_id=device.account_id).first()
    if stored is None:
        raise DeviceGone
    return stored

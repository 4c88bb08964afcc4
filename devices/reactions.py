"""What the registry does when accounts change."""

from __future__ import annotations

from accounts.models import Account
from devices.models import Device
from devices.services import delete_device


def delete_devices(account: Account) -> None:
    """Delete every device of an account that is being closed: certificates revoked, connections cut."""
    for device in Device.objects.live().filter(account=account):
        delete_device(device=device)

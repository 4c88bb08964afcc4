"""To whom a device writes, and what, where neither is given: stored by its owner, used when the device leaves them empty."""

from __future__ import annotations

from devices.models import Device
from notifications.addresses import clean_message, read
from notifications.models import Standard

CHARACTERS = 1000


def standard_of(device: Device) -> Standard:
    """Return what is stored for a device; an unsaved empty one where nothing is."""
    return Standard.objects.filter(device=device).first() or Standard(device=device)


def set_standard(*, device: Device, recipient: str, message: str) -> Standard:
    """Store what a device says to whom by default; what is empty is stored as that.

    Raises:
        notifications.addresses.BadRecipient: the recipient is none.
    """
    address = read(recipient).spelled if recipient.strip() else ""
    values = {"recipient": address, "message": clean_message(message)[:CHARACTERS]}
    return Standard.objects.update_or_create(device=device, defaults=values)[0]


def leave(device: Device) -> None:
    """Forget what is stored for a device that leaves its account: whom it wrote to is nothing that the next owner is told."""
    Standard.objects.filter(device=device).delete()

"""People's emulators: started, stopped, touched."""

from __future__ import annotations

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from billing.services import emulator_time
from devices.downloads import active_certificate
from devices.models import Device
from iotportal.after_commit import after_commit
from messaging.emulators import meter, orders
from messaging.models import Emulator, Presence

NONE_HERE = "This portal plays no devices: its operator has switched emulators off (PORTAL_EMULATORS is 0)."


class CannotStart(Exception):
    """The emulator was not started; the text says why."""


def start_emulator(*, user: User, device: Device) -> Emulator:
    """Have the portal play the device for `user`, who may manage it; returns the row, also of one that runs already.

    Raises:
        CannotStart: the portal has none, another emulator of theirs runs, somebody else plays this device, the portal has no key
            of it, the device itself is connected, too many run, or the account has no time of emulators left.
    """
    if not settings.EMULATORS:
        raise CannotStart(NONE_HERE)
    certificate = active_certificate(device)
    if certificate is None or certificate.sealed_key is None:
        raise CannotStart("The portal does not keep this device's private key, so it cannot connect in its place.")
    running = Emulator.objects.select_related("device").filter(user=user).first()
    if running is not None and running.device_id == device.pk:
        return running
    if running is not None:
        raise CannotStart(f"Your emulator is {running.device.name} now. Stop that one first.")
    if Presence.objects.filter(device=device, connected=True).exists():
        raise CannotStart("This device is connected now, and the two would push each other out. Switch it off first.")
    if Emulator.objects.count() >= settings.EMULATORS:
        raise CannotStart(f"All {settings.EMULATORS} emulators of this portal are in use. Try again later, or run a simulator.")
    if not emulator_time(device.account_id).left_s:
        raise CannotStart("All hours of emulators of this month are used.")
    try:
        with transaction.atomic():
            return _made(user, device)
    except IntegrityError:  # at the same time, here or by somebody else
        raise CannotStart("Somebody else plays this device now, or you started another a moment ago.") from None


def _made(user: User, device: Device) -> Emulator:
    now = timezone.now()
    emulator = Emulator.objects.create(user=user, device=device, started_at=now, used_at=now)
    after_commit(orders.forget_word, device.pk)
    after_commit(orders.nudge)
    return emulator


def stop_emulator(*, emulator: Emulator) -> None:
    """Switch it off; what was on its board is gone."""
    meter.count([emulator.pk], and_end=True)
    after_commit(orders.nudge)


def drive_pin(*, emulator: Emulator, number: int, level: int) -> None:
    """Put a level on a pin of the board from outside. Raises: orders.Refused, orders.Away."""
    orders.order(emulator.device_id, "pin", number=number, level=level)


def press_reset(*, emulator: Emulator) -> None:
    """Press the board's reset button: it goes without a goodbye and comes up anew. Raises: orders.Refused, orders.Away."""
    orders.order(emulator.device_id, "reset")


def type_line(*, emulator: Emulator, line: str) -> None:
    """Type a line on the device's own UART. Raises: orders.Away."""
    orders.order(emulator.device_id, "type", line=line)


def turn_faults(*, emulator: Emulator, faults: dict[str, float]) -> None:
    """Spoil its answers from now on, as simulators.faults.Faults says. Raises: orders.Away."""
    Emulator.objects.filter(pk=emulator.pk).update(faults=faults)
    orders.order(emulator.device_id, "faults", faults=faults)

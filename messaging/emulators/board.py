"""The board of an emulator: a simulated device as it is kept and shown, and made again of that. No I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from devices.profiles import Profile
from simulators.console import printable
from simulators.device import Device, Pin, Setup
from simulators.faults import FaultInjector, Faults
from simulators.grammar import HIGHEST_PIN

LINES = 100  # of the UART that are kept
LAMPS, SWITCHES = range(8, 16), range(4, 8)  # what the board has from the start; `iot gpio N enable` adds others


class Dials(FaultInjector):
    """Faults that can be turned while the device runs."""

    def turn(self, faults: Faults) -> None:
        """Spoil by these from the next message on."""
        self._faults, self._idle = faults, faults == Faults()


def faults_of(values: Mapping[str, float]) -> Faults:
    """Return the faults that a row keeps; what is not known any more is left out."""
    return Faults(**{name: float(value) for name, value in values.items() if name in Faults.__dataclass_fields__})


def drift_of(values: Mapping[str, float]) -> float:
    """Return how many seconds an hour the clock gains, of what a row keeps of its dials."""
    return float(values.get("rtc_drift_s_per_h", 0))


def clock_offset_s(board: Mapping[str, Any], drift: float, now: float) -> float:
    """Return by how much a kept board's clock is ahead at `now` (Unix seconds): it went on since."""
    return float(board.get("rtc_offset_s", 0)) + (now - float(board.get("rtc_at", now))) * drift / 3600


def make_device(
    device_id: str,
    profile: Profile,
    board: Mapping[str, Any],
    on_print: Callable[[str], None],
    clock: Callable[[], float] = time.time,
    drift: float = 0.0,
) -> Device:
    """Return the device as `remember` kept it; a new one of an empty `board`. `drift`: seconds that its clock gains an hour."""
    setup = Setup(rtc_offset_s=clock_offset_s(board, drift, clock()), rtc_drift_s_per_h=drift)
    device = Device(device_id, name=device_id, profile=profile, setup=setup, clock=clock, on_print=on_print)
    device.uart.extend(board.get("uart", ()))
    device.message, device.recipient = board.get("message", device.message), board.get("recipient", device.recipient)
    device.mac = board.get("mac", device.mac)
    device.pins.update({int(number): Pin(**pin) for number, pin in board.get("pins", {}).items()})
    return device


def remember(device: Device, clock: Callable[[], float] = time.time) -> dict[str, Any]:
    """Return a device as JSON that PostgreSQL takes: no NUL, no half of a character, nothing without a bound."""
    return {
        "pins": {str(number): asdict(pin) for number, pin in sorted(device.pins.items()) if number <= HIGHEST_PIN},
        "uart": [_plain(line) for line in list(device.uart)[-LINES:]],
        "message": _plain(device.message),
        "recipient": _plain(device.recipient),
        "mac": device.mac,
        "ip": device.ip,
        "subnet": device.subnet,
        "gateway": device.gateway,
        "rtc_offset_s": device.rtc - int(clock()),
        "rtc_at": int(clock()),
    }


def _plain(text: str) -> str:
    return printable(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Contact:
    """A lamp or a switch on the page."""

    number: int
    high: bool
    more: str = ""  # how the pin was set up


def contacts(board: Mapping[str, Any]) -> tuple[list[Contact], list[Contact]]:
    """Return the board's lamps and its switches: what each pin is may have changed since it was made."""
    pins = {int(number): pin for number, pin in board.get("pins", {}).items()}
    outputs = {number for number, pin in pins.items() if pin["direction"] == "out"}
    inputs = {number for number, pin in pins.items() if pin["direction"] == "in" and pin["enabled"]}

    def shown(numbers: set[int]) -> list[Contact]:
        return [_contact(number, pins.get(number)) for number in sorted(numbers)]

    return shown((set(LAMPS) - inputs) | outputs), shown((set(SWITCHES) - outputs) | inputs)


def _contact(number: int, pin: Mapping[str, Any] | None) -> Contact:
    if pin is None:
        return Contact(number, high=False)
    words = [f"pull {pin['pull']}" if pin["pull"] != "none" else "", f"{pin['edge']} edge" if pin["edge"] != "none" else ""]
    return Contact(number, bool(pin["level"]), ", ".join(filter(None, words)) if pin["enabled"] else "")

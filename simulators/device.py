"""A simulated device without any I/O: commands in, messages out, state in between."""

from __future__ import annotations

import hashlib
import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from devices.profiles import Profile
from simulators import grammar
from simulators.own_apis import OwnApis
from simulators.profiles import STANDARD, is_documented
from simulators.wire import Arguments, CommandError, cut_text, print_answer, read_command

UART_LINES_KEPT = 200
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")


@dataclass(frozen=True)
class Outgoing:
    """One message for `server/{id}/{api}`, to leave `after_s` seconds after what caused it."""

    api: str
    payload: bytes
    after_s: float = 0.0
    then_restart: bool = False
    """The device reboots once this one has left."""


@dataclass
class Pin:
    """One GPIO pin. `wired`: its direction was given when the device was made and stays."""

    direction: str = "in"
    pull: str = "none"
    edge: str = "none"
    level: int = 0
    enabled: bool = False
    wired: bool = False
    name: str = ""


@dataclass(frozen=True)
class Setup:
    """What a device is made with; everything has a believable default.

    `rtc_offset_s` is how wrong its clock is at first, `rtc_drift_s_per_h` how many seconds it gains an hour
    (None: some hundredths, or it loses them; different for each device id). `pins`: number → pin as it is after power-up.
    """

    keyword: str = "ALARM"
    recipient: str = ""
    message: str = "Something happened here"
    has_rtc: bool = True
    rtc_offset_s: float = 0.0
    rtc_drift_s_per_h: float | None = None
    pins: dict[int, Pin] = field(default_factory=dict)


class Device:
    """A device of the protocol. Not thread-safe; give it one thread or one event loop.

    `on_print` is called with every line the device prints on its UART.
    """

    def __init__(
        self,
        device_id: str,
        *,
        name: str = "",
        profile: Profile = STANDARD,
        setup: Setup | None = None,
        clock: Callable[[], float] = time.time,
        on_print: Callable[[str], None] | None = None,
    ) -> None:
        self.device_id = device_id
        self.name = name or device_id[:8]
        self.profile = profile
        self.setup = setup or Setup()
        self.uart: deque[str] = deque(maxlen=UART_LINES_KEPT)
        self.recipient = cut_text(profile, self.setup.recipient)
        self.message = cut_text(profile, self.setup.message)
        self.keyword = self.setup.keyword
        self._clock = clock
        self._on_print = on_print
        digest = hashlib.sha256(device_id.encode("utf-8", "surrogatepass")).digest()
        # 02: a locally administered address, so that no maker's is borrowed.
        self.mac = ":".join(f"{byte:02x}" for byte in (2, *digest[:5]))
        self.ip = f"192.168.100.{2 + digest[5] % 253}"
        self.subnet = "255.255.255.0"
        self.gateway = "192.168.100.1"
        drift = self.setup.rtc_drift_s_per_h
        self._rtc_rate = _rate((digest[6] % 41 - 20) * 0.0036 if drift is None else drift)  # up to 20 ppm
        self._rtc_anchor = (clock(), clock() + self.setup.rtc_offset_s)
        self.pins: dict[int, Pin] = {}
        self._own = OwnApis(device_id, clock)
        self._power_up_pins()

    # -- what comes in ---------------------------------------------------------------------------

    def handle(self, api: str, payload: bytes) -> list[Outgoing]:
        """Return what the device says to the command `{id}/{api}`; nothing for one it stays silent to.

        Never raises, whatever the bytes.
        """
        arguments = read_command(self.profile, payload)
        try:
            if self.profile.errors:
                arguments.require_readable()
            return self._handler(api)(self, api, arguments)
        except CommandError as error:
            return self._refuse(api, arguments, error)

    def _handler(self, api: str) -> _Handler:
        """Return what obeys an api that the profile declares. Raises CommandError."""
        declared = self.profile.apis.get(api)
        if declared is None or declared.kind == "event":
            raise CommandError("unknown_api", f"this device has no api named {api[:64]}")
        return _HANDLERS[api] if is_documented(self.profile, api) else Device._answer_own

    def say(self, api: str) -> list[Outgoing]:
        """Return an event of the device's own, with believable values; it prints what it does not know."""
        declared = self.profile.apis.get(api)
        if declared is None or declared.kind != "event":
            self.print_line(f"ERROR the profile {self.profile.slug} has no event named {api[:64]}")
            return []
        return [self._say(api, self._own.event(declared))]

    def type_line(self, line: str) -> list[Outgoing]:
        """Obey a line typed on the device's own UART; it prints OK or what it did not understand."""
        try:
            statement = grammar.parse_line(line)
        except grammar.GrammarError as error:
            self.print_line(f"ERROR {error}")
            return []
        outgoing = self._obey(statement)
        self.print_line("OK")
        return outgoing

    def drive(self, number: int, level: int) -> list[Outgoing]:
        """Let the world outside put `level` on a pin; an edge its interrupt waits for raises a notification."""
        pin = self._pin(number)
        was, pin.level = pin.level, level
        rising, falling = level > was, level < was
        if not pin.enabled or not (rising and pin.edge in ("rising", "both") or falling and pin.edge in ("falling", "both")):
            return []
        return self.raise_notification()

    def raise_notification(self, message: str | None = None, recipient: str | None = None) -> list[Outgoing]:
        """Return a `trigger_notification` of the device's own, with the stored values where None is given."""
        to = self.recipient if recipient is None else cut_text(self.profile, recipient)
        text = self.message if message is None else cut_text(self.profile, message)
        if not to:
            self.print_line('ERROR no recipient is stored: iot set recipient "..."')
            return []
        return [self._say("trigger_notification", {"recipient": to, "message": text})]

    def restart(self) -> None:
        """Come up again as after a reboot: pins and UART are new; clock, addresses and stored texts stay."""
        self.uart.clear()
        self._own.forget()
        self._power_up_pins()

    # -- state -----------------------------------------------------------------------------------

    @property
    def rtc(self) -> int:
        """Seconds since 1970 by the device's own clock, with its offset and drift."""
        return int(self._exact_rtc())

    def drift(self, s_per_h: float) -> None:
        """Have the clock gain so many seconds an hour from now on; below zero, lose them."""
        self._rtc_anchor = (self._clock(), self._exact_rtc())
        self._rtc_rate = _rate(s_per_h)

    def _exact_rtc(self) -> float:
        at, showed = self._rtc_anchor
        return showed + (self._clock() - at) * self._rtc_rate

    def print_line(self, text: str) -> None:
        """Print on the device's UART."""
        self.uart.append(text)
        if self._on_print is not None:
            self._on_print(text)

    def _power_up_pins(self) -> None:
        self.pins = {number: replace(pin, wired=True) for number, pin in self.setup.pins.items()}

    def _pin(self, number: int) -> Pin:
        return self.pins.setdefault(number, Pin())

    def _pin_number(self, api: str, arguments: Arguments) -> int:
        number, field = arguments.number("number"), self.profile.apis[api].fields[0]
        low, high = int(field.minimum or 0), grammar.HIGHEST_PIN if field.maximum is None else int(field.maximum)
        if number is None or not low <= number <= high:
            raise CommandError("bad_request", f"number must be a pin from {low} to {high}")
        return number

    def _obey(self, statement: grammar.Statement) -> list[Outgoing]:
        if isinstance(statement, grammar.Send):
            return self.raise_notification(statement.message, statement.recipient)
        if isinstance(statement, grammar.WritePin):
            return self._write_pin(statement.number, statement.level)
        if isinstance(statement, grammar.SetDefaults):
            if statement.message is not None:
                self.message = cut_text(self.profile, statement.message)
            if statement.recipient is not None:
                self.recipient = cut_text(self.profile, statement.recipient)
        elif isinstance(statement, grammar.EnablePin):
            pin = self._pin(statement.number)
            pin.direction, pin.pull, pin.edge, pin.enabled = statement.direction, statement.pull, statement.edge, True
            if pin.direction == "in":
                pin.level = 1 if pin.pull == "up" else 0
        elif isinstance(statement, grammar.DisablePin):
            pin = self._pin(statement.number)
            pin.edge, pin.pull, pin.enabled = "none", "none", False
        return []

    def _write_pin(self, number: int, level: int) -> list[Outgoing]:
        pin = self._pin(number)
        # An enabled or wired pin keeps its direction: the write then stands for the wire outside.
        if not pin.enabled and not pin.wired:
            pin.direction = "out"
        return self.drive(number, level)

    # -- what goes out ---------------------------------------------------------------------------

    def _say(self, api: str, fields: dict[str, Any]) -> Outgoing:
        return Outgoing(api, print_answer(self.profile, fields))

    def _answer(self, api: str, arguments: Arguments, fields: dict[str, Any]) -> Outgoing:
        """Return the answer: `number` first, the command's id next where the profile echoes it, `value` last."""
        if not self.profile.echo_id or arguments.command_id is None:
            return self._say(api, fields)
        first = {"number": fields["number"]} if "number" in fields else {}
        return self._say(api, {**first, "id": arguments.command_id, **{k: v for k, v in fields.items() if k != "number"}})

    def _refuse(self, api: str, arguments: Arguments, error: CommandError) -> list[Outgoing]:
        if not self.profile.errors:
            return []
        declared = self.profile.apis.get(api)
        numbered = declared is not None and any(field.name == "number" for field in declared.fields)
        number = arguments.number("number") if numbered else None
        first: dict[str, Any] = {} if number is None else {"number": number}
        return [self._answer(api, arguments, {**first, "error": {"code": error.code, "message": str(error)}})]

    # -- the apis --------------------------------------------------------------------------------

    def _answer_own(self, api: str, arguments: Arguments) -> list[Outgoing]:
        return [self._answer(api, arguments, self._own.answer(self.profile.apis[api], arguments))]

    def _get_status(self, api: str, arguments: Arguments) -> list[Outgoing]:
        return [self._answer(api, arguments, {"value": "running"})]

    def _set_status(self, api: str, arguments: Arguments) -> list[Outgoing]:
        if arguments.text("value") != "restart":
            raise CommandError("bad_request", 'value must be "restart"')
        return [replace(self._answer(api, arguments, {"value": "restarting"}), then_restart=True)]

    def _get_gpio(self, api: str, arguments: Arguments) -> list[Outgoing]:
        number = self._pin_number(api, arguments)
        return [self._answer(api, arguments, {"number": number, "value": self._pin(number).level})]

    def _set_gpio(self, api: str, arguments: Arguments) -> list[Outgoing]:
        number, level = self._pin_number(api, arguments), arguments.number("value")
        if level not in (0, 1):
            raise CommandError("bad_request", "value must be 0 or 1")
        pin = self._pin(number)
        if pin.wired and pin.direction == "in" and self.profile.errors:
            raise CommandError("pin_is_input", f"pin {number} is an input")
        raised = self._write_pin(number, level)
        return [self._answer(api, arguments, {"number": number, "value": level}), *raised]

    def _get_rtc(self, api: str, arguments: Arguments) -> list[Outgoing]:
        return [self._answer(api, arguments, {"value": self.rtc})] if self.setup.has_rtc else []

    def _set_rtc(self, api: str, arguments: Arguments) -> list[Outgoing]:
        if not self.setup.has_rtc:
            return []
        epoch = arguments.number("value")
        if epoch is None or epoch < 0:
            raise CommandError("bad_request", "value must be seconds since 1970")
        self._rtc_anchor = (self._clock(), float(epoch))
        return [self._answer(api, arguments, {"value": epoch})]

    def _set_mac(self, api: str, arguments: Arguments) -> list[Outgoing]:
        mac = arguments.text("value")
        if mac is None or not _MAC.fullmatch(mac):
            raise CommandError("bad_request", "value must be six bytes like 00:c0:ca:90:61:05")
        self.mac = mac
        return [self._answer(api, arguments, {"value": mac})]

    def _get_address(self, api: str, arguments: Arguments) -> list[Outgoing]:
        values = {"get_mac": self.mac, "get_ip": self.ip, "get_subnet": self.subnet, "get_gateway": self.gateway}
        return [self._answer(api, arguments, {"value": values[api]})]

    def _write_uart(self, api: str, arguments: Arguments) -> list[Outgoing]:
        text = arguments.text("value")
        if text is None:
            raise CommandError("bad_request", "value must be a text")
        self.print_line(text)
        outgoing = [self._answer(api, arguments, {"value": text})]
        if self.keyword and self.keyword in text:
            outgoing += self.raise_notification()
        return outgoing

    def _trigger_notification(self, api: str, arguments: Arguments) -> list[Outgoing]:
        recipient, message = arguments.text("recipient"), arguments.text("message")
        if recipient is None or message is None:
            raise CommandError("bad_request", "recipient and message must be texts")
        recipient, message = cut_text(self.profile, recipient), cut_text(self.profile, message)
        if recipient == self.device_id:
            self.print_line(f"NOTIFICATION {message}")
            return []
        return [self._answer(api, arguments, {"recipient": recipient, "message": message})]


_Handler = Callable[[Device, str, Arguments], "list[Outgoing]"]
_HANDLERS: dict[str, _Handler] = {
    "get_status": Device._get_status,
    "set_status": Device._set_status,
    "get_gpio": Device._get_gpio,
    "set_gpio": Device._set_gpio,
    "get_rtc": Device._get_rtc,
    "set_rtc": Device._set_rtc,
    "get_mac": Device._get_address,
    "set_mac": Device._set_mac,
    "get_ip": Device._get_address,
    "get_subnet": Device._get_address,
    "get_gateway": Device._get_address,
    "write_uart": Device._write_uart,
    "trigger_notification": Device._trigger_notification,
}


def _rate(s_per_h: float) -> float:
    return 1 + s_per_h / 3600


def parse_pins(words: Iterable[str]) -> dict[int, Pin]:
    """Return the pins described as `NUMBER=in|out[:NAME]`, e.g. `2=in:door`.

    Raises: ValueError, in words.
    """
    pins: dict[int, Pin] = {}
    for word in words:
        match = re.fullmatch(r"([0-9]{1,3})=(in|out)(?::(.{1,40}))?", word)
        if match is None or int(match.group(1)) > grammar.HIGHEST_PIN:
            raise ValueError(f"a pin is given as NUMBER=in or NUMBER=out, with :NAME after it if you like; not {word!r}")
        pins[int(match.group(1))] = Pin(direction=match.group(2), name=match.group(3) or "", wired=True)
    return pins

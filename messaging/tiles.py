"""The tiles of the Control page: what each knows of a device, and which commands its form stands for.

What a device has, and within which limits, its profile says; what is shown as a value is only what the device confirmed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts.models import User
from devices.models import Device
from devices.profiles import Api, Field, Profile
from iotportal.problems import Problem
from iotportal.words import seconds
from messaging import own_tiles
from messaging.dialling import COUNTRIES
from messaging.gateway.core import CommandResult
from messaging.models import Reading
from messaging.selectors import Line, MessageFilter, newest_lines

CONSOLE_LINES = 60
LOOK_BACK = 2000  # messages or commands of the device that are looked through for a tile's past
LEVELS = {0: "LOW", 1: "HIGH"}
Ask = tuple[str, dict[str, object]]  # an api and its arguments


class BadInput(Exception):
    """A form that cannot become a command: messages per field."""

    def __init__(self, **errors: str) -> None:
        super().__init__("; ".join(errors.values()))
        self.errors = {name: [text] for name, text in errors.items()}


@dataclass(frozen=True, slots=True)
class TileKind:
    """A tile's name, icon and its reference designator on the board."""

    key: str
    title: str
    icon: str
    ref: str
    jump: str = ""


KINDS = {
    kind.key: kind
    for kind in (
        TileKind("gpio", "GPIO", "toggle-right", "J1"),
        TileKind("ethernet", "Ethernet", "network", "U2"),
        TileKind("rtc", "RTC", "clock", "Y1"),
        TileKind("uart", "UART console", "terminal-2", "J2", "UART"),
        TileKind("notifications", "Notifications", "bell", "BZ1", "Notify"),
        TileKind("custom", "Custom", "code", "TP1"),
        TileKind("restart", "Restart", "power", "SW1"),
    )
}


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of one kind of device."""

    kind: TileKind
    get: Api | None
    set: Api | None
    apis: tuple[Api, ...]

    @property
    def fields(self) -> dict[str, Field]:
        """The fields of its set, by name."""
        return {one.name: one for one in (self.set or self.get or self.apis[0]).fields} if self.apis else {}


def tiles_of(profile: Profile) -> dict[str, Tile]:
    """Return the tiles that this kind of device has; its status is no tile, but the head of the page."""
    found: dict[str, Tile] = {}
    for key in ("status", *KINDS):
        if key == "custom":
            found |= _own_tiles(profile)
        apis = profile.tile(key)  # type: ignore[arg-type]  # the keys are tiles
        if not apis and not (key == "custom" and profile.open):
            continue
        found[key] = _tile(KINDS.get(key, TileKind(key, "Status", "activity", "")), apis)
    return found


def _own_tiles(profile: Profile) -> dict[str, Tile]:
    """Return the tiles that the profile makes by itself, named by what they are about."""
    found = {}
    for key, apis in own_tiles.grouped(profile.tile("form")).items():
        title = next((api.title for api in apis if api.kind == "get"), apis[0].title)
        found[key] = _tile(TileKind(key, title, "adjustments", ""), tuple(apis))
    return found


def _tile(kind: TileKind, apis: tuple[Api, ...]) -> Tile:
    get = next((api for api in apis if api.kind == "get"), None)
    set_ = next((api for api in apis if api.kind == "set"), None)
    return Tile(kind, get, set_, apis)


# --- what became of a question, on the page that answers it ------------------------------------------------------------------


@dataclass(slots=True)
class Outcome:
    """What a tile's form led to. `errors` are per field, `values` what was typed, so that nothing is lost."""

    ok: bool = False
    what: str = ""
    text: str = ""
    answer: str = ""
    kind: str = "bad"
    status: int = 200
    code: str = ""
    see: str = ""
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    results: list[CommandResult] = field(default_factory=list)
    asked: list[Ask] = field(default_factory=list)


class _Blanks(dict[str, Any]):
    """Has "" under every name."""

    def __missing__(self, key: str) -> str:
        return ""


class NoOutcome(Outcome):
    """What a template finds where nothing was asked: it is false, and all that it is asked for is there and empty.

    A name that a template cannot find costs it several times what finding one does, and a page has some sixty of these.
    """

    __slots__ = ()

    def __bool__(self) -> bool:
        return False


_NONE = NoOutcome(errors=_Blanks(), values=_Blanks())


class Outcomes(dict[str, Outcome]):
    """Outcomes by tile."""

    def __missing__(self, key: str) -> Outcome:
        return _NONE


def told(problem: Problem, device: Device, ask: Ask, profile: Profile) -> tuple[str, str, str]:
    """Say a problem in words: kind of note, what happened, what to do."""
    presence = getattr(device, "presence", None)
    if problem.code == "device_offline":
        since = presence and presence.disconnected_at
        for_ = f" for {_span(timezone.now() - since)}" if since else ""
        return "warn", f"{device.name} has been offline{for_}." if for_ else f"{device.name} is offline.", "Nothing was sent."
    what, _, text = problem.detail.partition(". ")
    if problem.code == "device_timeout" and not profile.api(ask[0]).declared and presence and presence.connected:
        answered = presence.running and presence.asked_at
        heard = f" and answered get_status {_span(timezone.now() - presence.asked_at)} ago" if answered else ""
        text = f"The device is connected{heard}, so it may not know {ask[0]}."
    return ("warn" if problem.status in {402, 429, 503} else "bad"), what.rstrip(".") + ".", text


def _span(passed: timedelta) -> str:
    return seconds(max(0, int(passed.total_seconds())))


# --- GPIO --------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class PinView:
    """A pin as its row shows it. `state`: "", "confirmed", "reverted" or "error"; `asked` is where the knob stands."""

    number: int
    name: str = ""
    value: int | None = None
    at: datetime | None = None
    elapsed_ms: float | None = None
    state: str = ""
    say: str = ""

    @property
    def title(self) -> str:
        """Its name, or what it is called without one."""
        return self.name or f"GPIO {self.number}"

    @property
    def spoken(self) -> str:
        """Its name for a screen reader: "Pump relay, GPIO 10"."""
        return f"{self.name}, GPIO {self.number}" if self.name else f"GPIO {self.number}"

    @property
    def level(self) -> str:
        """The level as the device said it."""
        return "" if self.value is None else LEVELS.get(self.value, str(self.value))

    @property
    def high(self) -> bool:
        """Whether it is on."""
        return bool(self.value)


def pins(device: Device, readings: Mapping[str, Reading], outcome: Outcome | None = None) -> list[PinView]:
    """Return the pins that have a name, or a value, or were asked just now."""
    found = {number: PinView(number, name) for number, name in device.pins.values_list("number", "name")}
    for key, reading in readings.items():
        subject, _, number = key.partition("/")
        if subject == "gpio" and number.isdigit():
            pin = found.setdefault(int(number), PinView(int(number)))
            pin.value, pin.at, pin.elapsed_ms = _level(reading.value), reading.at, reading.elapsed_ms
    if outcome:
        _overlay(found, outcome)
    return [found[number] for number in sorted(found)]


def _overlay(found: dict[int, PinView], outcome: Outcome) -> None:
    """Lay what was answered just now over what the bridge had written so far."""
    for result in outcome.results:
        number, value = result.answer.get("number"), result.answer.get("value")
        if isinstance(number, int) and isinstance(value, int):
            pin = found.setdefault(number, PinView(number))
            pin.value, pin.at, pin.elapsed_ms, pin.state = value, timezone.now(), result.timeline.get("delivered"), "confirmed"
    if not outcome.ok and outcome.asked and not outcome.errors:
        api, arguments = outcome.asked[-1]
        number = _level(arguments.get("number"))
        if number is not None and number in found:
            found[number].state, found[number].say = _pin_words(outcome, found[number], api, arguments)


def _pin_words(outcome: Outcome, pin: PinView, api: str, arguments: Mapping[str, object]) -> tuple[str, str]:
    """Return state and sentence of a pin whose command did not go well; `static/js/control.js` says the same."""
    if outcome.code == "device_timeout" and "value" in arguments:
        back = f"Put back to {pin.level}: no" if pin.level else "No"
        rest = outcome.what.removeprefix("No ").rstrip(".")
        return "reverted", f"{back} {rest}. The device may still have switched; Get asks it."
    return ("reverted" if outcome.kind == "warn" or outcome.status == 504 else "error"), f"{outcome.what} {outcome.text}".strip()


def _level(value: object) -> int | None:
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]  # whatever it is, the next line says
    except (TypeError, ValueError):
        return None


# --- Ethernet and RTC ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ValueRow:
    """A value with its label; `key` is that of its reading."""

    key: str
    api: str
    title: str
    value: object = None
    at: datetime | None = None
    elapsed_ms: float | None = None
    say: str = ""


def value_rows(tile: Tile, readings: Mapping[str, Reading], outcome: Outcome | None = None) -> list[ValueRow]:
    """Return what the tile's gets read, in the order that people think of them."""
    order = ["ip", "subnet", "gateway", "mac"]
    rows = []
    for api in tile.apis:
        if api.kind != "get":
            continue
        key = api.name.removeprefix("get_")
        row = ValueRow(key, api.name, api.answer[-1].title if api.answer else api.title)
        if reading := readings.get(key):
            row.value, row.at, row.elapsed_ms = reading.value, reading.at, reading.elapsed_ms
        for result in outcome.results if outcome else ():
            if result.api in {api.name, f"set_{key}"} and "value" in result.answer:
                row.value, row.at, row.elapsed_ms = result.answer["value"], timezone.now(), result.timeline.get("delivered")
        rows.append(row)
    return sorted(rows, key=lambda row: order.index(row.key) if row.key in order else len(order))


@dataclass(frozen=True, slots=True)
class Clock:
    """The device's clock: what it said and how far that was off when it said it."""

    row: ValueRow
    local: datetime | None
    drift_s: float | None

    @property
    def drift(self) -> str:
        """The drift in words; the clock counts whole seconds, so less than one is none."""
        if self.drift_s is None:
            return ""
        off = abs(self.drift_s)
        return (
            "on time" if off < 1 else f"{seconds(round(off, 1) if off < 10 else off)} {'behind' if self.drift_s < 0 else 'ahead'}"
        )

    @property
    def good(self) -> bool:
        """Whether it is good enough not to be worth a thought."""
        return self.drift_s is not None and abs(self.drift_s) < 5


def clock_of(row: ValueRow) -> Clock:
    """Read a clock's value; one that no calendar has stays a number."""
    try:
        epoch = float(str(row.value))
        local = timezone.localtime(datetime.fromtimestamp(epoch, tz=timezone.get_current_timezone()))
    except (ValueError, OverflowError, OSError):
        return Clock(row, None, None)
    if row.at is None:
        return Clock(row, local, None)
    said_at = row.at.timestamp() - (row.elapsed_ms or 0.0) / 2000  # half of the way is the way back
    drift = epoch - said_at
    return Clock(row, local, 0.0 if -1 < drift <= 0 else drift)  # 12:00:00.9 reads 12:00:00


# --- UART ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConsoleLine:
    """One line of the console."""

    id: str
    time: datetime
    direction: str
    text: str


def console(user: User, device: Device, tile: Tile) -> list[ConsoleLine]:
    """Return what went to and came from the UART, oldest first."""
    api = tile.set or tile.apis[0]
    wanted = MessageFilter(device_id=device.pk, api=api.name)
    return [console_line(one) for one in reversed(newest_lines(user, wanted, limit=CONSOLE_LINES, scan=LOOK_BACK))]


def console_line(message: Line) -> ConsoleLine:
    """Take the text out of a message; broken JSON is shown as it came."""
    return ConsoleLine(message.id.hex, message.time, message.direction, uart_text(message.payload))


def uart_text(payload: str) -> str:
    """Return the `value` of a payload, or what firmware that escapes nothing meant by it."""
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        start = payload.find('"value": "')
        return payload[start + 10 :].removesuffix("}").removesuffix('"') if start >= 0 else payload
    return str(body["value"]) if isinstance(body, dict) and "value" in body else payload


# --- forms to commands ---------------------------------------------------------------------------------------------------------


def asks(tile: Tile, post: Mapping[str, str], device: Device) -> list[Ask]:
    """Return the commands that a tile's form stands for. Raises BadInput."""
    match tile.kind.key:
        case key if key.startswith(own_tiles.PREFIX):
            return [_own(tile, post)]
        case "gpio":
            return _gpio(tile, post, device)
        case "ethernet":
            return [(api.name, {}) for api in tile.apis if api.kind == "get"]
        case "rtc":
            return _rtc(tile, post)
        case "uart":
            return [(tile.apis[0].name, {"value": post.get("value", "")})]
        case "notifications":
            return [(tile.apis[0].name, {"recipient": recipient(post), "message": post.get("message", "")})]
        case "custom":
            return [_custom(post)]
        case "restart":
            api = tile.set or tile.apis[0]
            return [(api.name, {one.name: one.default for one in api.fields})]
        case _:
            return [(api.name, {}) for api in tile.apis if api.kind == "get"]


def _gpio(tile: Tile, post: Mapping[str, str], device: Device) -> list[Ask]:
    if post.get("do") == "all" and tile.get:
        known = {pin.number for pin in device.pins.all()} | {
            int(key.partition("/")[2]) for key in device.readings.values_list("key", flat=True) if key.startswith("gpio/")
        }
        return [(tile.get.name, {"number": number}) for number in sorted(known)]
    if not post.get("number", "").strip():
        raise BadInput(number="Which pin?")
    if post.get("value", "") != "" and tile.set:
        return [(tile.set.name, {"number": post["number"], "value": post["value"]})]
    if tile.get:
        return [(tile.get.name, {"number": post["number"]})]
    raise BadInput(number="This kind of device cannot be asked for a pin.")


def _rtc(tile: Tile, post: Mapping[str, str]) -> list[Ask]:
    do = post.get("do", "get")
    if do == "now" and tile.set:
        return [(tile.set.name, {"value": int(time.time())})]
    if do == "set" and tile.set:
        return [(tile.set.name, {"value": _moment(post.get("moment", ""))})]
    return [(tile.get.name, {})] if tile.get else []


def _moment(text: str) -> int:
    """Read what a date picker gives, in the user's time zone."""
    try:
        found = parse_datetime(text.strip())
    except (ValueError, RecursionError):
        found = None
    if found is None:
        raise BadInput(moment="Choose a date and a time.")
    return int((found if timezone.is_aware(found) else timezone.make_aware(found)).timestamp())


def recipient(post: Mapping[str, str]) -> str:
    """Put a recipient together as it is spelled: an e-mail, a number with its country, a device id, `push:`, or `webhook:` or
    `apprise:` with a name.
    """
    match post.get("to"):
        case "sms":
            return _number(post.get("phone", ""), post.get("country", ""))
        case "device":
            if not post.get("target"):
                raise BadInput(target="Which device?")
            return post["target"]
        case "push":
            return "push:"
        case "webhook":
            if not post.get("named", "").startswith(("webhook:", "apprise:")):
                raise BadInput(named="Which one?")
            return post["named"]
        case _:
            email = post.get("email", "").strip()
            if "@" not in email:
                raise BadInput(email="An e-mail address has an @." if email else "To whom?")
            return email


def _number(phone: str, code: str) -> str:
    """Put a phone number together; `code`: the digits of its country, where it does not start with +."""
    digits = "".join(letter for letter in phone if letter.isdigit() or letter == "+")
    if digits.startswith("+"):
        return digits
    if not digits:
        raise BadInput(phone="Which number?")
    if code not in {one.code for one in COUNTRIES}:
        raise BadInput(phone="Choose the country, or start the number with +.")
    keeps_zero = code in {"39", "378"}  # Italy and San Marino dial it from abroad too
    return f"+{code}{digits if keeps_zero else digits.removeprefix('0')}"


def _own(tile: Tile, post: Mapping[str, str]) -> Ask:
    api = next((one for one in tile.apis if one.name == post.get("api") and one.kind != "event"), None)
    if api is None:
        raise BadInput(tile="The device's profile has changed. Load the page again.")
    return api.name, own_tiles.arguments(api, post)


def _custom(post: Mapping[str, str]) -> Ask:
    api = post.get("api", "").strip()
    if not api:
        raise BadInput(api="Which api?")
    text = post.get("json", "").strip() or "{}"
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        raise BadInput(json=f"This is not JSON{place}.") from error
    if not isinstance(body, dict):
        raise BadInput(json="A command is a JSON object, in { }.")
    return api, body

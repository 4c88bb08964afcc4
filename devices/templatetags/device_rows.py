"""The rows of the Devices page, one for the desk and one for the phone: `{% load device_rows %}`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from devices.selectors import DeviceList, Line
from iotportal.stencil import draw_all
from iotportal.templatetags.ui import HIDDEN, age, days_left, led, show_ms, spark

register = template.Library()

_OFF = SafeString(' class="off"')
_SOON_DAYS = 30


Drawn = tuple[Line, dict[str, object], dict[str, bool]]  # a line, its values, and what is the same for many


@register.simple_tag
def drawn_lines(listed: DeviceList) -> list[Drawn]:
    """Return what the rows and the cards of the devices have in common."""
    return [(line, _values(line), {"owners": listed.names_owners, "manage": line.may_manage}) for line in listed.lines]


@register.simple_tag
def device_lines(drawn: Iterable[Drawn]) -> SafeString:
    """Draw a row of the table for each device."""
    return draw_all("devices/_line.html", ((values, same) for _, values, same in drawn))


@register.simple_tag
def device_cards(drawn: Iterable[Drawn]) -> SafeString:
    """Draw a card for each device."""
    return draw_all("devices/_card.html", ((values, same | {"lively": bool(line.trips)}) for line, values, same in drawn))


def _values(line: Line) -> dict[str, object]:
    presence, lamp = getattr(line.device, "presence", None), line.lamp
    why = "" if presence is None or presence.connected else presence.reason_text
    return {
        **line.at,
        "hex": line.device.hex,
        "off": "" if lamp == "on" else _OFF,
        "lamp": led(lamp),
        "name": line.device.name,
        "owner": line.owner,
        "kind": line.profile.name,
        "speaks": _speaks(presence.protocol if presence else "", line.key_algorithm),
        "seen": _seen(line),
        "why": presence.reason_text if presence else "",
        "unsaid": "" if why else HIDDEN,
        "ending": _ending(line.certified_until),
        "trips": _trips(line, lamp),
        "median": show_ms(getattr(line.trips, "median", None), "list"),
    }


def _speaks(protocol: str, key_algorithm: str) -> str:
    key = key_algorithm.upper() or "no certificate"
    return f"{protocol} · {key}" if protocol else key


def _seen(line: Line) -> SafeString | str:
    """Say when the device was last heard."""
    presence = getattr(line.device, "presence", None)
    if line.lamp == "wait":
        return "not connected yet"
    if presence is None:
        return ""
    return age(presence.last_heard_at or (None if presence.connected else presence.disconnected_at))


def _ending(certified_until: datetime | None) -> SafeString | str:
    """Say that the certificate ends soon, or has ended."""
    if certified_until is None or (days := days_left(certified_until)) >= _SOON_DAYS:
        return ""
    return format_html(
        '<div class="xs c-warn">{}</div>', "Certificate has ended" if days < 0 else f"Certificate ends in {days} days"
    )


def _trips(line: Line, lamp: str) -> SafeString | str:
    if line.trips:
        return spark(line.trips)
    return format_html('<a class="sm" href="{}">How to connect it</a>', line.at["connect"]) if lamp == "wait" else ""

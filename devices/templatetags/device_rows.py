"""The rows of the Devices page, one for the desk and one for the phone: `{% load device_rows %}`."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from devices.models import Certificate
from devices.selectors import DeviceList, Line
from iotportal.stencil import draw_all
from iotportal.templatetags.ui import HIDDEN, age, days_left, led, show_ms, spark

register = template.Library()

_OFF = SafeString(' class="off"')
_SOON_DAYS = 30


@register.simple_tag
def device_lines(listed: DeviceList) -> SafeString:
    """Draw a row of the table for each device."""
    return draw_all("devices/_line.html", ((_values(line), _same(listed, line)) for line in listed.lines))


@register.simple_tag
def device_cards(listed: DeviceList) -> SafeString:
    """Draw a card for each device."""
    return draw_all(
        "devices/_card.html", ((_values(line), _same(listed, line) | {"lively": bool(line.trips)}) for line in listed.lines)
    )


def _same(listed: DeviceList, line: Line) -> dict[str, bool]:
    return {"owners": listed.names_owners, "manage": line.may_manage}


def _values(line: Line) -> dict[str, object]:
    presence, certificate, lamp = getattr(line.device, "presence", None), line.certificate, line.lamp
    why = "" if presence is None or presence.connected else presence.reason_text
    return {
        **line.at,
        "hex": line.device.hex,
        "off": "" if lamp == "on" else _OFF,
        "lamp": led(lamp),
        "name": line.device.name,
        "owner": line.owner,
        "kind": line.profile.name,
        "speaks": _speaks(presence.protocol if presence else "", certificate),
        "seen": _seen(line),
        "why": presence.reason_text if presence else "",
        "unsaid": "" if why else HIDDEN,
        "ending": _ending(certificate),
        "trips": _trips(line, lamp),
        "median": show_ms(getattr(line.trips, "median", None), "list"),
    }


def _speaks(protocol: str, certificate: Certificate | None) -> str:
    key = certificate.key_algorithm.upper() if certificate else "no certificate"
    return f"{protocol} · {key}" if protocol else key


def _seen(line: Line) -> SafeString | str:
    """Say when the device was last heard."""
    presence = getattr(line.device, "presence", None)
    if line.lamp == "wait":
        return "not connected yet"
    if presence is None:
        return ""
    return age(presence.last_heard_at or (None if presence.connected else presence.disconnected_at))


def _ending(certificate: Certificate | None) -> SafeString | str:
    """Say that the certificate ends soon, or has ended."""
    if certificate is None or (days := days_left(certificate.not_after)) >= _SOON_DAYS:
        return ""
    return format_html(
        '<div class="xs c-warn">{}</div>', "Certificate has ended" if days < 0 else f"Certificate ends in {days} days"
    )


def _trips(line: Line, lamp: str) -> SafeString | str:
    if line.trips:
        return spark(line.trips)
    return format_html('<a class="sm" href="{}">How to connect it</a>', line.at["connect"]) if lamp == "wait" else ""

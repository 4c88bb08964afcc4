"""The rows of messages on pages, and the empty ones that live pages fill: `{% load message_rows %}`."""

from __future__ import annotations

from collections.abc import Iterable

from django import template
from django.urls import reverse
from django.utils.safestring import SafeString

from devices.selectors import address_of
from iotportal.stencil import draw, draw_all
from iotportal.templatetags.ui import HIDDEN, age, clock, options, way
from iotportal.words import cut, ms
from messaging.models import Direction
from messaging.selectors import HistoryRow
from messaging.tiles import ConsoleLine, PinView

register = template.Library()

_NO_TIME = SafeString("<time></time>")
_NO_TIME_IN_FEED = SafeString("<time data-time></time>")
_WAYS = {Direction.TO: ("↓", "to the device"), Direction.FROM: ("↑", "from the device")}
_BLANK_ROW = dict.fromkeys(
    ("id", "device", "way", "classes", "control", "name", "short", "api", "payload", "flag", "said", "took"), ""
) | {"time": _NO_TIME, "unflagged": HIDDEN}


@register.simple_tag
def history_rows(rows: Iterable[HistoryRow]) -> SafeString:
    """Draw the rows of the history."""
    return draw_all("messaging/_row.html", ((_history_row(row), {"linked": not _former(row)}) for row in rows))


@register.simple_tag
def blank_history_row() -> SafeString:
    """Draw the row that a live page fills: it has both arrows, for one to be taken out."""
    return draw("messaging/_row.html", _BLANK_ROW | {"arrow": _both_ways()}, linked=True)


def _former(row: HistoryRow) -> bool:
    return row.device is None or row.device.deleted_at is not None


def _history_row(row: HistoryRow) -> dict[str, object]:
    message, hex_ = row.message, row.message.device_id.hex
    kind, said = row.flag or ("", "")
    words = {"pair": row.paired, "up": message.direction == Direction.FROM, "bad-row": message.malformed}
    return {
        "id": message.id.hex,
        "device": hex_,
        "way": message.direction,
        "classes": " ".join(word for word, has in words.items() if has),
        "time": clock(message.time),
        "arrow": way(message.direction),
        "control": address_of("control", hex_),
        "name": row.device.name if row.device else "former device",
        "short": f"{hex_[:8]}…",
        "api": message.api,
        "payload": cut(message.payload, 600),
        "flag": kind,
        "said": said,
        "unflagged": "" if row.flag else HIDDEN,
        "took": "" if row.elapsed_ms is None else ms(row.elapsed_ms),
    }


@register.simple_tag
def feed_rows(rows: Iterable[HistoryRow]) -> SafeString:
    """Draw the lines of what happened last."""
    return draw_all("messaging/_feed_row.html", ((_feed_row(row), {}) for row in rows))


@register.simple_tag
def blank_feed_row() -> SafeString:
    """Draw the line that a live page fills."""
    values = {"id": "", "arrow": _both_ways(), "name": "", "time": _NO_TIME_IN_FEED, "text": ""}
    return draw("messaging/_feed_row.html", values)


def _feed_row(row: HistoryRow) -> dict[str, object]:
    message = row.message
    return {
        "id": message.id.hex,
        "arrow": way(message.direction),
        "name": row.device.name if row.device else f"{message.device_id.hex[:8]}…",
        "time": clock(message.time, "short"),
        "text": f"{message.api} {cut(message.payload, 120)}",
    }


@register.simple_tag
def console_lines(lines: Iterable[ConsoleLine]) -> SafeString:
    """Draw what went to and came from the UART."""
    return draw_all("messaging/_console_line.html", ((_console_line(line), {}) for line in lines))


@register.simple_tag
def blank_console_line() -> SafeString:
    """Draw the line that a live page fills."""
    return draw("messaging/_console_line.html", dict.fromkeys(("id", "way", "spoken", "arrow", "text"), "") | {"time": _NO_TIME})


def _console_line(line: ConsoleLine) -> dict[str, object]:
    arrow, spoken = _WAYS[Direction(line.direction)]
    return {
        "id": line.id,
        "time": clock(line.time),
        "way": line.direction,
        "arrow": arrow,
        "spoken": spoken,
        "text": line.text,
    }


@register.simple_tag(takes_context=True)
def pin_rows(context: template.Context, pins: Iterable[PinView]) -> SafeString:
    """Draw a row for each pin, with the switches that the reader may turn."""
    page, same = _pin_page(context)
    return draw_all("messaging/_pin.html", ((page | _pin(pin, online=same["online"]), same) for pin in pins))


@register.simple_tag(takes_context=True)
def blank_pin_row(context: template.Context) -> SafeString:
    """Draw the row of a pin that the page learns of while it is open."""
    page, same = _pin_page(context)
    blank = _pin(PinView(0, value=0), online=same["online"]) | dict.fromkeys(("number", "title", "spoken", "value", "level"), "")
    return draw("messaging/_pin.html", page | blank, **same)


@register.simple_tag
def pin_options(pins: Iterable[PinView], chosen: object = "") -> SafeString:
    """Draw the choice of a pin."""
    return options(((str(pin.number), f"{pin.number} · {pin.name}" if pin.name else str(pin.number)) for pin in pins), chosen)


def _pin_page(context: template.Context) -> tuple[dict[str, object], dict[str, bool]]:
    """Return what the rows of a page have in common: values, and what may be done."""
    tile, action = context["tile"], reverse("messaging:tile", args=[context["device"].hex, "gpio"])
    same = {
        "control": bool(context["may"].control),
        "sets": bool(tile.set),
        "gets": bool(tile.get),
        "online": context["lamp"] == "on",
    }
    return {"csrf_token": context.get("csrf_token"), "action": f"{action}#gpio"}, same


def _pin(pin: PinView, *, online: bool) -> dict[str, object]:
    return {
        "number": pin.number,
        "value": pin.value,
        "state": pin.state,
        "title": pin.title,
        "spoken": pin.spoken,
        "read": _read(pin),
        "high": " hi" if pin.high else "",
        "level": pin.level,
        "other": "0" if pin.high else "1",
        "checked": "true" if pin.high else "false",
        "unset": SafeString(" disabled") if pin.value is None or not online else "",
        "quiet": "" if pin.say else HIDDEN,
        "say": pin.say,
    }


def _read(pin: PinView) -> SafeString | str:
    """Say when the value was confirmed, and how long that took."""
    if pin.at is None:
        return "not read yet"
    took = f" · {ms(pin.elapsed_ms)}" if pin.elapsed_ms else ""
    return SafeString(f'<span class="desk">confirmed </span>{age(pin.at)}{took}')


def _both_ways() -> SafeString:
    return SafeString(way(Direction.TO) + way(Direction.FROM))

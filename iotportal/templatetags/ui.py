"""The components of the pages: `{% load ui %}`. Their looks and rules are in docs/design.md, their markup in templates/ui/."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

from django import template
from django.forms import BoundField
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from iotportal.stencil import escaped
from iotportal.words import ago, hours, ms

register = template.Library()

HIDDEN = SafeString(" hidden")  # an attribute that a fragment has or has not

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LAMPS = {"on": "online", "": "offline", "wait": "not heard yet", "bad": "refused"}


@register.filter(name="ms")
def show_ms(value: object, style: str = "") -> str:
    """Write milliseconds; what is none is a dash."""
    return ms(value if isinstance(value, int | float) else None, style)


@register.filter
def thousands(value: int) -> str:
    """Write a number as 1,234."""
    return f"{value:,}"


@register.filter(name="hours")
def show_hours(value: int) -> str:
    """Write seconds as hours and minutes."""
    return hours(value)


@register.simple_tag
@lru_cache(maxsize=256)
def icon(name: str, classes: str = "") -> SafeString:
    """Draw an icon of the sprite; it always stands beside a word or in a control with a label."""
    return format_html(
        '<svg class="i {}" width="20" height="20" aria-hidden="true"><use href="{}#{}"/></svg>',
        classes,
        static("css/icons.svg"),
        name,
    )


@register.simple_tag
@lru_cache(maxsize=64)
def led(state: str, classes: str = "") -> SafeString:
    """Draw a lamp: "on", "" (offline), "wait" (not heard yet) or "bad" (refused)."""
    return format_html('<span class="led {} {}" role="img" aria-label="{}"></span>', state, classes, _LAMPS[state])


@register.simple_tag
@lru_cache(maxsize=4)
def way(direction: str) -> SafeString:
    """Say which way a message went: "to" or "from" the device."""
    arrow, word = ("arrow-down", "To") if direction == "to" else ("arrow-up", "From")
    return format_html('<span class="dir {}">{}{}</span>', direction, icon(arrow), word)


@register.simple_tag
def spark(drawing: Any) -> SafeString | str:
    """Draw a sparkline (`messaging.charts.Spark`); nothing where there is none."""
    if not drawing:
        return ""
    misses = SafeString("".join(f'<path class="miss" d="M{x} 25V29"/>' for x in drawing.misses))  # numbers
    return format_html(
        '<svg class="spark" viewBox="0 0 152 30" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path class="base" d="M0 29H152"/><path d="{}"/>{}</svg>',
        drawing.finding,
        drawing.path,
        misses,
    )


@register.simple_tag
def options(choices: Iterable[tuple[str, str]], selected: object = "") -> SafeString:
    """Draw the options of a long list, much faster than a form's widget does; those of a tuple are the same every time."""
    return _kept_options(choices, str(selected)) if isinstance(choices, tuple) else _options(choices, str(selected))


def _options(choices: Iterable[tuple[str, str]], chosen: str) -> SafeString:
    drawn = (
        f'<option value="{escaped(value)}"{" selected" if value == chosen else ""}>{escaped(label)}</option>'
        for value, label in choices
    )
    return mark_safe("".join(drawn))  # noqa: S308  # both parts are escaped a line above


_kept_options = lru_cache(maxsize=16)(_options)


def _exactly(local: datetime) -> str:
    return f"{_DAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]} {local.year}, {_time(local)}"


def _time(local: datetime) -> str:
    return f"{local.hour:02}:{local.minute:02}:{local.second:02}"  # strftime takes three times as long


@register.filter
def age(value: datetime | None) -> SafeString | str:
    """Say how long ago it was, in an element that goes on ticking; the exact time is its title."""
    if value is None:
        return ""
    exact = _exactly(timezone.localtime(value))
    drawn = f'<time datetime="{value.isoformat()}" title="{exact}" data-age>{ago(value)}</time>'
    return mark_safe(drawn)  # noqa: S308  # all of it is made from a time


@register.filter
def clock(value: datetime | None, style: str = "") -> SafeString | str:
    """Say the time of day, to the millisecond or ("short") to the second, in an element that knows the whole of it."""
    if value is None:
        return ""
    local = timezone.localtime(value)
    thousandths = "" if style else f'<span class="fr">.{local.microsecond // 1000:03d}</span>'
    drawn = f'<time datetime="{value.isoformat()}" title="{_exactly(local)}">{_time(local)}{thousandths}</time>'
    return mark_safe(drawn)  # noqa: S308  # all of it is made from a time


@register.filter
def day(value: datetime | None) -> SafeString | str:
    """Say the date."""
    if value is None:
        return ""
    return format_html('<time datetime="{}">{}</time>', value.isoformat(), date_format(timezone.localtime(value), "j M Y"))


@register.filter
def days_left(value: datetime) -> int:
    """Return the whole days until a time."""
    return (value - timezone.now()).days


@register.filter
def quarters(value: str) -> list[str]:
    """Cut 32 hex digits into the four groups in which people can compare them."""
    return [value[start : start + 8] for start in range(0, len(value), 8)]


@register.filter
def pairs(value: str) -> SafeString:
    """Write a fingerprint as people read it, AB:CD:…, and break lines only between pairs."""
    return format_html_join(mark_safe(":<wbr>"), "{}", ((value[start : start + 2].upper(),) for start in range(0, len(value), 2)))


@register.inclusion_tag("ui/_field.html")
def field(bound: BoundField, **attributes: Any) -> dict[str, Any]:
    """Draw a form field: label, hint beside it, control, error below.

    Keyword arguments become attributes of the control (`_` is `-`, True has no value); `hint` and `classes` are the
    component's own.
    """
    hint = attributes.pop("hint", bound.help_text)
    classes = attributes.pop("classes", "")
    attrs: dict[str, Any] = {key.replace("_", "-"): value for key, value in attributes.items()}
    attrs["class"] = f"in {classes}".strip()
    described = [f"{bound.auto_id}-hint"] * bool(hint) + [f"{bound.auto_id}-error"] * bool(bound.errors)
    if described:
        attrs["aria-describedby"] = " ".join(described)
    if bound.errors:
        attrs["aria-invalid"] = "true"
    return {"field": bound, "control": bound.as_widget(attrs=attrs), "hint": hint}


@register.inclusion_tag("ui/_snip.html")
def snip(key: str, command: str) -> dict[str, str]:
    """Draw the one copyable shell line of a page."""
    return {"id": key, "command": command}


@register.inclusion_tag("ui/_copy.html")
def copy(target: str, label: str, *, word: str = "", classes: str = "") -> dict[str, str]:
    """Draw a button that copies the text of the element with the id `target`."""
    return {"target": target, "label": label, "word": word, "classes": classes}

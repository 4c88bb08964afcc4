"""Numbers and times in words, the same on every page. `static/js/live.js` says ages and times in the same words."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.text import Truncator


def ms(value: float | None, style: str = "") -> str:
    """Write milliseconds: 0.3 ms, 38.4 ms, 184 ms, 6.2 s; in a list ("list") those above 10 ms have no decimal."""
    if value is None:
        return "–"
    if value >= 1000:
        return f"{value / 1000:,.1f} s"
    return f"{value:.0f} ms" if value >= 100 or (style == "list" and value >= 10) else f"{value:.1f} ms"


def seconds(value: float) -> str:
    """Write a time span: 5 s, 4.2 s, 3 min, 2 h, 6 d."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if value >= size * (2 if unit == "min" else 1):
            return f"{int(value // size):,} {unit}"
    return f"{value:.1f}".removesuffix(".0") + " s"


def hours(seconds: float) -> str:
    """Write a time that runs out, never more than there is: 45 s, 12 min, 3 h, 3 h 5 min, 1,200 h."""
    minutes = int(seconds // 60)
    if not minutes:
        return f"{int(seconds)} s"
    parts = [f"{minutes // 60:,} h" if minutes >= 60 else "", f"{minutes % 60} min" if minutes % 60 else ""]
    return " ".join(filter(None, parts))


def wait(left_s: float) -> str:
    """Write how long to wait, never less than it takes: 1 s, 90 s, 3 min, 2 h."""
    for unit, size, most in (("s", 1, 119), ("min", 60, 119), ("h", 3600, 47)):
        if (count := -int(-left_s // size)) <= most:
            return f"{count} {unit}"
    return f"{-int(-left_s // 86400)} d"


def ago(value: datetime, now: datetime | None = None) -> str:
    """Say how long ago something was."""
    passed = max(0.0, ((now or timezone.now()) - value).total_seconds())
    return "just now" if passed < 2 else f"{seconds(int(passed))} ago"


def cut(text: str, length: int) -> str:
    """Return at most `length` characters of a text, the last of them an ellipsis where there were more."""
    return Truncator(text).chars(length) if len(text) > length else text


def plural(number: int, word: str) -> str:
    """Write "1 device" or "1,234 devices"."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"

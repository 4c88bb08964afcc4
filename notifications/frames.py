"""What stands around the words of a mail. Each is a Django template that is rendered once, with gaps for what differs between
mails; filling the gaps is joining strings, which takes microseconds where rendering takes a millisecond.

What is filled in is data: it is escaped for HTML, and no gap is looked for in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from django.template.defaultfilters import linebreaksbr
from django.template.loader import render_to_string
from django.utils.html import escape

_GAP = "\ue000"  # of private use: in no template of ours
_LINES = frozenset({"message"})  # whose line breaks are shown


def fill(name: str, values: Mapping[str, str]) -> tuple[str, str]:
    """Return the text and the HTML of `emails/<name>_message`; what has no value is left out, with what depends on it."""
    given = {key: value for key, value in values.items() if value}
    shown = frozenset(given)
    text = "".join(given[part] if gap else part for gap, part in _parts(f"emails/{name}_message.txt", shown))
    html = "".join(_html(part, given[part]) if gap else part for gap, part in _parts(f"emails/{name}_message.html", shown))
    return text, html


def _html(name: str, value: str) -> str:
    return linebreaksbr(value, autoescape=True) if name in _LINES else escape(value)


@lru_cache(maxsize=64)
def _parts(template: str, shown: frozenset[str]) -> tuple[tuple[bool, str], ...]:
    """Return what a template comes to: fixed words, and the names of its gaps (True)."""
    rendered = render_to_string(template, {name: f"{_GAP}{name}{_GAP}" for name in shown})
    return tuple((bool(place % 2), part) for place, part in enumerate(rendered.strip().split(_GAP)))

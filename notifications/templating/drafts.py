"""Subject, text, short text and HTML with gaps, and the words that they come to: the drafts that are shipped, and filling one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path

from notifications import gaps
from notifications.addresses import clean_message, one_line
from notifications.templating.events import EVENTS, Event
from notifications.templating.languages import Value, written

SUBJECT_KEPT = 200  # characters; less of it is shown
HTML_CHARACTERS = 60_000  # of what a mail's HTML may come to; beyond, it is made of the text
_TEXTS = Path(__file__).resolve().parent.parent / "texts"
_BETWEEN = "\n---\n"


@dataclass(frozen=True, slots=True)
class Draft:
    """What is said of an event, with gaps. Without `short` (of an SMS) it is the text, without `html` it is made of the text."""

    subject: str
    text: str
    short: str = ""
    html: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """What one notification says."""

    subject: str
    text: str
    short: str
    html: str = ""  # within the portal's own; "": made of the text


@lru_cache(maxsize=256)
def shipped(event: str, language: str) -> Draft | None:
    """Return what comes with the portal for an event in a language; None where nothing does."""
    if event not in EVENTS or language not in shipped_languages():
        return None
    file = _TEXTS / language / f"{event}.txt"
    return parse(file.read_text(encoding="utf-8")) if file.is_file() else None


@lru_cache(maxsize=1)
def shipped_languages() -> frozenset[str]:
    """Return the languages that come with the portal."""
    return frozenset(one.name for one in _TEXTS.iterdir() if one.is_dir())


def parse(text: str) -> Draft:
    """Read a file of texts: subject, text, short text and HTML, between them lines of three dashes."""
    parts = [one.strip() for one in f"\n{text}\n".split(_BETWEEN)]
    return Draft(*parts, *[""] * (4 - len(parts)))


def fill(draft: Draft, event: Event, values: Mapping[str, Value], language: str) -> Words:
    """Return the words that a draft comes to. In a subject each value is on one line, in HTML it is escaped, and what others
    wrote is apart from the direction of the words around it (`bdi`).
    """
    said = {one: clean_message(written(value, language)) for one, value in values.items()}
    subject = gaps.fill(draft.subject, {one: one_line(value, SUBJECT_KEPT) for one, value in said.items()})
    html = gaps.fill(draft.html, marked(event, said)) if draft.html else ""
    return Words(
        one_line(subject, SUBJECT_KEPT),
        clean_message(gaps.fill(draft.text, said)),
        clean_message(gaps.fill(draft.short or draft.text, said)),
        html if len(html) <= HTML_CHARACTERS else "",
    )


def marked(event: Event, values: Mapping[str, str]) -> dict[str, str]:
    """Return values as they stand in HTML."""
    foreign = {one.name for one in event.variables if one.foreign}
    shown = {one: escape(value).replace("\n", "<br>") for one, value in values.items()}
    return {one: f"<bdi>{value}</bdi>" if one in foreign else value for one, value in shown.items()}

"""How values are written in the language of who reads them: times, numbers, and the portal's own words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache

from django.utils import dateformat, formats, translation

from iotportal.words import plural

Value = str | Callable[[str], str]  # a text, or what writes one in a language

_DAY, _MOMENT, _SECOND = {"de": "j. F Y"}, {"de": "j. F, H:i"}, {"de": "j. F Y, H:i:s"}
_NOUNS = {
    "de": {
        "minute": ("Minute", "Minuten"),
        "credit": ("Credit", "Credits"),
        "more notification": ("weitere Benachrichtigung", "weitere Benachrichtigungen"),
    }
}
# In English these are said by messaging.reasons, messaging.models.Outcome and notifications themselves.
_PHRASES = {
    "de": {
        "Said goodbye": "hat sich abgemeldet",
        "Went without goodbye": "ist ohne Abmeldung gegangen",
        "Fell silent": "ist verstummt",
        "Broke the rules of MQTT": "hat die Regeln von MQTT verletzt",
        "Stopped reading": "hat nichts mehr gelesen",
        "Replaced by a second connection": "von einer zweiten Verbindung ersetzt",
        "Cut, its certificate was revoked": "getrennt, das Zertifikat wurde widerrufen",
        "Cut, its certificate has ended": "getrennt, das Zertifikat ist abgelaufen",
        "Cut, the device was deleted": "getrennt, das Gerät wurde gelöscht",
        "Cut by an operator": "vom Betreiber getrennt",
        "Cut, it is no longer let in": "getrennt, es wird nicht mehr eingelassen",
        "Cut by the portal": "vom Portal getrennt",
        "The broker was restarted": "der Broker wurde neu gestartet",
        "answered": "beantwortet",
        "no answer": "keine Antwort",
        "malformed answer": "unlesbare Antwort",
        "error from the device": "Fehler vom Gerät",
        "the caller went away": "der Aufrufer ist gegangen",
        "the portal lost the broker": "das Portal hat den Broker verloren",
        "from": "von",
        "from the portal": "vom Portal",
        "an unknown address": "einer unbekannten Adresse",
    }
}


def written(value: Value, language: str) -> str:
    """Return a value as it is written in a language."""
    return value if isinstance(value, str) else value(language)


def day(at: datetime) -> Value:
    """Write a day: 5 November 2026, 5. November 2026."""
    return lambda language: _dated(at, language, _DAY.get(language, "j F Y"))


def moment(at: datetime) -> Value:
    """Write a minute of this year: 5 November, 09:40."""
    return lambda language: _dated(at, language, _MOMENT.get(language, "j F, H:i"))


def second(at: datetime) -> Value:
    """Write a second: 5 November 2026, 09:40:00."""
    whole = at.replace(microsecond=0)  # of a flood many have the same
    return lambda language: _dated(whole, language, _SECOND.get(language, "j F Y, H:i:s"))


def number(value: int) -> Value:
    """Write a number: 1,234 or 1.234."""

    def write(language: str) -> str:
        with translation.override(language):
            return formats.number_format(value, force_grouping=True).replace("\xa0", " ")

    return write


def counted(value: int, noun: str) -> Value:
    """Write how many there are of something: 1 minute, 1,234 credits."""

    def write(language: str) -> str:
        if noun not in _NOUNS.get(language, {}):
            return plural(value, noun)
        one, more = _NOUNS[language][noun]
        return f"{written(number(value), language)} {one if value == 1 else more}"

    return write


def phrase(text: str) -> Value:
    """Write what the portal says in English in another language, where it is known there."""
    return lambda language: _PHRASES.get(language, {}).get(text, text)


@lru_cache(maxsize=256)
def _dated(at: datetime, language: str, pattern: str) -> str:
    with translation.override(language or "en"):
        return dateformat.format(at, pattern)

"""Phone numbers: read as people type them, kept in E.164, shown with blanks."""

from __future__ import annotations

from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

_MISSING = {"AC": "Ascension Island", "TA": "Tristan da Cunha", "XK": "Kosovo"}  # names that the library's list does not have


class NoPhoneNumber(ValueError):
    """What was typed is no number that can be called."""


def _names() -> dict[str, dict[str, str]]:
    """Return the library's names of countries by language, from their file alone: its package holds 100 MB of places besides."""
    path = Path(phonenumbers.__file__).with_name("geodata") / "locale.py"
    spec = spec_from_file_location("phonenumbers.geodata.locale", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be read")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, dict[str, str]] = module.LOCALE_DATA
    return found


@cache
def countries() -> list[tuple[str, str]]:
    """Return (two-letter code, "Sweden +46") of every country, by name."""
    found, known = [], _names()
    for region in phonenumbers.SUPPORTED_REGIONS:
        names = known.get(region, {"en": _MISSING.get(region, region)})
        name = names["en"]
        name = names[name[1:]] if name.startswith("*") else name  # the library's "as in that language"
        found.append((region, f"{name} +{phonenumbers.country_code_for_region(region)}"))
    return sorted(found, key=lambda pair: pair[1])


def parse(number: str, country: str) -> str:
    """Return a number in E.164 ("+46701234567"); `country` is for those typed without +, a two-letter code or "".

    Raises:
        NoPhoneNumber: it is none, or none of that country; the message is for the person.
    """
    if not number.strip().startswith("+") and not country:
        raise NoPhoneNumber("Choose the country, or start the number with +.")
    try:
        found = phonenumbers.parse(number, country or None)
    except NumberParseException as error:
        raise NoPhoneNumber("That is no phone number.") from error
    if not phonenumbers.is_valid_number(found):
        raise NoPhoneNumber("There is no such phone number. Look at the country and count the digits.")
    return phonenumbers.format_number(found, PhoneNumberFormat.E164)


def show(number: str) -> str:
    """Return a number of the database as people read it: "+46 70 123 45 67"."""
    return phonenumbers.format_number(phonenumbers.parse(number), PhoneNumberFormat.INTERNATIONAL) if number else ""


def split(number: str) -> tuple[str, str]:
    """Return country and national number of a number of the database, as the form has them."""
    if not number:
        return "", ""
    found = phonenumbers.parse(number)
    return phonenumbers.region_code_for_number(found) or "", phonenumbers.format_number(found, PhoneNumberFormat.NATIONAL)

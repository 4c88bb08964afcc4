"""Money as whole numbers of the currency's smallest unit, and the words for it."""

from __future__ import annotations

import re

# ISO 4217: currencies without a smaller unit, and those that PayPal takes without decimals.
_WHOLE = frozenset({"CLP", "HUF", "ISK", "JPY", "KRW", "PYG", "RWF", "TWD", "UGX", "VND", "XAF", "XOF"})
_THREE = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
_AMOUNT = re.compile(r"(-?)(\d{1,9})(?:\.(\d{1,3}))?", re.ASCII)


class NotAnAmount(ValueError):
    """The text is no amount of that currency."""


def decimals(currency: str) -> int:
    """Return how many decimals a currency has."""
    return 0 if currency in _WHOLE else 3 if currency in _THREE else 2


def to_text(minor: int, currency: str) -> str:
    """Write an amount as providers take it: 500 of USD is "5.00", of JPY "500"."""
    places = decimals(currency)
    digits = f"{abs(minor):0{places + 1}d}"
    sign = "-" if minor < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


def to_minor(text: str, currency: str) -> int:
    """Read an amount as providers write it; "5.00", "5" and "5.0" of USD are 500.

    Raises:
        NotAnAmount: it is none, or has more decimals than the currency.
    """
    found = _AMOUNT.fullmatch(text)
    places = decimals(currency)
    fraction = (found[3] or "").rstrip("0") if found else ""
    if found is None or len(fraction) > places:
        raise NotAnAmount(f"{text[:20]!r} is no amount of {currency[:3]}.")
    return int(f"{found[1]}{found[2]}{fraction.ljust(places, '0')}")


def words(minor: int, currency: str) -> str:
    """Write an amount for people: "USD 1,234.50"."""
    whole, point, fraction = to_text(minor, currency).partition(".")
    return f"{currency} {int(whole):,}{point}{fraction}" if minor >= 0 else f"-{words(-minor, currency)}"


def percent(basis_points: int) -> str:
    """Write a rate: 1900 is "19 %", 550 "5.5 %"."""
    return f"{basis_points / 100:.2f}".rstrip("0").rstrip(".") + " %"


def tax_included(gross: int, basis_points: int) -> int:
    """Return the tax in a price that includes it, rounded half up."""
    rate = 10_000 + basis_points
    return (2 * gross * basis_points + rate) // (2 * rate)

"""How many parts an SMS has: pure, text in, number out (3GPP TS 23.038, 6.2.1 and 23.040, 9.2.3.24.1).

What the 7-bit alphabet of SMS can write has 160 characters in one part, or 153 in each of several; all else is written in UTF-16,
with 70 units in one part, or 67 in each. Carriers count, and charge the operator for, parts.
"""

from __future__ import annotations

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")  # written as two
_ONE, _SEVERAL = (160, 153), (70, 67)


def is_plain(text: str) -> bool:
    """Say whether the 7-bit alphabet can write a text."""
    return _BASIC.issuperset(set(text) - _EXTENDED)


def parts(text: str) -> int:
    """Return how many parts a text has; an empty one has one. No character is divided between two."""
    if is_plain(text):
        (alone, each), sizes = _ONE, [2 if one in _EXTENDED else 1 for one in text]
    else:
        (alone, each), sizes = _SEVERAL, [2 if ord(one) > 0xFFFF else 1 for one in text]
    if sum(sizes) <= alone:
        return 1
    count, filled = 1, 0
    for size in sizes:
        if filled + size > each:
            count, filled = count + 1, 0
        filled += size
    return count

"""What people may type as names and addresses."""

from __future__ import annotations

import re
import unicodedata

from django.core.exceptions import ValidationError

# Plain ASCII: a user name is read aloud, typed on phones and compared by eye, so it must have no look-alikes.
_USER_NAME = re.compile(r"[A-Za-z0-9._+-]+\Z")
# Marks that turn the direction of text around could make a name read as something else.
_DIRECTION_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Control characters, halves of characters, private and unassigned ones, ends of lines and paragraphs.
_NO_TEXT = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})


def validate_user_name(value: str) -> None:
    """Refuse a user name that is neither plain letters, digits and . _ + - nor shaped like an e-mail address."""
    local, at, domain = value.partition("@")
    if not all(_USER_NAME.match(part) for part in ([local, domain] if at else [local])):
        raise ValidationError("Use letters a to z, digits and . _ + - only, or your own e-mail address.", code="invalid")


def validate_visible_text(value: str) -> None:
    """Refuse control characters, direction marks and their like, which do not show and can mislead."""
    if any(unicodedata.category(letter) in _NO_TEXT or letter in _DIRECTION_MARKS for letter in value):
        raise ValidationError("There is a character in it that cannot be shown.", code="invalid")


def validate_plain_address(value: str) -> None:
    """Refuse an address with letters that only look like plain ones: a mail server would read them as those."""
    if unicodedata.normalize("NFKC", value) != value:
        raise ValidationError("Type the e-mail address in plain letters.", code="invalid")

"""What people may call their devices and pins."""

import unicodedata

DEVICE_NAME_LENGTH = 80
PIN_NAME_LENGTH = 60
PROFILE_NAME_LENGTH = 60

# These turn the reading direction of what follows, so that one name can pass for another.
_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NO_TEXT = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})  # control, surrogate, private, unassigned, line and paragraph ends


class InvalidName(ValueError):
    """A name that cannot be taken; the message is for the person who gave it."""


def is_printable(text: str) -> bool:
    """Say whether every character of a text can be shown, and none turns the direction of what follows."""
    return not any(unicodedata.category(letter) in _NO_TEXT or letter in _TURNING for letter in text)


def clean_name(name: str, *, longest: int = DEVICE_NAME_LENGTH, optional: bool = False) -> str:
    """Return the name as it is stored: composed (NFC) and without blanks around it.

    Raises:
        InvalidName: it is empty (unless `optional`), longer than `longest` characters, or has characters that do not print.
    """
    name = unicodedata.normalize("NFC", name).strip()
    if not is_printable(name):
        raise InvalidName("The name has characters that cannot be shown, such as line breaks.")
    if len(name) > longest:
        raise InvalidName(f"The name has {len(name)} characters; {longest} are the most.")
    if not any(letter.isprintable() and not letter.isspace() for letter in name):
        if not optional or name:
            raise InvalidName("Give it a name that can be read.")
        return ""
    return name

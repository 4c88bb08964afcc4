"""What no password may be, beyond what Django itself refuses."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.core.exceptions import ValidationError

from accounts.models import User

logger = logging.getLogger(__name__)

# What a guesser tries first here. A password may have such a word in it, but not be little else.
CONTEXT_WORDS = (
    "iotportal",
    "iot portal",
    "portal",
    "microcontroller",
    "raspberry",
    "arduino",
    "esp32",
    "ft900",
    "mqtt",
    "rabbitmq",
)
_LEFT = 8  # characters that must remain without such words
_LINE = 64  # no line of the list is longer


class ContextWordsValidator:
    """Refuse a password that is a word of this trade with a little around it (OWASP ASVS 5.0, 6.2.11)."""

    def validate(self, password: str, user: User | None = None) -> None:
        """Check `password`. Raises ValidationError."""
        rest = password.lower()
        for word in CONTEXT_WORDS:
            rest = rest.replace(word, "")
        if rest != password.lower() and len(rest) < _LEFT:
            raise ValidationError("That is too easy to guess for a portal like this one. Add something of your own.")

    def get_help_text(self) -> str:
        """Say what is wanted."""
        return "It must be more than a word that anybody would try here."


class BreachedPasswordsValidator:
    """Refuse a password that is in the list of known ones which the operator keeps (OWASP ASVS 5.0, 6.2.12).

    `BREACHED_PASSWORDS` names the file: SHA-1 sums in hex, one a line, in order, with anything after a colon, as the list of
    haveibeenpwned.com comes. It is searched on disk, by halves: a look costs some 30 reads however long the list is.
    """

    def validate(self, password: str, user: User | None = None) -> None:
        """Check `password`. Raises ValidationError; a list that cannot be read refuses nobody, and is logged."""
        if not settings.BREACHED_PASSWORDS:
            return
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper().encode()
        try:
            with Path(settings.BREACHED_PASSWORDS).open("rb") as lines:
                found = _holds(lines, digest)
        except OSError as error:
            logger.error("The list of breached passwords cannot be read: %s", error)
            return
        if found:
            raise ValidationError(
                "That password is known from a break-in elsewhere. Take another, and change it wherever you use it."
            )

    def get_help_text(self) -> str:
        """Say what is wanted."""
        return "It must not be known from a break-in elsewhere."


def _holds(lines: BinaryIO, digest: bytes) -> bool:
    """Say whether an ordered file has a line that begins with `digest`."""
    low, high = 0, lines.seek(0, 2)
    while low < high:
        middle = (low + high) // 2
        start = max(0, middle - _LINE)
        lines.seek(start)
        before = lines.read(middle - start)
        begin = start + before.rfind(b"\n") + 1 if b"\n" in before else start
        lines.seek(begin)
        line = lines.readline()
        found = line[: len(digest)].upper()
        if found == digest:
            return True
        if found < digest:
            low = begin + len(line)
        else:
            high = begin
    return False

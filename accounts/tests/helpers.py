"""What several tests of accounts type and read."""

from __future__ import annotations

import re

from django.core.mail import EmailMessage

PASSWORD = "green pump 42 runs"

SIGN_UP, SIGN_IN, CODE = "/accounts/signup/", "/accounts/login/", "/accounts/confirm-email/"
RECOVER = "/accounts/password/reset/"
RECOVER_CODE, RECOVER_NEW = f"{RECOVER}confirm/", f"{RECOVER}complete/"


def sign_up_data(**changes: str) -> dict[str, str]:
    """Return a filled-in sign-up form."""
    return {
        "first_name": "Carol",
        "last_name": "Chen",
        "username": "carol",
        "email": "carol@example.org",
        "password1": PASSWORD,
        **changes,
    }


def has_code(mail: EmailMessage) -> bool:
    """Say whether there are six digits in a mail."""
    return re.search(r"\b\d{6}\b", str(mail.body)) is not None


def code_in(mail: EmailMessage) -> str:
    """Return the six digits of a mail."""
    found = re.search(r"\b(\d{6})\b", str(mail.body))
    assert found, mail.body
    return found.group(1)


def other_than(code: str) -> str:
    """Return a code that is wrong."""
    return f"{(int(code) + 1) % 1_000_000:06}"

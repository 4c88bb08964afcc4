"""Forgot user name or password: a mail that names the user and has a code for a new password.

Whether an address belongs to anybody is looked at by a worker, when the mail is written, and again once the right code was typed.
In between a page does the same for every address, so neither what it says nor how long it takes tells who has an account.
"""

from __future__ import annotations

from allauth.account.models import EmailAddress

from accounts import mail
from accounts.models import User


def find_owner(email: str) -> User | None:
    """Return the active user whom a mail to this address reaches: who confirmed it, else who signed up with it.

    An address that somebody only asked to change to is nobody's.
    """
    confirmed = EmailAddress.objects.select_related("user").filter(email=email.lower(), verified=True).first()
    user = confirmed.user if confirmed else User.objects.filter(email=email.lower()).first()
    return user if user is not None and user.is_active else None


def mail_code(*, email: str, code: str) -> None:
    """Send the mail with user name and code, or the one that says that there is no account with this address."""
    user = find_owner(email)
    if user is None:
        mail.send("unknown_account", email, {})
    else:
        mail.send("password_reset_code", email, {"user_name": user.get_username(), "code": code})

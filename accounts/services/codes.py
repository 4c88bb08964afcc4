"""Codes by e-mail; SMS comes from an app on the right."""

from __future__ import annotations

from accounts import mail
from accounts.code_channels import CodeChannel, CodeNotSent, Purpose
from accounts.models import User


class EmailChannel(CodeChannel):
    """Codes in a mail."""

    name = "email"

    def send(self, *, user: User, address: str, code: str, purpose: Purpose) -> None:
        """Send the mail."""
        try:
            mail.send("code", address, {"code": code, "purpose": purpose.value, "user_name": user.get_username()})
        except mail.MailNotTaken as error:
            raise CodeNotSent("The mail could not be sent. Wait a minute, then try again.") from error

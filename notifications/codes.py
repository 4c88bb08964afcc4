"""Codes by SMS, for phone numbers and second factors. They are handed over at once, and stand in no table."""

from __future__ import annotations

from typing import ClassVar

from accounts.code_channels import CodeChannel, CodeNotSent, Purpose
from accounts.models import User
from iotportal.uuid7 import uuid7
from notifications import channels
from notifications.channels.base import Outgoing, SendFailure
from notifications.models import Channel


class SmsCodes(CodeChannel):
    """Sends a code by the first sender that takes it."""

    name: ClassVar[str] = "sms"

    def send(self, *, user: User, address: str, code: str, purpose: Purpose) -> None:
        """Send a code. Raises CodeNotSent."""
        message = Outgoing(uuid7(), address, "", f"{code} is your code to {purpose}. IoT Portal")
        for sender in channels.senders(Channel.SMS):
            try:
                sender.send(message)
            except SendFailure:
                continue
            return
        raise CodeNotSent("The SMS could not be sent. Try again in a minute, or choose another way.")

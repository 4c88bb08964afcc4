"""The ways in which a code gets to a person: by e-mail, by SMS.

Whoever sends codes (phone verification, second factors) asks `find` for the channel and hands it the code; whoever can carry them
registers a channel in `AppConfig.ready`. E-mail is registered by accounts; SMS by an app on the right, once the server has a
sender for it. Until then `find("sms")` is None and pages say that SMS is not set up on this server.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import ClassVar

from accounts.models import User


class Purpose(StrEnum):
    """What a code is for, as the message says it: "Your code to …"."""

    SIGN_IN = "sign in"
    CONFIRM_PHONE = "confirm this phone number"
    CONFIRM_IT_IS_YOU = "confirm that it is you"


class CodeNotSent(Exception):
    """The channel could not take the code; the message is for the person and names no secret."""


class CodeChannel(ABC):
    """One way to send codes."""

    name: ClassVar[str]  # "email" or "sms", as in User.code_factor

    @abstractmethod
    def send(self, *, user: User, address: str, code: str, purpose: Purpose) -> None:
        """Send `code` to `address` (an e-mail address, or a phone number in E.164), to be typed within `CODE_MINUTES`.

        Called once per code, outside of transactions; it may hand the message to a task. How often one person may ask for
        codes is limited by the caller. The code must not be logged.

        Raises:
            CodeNotSent: it cannot be sent.
        """


_channels: dict[str, CodeChannel] = {}


def register(channel: CodeChannel) -> None:
    """Make a channel known; a later one of the same name takes its place."""
    _channels[channel.name] = channel


def find(name: str) -> CodeChannel | None:
    """Return the channel of that name, or None where this server has none."""
    return _channels.get(name)

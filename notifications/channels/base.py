"""What every way of sending has in common: what it is given, and how it says what came of it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from notifications.addresses import one_line


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message, ready to be sent."""

    id: UUID  # of the notification: the same at every try, for whoever can tell a repetition by it
    address: str
    subject: str
    text: str
    html: str = ""
    unsubscribe_url: str = ""


class SendFailure(Exception):
    """It was not sent. `detail`: who said why, bounded, without secrets and without the address."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code  # of notifications.reasons
        self.detail = one_line(detail, 300)

    def leave_out(self, address: str) -> None:
        """Take the recipient out of what a vendor said: its words are kept of the vendor as well, for whoever looks at that."""
        self.detail = re.sub(re.escape(address.removeprefix("+")), "…", self.detail, flags=re.IGNORECASE)


class TemporaryFailure(SendFailure):
    """Another try, or another sender, may do better."""


class SenderAway(TemporaryFailure):
    """This sender takes nothing now, whatever it is."""


class PermanentFailure(SendFailure):
    """No sender would ever deliver this."""


class RefusedHere(PermanentFailure):
    """This sender would never deliver it: it may not write to that country, or so. Another may."""


class Sender(ABC):
    """One configured way to send on one channel. Made once for a batch; used by one thread."""

    channel: ClassVar[str]
    name: str

    @abstractmethod
    def send(self, message: Outgoing) -> str:
        """Send once and return what the vendor calls it, "" if it says nothing.

        Called outside of transactions. It must end within `notifications.services.outbox.SEND_S`, by its own timeouts.

        Raises:
            TemporaryFailure: not now.
            PermanentFailure: never; RefusedHere: never by this one.
        """

    def close(self) -> None:  # noqa: B027 - most hold nothing open
        """Let go of what it keeps open between messages."""

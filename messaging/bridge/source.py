"""Where the bridge's messages come from, whichever broker it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol
from uuid import UUID


class SourceLost(Exception):
    """There is no connection to the broker, or it broke."""


class Incoming(NamedTuple):
    """One delivery of a message.

    `id` is a UUIDv7 of the moment it came in, which becomes the row's id and time. `delivery` is what the broker calls this
    delivery (MQTT's packet id; 0: QoS 0, never acknowledged and never sent again). `redelivered`: the broker has sent it before.
    """

    id: UUID
    topic: str
    payload: bytes
    delivery: int
    redelivered: bool = False
    retained: bool = False
    link: int = 0  # the connection it came over; its acknowledgement makes sense on no other


Deliver = Callable[[list[Incoming]], None]  # those that came together, in their order


class Source(Protocol):
    """A broker session that keeps every message until it is acknowledged.

    The runner calls it from one thread; `deliver` and `lost` are called from whichever thread the source likes.
    """

    session: str  # names the session in the journal

    def connect(self, deliver: Deliver, lost: Callable[[], None]) -> bool:
        """Open one connection; say whether the broker still has our session. Messages may be delivered from now on.

        Raises:
            SourceLost: it cannot be opened.
        """

    def begin(self) -> None:
        """Ask for all messages; called when what a new session makes void has been forgotten.

        Raises:
            SourceLost: the connection broke, or the broker refuses.
        """

    def ack(self, messages: Iterable[Incoming]) -> None:
        """Let the broker forget messages; those that came over an earlier connection are left out."""

    def close(self) -> None:
        """Close the connection, keeping the session."""

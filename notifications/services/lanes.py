"""How much goes out at once, channel by channel: a vendor or a receiver that is slow holds up what goes the same way, no other.

Each channel has places of its own in every process that sends, fewer together than the process has threads, so that there are
always some left for all else that is done there. Nothing is shared between processes: a killed one leaves no place taken.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from notifications.models import Channel
from notifications.services import bell


@dataclass(slots=True)
class Lane:
    """One channel's places in this process: `places` send at once, and each claims `batch` together.

    `batch` is small where one message may take ten seconds: those that were claimed with it wait for it.
    """

    places: int
    batch: int
    _taken: int = 0
    _missed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self) -> bool:
        """Take a place; False if there is none, which whoever leaves next is told."""
        with self._lock:
            if self._taken >= self.places:
                self._missed = True
                return False
            self._taken += 1
            return True

    def leave(self) -> bool:
        """Give the place back; returns whether somebody had none since."""
        with self._lock:
            missed, self._missed = self._missed, False
            self._taken -= 1
            return missed


LANES = {
    Channel.EMAIL: Lane(places=4, batch=50),
    Channel.SMS: Lane(places=2, batch=10),
    Channel.DEVICE: Lane(places=2, batch=50),
    Channel.PUSH: Lane(places=2, batch=10),
    Channel.WEBHOOK: Lane(places=2, batch=5),
    Channel.APPRISE: Lane(places=2, batch=5),
}


@contextmanager
def place(channel: str) -> Iterator[bool]:
    """Have a place in a channel's lane; False if all are taken. Then one of those who have them calls another when it is done."""
    lane = LANES[Channel(channel)]
    if not lane.enter():
        yield False
        return
    try:
        yield True
    finally:
        if lane.leave():
            bell.ring(channel)

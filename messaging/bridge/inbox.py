"""Where messages and commands wait for the writer: bounded, and nobody waits longer than needed."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from messaging.bridge.meaning import Record
from messaging.bridge.source import Incoming

# The broker has at most 2,000 un-acknowledged messages under way to us; only QoS 0 can fill more.
MAX_MESSAGES = 4_000
MAX_RECORDS = 1_000
BATCH = 500
# When messages keep coming, a little patience makes batches out of them: a commit and what follows it cost the same for 1 and for
# 50. At 1,000 messages/s each is on an open page after 7 ms; with twice the patience it was 29. One that comes alone does not
# wait: see the runner's BUSY_PER_S.
LINGER_S = 0.01
LINGER_UNTIL = 50


@dataclass(slots=True)
class Batch:
    """What goes into one transaction."""

    messages: list[Incoming] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.messages) + len(self.records)

    def halves(self) -> tuple[Batch, Batch]:
        """Split in two, keeping the order; only for two or more."""
        if self.messages and self.records:
            return Batch(self.messages), Batch(records=self.records)
        middle = len(self) // 2
        return (
            Batch(self.messages[:middle], self.records[:middle]),
            Batch(self.messages[middle:], self.records[middle:]),
        )


class Inbox:
    """Two queues and one condition; any thread may put, one takes."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._messages: deque[Incoming] = deque()
        self._records: deque[Record] = deque()
        self._woken = False
        self._closed = False
        self.overflowed = 0  # QoS 0 messages that found no room

    def put(self, messages: list[Incoming]) -> None:
        """Add messages that came together. Without room those of QoS 0 are dropped, and others wait, and their connection."""
        with self._condition:
            if len(self._messages) >= MAX_MESSAGES:
                kept = [message for message in messages if message.delivery]
                self.overflowed += len(messages) - len(kept)
                if not kept:
                    return
                messages = kept
                self._condition.wait_for(lambda: self._closed or len(self._messages) < MAX_MESSAGES)
            if self._closed:
                return
            before = len(self._messages)
            self._messages.extend(messages)
            if not before or before < LINGER_UNTIL <= len(self._messages):
                self._condition.notify_all()

    def put_records(self, records: list[Record]) -> None:
        """Add commands; waits for room."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or len(self._records) < MAX_RECORDS)
            if self._closed:
                return
            self._records.extend(records)
            self._condition.notify_all()

    def take(self, wait_s: float, *, busy: bool) -> Batch:
        """Return what waits, at most BATCH of each kind; an empty batch after `wait_s` or a `wake`.

        `busy`: messages have been coming without a pause, so a moment may be spent on a larger batch.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._woken or self._messages or self._records, wait_s)
            if busy and not self._woken and 0 < len(self._messages) < LINGER_UNTIL:
                self._linger()
            self._woken = False
            batch = Batch(_popped(self._messages), _popped(self._records))
            if batch:
                self._condition.notify_all()
            return batch

    def _linger(self) -> None:
        deadline = time.monotonic() + LINGER_S
        self._condition.wait_for(lambda: self._woken or len(self._messages) >= LINGER_UNTIL, deadline - time.monotonic())

    def wake(self) -> None:
        """Make `take` return now."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def clear(self) -> None:
        """Forget the messages, which the broker will send again; the commands stay."""
        with self._condition:
            self._messages.clear()
            self._condition.notify_all()

    def open(self) -> None:
        """Take messages and commands again, beginning empty."""
        with self._condition:
            self._closed = False
            self._messages.clear()
            self._records.clear()

    def close(self) -> None:
        """Forget everything and let nobody wait for room any more."""
        with self._condition:
            self._closed = True
            self._messages.clear()
            self._records.clear()
            self._condition.notify_all()


def _popped(queue: deque[Incoming] | deque[Record]) -> list[Any]:
    return [queue.popleft() for _ in range(min(BATCH, len(queue)))]

"""UUID version 7: identifiers that sort by the time they were made (RFC 9562, section 5.7)."""

import os
import threading
import time
from datetime import UTC, datetime
from uuid import UUID

_lock = threading.Lock()
_last_ns = 0


def uuid7(at: float | None = None) -> UUID:
    """Return a new UUIDv7 for the moment `at` (Unix seconds), or for now, later than any made before by this process.

    The 12 bits after the version hold the fraction of the millisecond (RFC 9562, method 3), so ids order to ~250 ns.
    """
    global _last_ns
    if at is not None:
        now_ns = int(at * 1e9)
    else:
        with _lock:
            now_ns = max(time.time_ns(), _last_ns + 250)
            _last_ns = now_ns
    milliseconds, rest_ns = divmod(now_ns, 1_000_000)
    fraction = rest_ns * 4096 // 1_000_000
    random = int.from_bytes(os.urandom(8)) >> 2
    return UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random)


def time_of(value: UUID) -> datetime:
    """Return the moment a UUIDv7 was made, in UTC, to the microsecond."""
    seconds, rest = divmod(_microseconds(value), 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def seconds_of(value: UUID) -> float:
    """Return the same moment as Unix seconds."""
    return _microseconds(value) / 1_000_000


def _microseconds(value: UUID) -> int:
    milliseconds = value.int >> 80
    fraction = (value.int >> 64) & 0xFFF
    return milliseconds * 1000 + fraction * 1000 // 4096

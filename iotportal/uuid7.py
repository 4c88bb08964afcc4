"""UUID version 7: identifiers that sort by the time they were made (RFC 9562, section 5.7)."""

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POOL_IDS = 128

_lock = threading.Lock()
_last_ns = 0
_pool: list[int] = []  # of the system's randomness, 64 bits each: to ask for it lets other threads in, each time


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
    return UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | _random() >> 2)


def _random() -> int:
    """Return 64 random bits, never the same ones twice."""
    while True:
        try:
            return _pool.pop()
        except IndexError:
            fresh = os.urandom(8 * _POOL_IDS)
            _pool.extend(int.from_bytes(fresh[at : at + 8]) for at in range(0, len(fresh), 8))


os.register_at_fork(after_in_child=_pool.clear)  # the parent has these


def time_of(value: UUID) -> datetime:
    """Return the moment a UUIDv7 was made, in UTC, to the microsecond."""
    return _EPOCH + timedelta(microseconds=_microseconds(value))


def seconds_of(value: UUID) -> float:
    """Return the same moment as Unix seconds."""
    return _microseconds(value) / 1_000_000


def _microseconds(value: UUID) -> int:
    milliseconds = value.int >> 80
    fraction = (value.int >> 64) & 0xFFF
    return milliseconds * 1000 + fraction * 1000 // 4096

"""Which certificates are in use in two places at once: the bookkeeping of connections that push each other out. No I/O.

A certificate has one client id, and a client id one connection: the newer ends the older. A device that lost its link does that
now and then, from where it was before. Two boards with the same files do it from two addresses or, behind one, over and over.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Shared:
    """A certificate in use in two places: from which addresses, how often one connection pushed out another, in how long."""

    fingerprint: str
    addresses: tuple[str, ...]
    times: int
    minutes: int


@dataclass(slots=True)
class _Seen:
    """What is remembered of one certificate."""

    takeovers: deque[tuple[float, str, str]] = field(default_factory=deque)
    quiet_until: float = 0.0


class Takeovers:
    """Counts take-overs of live connections by the same certificate within `window` seconds.

    One from another address tells at once; from the same address only `flaps` of them do, for a device whose link is bad comes
    back while the broker still holds its last connection. What was told is not told again for `quiet` seconds.
    """

    def __init__(self, *, window: float, flaps: int, quiet: float) -> None:
        self._window = window
        self._flaps = flaps
        self._quiet = quiet
        self._seen: dict[str, _Seen] = {}

    def note(self, fingerprint: str, before: str, after: str, now: float) -> Shared | None:
        """Note that a connection from `after` took the place of a live one from `before`; return what is to be told of it."""
        if fingerprint not in self._seen and len(self._seen) >= _KNOWN:
            del self._seen[next(iter(self._seen))]
        seen = self._seen.setdefault(fingerprint, _Seen())
        recent = seen.takeovers
        recent.append((now, before, after))
        while recent[0][0] < now - self._window or len(recent) > 10 * self._flaps:
            recent.popleft()
        elsewhere = any(one != another for _, one, another in recent)
        if now < seen.quiet_until or not (elsewhere or len(recent) >= self._flaps):
            return None
        seen.quiet_until = now + self._quiet
        addresses = tuple(dict.fromkeys(_addresses(recent)))
        return Shared(fingerprint, addresses, len(recent), max(1, round(self._window / 60)))


def _addresses(takeovers: deque[tuple[float, str, str]]) -> Iterator[str]:
    for _, before, after in takeovers:
        yield before
        yield after

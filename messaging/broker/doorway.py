"""Who waits at the door for passwords. Whoever comes there has proven nothing yet, so each look at the registry is bounded."""

from __future__ import annotations

import ipaddress
from collections import Counter


class Doorway:
    """Counts who waits to be let in: `most` in all, `most_of_address` of one address, or /64 with IPv6."""

    def __init__(self, most: int, most_of_address: int) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._waiting: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._waiting.total()

    def enter(self, address: str) -> bool:
        """Let one more of that address wait; False where too many do. Each that may is to `leave`."""
        key = _network(address)
        if self._waiting[key] >= self._most_of_address or self.waiting >= self._most:
            return False
        self._waiting[key] += 1
        return True

    def leave(self, address: str) -> None:
        """Count one less."""
        key = _network(address)
        self._waiting[key] -= 1
        if not self._waiting[key]:
            del self._waiting[key]


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4 or found.ipv4_mapped:
        return str(found)
    return str(ipaddress.ip_network((found, 64), strict=False))

"""How often something may be done by whom, counted in the cache by allauth's rate limits, outside of any request."""

from __future__ import annotations

import time
from dataclasses import dataclass

from allauth.core.internal import ratelimit
from django.core.cache import cache


@dataclass(frozen=True, slots=True)
class Limit:
    """One or more rates in allauth's notation, each per key: "5/5m/key,50/d/key"."""

    name: str
    rates: str

    def allow(self, key: str) -> bool:
        """Count one more, and say whether it may be."""
        return bool(ratelimit.consume(None, **self._where(), key=key, limit_get=True))  # rates per key need no request

    def left(self, key: str) -> int:
        """Return how many more may be now."""
        return min(max(0, int(rate.amount) - len(times)) for rate, times in self._counted(key))

    def wait_s(self, key: str) -> int:
        """Return the seconds until one more may be; 0 if it may be now."""
        now = time.time()
        waits = (times[-1] + rate.duration - now for rate, times in self._counted(key) if len(times) >= rate.amount)
        return int(max(waits, default=0.0) + 0.999)

    def forget(self, key: str) -> None:
        """Begin to count anew."""
        ratelimit.clear(None, **self._where(), key=key)

    def _where(self) -> dict[str, object]:
        return {"app": "accounts", "action": self.name, "config": {self.name: self.rates}}

    def _counted(self, key: str) -> list[tuple[ratelimit.Rate, list[float]]]:
        """Return the rates, each with the times that count for it, the newest first."""
        rates = ratelimit.get_rates(**self._where())
        names = [ratelimit.get_cache_key(None, app="accounts", action=self.name, rate=rate, key=key) for rate in rates]
        kept, now = cache.get_many(names), time.time()
        times = [[at for at in kept.get(name, []) if at > now - rate.duration] for rate, name in zip(rates, names, strict=True)]
        return list(zip(rates, times, strict=True))

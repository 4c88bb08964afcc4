"""How often something may be done by whom, counted in the cache by allauth's rate limits."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from allauth.core.internal import ratelimit
from django.core.cache import cache
from django.http import HttpRequest

Counted = list[tuple[ratelimit.Rate, list[float]]]


@dataclass(frozen=True, slots=True)
class Limit:
    """One or more rates in allauth's notation: "5/5m/key,50/d/key"; without any, those of `ACCOUNT_RATE_LIMITS`.

    Rates per key need no request, those per address do.
    """

    name: str
    rates: str | None = None

    def allow(self, key: str | None = None, request: HttpRequest | None = None) -> bool:
        """Count one more, and say whether it may be."""
        return bool(ratelimit.consume(request, **self._where(), key=key, limit_get=True))

    def left(self, key: str | None = None, request: HttpRequest | None = None) -> int:
        """Return how many more may be now."""
        return min(max(0, int(rate.amount) - len(times)) for rate, times in self._counted(key, request))

    def used_up(self, keys: Iterable[str]) -> set[str]:
        """Return those of the keys for which nothing more may be now; all are looked up at once."""
        where = self._where()
        rates = ratelimit.get_rates(**where)
        names = {
            ratelimit.get_cache_key(None, app=where["app"], action=self.name, rate=rate, key=key): (key, rate)
            for key in keys
            for rate in rates
        }
        now = time.time()
        kept = ((names[name], times) for name, times in cache.get_many(names).items()) if names else ()
        return {key for (key, rate), times in kept if sum(at > now - rate.duration for at in times) >= rate.amount}

    def wait_s(self, key: str | None = None, request: HttpRequest | None = None) -> int:
        """Return the seconds until one more may be; 0 if it may be now."""
        return wait_of(self._counted(key, request))

    def forget(self, key: str) -> None:
        """Begin to count anew."""
        ratelimit.clear(None, **self._where(), key=key)

    def _where(self) -> dict[str, object]:
        if self.rates is None:
            return {"app": "allauth.account", "action": self.name}
        return {"app": "accounts", "action": self.name, "config": {self.name: self.rates}}

    def _counted(self, key: str | None, request: HttpRequest | None) -> Counted:
        """Return the rates, each with the times that count for it, the newest first."""
        where = self._where()
        rates, app = ratelimit.get_rates(**where), where["app"]
        return counted(
            [(rate, ratelimit.get_cache_key(request, app=app, action=self.name, rate=rate, key=key)) for rate in rates]
        )


def counted(limits: Sequence[tuple[ratelimit.Rate, str]]) -> Counted:
    """Return rates, each given with the name of its counter, each with the times that count for it, the newest first."""
    kept, now = cache.get_many([name for _, name in limits]), time.time()
    return [(rate, [at for at in kept.get(name, []) if at > now - rate.duration]) for rate, name in limits]


def wait_of(counts: Counted) -> int:
    """Return the seconds until there may be one more of each; 0 if there may be now."""
    now = time.time()
    waits = (times[-1] + rate.duration - now for rate, times in counts if len(times) >= rate.amount)
    return int(max(waits, default=0.0) + 0.999)

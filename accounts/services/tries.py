"""How often a password may be tried, so that a botnet can neither guess one nor lock its owner out.

Every try counts against where it comes from and which name was typed:

- A **known** origin has a counter of its own for each name. Known is a browser on which that name has signed in before (it holds
  a signed cookie), a session of that very user, or an address from which the name has signed in within the last three months.
- All **strangers** together share one counter for each name, however many addresses they have: that bounds guessing. What they
  use up is theirs alone; the owner signs in from what is known, or makes a browser known with a code by mail.
- Strangers also have a counter for each address, over all names.
- Right ones count as well, once for all names: passwords take a processor's time.

The name is what was typed, so an unknown name is counted as a known one is, and nothing is looked up that could tell the two
apart. A try is counted before the password is looked at, so that many at once get no more; a right password takes it back.
"""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from allauth.core.internal import ratelimit
from allauth.core.internal.ratelimit import RateLimitUsage
from django.conf import settings
from django.core.cache import cache
from django.utils.crypto import salted_hmac

ADDRESS_KNOWN_FOR = timedelta(days=90)
_ADDRESSES_KEPT = 20
_APP = "accounts"


class TriesUsedUp(Exception):
    """There were too many; the next one is looked at in `wait_s` seconds."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"{wait_s} s")
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a try comes from: a network address, and the mark of a browser or session that the name is known on ("" if none)."""

    address: str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Try:
    """A try that counts, unless it is taken back."""

    usage: RateLimitUsage
    left: int

    def take_back(self) -> None:
        """Count it no longer: the password was right."""
        self.usage.rollback()


def name_hash(name: str) -> str:
    """Return what stands for a name in cookies and keys: names are compared without case, and not kept."""
    return salted_hmac("accounts.tries", name.strip().lower()).hexdigest()[:20]


def begin(kind: str, *, name: str, origin: Origin) -> Try:
    """Count a try to do something with a name, before its password is looked at or its mail is sent.

    `kind` is a key of `settings.TRIES`, which has the limits for known origins, strangers and their addresses.

    Raises:
        TriesUsedUp: nothing may be tried now.
    """
    hashed = name_hash(name)
    mark = origin.mark or (origin.address if origin.address in _addresses(hashed) else "")
    _count(kind, "all", mark or origin.address)
    counters = {"known": f"{hashed}:{mark}"} if mark else {"address": origin.address, "strangers": hashed}
    usage, left = RateLimitUsage(usage=[]), []
    for whose, key in counters.items():  # an address that may not go on uses up nothing of the other strangers' tries
        usage.usage += _count(kind, whose, key).usage
        left += [int(rate.amount) - len(times) for rate, times in _times(key, **_limit(kind, whose))]
    return Try(usage, max(0, min(left)))


def know_address(*, names: tuple[str, ...], address: str) -> None:
    """Remember that the owner of these names has signed in from an address."""
    for hashed in map(name_hash, names):
        others = [one for one in _addresses(hashed) if one != address]
        cache.set(_address_key(hashed), [address, *others][:_ADDRESSES_KEPT], ADDRESS_KNOWN_FOR.total_seconds())


def forget_addresses(*, names: tuple[str, ...]) -> None:
    """Forget from where the owner of these names has signed in."""
    cache.delete_many([_address_key(name_hash(name)) for name in names])


def forget(*, names: tuple[str, ...]) -> None:
    """Count anew for these names: what strangers used up together, and each address from which their owner has signed in."""
    for kind in settings.TRIES:
        for hashed in map(name_hash, names):
            ratelimit.clear(None, key=hashed, **_limit(kind, "strangers"))
            for address in _addresses(hashed):
                ratelimit.clear(None, key=f"{hashed}:{address}", **_limit(kind, "known"))


def used_up(kind: str, names: list[str]) -> set[str]:
    """Return those of the names with which strangers may try no more now; all are looked up at once."""
    limit = _limit(kind, "strangers")
    counters: dict[tuple[str, str], ratelimit.Rate] = {}
    for name in names:
        for rate in ratelimit.get_rates(**limit):
            where = {"app": limit["app"], "action": limit["action"], "rate": rate, "key": name_hash(name)}
            counters[name, ratelimit.get_cache_key(None, **where)] = rate
    kept, now = cache.get_many([key for _, key in counters]), time.time()
    counted = {(name, key): sum(at > now - rate.duration for at in kept.get(key, [])) for (name, key), rate in counters.items()}
    return {name for (name, key), rate in counters.items() if counted[name, key] >= rate.amount}


def network(address: str) -> str:
    """Return what counts as one address: of IPv6 the network, in which one household has as many addresses as it likes."""
    return str(ratelimit.truncate_ip(str(ipaddress.ip_address(address.partition("%")[0]))))


def _count(kind: str, whose: str, key: str) -> RateLimitUsage:
    limit = _limit(kind, whose)
    used = ratelimit.consume(None, key=key, limit_get=True, **limit)  # without limits by address it needs no request
    if used is None:
        raise TriesUsedUp(_wait_s(key, **limit))
    return used


def _limit(kind: str, whose: str) -> dict[str, Any]:
    return {"app": _APP, "action": f"{kind}_{whose}", "config": {f"{kind}_{whose}": settings.TRIES[kind][whose]}}


def _addresses(hashed: str) -> list[str]:
    found: list[str] = cache.get(_address_key(hashed), [])
    return found


def _address_key(hashed: str) -> str:
    return f"known-addresses:{hashed}"


def _times(key: str, *, app: str, action: str, config: dict[str, str]) -> list[tuple[ratelimit.Rate, list[float]]]:
    """Return the limits of a counter, each with the times of the tries that count for it, the newest first."""
    rates = ratelimit.get_rates(app=app, action=action, config=config)
    keys = [ratelimit.get_cache_key(None, app=app, action=action, rate=rate, key=key) for rate in rates]
    kept, now = cache.get_many(keys), time.time()
    return [(rate, [at for at in kept.get(name, []) if at > now - rate.duration]) for rate, name in zip(rates, keys, strict=True)]


def _wait_s(key: str, *, app: str, action: str, config: dict[str, str]) -> int:
    full = [
        times[-1] + rate.duration - time.time()
        for rate, times in _times(key, app=app, action=action, config=config)
        if len(times) >= rate.amount
    ]
    return max(1, int(max(full, default=0.0)) + 1)

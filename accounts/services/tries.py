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

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from allauth.core.internal import ratelimit
from django.conf import settings
from django.core.cache import cache

from iotportal import windows
from iotportal.windows import Counted, Counter

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

    counted: Counted
    left: int

    def take_back(self) -> None:
        """Count it no longer: the password was right. That it was made stays counted, for a hash takes a processor's time."""
        self.counted.take_back(self.counted.counters[1:])

    rollback = take_back  # as allauth calls it


def name_hash(name: str) -> str:
    """Return what stands for a name in cookies and keys: names are compared without case, and not kept."""
    return hmac.digest(_key(settings.SECRET_KEY), name.strip().lower().encode(errors="replace"), "sha256").hex()[:20]


@lru_cache(maxsize=1)
def _key(secret: str) -> bytes:
    """Return the key, once: Django's `salted_hmac` makes it for each name, and an operator's list has thousands."""
    return hashlib.sha256(f"accounts.tries{secret}".encode()).digest()


def begin(kind: str, *, name: str, origin: Origin) -> Try:
    """Count a try to do something with a name, before its password is looked at or its mail is sent.

    `kind` is a key of `settings.TRIES`, which has the limits for known origins, strangers and their addresses.

    Raises:
        TriesUsedUp: nothing may be tried now.
    """
    hashed = name_hash(name)
    mark = origin.mark or (origin.address if origin.address in _addresses(hashed) else "")
    counters = [_counter(kind, "all", mark or origin.address)]
    if mark:
        counters.append(_counter(kind, "known", f"{hashed}:{mark}"))
    else:  # in this order: an address that may not go on uses up nothing of the other strangers' tries
        counters += [_counter(kind, "address", origin.address), _counter(kind, "strangers", hashed)]
    try:
        counted = windows.count(kind, counters)
    except windows.Full as error:
        raise TriesUsedUp(error.wait_s) from error
    return Try(counted, min(counted.left[1:]))


def know_address(*, names: tuple[str, ...], address: str) -> None:
    """Remember that the owner of these names has signed in from an address."""
    keys = [_address_key(name_hash(name)) for name in names]
    before = cache.get_many(keys)
    others = {key: [one for one in before.get(key, []) if one != address] for key in keys}
    known = {key: [address, *more][:_ADDRESSES_KEPT] for key, more in others.items()}
    cache.set_many(known, int(ADDRESS_KNOWN_FOR.total_seconds()))


def forget_addresses(*, names: tuple[str, ...]) -> None:
    """Forget from where the owner of these names has signed in."""
    cache.delete_many([_address_key(name_hash(name)) for name in names])


def forget(*, names: tuple[str, ...]) -> None:
    """Count anew for these names: what strangers used up together, and each address from which their owner has signed in."""
    for kind in settings.TRIES:
        for hashed in map(name_hash, names):
            known = [_counter(kind, "known", f"{hashed}:{address}") for address in _addresses(hashed)]
            windows.clear(kind, [_counter(kind, "strangers", hashed), *known])


def used_up(kind: str, names: Iterable[str]) -> set[str]:
    """Return those of the names with which strangers may try no more now."""
    full = windows.full(kind)
    return {name for name in names if name_hash(name) in full} if full else set()


def network(address: str) -> str:
    """Return what counts as one address: of IPv6 the network, in which one household has as many addresses as it likes."""
    return str(ratelimit.truncate_ip(str(ipaddress.ip_address(address.partition("%")[0]))))


def _counter(kind: str, whose: str, key: str) -> Counter:
    return Counter(f"{kind}_{whose}:{key}", _rates(settings.TRIES[kind][whose]), mark=key if whose == "strangers" else "")


@lru_cache(maxsize=64)
def _rates(text: str) -> tuple[tuple[int, float], ...]:
    return tuple((rate.amount, rate.duration) for rate in ratelimit.parse_rates(text))


def _addresses(hashed: str) -> list[str]:
    found: list[str] = cache.get(_address_key(hashed), [])
    return found


def _address_key(hashed: str) -> str:
    return f"known-addresses:{hashed}"

"""How often an address may come with a token or a sign-in that is not known, before nobody looks for it any more.

One counter an address and window, in Valkey, for whatever takes tokens: DRF, and the command path beside it. The bound is that of
requests without signing in (`PORTAL_THROTTLE_ANON`), for that is what they are.
"""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from functools import lru_cache

from django.core.cache import cache
from rest_framework.settings import api_settings

from iotportal.problems import Problem

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Window:
    """One address's counter for the present window. `key` as it stands in Valkey, `name` as Django's cache knows it."""

    name: str
    limit: int
    seconds: int
    left_s: int

    @property
    def key(self) -> str:
        """The key in Valkey."""
        return cache.make_key(self.name)

    @property
    def kept_s(self) -> int:
        """How long the counter is kept: past the window's end, so that what is taken back finds it."""
        return self.seconds + 60

    def refusal(self) -> Problem:
        """Return the answer to one more when the window is full."""
        return Problem(
            429, "throttled", "Too many requests with a token that is not known. Wait a little.", retry_after_s=self.left_s
        )


def failures(address: str) -> Window:
    """Return the counter of the failed sign-ins of `address`, as `client_address` returns it."""
    limit, seconds = _rate(api_settings.DEFAULT_THROTTLE_RATES["anon"])
    now = time.time()
    return Window(f"failed:{_neighbourhood(address)}:{int(now // seconds)}", limit, seconds, max(1, int(seconds - now % seconds)))


def refuse_flood(address: str) -> None:
    """Refuse an address whose window is full.

    Raises:
        Problem: 429 with the time to wait.
    """
    window = failures(address)
    if int(cache.get(window.name) or 0) >= window.limit:
        raise window.refusal()


def count_failure(address: str) -> None:
    """Note that `address` came with something that is not known."""
    window = failures(address)
    cache.add(window.name, 0, window.kept_s)
    cache.incr(window.name)


def client_address(peer: str | None, forwarded: str | None) -> str:
    """Return whose request it is, as DRF's throttles tell it.

    Args:
        peer: the other end of the connection.
        forwarded: the X-Forwarded-For header. Without a proxy of ours (`NUM_PROXIES`) anybody can write anything there; of its
            addresses, the ones that our own proxies added are the last.
    """
    proxies = api_settings.NUM_PROXIES
    if not proxies or forwarded is None:
        return peer or ""
    addresses = forwarded.split(",")
    return addresses[-min(proxies, len(addresses))].strip()


def _neighbourhood(address: str) -> str:
    """Return what is counted as one: an IPv4 address, or the network of an IPv6 address, of which everybody has many."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped is not None:
            return str(known.ipv4_mapped)
        return str(ipaddress.ip_network((known, 64), strict=False).network_address)
    return str(known)


@lru_cache(maxsize=4)
def _rate(text: str) -> tuple[int, int]:
    """Read a rate as DRF writes it: "60/min" is (60, 60 s)."""
    number, _, period = text.partition("/")
    return int(number), _SECONDS[period[0]]


def count_tries(kind: str, limits: dict[str, tuple[int, int]], who: dict[str, str]) -> list[Window]:
    """Count a try of something that can be guessed, for each of `who`, before it is looked at; so many at once get no more.

    Args:
        kind: what is tried, in the keys' names.
        limits: tries and seconds, by the same names as `who`; "address" is counted by its neighbourhood.
        who: whose tries these are.

    Raises:
        Problem: 429 with the time to wait.
    """
    now, windows = time.time(), []
    for name, (limit, seconds) in limits.items():
        key = _neighbourhood(who[name]) if name == "address" else who[name]
        counter = f"tries:{kind}:{name}:{key}:{int(now // seconds)}"
        window = Window(counter, limit, seconds, max(1, int(seconds - now % seconds)))
        cache.add(window.name, 0, window.kept_s)
        if cache.incr(window.name) > limit:
            raise Problem(429, "throttled", "Too many tries. Wait before the next one.", retry_after_s=window.left_s)
        windows.append(window)
    return windows


def take_back(windows: list[Window]) -> None:
    """Count a try no longer: it was right."""
    for window in windows:
        cache.decr(window.name)

"""What happens between the rendering of a page and its live link being up, so that no page misses it.

Every publishing of live events leaves the time at each group that it tells. A page carries the time before its first query
(`data-since`) and says it when it subscribes; an event that the queries could not see left its time later than that,
and one that leaves it after the look was told to the subscriber. All times are by Valkey's one clock, in microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import cast

import redis
from django.http import HttpRequest, HttpResponse

from messaging import cache

KEPT_S = 900  # a page whose link takes longer than that is told that something changed
_MARK = """
local now = redis.call('TIME')
for _, key in ipairs(KEYS) do redis.call('SET', key, now[1] * 1000000 + now[2], 'EX', ARGV[1]) end
"""


def mark(pipe: redis.client.Pipeline, groups: Collection[str]) -> None:
    """Leave the time at the groups that are about to be told something."""
    if groups:
        pipe.eval(_MARK, len(groups), *map(_key, groups), KEPT_S)


def now() -> int:
    """Return the time by Valkey's clock, in microseconds since 1970. Raises redis.RedisError."""
    seconds, microseconds = cache.client().time()
    return seconds * 1_000_000 + microseconds


def changed(groups: Collection[str], since: object) -> bool:
    """Whether any of the groups was told something at or after `since`, as `data-since` has it; so too when nobody knows."""
    try:
        then = int(str(since))
        if not 0 <= now() - then < (KEPT_S - 60) * 1_000_000:
            return True
        told = cast("list[str | None]", cache.client().mget(map(_key, groups))) if groups else []
    except (ValueError, redis.RedisError):
        return True
    return any(int(time) >= then for time in told if time)


def timed(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Give a page that a browser asks for the time before its queries."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if "text/html" in request.headers.get("Accept", ""):
            try:
                request.live_since = now()  # type: ignore[attr-defined]  # for base.html
            except redis.RedisError:  # the page is shown; its link will find that nobody knows
                request.live_since = 0  # type: ignore[attr-defined]  # for base.html
        return get_response(request)

    return middleware


def _key(group: str) -> str:
    return f"told:{group}"

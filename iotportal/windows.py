"""Sliding windows in Valkey: how often something was done of late, counted and, if it was too often, refused in one go.

A counter is a sorted set of the times (ms) at which something was done. It may have several rates: five in five minutes and fifty
a day. What is refused is not counted. A counter with a `mark` is listed under `list_name` by that mark for as long as it is
full, so that the full ones of a kind are found without asking for each.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.core.cache import cache as django_cache

from iotportal.cache import valkey

# Of each use, one after the other: its id and how many counters it has; of each of these its mark and its rates. Answered for
# each use: the time to wait, 0 for none, and what its counters have left. What has counted by its id does not count again.
_COUNT = """
local now, at, n, answers = tonumber(ARGV[1]), 2, 2, {}

local function enter(key, id)
  local mark, rates, wait, longest, known = ARGV[at], {}, 0, 0, redis.call('ZSCORE', key, id)
  for rate = 1, tonumber(ARGV[at + 1]) do
    local amount, window = tonumber(ARGV[at + 2 * rate]), tonumber(ARGV[at + 2 * rate + 1])
    local room = amount - redis.call('ZCOUNT', key, '(' .. (now - window), '+inf')
    if room <= 0 and not known then
      wait = math.max(wait, redis.call('ZREVRANGE', key, amount - 1, amount - 1, 'WITHSCORES')[2] + window - now)
    end
    longest = math.max(longest, window)
    rates[rate] = {amount, window, known and room or room - 1}
  end
  if wait > 0 then
    return wait, 0
  end
  if not known then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now - longest)
    redis.call('ZADD', key, now, id)
    redis.call('PEXPIRE', key, longest)
  end
  local left, full_until = math.huge, 0
  for _, rate in ipairs(rates) do
    left = math.min(left, rate[3])
    if rate[3] == 0 then
      full_until = math.max(full_until, redis.call('ZREVRANGE', key, rate[1] - 1, rate[1] - 1, 'WITHSCORES')[2] + rate[2])
    end
  end
  if mark ~= '' and left == 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
    redis.call('ZADD', KEYS[1], full_until, mark)
    redis.call('PEXPIREAT', KEYS[1], redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2])
  end
  return 0, left
end

while at <= #ARGV do
  local id, last, answer = ARGV[at], n + tonumber(ARGV[at + 1]) - 1, {0}
  at = at + 2
  while n <= last do
    if answer[1] == 0 then
      answer[1], answer[#answer + 1] = enter(KEYS[n], id)
    end
    at, n = at + 2 + 2 * tonumber(ARGV[at + 1]), n + 1
  end
  answers[#answers + 1] = answer
end
return answers
"""

_TAKE_BACK = """
for n = 2, #KEYS do
  if redis.call('ZREM', KEYS[n], ARGV[1]) == 1 and ARGV[n] ~= '' then
    redis.call('ZREM', KEYS[1], ARGV[n])
  end
end
"""


class Full(Exception):
    """It was done too often; the next time is in `wait_s` seconds."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"{wait_s} s")
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Counter:
    """What is counted: its name, its rates (how often, in so many seconds), and how it is listed while it is full."""

    name: str
    rates: tuple[tuple[int, float], ...]
    mark: str = ""

    @property
    def key(self) -> str:
        """The key in Valkey."""
        return django_cache.make_key(f"window:{self.name}")


@dataclass(frozen=True, slots=True)
class Counted:
    """One time that was counted. `left`: how many more each counter takes now, in their order."""

    list_name: str
    counters: tuple[Counter, ...]
    id: str
    left: tuple[int, ...]

    def take_back(self, counters: Iterable[Counter]) -> None:
        """Count it no longer for these."""
        back = tuple(counters)
        keys = [_list_key(self.list_name), *(one.key for one in back)]
        _script(_TAKE_BACK)(keys, [self.id, *(one.mark for one in back)])


def count(list_name: str, counters: Sequence[Counter]) -> Counted:
    """Count one more for each counter in turn, up to the first that is full.

    Raises:
        Full: one is; those before it have counted.
    """
    token = secrets.token_hex(8)
    ((wait_s, left),) = _count(list_name, [(token, counters)])
    if wait_s:
        raise Full(wait_s)
    return Counted(list_name, tuple(counters), token, left)


def count_each(list_name: str, uses: Iterable[tuple[str, Sequence[Counter]]]) -> list[int]:
    """Count many uses in one trip, each as `count` does, by an id of its own; returns how long each has to wait, 0 for one that
    counted.

    An id counts once for a counter: of what is counted again because nobody knew that it was, nothing changes.
    """
    return [wait_s for wait_s, _ in _count(list_name, uses)]


def _count(list_name: str, uses: Iterable[tuple[str, Sequence[Counter]]]) -> list[tuple[int, tuple[int, ...]]]:
    keys, arguments = [_list_key(list_name)], list[str | int]([int(time.time() * 1000)])
    for token, counters in uses:
        arguments += [token, len(counters)]
        for counter in counters:
            keys.append(counter.key)
            arguments += [counter.mark, len(counter.rates)]
            arguments += [int(number) for amount, seconds in counter.rates for number in (amount, seconds * 1000)]
    answers = _script(_COUNT)(keys, arguments)
    return [(-(-int(wait_ms) // 1000), tuple(int(one) for one in left)) for wait_ms, *left in answers]


def full(list_name: str) -> set[str]:
    """Return the marks of the counters that are full now."""
    marks: Any = valkey().zrangebyscore(_list_key(list_name), f"({int(time.time() * 1000)}", "+inf")
    return {mark.decode() for mark in marks}


def clear(list_name: str, counters: Iterable[Counter]) -> None:
    """Count anew."""
    with valkey().pipeline() as pipe:
        for counter in counters:
            pipe.delete(counter.key)
            pipe.zrem(_list_key(list_name), counter.mark)
        pipe.execute()


def _list_key(name: str) -> str:
    return django_cache.make_key(f"window-full:{name}")


@cache
def _script(source: str) -> Any:
    return valkey().register_script(source)

"""Waking whoever sends: a worker that has just sent something stays a moment, and is rung up before another is called.

A task through the queue costs several milliseconds and a new connection to the mail server; a word to one who waits costs one
trip to Valkey. At most one waits in the whole portal for each channel, so idle ones take nobody's place. One that is killed while
it waits is rung for nothing once; what it was rung for is found by the sweep.
"""

from __future__ import annotations

import logging
import secrets
from functools import cache
from typing import Any

import redis
from kombu.exceptions import OperationalError

from iotportal.cache import valkey

logger = logging.getLogger(__name__)

_CALLED = "notifications:wake:{}"  # by channel: set while a worker has been called and has not begun yet
_CALLED_S = 5
_WAITING = "notifications:waiting:{}"  # by channel: who waits, the name of their bell
_SLACK_MS = 1_000

_RING = """
local bell = redis.call('GET', KEYS[1])
if bell then
  redis.call('DEL', KEYS[1])
  redis.call('RPUSH', bell, 1)
  redis.call('PEXPIRE', bell, 10000)
  return 0
end
return redis.call('SET', KEYS[2], 1, 'NX', 'EX', ARGV[1]) and 1 or 0
"""
_LEAVE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


def ring(channel: str) -> None:
    """Have what is due on a channel sent at once. After the commit."""
    from notifications import tasks  # it imports services

    try:
        if _script(_RING)([_WAITING.format(channel), _CALLED.format(channel)], [_CALLED_S], client=valkey()):
            tasks.deliver.apply_async((channel,), expires=60)
    except (OperationalError, redis.RedisError) as error:
        logger.warning("no worker could be told of notifications: %s", type(error).__name__)


def answer(channel: str) -> None:
    """Say that a called worker has begun: whoever brings more from here on calls another."""
    valkey().delete(_CALLED.format(channel))


def wait(channel: str, seconds: float) -> bool:
    """Wait to be rung up; False if nobody did, or if another waits already."""
    bell, waiting = f"notifications:bell:{secrets.token_hex(8)}", _WAITING.format(channel)
    try:
        if not valkey().set(waiting, bell, nx=True, px=int(seconds * 1000) + _SLACK_MS):
            return False
        return valkey().blpop([bell], timeout=seconds) is not None or not _script(_LEAVE)([waiting], [bell], client=valkey())
    except redis.RedisError as error:
        logger.warning("nobody can be waited for: %s", type(error).__name__)
        return False


@cache
def _script(source: str) -> Any:
    return valkey().register_script(source)

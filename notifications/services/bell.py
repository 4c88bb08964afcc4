"""Waking whoever sends: a worker that has just sent something stays a moment, and is rung up before another is called.

A task through the queue costs several milliseconds and a new connection to the mail server; a word to one who waits costs one
trip to Valkey. At most one waits in the whole portal, so idle ones take nobody's place. One that is killed while it waits is
rung for nothing once; what it was rung for is found by the sweep.
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

_CALLED = "notifications:wake"  # set while a worker has been called and has not begun yet
_CALLED_S = 5
_WAITING = "notifications:waiting"  # who waits: the name of their bell
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


def ring() -> None:
    """Have what is due sent at once. After the commit."""
    from notifications import tasks  # it imports services

    try:
        if _script(_RING)([_WAITING, _CALLED], [_CALLED_S], client=valkey()):
            tasks.deliver.apply_async(expires=60)
    except (OperationalError, redis.RedisError) as error:
        logger.warning("no worker could be told of notifications: %s", type(error).__name__)


def answer() -> None:
    """Say that a called worker has begun: whoever brings more from here on calls another."""
    valkey().delete(_CALLED)


def wait(seconds: float) -> bool:
    """Wait to be rung up; False if nobody did, or if another waits already."""
    bell = f"notifications:bell:{secrets.token_hex(8)}"
    try:
        if not valkey().set(_WAITING, bell, nx=True, px=int(seconds * 1000) + _SLACK_MS):
            return False
        return valkey().blpop([bell], timeout=seconds) is not None or not _script(_LEAVE)([_WAITING], [bell], client=valkey())
    except redis.RedisError as error:
        logger.warning("nobody can be waited for: %s", type(error).__name__)
        return False


@cache
def _script(source: str) -> Any:
    return valkey().register_script(source)

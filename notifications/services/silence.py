"""Receivers that gave no answer: left alone for a while, longer each time, so that one of them does not keep all the others of
its channel waiting for its time-outs. One word of it and it is well again.

A receiver is named together with whose it is: what somebody has to do with a host is no other account's business. Valkey keeps
it; without, everybody is asked.
"""

from __future__ import annotations

import logging
import time

import redis

from iotportal.cache import valkey

logger = logging.getLogger(__name__)

_FIRST_S, _LONGEST_S = 30, 600
_FORGOTTEN_S = 3600


def is_left_alone(receiver: str) -> bool:
    """Say whether a receiver gave no answer a moment ago."""
    try:
        return _known(receiver)[1] > time.time()
    except redis.RedisError as error:
        logger.warning("nobody can say who was silent: %s", type(error).__name__)
        return False


def silent(receiver: str) -> None:
    """Note that a receiver gave no answer."""
    try:
        times = _known(receiver)[0] + 1
        until = int(time.time()) + min(_FIRST_S * 2 ** (times - 1), _LONGEST_S)
        valkey().set(_key(receiver), f"{times} {until}", ex=_FORGOTTEN_S)
    except redis.RedisError as error:
        logger.warning("nobody can note who was silent: %s", type(error).__name__)


def answered(receiver: str) -> None:
    """Note that a receiver answered, whatever."""
    try:
        valkey().delete(_key(receiver))
    except redis.RedisError as error:
        logger.warning("nobody can note who answered: %s", type(error).__name__)


def _known(receiver: str) -> tuple[int, int]:
    """Return how often it was silent, one time after the other, and until when it is left alone (Unix seconds)."""
    found = valkey().get(_key(receiver))
    if not isinstance(found, bytes):
        return 0, 0
    times, until = found.split()
    return int(times), int(until)


def _key(receiver: str) -> str:
    return f"notifications:silent:{receiver}"

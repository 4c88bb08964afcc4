"""What a page asks of the process that runs the emulators, over Valkey, and its answer.

An order is published as JSON and names a list of its own, into which the process puts one text: empty where it was done, else why
not. A page waits for that, so what it then shows is what the board became. Why the process ended an emulator it leaves in Valkey,
and the page says so until somebody starts it again.
"""

from __future__ import annotations

import json
import secrets
from typing import Any
from uuid import UUID

from messaging import cache

CHANNEL = "emulators"
ANSWER_S = 3  # a process that runs answers within milliseconds
ANSWER_PREFIX = "emulators:answer:"
WORD_S = 3600  # for which a page says why its emulator ended


class Away(Exception):
    """No process runs emulators now, or it does not answer."""

    def __str__(self) -> str:
        return "Nothing answers that runs emulators. It may be starting again: try in a few seconds."


class Refused(Exception):
    """The board cannot do that; the text says why."""


def order(device_id: UUID, do: str, **more: Any) -> None:
    """Have something done at a running emulator, and wait until it is.

    Raises:
        Refused: the board cannot do that.
        Away: nobody did it.
        redis.RedisError
    """
    key = ANSWER_PREFIX + secrets.token_hex(16)
    link = cache.client()
    if not link.publish(CHANNEL, json.dumps({"device": device_id.hex, "do": do, "answer": key, **more})):
        raise Away
    answer = link.blpop([key], timeout=ANSWER_S)
    if answer is None:
        raise Away
    if answer[1]:
        raise Refused(answer[1])


def word_key(device_id: UUID) -> str:
    """Return the key of why a device's emulator ended."""
    return f"emulators:word:{device_id.hex}"


def last_word(device_id: UUID) -> str:
    """Return why the process ended a device's emulator; "" if it did not. Raises redis.RedisError."""
    return str(cache.client().get(word_key(device_id)) or "")


def forget_word(device_id: UUID) -> None:
    """Have nothing said any more: it is started anew. Raises redis.RedisError."""
    cache.client().delete(word_key(device_id))


def somebody_listens() -> bool:
    """Whether a process runs emulators now. Raises redis.RedisError."""
    return bool(cache.client().pubsub_numsub(CHANNEL)[0][1])


def nudge() -> None:
    """Have the process look at once what is to run. Raises redis.RedisError."""
    cache.client().publish(CHANNEL, json.dumps({"do": "look"}))

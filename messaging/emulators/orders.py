"""What a page asks of the process that runs the emulators, over Valkey, and its answer.

An order is published as JSON and names a list of its own, into which the process puts one text: empty where it was done, else why
not. A page waits for that, so what it then shows is what the board became.
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


def nudge() -> None:
    """Have the process look at once what is to run. Raises redis.RedisError."""
    cache.client().publish(CHANNEL, json.dumps({"do": "look"}))

"""SMS through the APIs of carriers, each by its own SDK."""

from __future__ import annotations

from typing import Any

import requests
from urllib3.exceptions import NewConnectionError

from notifications.channels.base import PermanentFailure, SenderAway, SendFailure

TIMEOUT_S = 10
CHARACTERS = 459  # three parts of an SMS, or seven where its 7-bit alphabet cannot write it
LIVES_S = 3600  # how long a carrier tries


def unless_sent(error: requests.ConnectionError) -> SendFailure:
    """Return what a lost connection means: one that was not made is no attempt; one that broke off may have been one."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    none = isinstance(reason, NewConnectionError)  # or its kind: a name that is not known
    return SenderAway("server_away", "no connection") if none else PermanentFailure("unclear", "the connection broke off")


def once() -> Any:
    """Return boto3's configuration for what must not be sent twice."""
    from botocore.config import Config  # slow to load, and not for everybody

    return Config(connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries={"total_max_attempts": 1})

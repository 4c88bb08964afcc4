"""SMS through the APIs of carriers, each by its own SDK."""

from __future__ import annotations

from typing import Any

import requests

from notifications.channels.base import PermanentFailure, SenderAway, SendFailure

TIMEOUT_S = 10
CHARACTERS = 459  # three parts of an SMS
LIVES_S = 3600  # how long a carrier tries


def unless_sent(error: requests.ConnectionError) -> SendFailure:
    """Return what a lost connection means: a refused one is no attempt; one that broke off may have been one."""
    refused = "NewConnectionError" in repr(error.args)
    return SenderAway("server_away", "no connection") if refused else PermanentFailure("unclear", "the connection broke off")


def once() -> Any:
    """Return boto3's configuration for what must not be sent twice."""
    from botocore.config import Config  # slow to load, and not for everybody

    return Config(connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries={"total_max_attempts": 1})

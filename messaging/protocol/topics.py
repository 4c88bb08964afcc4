"""The topics of the protocol: who says what where.

    {device}/{api}                      the portal to a device
    server/{device}/{api}               a device to the portal
    $SYS/portal/connections/{device}    the broker: this device came or went
    $SYS/portal/refusals/{device}       the broker: this device was not let in

A device id is 32 lower-case hex digits. An api name is one topic level of small letters, digits and `_`
(`devices.profiles.API_NAME` says why), so no name can carry a wildcard, a further level, or AMQP's separator into a topic.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from devices.profiles import API_NAME

Direction = Literal["to", "from"]

DEVICE_ID = re.compile(r"[0-9a-f]{32}")
SERVER = "server/"
CONNECTIONS = "$SYS/portal/connections/"
REFUSALS = "$SYS/portal/refusals/"

ALL_ANSWERS = "server/+/+"
ALL_COMMANDS = "+/+"
ALL_CONNECTIONS = CONNECTIONS + "+"

_REMEMBERED = 4_096  # topics are few, and each is read and written again and again
_TOPIC = re.compile(rf"(server/)?({DEVICE_ID.pattern})/({API_NAME.pattern})")


class Parsed(NamedTuple):
    """What a topic says. `direction` is "to" the device or "from" it."""

    direction: Direction
    device_id: str
    api: str


@lru_cache(_REMEMBERED)
def command_topic(device_id: str, api: str) -> str:
    """Return the topic on which the device listens for this api. Raises ValueError for an id or name that cannot be."""
    return f"{_device(device_id)}/{_api(api)}"


def answer_topic(device_id: str, api: str) -> str:
    """Return the topic on which the device answers this api. Raises ValueError for an id or name that cannot be."""
    return f"{SERVER}{_device(device_id)}/{_api(api)}"


def commands_filter(device_id: str) -> str:
    """Return the filter that a device subscribes to."""
    return f"{_device(device_id)}/#"


def answers_filter(device_id: str) -> str:
    """Return the filter that catches everything one device says."""
    return f"{SERVER}{_device(device_id)}/#"


def connection_topic(device_id: str) -> str:
    """Return the topic on which the broker tells that this device came or went."""
    return CONNECTIONS + _device(device_id)


@lru_cache(_REMEMBERED)
def parse(topic: str) -> Parsed | None:
    """Read a topic of a device, in either direction; None where it is neither."""
    found = _TOPIC.fullmatch(topic)
    if found is None:
        return None
    server, device_id, api = found.groups()
    return Parsed("from" if server else "to", device_id, api)


def parse_connection(topic: str) -> str | None:
    """Return the id of the device whose coming or going this topic tells, or None."""
    return _told_of(CONNECTIONS, topic)


def parse_refusal(topic: str) -> str | None:
    """Return the id of the device of which this topic tells that it was not let in, or None."""
    return _told_of(REFUSALS, topic)


def _told_of(prefix: str, topic: str) -> str | None:
    device_id = topic.removeprefix(prefix)
    return device_id if device_id != topic and DEVICE_ID.fullmatch(device_id) else None


def _device(device_id: str) -> str:
    if not DEVICE_ID.fullmatch(device_id):
        raise ValueError(f"{device_id[:40]!r} is no device id: 32 lower-case hex digits.")
    return device_id


def _api(api: str) -> str:
    if not API_NAME.fullmatch(api):
        raise ValueError(f"{api[:70]!r} is no api name: small letters, digits and _, at most 64, starting with a letter.")
    return api

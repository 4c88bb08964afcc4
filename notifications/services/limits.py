"""How many notifications may go out: of a device, of an account, to a recipient, and to a country, in a minute and in a day.

Counted when one is first to be sent, once: should a worker be killed before it wrote that down, it is known by its id. What is
refused has not counted for those that were full. When Valkey cannot be asked, mail goes out, and an SMS waits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from uuid import UUID

import phonenumbers
import redis
from django.conf import settings

from iotportal.windows import Counter, count_each
from notifications.models import Cause, Channel, Notification

logger = logging.getLogger(__name__)

_MINUTE, _DAY = 60, 86_400
_LIMITED_ELSEWHERE = frozenset({Cause.CONFIRM, Cause.DIGEST})  # where they are made
_SMS_PER_MINUTE, _SMS_PER_DAY = 5, 100  # of a device and to a recipient: each costs somebody money
_ACCOUNT_TIMES = 10  # an account may send as much as so many devices
_COUNTRY = ((60, _MINUTE), (2_000, _DAY))  # SMS of the whole portal to one country: what a thief of accounts would pump
_PAIR = ((6, _MINUTE), (200, _DAY))  # from one device to one other: two that answer each other would never end


class NotTaken(Exception):
    """It must not be sent, or not now."""


class TooMany(NotTaken):
    """A limit is reached."""


class CannotCount(NotTaken):
    """Nobody can say whether a limit is reached, and it must not be passed."""


def take(notifications: Iterable[Notification]) -> dict[UUID, NotTaken]:
    """Count each against every limit that it falls under, in one trip; returns for those that must not be sent why."""
    counted = [one for one in notifications if one.cause not in _LIMITED_ELSEWHERE]
    if not counted:
        return {}
    try:
        waits = count_each("notifications-full", [(one.hex, counters(one)) for one in counted])
    except redis.RedisError as error:
        logger.warning("limits of notifications cannot be counted: %s", type(error).__name__)
        return {one.pk: CannotCount() for one in counted if one.channel == Channel.SMS}
    return {one.pk: TooMany() for one, wait_s in zip(counted, waits, strict=True) if wait_s}


def counters(one: Notification) -> list[Counter]:
    """Return what counts for a notification."""
    minute, day = settings.NOTIFICATIONS_PER_MINUTE, settings.NOTIFICATIONS_PER_DAY
    if one.channel == Channel.SMS:
        minute, day = min(minute, _SMS_PER_MINUTE), min(day, _SMS_PER_DAY)
    rates = ((minute, _MINUTE), (day, _DAY))
    found = []
    if one.device_id is not None:
        pair = one.channel == Channel.DEVICE
        if pair:
            found.append(Counter(f"notifications:pair:{one.device_id.hex}:{one.address}", _PAIR))
        found.append(Counter(f"notifications:device:{one.channel}:{one.device_id.hex}", rates))
    named = one.account_id.hex if one.channel in {Channel.WEBHOOK, Channel.APPRISE} else ""  # each account has its own names
    found.append(Counter(f"notifications:to:{one.channel}:{named}{one.address}", rates))
    whole = tuple((amount * _ACCOUNT_TIMES, seconds) for amount, seconds in rates)
    found.append(Counter(f"notifications:account:{one.channel}:{one.account_id.hex}", whole))
    if one.channel == Channel.SMS:
        found.append(Counter(f"notifications:country:{country_of(one)}", _COUNTRY))
    return found


def country_of(one: Notification) -> str:
    """Return the country of a phone number, two letters; "" for all else."""
    if one.channel != Channel.SMS:
        return ""
    return phonenumbers.region_code_for_number(phonenumbers.parse(one.address)) or ""

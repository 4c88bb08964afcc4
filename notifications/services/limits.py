"""How many notifications may go out: of a device, of an account, to a recipient, and to a country, in a minute and in a day.

Counted when one is first to be sent; what is refused has not counted for those that were full. When Valkey cannot be asked, mail
goes out, and an SMS waits.
"""

from __future__ import annotations

import logging

import phonenumbers
import redis
from django.conf import settings

from iotportal.windows import Counter, Full, count
from notifications.models import Cause, Channel, Notification

logger = logging.getLogger(__name__)

_MINUTE, _DAY = 60, 86_400
_SMS_PER_MINUTE, _SMS_PER_DAY = 5, 100  # of a device and to a recipient: each costs somebody money
_ACCOUNT_TIMES = 10  # an account may send as much as so many devices
_COUNTRY = ((60, _MINUTE), (2_000, _DAY))  # SMS of the whole portal to one country: what a thief of accounts would pump
_PAIR = ((6, _MINUTE), (200, _DAY))  # from one device to one other: two that answer each other would never end


class TooMany(Exception):
    """A limit is reached."""


class CannotCount(Exception):
    """Nobody can say whether a limit is reached, and it must not be passed."""


def take_one(one: Notification) -> None:
    """Count one notification against every limit that it falls under.

    Raises:
        TooMany, CannotCount: it must not be sent, or not now.
    """
    if one.cause in {Cause.CONFIRM, Cause.DIGEST}:  # these are limited where they are made
        return
    try:
        count("notifications-full", counters(one))
    except Full as full:
        raise TooMany from full
    except redis.RedisError as error:
        if one.channel == Channel.SMS:
            raise CannotCount from error
        logger.warning("limits of notifications cannot be counted: %s", type(error).__name__)


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

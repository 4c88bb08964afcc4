"""What the portal does about presence: it tells owners of long outages, and forgets what is too old."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from devices.events import record
from devices.models import Device, DeviceEvent, EventKind
from messaging import hooks
from messaging.models import LONGEST_OFFLINE_MINUTES, Presence
from messaging.presence import watching

logger = logging.getLogger(__name__)

AT_ONCE = 200  # outages told in one run; the next is seconds away
KEPT_PER_DEVICE = 10_000  # changes of presence; a device that flaps all day makes more
CHUNK = 5_000


class InvalidLimit(ValueError):
    """A number of minutes that cannot be set."""

    def __str__(self) -> str:
        return f"Whole minutes from 1 to {LONGEST_OFFLINE_MINUTES:,}."


def set_offline_limit(*, device: Device, minutes: int | None) -> None:
    """Have the owner told when the device is offline for longer than that; None: not at all.

    An outage that was told and goes on is not told again, unless telling was switched off in between.

    Raises:
        InvalidLimit: not 1 to `LONGEST_OFFLINE_MINUTES`.
    """
    if minutes is not None and not 1 <= minutes <= LONGEST_OFFLINE_MINUTES:
        raise InvalidLimit
    values: dict[str, Any] = {"offline_after_minutes": minutes}
    if minutes is None:
        values["offline_told_at"] = None
    Presence.objects.update_or_create(device=device, defaults=values)


# --- telling of outages ------------------------------------------------------------------------------------------------------

# Who is offline for longer than its limit, by columns of its own row alone, so that an update which waited for another's looks at
# what that one left. Minutes count from when the device went, but only while the portal watches: after an outage of the broker,
# and after its clock was set, devices get their time to come back. The first line is the index `presence_to_tell`.
_TOO_LONG = """
    NOT p.connected AND p.offline_told_at IS NULL AND p.offline_after_minutes IS NOT NULL AND p.disconnected_at IS NOT NULL
    AND GREATEST(CASE WHEN p.disconnected_at <= %(now)s THEN p.disconnected_at END, %(watched)s)
        + make_interval(mins => p.offline_after_minutes) <= %(now)s
"""
# ruff: noqa: S608  # what is put together here are our own constants
_FIND_OFFLINE = f"""
SELECT p.device_id FROM messaging_presence p JOIN devices_device d ON d.id = p.device_id
WHERE {_TOO_LONG} AND d.deleted_at IS NULL ORDER BY p.disconnected_at LIMIT %(limit)s
"""
_CLAIM_OFFLINE = f"UPDATE messaging_presence p SET offline_told_at = %(now)s WHERE p.device_id = %(device)s AND {_TOO_LONG}"
_FIND_BACK = """
SELECT device_id FROM messaging_presence p WHERE p.connected AND p.offline_told_at IS NOT NULL LIMIT %(limit)s
"""
_CLAIM_BACK = """
UPDATE messaging_presence p SET offline_told_at = NULL
WHERE p.device_id = %(device)s AND p.connected AND p.offline_told_at IS NOT NULL
"""


def tell_outages(*, now: datetime | None = None) -> int:
    """Tell of devices that are offline for longer than their owners want, and of those that came back; return how many.

    Each outage is told once: who tells it claims it in the same transaction, by an update that only one can do. Calls
    `hooks.device_offline` and `hooks.device_back` inside that transaction; where a handler fails, it is told the next time.
    """
    now = now or timezone.now()
    seen = watching(now)
    if not seen.live:
        return 0  # nothing is known of anybody now
    about = {"now": now, "watched": seen.began, "limit": AT_ONCE}
    late, back = _ids(_FIND_OFFLINE, about), _ids(_FIND_BACK, about)
    told = [_attempt(_CLAIM_OFFLINE, _say_offline, {**about, "device": device}) for device in late]
    told += [_attempt(_CLAIM_BACK, _say_back, {**about, "device": device}) for device in back]
    return sum(told)


def _ids(sql: str, about: dict[str, Any]) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(sql, about)
        return [row[0] for row in cursor.fetchall()]


def _attempt(claim: str, say: Callable[[Presence, datetime], None], about: dict[str, Any]) -> bool:
    """Claim one device's outage and say what is to say; False if another did, or a handler failed."""
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(claim, about)
                if not cursor.rowcount:
                    return False
            presence = Presence.objects.select_related("device").get(device_id=about["device"])
            say(presence, timezone.now())
    except Exception:
        logger.exception("the outage of device %s could not be told, it will be tried again", about["device"])
        return False
    return True


def _say_offline(presence: Presence, now: datetime) -> None:
    since, minutes = presence.disconnected_at or now, presence.offline_after_minutes or 0
    reason = presence.disconnect_reason
    event = record(
        device=presence.device, kind=EventKind.OFFLINE, at=now, minutes=minutes, since=since.isoformat(), reason=reason
    )
    hooks.device_offline(hooks.Outage(event.id, presence.device, since, minutes, reason))
    logger.info("device %s is offline for longer than %d minutes", presence.device.hex, minutes)


def _say_back(presence: Presence, now: datetime) -> None:
    told = DeviceEvent.objects.filter(device=presence.device, kind=EventKind.OFFLINE).first()
    began = parse_datetime(str(told.detail.get("since"))) if told else None
    since, back = began or presence.disconnected_at or now, presence.connected_at or now
    away = max(0, int((back - since).total_seconds()))
    event = record(device=presence.device, kind=EventKind.BACK, at=now, seconds=away)
    minutes = presence.offline_after_minutes or 0
    hooks.device_back(hooks.Outage(event.id, presence.device, since, minutes, presence.disconnect_reason, back))
    logger.info("device %s is back", presence.device.hex)


# --- forgetting --------------------------------------------------------------------------------------------------------------

# The last change before the time that is kept stays: it says what the device was when that time begins.
_FORGET_CHANGES = """
DELETE FROM messaging_presencechange WHERE id IN (
    SELECT c.id FROM messaging_presencechange c WHERE c.time < %(before)s AND EXISTS (
        SELECT 1 FROM messaging_presencechange later WHERE later.device_id = c.device_id AND later.time < %(before)s
            AND (later.time, later.id) > (c.time, c.id)
    ) LIMIT %(chunk)s
)
"""
_FORGET_WATCHES = """
DELETE FROM messaging_presencewatch WHERE until < %(before)s AND id < (SELECT max(id) FROM messaging_presencewatch)
"""
_TALKATIVE = "SELECT device_id FROM messaging_presencechange GROUP BY device_id HAVING count(*) > %(kept)s"
# The oldest that is kept says that nothing is known of the time before.
_MARK_OLDEST = """
UPDATE messaging_presencechange SET state = 'unknown', reason = '', address = NULL WHERE id = (
    SELECT id FROM messaging_presencechange WHERE device_id = %(device)s ORDER BY time DESC, id DESC OFFSET %(kept)s - 1 LIMIT 1
) RETURNING time, id
"""
_FORGET_OLDER = """
DELETE FROM messaging_presencechange WHERE device_id = %(device)s AND (time, id) < (%(time)s, %(id)s)
"""


def forget_old(*, now: datetime | None = None) -> int:
    """Delete changes of presence that are older than `PRESENCE_DAYS`, or beyond `KEPT_PER_DEVICE`; return how many."""
    about: dict[str, Any] = {"before": (now or timezone.now()) - timedelta(days=settings.PRESENCE_DAYS), "chunk": CHUNK}
    about["kept"] = KEPT_PER_DEVICE
    forgotten = 0
    with connection.cursor() as cursor:
        cursor.execute(_FORGET_WATCHES, about)
        while True:
            cursor.execute(_FORGET_CHANGES, about)
            forgotten += int(cursor.rowcount)
            if cursor.rowcount < CHUNK:
                break
    return forgotten + sum(_forget_beyond(device, about) for device in _ids(_TALKATIVE, about))


@transaction.atomic
def _forget_beyond(device: UUID, about: dict[str, Any]) -> int:
    """Keep the newest changes of a device that has too many; return how many went."""
    with connection.cursor() as cursor:
        cursor.execute(_MARK_OLDEST, {**about, "device": device})
        oldest = cursor.fetchone()
        if oldest is None:
            return 0
        cursor.execute(_FORGET_OLDER, {"device": device, "time": oldest[0], "id": oldest[1]})
        return int(cursor.rowcount)

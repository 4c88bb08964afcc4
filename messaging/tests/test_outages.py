"""Who is told of devices that are offline for too long: once for each outage."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import Account
from devices.models import Device, DeviceEvent, EventKind
from devices.services import delete_device
from devices.tests.factories import at_once, make_account, make_device
from messaging import hooks
from messaging.hooks import Outage
from messaging.models import Presence, PresenceChange, PresenceWatch
from messaging.services import presence as service
from messaging.services.presence import InvalidLimit, forget_old, set_offline_limit, tell_outages

MINUTE = timedelta(minutes=1)


class Ear:
    """Hears of outages; may fail."""

    def __init__(self) -> None:
        self.offline: list[Outage] = []
        self.back: list[Outage] = []
        self.deaf = False

    def hear_offline(self, outage: Outage) -> None:
        if self.deaf:
            raise RuntimeError("nobody listens")
        self.offline.append(outage)

    def hear_back(self, outage: Outage) -> None:
        self.back.append(outage)


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    hooks.device_offline.register(ear.hear_offline)
    hooks.device_back.register(ear.hear_back)
    yield ear
    hooks.device_offline._handlers.remove(ear.hear_offline)
    hooks.device_back._handlers.remove(ear.hear_back)


def watched(minutes: float = 600) -> None:
    """Let the portal have watched for so long, and go on."""
    now = timezone.now()
    PresenceWatch.objects.all().delete()
    PresenceWatch.objects.create(began=now - minutes * MINUTE, until=now)


def offline(account: Account, minutes: float, limit: int | None = 10, name: str = "Pump") -> Device:
    device = make_device(account, name)
    set_offline_limit(device=device, minutes=limit)
    went = timezone.now() - minutes * MINUTE
    Presence.objects.filter(device=device).update(connected_at=went - MINUTE, disconnected_at=went, disconnect_reason="keepalive")
    return device


def returned(device: Device, at: datetime | None = None) -> None:
    Presence.objects.filter(device=device).update(connected=True, connected_at=at or timezone.now())


def lines(device: Device) -> list[str]:
    kinds = DeviceEvent.objects.filter(device=device, kind__in=["offline", "back"]).order_by("time", "id")
    return list(kinds.values_list("kind", flat=True))


def test_an_outage_is_told_once(account: Account, ear: Ear) -> None:
    watched()
    device = offline(account, 11)
    assert [tell_outages(), tell_outages()] == [1, 0]
    [outage] = ear.offline
    event = DeviceEvent.objects.get(device=device, kind=EventKind.OFFLINE)
    assert (outage.device, outage.limit_minutes, outage.reason, outage.event_id) == (device, 10, "keepalive", event.pk)
    assert abs(timezone.now() - outage.since - 11 * MINUTE) < MINUTE
    assert event.detail["minutes"] == 10


@pytest.mark.parametrize(("minutes", "limit"), [(9, 10), (11, None), (60 * 24, 60 * 24 * 7)])
def test_who_is_away_for_a_shorter_time_or_wants_no_word_gets_none(
    account: Account, ear: Ear, minutes: float, limit: int | None
) -> None:
    watched(60 * 24 * 30)
    offline(account, minutes, limit)
    assert tell_outages() == 0


def test_a_device_that_never_connected_has_no_outage(account: Account, ear: Ear) -> None:
    watched()
    set_offline_limit(device=make_device(account), minutes=1)
    assert tell_outages() == 0


def test_a_deleted_device_is_not_missed(account: Account, ear: Ear) -> None:
    watched()
    delete_device(device=offline(account, 11))
    assert tell_outages() == 0


def test_its_return_is_told_once_and_its_next_outage_anew(account: Account, ear: Ear) -> None:
    watched()
    device = offline(account, 11)
    tell_outages()
    returned(device)
    assert [tell_outages(), tell_outages()] == [1, 0]
    [back] = ear.back
    assert back.back_at is not None
    assert abs(back.back_at - back.since - 11 * MINUTE) < MINUTE
    went = timezone.now() - 12 * MINUTE
    Presence.objects.filter(device=device).update(connected=False, disconnected_at=went)
    assert tell_outages() == 1
    assert lines(device) == ["offline", "back", "offline"]


def test_a_return_from_an_outage_that_was_not_told_is_not_told(account: Account, ear: Ear) -> None:
    watched()
    returned(offline(account, 9))
    assert tell_outages() == 0
    assert ear.back == []


def test_while_the_portal_does_not_watch_nobody_is_told(account: Account, ear: Ear) -> None:
    device = offline(account, 60)
    assert tell_outages() == 0
    now = timezone.now()
    PresenceWatch.objects.create(began=now - 600 * MINUTE, until=now - MINUTE)
    returned(device)
    assert tell_outages() == 0


def test_after_the_portal_was_away_devices_get_their_time_to_come_back(account: Account, ear: Ear) -> None:
    """After a restart of the broker everybody is offline since then; after a clock was set, times are not to be believed."""
    watched(5)
    offline(account, 60)
    assert tell_outages() == 0
    watched(11)
    assert tell_outages() == 1


def test_a_time_that_lies_in_the_future_counts_from_when_it_is_watched(account: Account, ear: Ear) -> None:
    watched(5)
    offline(account, -60 * 24)
    assert tell_outages() == 0
    watched(11)
    assert tell_outages() == 1


def test_what_a_handler_fails_on_is_told_the_next_time(account: Account, ear: Ear) -> None:
    watched()
    device = offline(account, 11)
    ear.deaf = True
    assert tell_outages() == 0
    assert lines(device) == []
    ear.deaf = False
    assert tell_outages() == 1
    assert lines(device) == ["offline"]


def test_one_that_cannot_be_told_does_not_keep_others_from_it(account: Account, ear: Ear) -> None:
    watched()
    first, second = offline(account, 20, name="First"), offline(account, 11, name="Second")

    def refuse_first(outage: Outage) -> None:
        if outage.device == first:
            raise RuntimeError

    hooks.device_offline.register(refuse_first)
    try:
        assert tell_outages() == 1
    finally:
        hooks.device_offline._handlers.remove(refuse_first)
    assert (lines(first), lines(second)) == ([], ["offline"])


@pytest.mark.django_db(transaction=True)
def test_two_that_look_at_the_same_moment_tell_it_once(ear: Ear, pki: Path) -> None:
    watched()
    account = make_account("bob")
    devices = [offline(account, 11, name=f"Device {number}") for number in range(6)]
    told = at_once(*[tell_outages] * 4)
    assert sum(number for number in told if isinstance(number, int)) == 6
    assert sorted(outage.device.name for outage in ear.offline) == sorted(device.name for device in devices)
    for device in devices:
        returned(device)
    at_once(*[tell_outages] * 4)
    assert len(ear.back) == 6


def test_switching_it_off_forgets_what_was_told_and_on_again_tells_anew(account: Account, ear: Ear) -> None:
    watched()
    device = offline(account, 60)
    tell_outages()
    set_offline_limit(device=device, minutes=5)
    assert tell_outages() == 0
    set_offline_limit(device=device, minutes=None)
    returned(device)
    assert tell_outages() == 0
    Presence.objects.filter(device=device).update(connected=False)
    set_offline_limit(device=device, minutes=5)
    assert tell_outages() == 1


@pytest.mark.parametrize("minutes", [0, -1, 60 * 24 * 7 + 1])
def test_a_limit_is_a_minute_to_a_week(account: Account, minutes: int) -> None:
    device = make_device(account)
    with pytest.raises(InvalidLimit, match="1 to 10,080"):
        set_offline_limit(device=device, minutes=minutes)
    with pytest.raises(IntegrityError), transaction.atomic():
        Presence.objects.filter(device=device).update(offline_after_minutes=minutes)


def test_the_question_is_answered_by_its_index(account: Account) -> None:
    """However many devices there are, only those that wait to be told of are looked at."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("DROP INDEX presence_connected")  # as good as any while the table is as small as here
        about: dict[str, Any] = {"now": timezone.now(), "watched": timezone.now(), "limit": 10}
        cursor.execute("EXPLAIN " + service._FIND_OFFLINE, about)
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("EXPLAIN " + service._FIND_BACK, about)
        assert "presence_back" in "\n".join(row[0] for row in cursor.fetchall())
    assert "presence_to_tell" in plan


# --- forgetting --------------------------------------------------------------------------------------------------------------


def changes(device: Device, *days: float) -> None:
    now = timezone.now()
    for number, ago in enumerate(days):
        state = "disconnected" if number % 2 else "connected"
        PresenceChange.objects.create(device=device, time=now - timedelta(days=ago), state=state)


def kept(device: Device) -> list[tuple[int, str]]:
    now = timezone.now()
    rows = PresenceChange.objects.filter(device=device).order_by("id")
    return [(round((now - row.time) / timedelta(days=1)), row.state) for row in rows]


def test_old_changes_go_but_the_last_of_them_that_says_how_it_was_since(account: Account) -> None:
    device, quiet = make_device(account), make_device(account, "Quiet")
    changes(device, 90, 60, 40, 20, 1)
    changes(quiet, 90)
    assert forget_old() == 2
    assert kept(device) == [(40, "connected"), (20, "disconnected"), (1, "connected")]
    assert kept(quiet) == [(90, "connected")]
    assert forget_old() == 0


def test_of_a_device_that_flaps_for_ever_the_newest_are_kept(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "KEPT_PER_DEVICE", 3)
    device, other = make_device(account), make_device(account, "Other")
    changes(device, 7, 6, 5, 4, 3)
    changes(other, 3, 2, 1)
    assert forget_old() == 2
    assert kept(device) == [(5, "unknown"), (4, "disconnected"), (3, "connected")]
    assert len(kept(other)) == 3
    assert forget_old() == 0


def test_old_watches_go_and_the_newest_stays_however_old(account: Account) -> None:
    now = timezone.now()
    for days in (90, 60, 50):
        PresenceWatch.objects.create(began=now - timedelta(days=days), until=now - timedelta(days=days))
    forget_old()
    assert PresenceWatch.objects.count() == 1

"""How long emulators run is counted once, whoever counts and whatever dies; what is used up stops and says so."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from accounts.tests.helpers import at_once
from billing.models import EmulatorMeter, Price
from billing.services import balance, emulator_time
from billing.tasks import charge_emulator_time
from billing.tests.helpers import with_credits
from devices.models import Device
from devices.tests.factories import make_account, make_device
from messaging.emulators import meter, store
from messaging.models import Emulator
from messaging.services.emulators import CannotStart, start_emulator, stop_emulator


@pytest.fixture
def device(db: None, pki: Path, settings: LazySettings) -> Device:
    settings.FREE_EMULATOR_HOURS_PER_MONTH = 1
    return make_device(make_account("alice"), profile="modern")


@pytest.fixture
def account(device: Device) -> Account:
    return device.account


def run(device: Device, counted_s_ago: float | None) -> Emulator:
    now = timezone.now()
    counted_at = None if counted_s_ago is None else now - timedelta(seconds=counted_s_ago)
    user: User = device.account.members.get()
    return Emulator.objects.create(user=user, device=device, started_at=now, used_at=now, counted_at=counted_at)


def used(account: Account, seconds: int) -> None:
    EmulatorMeter.objects.create(account=account, month=f"{timezone.now():%Y%m}", seconds=seconds)


def test_each_second_is_counted_once_and_what_is_not_whole_next_time(device: Device, account: Account) -> None:
    emulator = run(device, counted_s_ago=0)
    assert emulator.counted_at is not None
    for after_s, used_s in ((7.9, 7), (7.9, 7), (8, 8), (7, 8), (9.9, 9)):
        meter.count([device.pk], now=emulator.counted_at + timedelta(seconds=after_s))
        assert emulator_time(account.pk).used_s == used_s
    meter.count([device.pk], and_end=True, now=emulator.counted_at + timedelta(seconds=10))
    assert not Emulator.objects.exists()
    stop_emulator(emulator=emulator)  # which is gone
    assert emulator_time(account.pk).used_s == 10


def test_a_count_that_dies_counts_nothing_and_the_next_all(
    device: Device, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = run(device, counted_s_ago=0)
    assert emulator.counted_at is not None
    now = emulator.counted_at + timedelta(seconds=7)

    def dies(*arguments: Any, **named: Any) -> None:
        assert EmulatorMeter.objects.filter(account=account).exists()
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("django.db.models.query.QuerySet.bulk_update", dies)
        with pytest.raises(SystemExit):
            meter.count([device.pk], now=now)
    assert emulator_time(account.pk).used_s == 0
    meter.count([device.pk], now=now)
    assert emulator_time(account.pk).used_s == 7


def test_what_no_process_ran_is_not_counted(device: Device, account: Account) -> None:
    emulator = run(device, counted_s_ago=None)
    meter.count([device.pk])
    assert emulator_time(account.pk).used_s == 0, "it waits for a process"
    Emulator.objects.update(counted_at=timezone.now() - timedelta(hours=5))
    store.begin_counting(device.pk)  # by the process that comes after the one that was killed
    meter.count([device.pk])
    assert emulator_time(account.pk).used_s == 0
    Emulator.objects.update(counted_at=timezone.now() - timedelta(hours=5))
    stop_emulator(emulator=emulator)  # by its page, while no process was there
    assert emulator_time(account.pk).used_s == 2 * meter.COUNT_S


@pytest.mark.django_db(transaction=True)
def test_of_many_counts_at_once_one_counts(device: Device, account: Account) -> None:
    emulator = run(device, counted_s_ago=0)
    assert emulator.counted_at is not None
    now = emulator.counted_at + timedelta(seconds=7)
    at_once(6, lambda: meter.count([device.pk], now=now))
    assert emulator_time(account.pk).used_s == 7


def test_one_whose_hours_are_used_up_stops_and_its_page_says_so(device: Device, account: Account, client: Client) -> None:
    run(device, counted_s_ago=5)
    used(account, 3600 - 20)
    assert not store.count([device.pk])
    Emulator.objects.update(counted_at=timezone.now() - timedelta(seconds=20))
    assert store.count([device.pk])
    assert not Emulator.objects.exists()
    client.force_login(user := account.members.get())
    page = client.get(f"/devices/{device.hex}/emulator/").content.decode()
    assert "All hours of emulators of this month are used" in page
    assert ">Start<" not in page
    assert client.post(f"/devices/{device.hex}/emulator/start/").status_code == 409
    assert "0 s left" in client.get(f"/account/billing/{account.pk}/").content.decode()
    with pytest.raises(CannotStart, match="All hours"):
        start_emulator(user=user, device=device)


def test_credits_pay_for_begun_hours_as_far_as_they_go(device: Device, account: Account) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE billing_price, billing_plan")
    Price.objects.create(item="emulator_hour", credits=5, per=2, starts_at=Now())
    with_credits(account, 12)
    assert emulator_time(account.pk).left_s == (1 + 4) * 3600
    used(account, 0)
    for begun_s, left in ((3600, 12), (3601, 7), (3 * 3600, 7), (3 * 3600 + 1, 2), (5 * 3600 - 1, 2)):
        EmulatorMeter.objects.update(seconds=begun_s)
        assert not meter.used_up([account.pk])
        assert (balance(account), emulator_time(account.pk).limit_s) == (left, 5 * 3600), "charging changes nothing of the limit"
    EmulatorMeter.objects.update(seconds=5 * 3600 + 9)
    assert meter.used_up([account.pk]) == {account.pk}
    with_credits(account, 5)
    charge_emulator_time()  # what was open
    charge_emulator_time()
    assert balance(account) == 2
    assert emulator_time(account.pk).left_s == 2 * 3600 - 9

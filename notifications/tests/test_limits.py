"""What is too much, and what is told of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Account
from devices.models import Device
from devices.tests.factories import make_account, make_device
from notifications.models import Notification, Status
from notifications.services import limits, outbox
from notifications.tests.conftest import Ask


@pytest.fixture(autouse=True)
def few(settings: Settings) -> None:
    settings.NOTIFICATIONS_PER_MINUTE = 3


def states() -> list[str]:
    rows = Notification.objects.exclude(cause="digest").order_by("created_at", "id")
    return [one.reason or one.status for one in rows]


def test_a_flood_becomes_a_few_mails_and_one_summary(ask: Ask) -> None:
    for number in range(9):
        ask(message=f"alarm {number}")
    outbox.deliver()
    assert states() == ["sent"] * 3 + ["in_digest"] * 6
    summary = Notification.objects.get(cause="digest")
    assert timezone.now() < summary.due_at <= timezone.now() + timedelta(minutes=10)
    Notification.objects.filter(pk=summary.pk).update(due_at=timezone.now())
    outbox.deliver()
    assert len(mail.outbox) == 4
    assert mail.outbox[3].subject == "6 more notifications"
    assert "alarm 8" in mail.outbox[3].body
    assert "alarm 0" not in mail.outbox[3].body


def test_one_devices_flood_leaves_another_its_own(ask: Ask, account: Account) -> None:
    for number in range(4):
        ask(message=f"alarm {number}")
    outbox.deliver()
    other = make_account("bob")
    second = ask("bob@example.org", account_id=other.pk, device_id=make_device(other).pk)
    outbox.deliver()
    second.refresh_from_db()
    assert second.status == "sent"


def test_a_retry_is_not_counted_again(ask: Ask) -> None:
    one = ask()
    for _ in range(5):
        Notification.objects.filter(pk=one.pk).update(status=Status.QUEUED, due_at=timezone.now())
        outbox.deliver()
    one.refresh_from_db()
    assert (one.status, one.tries) == ("sent", 5)


def test_what_a_killed_worker_had_counted_is_not_counted_again(ask: Ask) -> None:
    said = [ask(message=f"alarm {number}") for number in range(3)]
    assert limits.take(said) == {}  # and there it dies
    outbox.deliver()
    assert states() == ["sent"] * 3


def test_without_valkey_mail_goes_and_an_sms_waits(ask: Ask, account: Account, settings: Settings) -> None:
    account.members.update(phone="+46701234567", phone_verified=True)
    settings.SENDERS = replace(settings.SENDERS, sms=("twilio",), twilio_account="AC0", twilio_token="t", twilio_from="+1")
    one, sms = ask(), ask("+46701234567")
    from iotportal import windows

    def away(*args: object) -> object:
        import redis

        raise redis.ConnectionError

    with pytest.MonkeyPatch.context() as patch:  # Valkey itself must stay: the rest of the portal asks it too
        patch.setattr(windows, "_script", lambda source: away)
        outbox.deliver()
    one.refresh_from_db()
    sms.refresh_from_db()
    assert (one.status, sms.status, sms.attempts.count()) == ("sent", "queued", 0)


def test_a_device_of_another_account_is_not_reached(ask: Ask, device: Device) -> None:
    stranger = make_device(make_account("bob"))
    one = ask(stranger.hex)
    outbox.deliver()
    one.refresh_from_db()
    assert (one.status, one.reason) == ("refused", "not_yours")


def test_two_devices_that_answer_each_other_are_stopped(ask: Ask, device: Device, account: Account) -> None:
    other = make_device(account, "Valve")
    for _ in range(8):
        ask(other.hex)
    outbox.deliver()
    assert Notification.objects.filter(reason="too_many").count() >= 2
    assert Notification.objects.filter(reason="device_offline").count() <= 6

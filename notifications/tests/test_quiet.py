"""Quiet hours: what waits, until when, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from devices.tests.factories import make_account
from notifications.models import Cause, Notification, QuietHours, Recipient
from notifications.services import intake, outbox, quiet
from notifications.tests.conftest import Ask


@pytest.fixture
def alice(account: Account) -> User:
    return account.members.get()


@pytest.fixture
def night(alice: User) -> QuietHours:
    """Let alice's quiet hours be around now, whatever the time is."""
    now = timezone.now()
    begins, ends = ((now + timedelta(hours=hours)).time().replace(microsecond=0) for hours in (-1, 1))
    quiet.set_hours(user=alice, starts=begins, ends=ends)
    return QuietHours.objects.get(user=alice)


@pytest.mark.parametrize(
    ("zone", "starts", "ends", "now", "until"),
    [
        ("UTC", "22:00", "07:00", "2026-11-27T23:10", "2026-11-28T07:00"),
        ("UTC", "22:00", "07:00", "2026-11-27T06:59", "2026-11-27T07:00"),
        ("UTC", "22:00", "07:00", "2026-11-27T07:00", None),
        ("UTC", "12:00", "14:00", "2026-11-27T13:00", "2026-11-27T14:00"),
        ("UTC", "12:00", "14:00", "2026-11-27T11:59", None),
        ("Europe/Stockholm", "22:00", "07:00", "2026-11-27T21:30", "2026-11-28T06:00"),
        ("Asia/Kolkata", "22:00", "07:00", "2026-11-27T17:00", "2026-11-28T01:30"),
        ("Europe/Stockholm", "22:00", "07:00", "2026-10-24T21:00", "2026-10-25T06:00"),  # the night is an hour longer
        ("Europe/Stockholm", "22:00", "02:30", "2026-03-28T22:00", "2026-03-29T01:30"),  # 02:30 is left out: 03:30 by then
        ("Europe/Stockholm", "22:00", "02:30", "2026-10-25T00:15", "2026-10-25T00:30"),  # 02:15, for the first time
        ("Europe/Stockholm", "22:00", "02:30", "2026-10-25T01:15", "2026-10-25T01:30"),  # and for the second
    ],
)
def test_they_are_by_the_clock_of_whom_they_are_for(zone: str, starts: str, ends: str, now: str, until: str | None) -> None:
    hours = QuietHours(user=User(time_zone=zone), starts=time.fromisoformat(starts), ends=time.fromisoformat(ends))
    found = quiet.ends_at(hours, datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert (found and found.astimezone(UTC).isoformat()[:16]) == until


def test_what_is_not_urgent_waits_until_they_are_over(ask: Ask, night: QuietHours) -> None:
    one = ask()
    outbox.deliver()
    one.refresh_from_db()
    assert (one.status, one.reason, one.tries) == ("queued", "quiet_hours", 0)
    assert timedelta(minutes=59) < one.due_at - timezone.now() <= timedelta(hours=1)
    Notification.objects.filter(pk=one.pk).update(due_at=timezone.now())
    QuietHours.objects.all().delete()
    outbox.deliver()
    one.refresh_from_db()
    assert (one.status, one.reason) == ("sent", "")


def test_what_is_urgent_and_what_a_person_asked_for_goes_out(alice: User, account: Account, night: QuietHours) -> None:
    causes = ((Cause.RULE, True), (Cause.PERSON, False), (Cause.SIGN_IN, False), (Cause.RULE, False))
    for number, (cause, urgent) in enumerate(causes):
        intake.take(
            account_id=account.pk, cause=cause, urgent=urgent, source=f"quiet-test:{account.pk}:{number}", message=f"{number}",
            recipient=alice.email.upper(),
        )  # fmt: skip
    outbox.deliver()
    assert [one.subject for one in mail.outbox] == ["0", "1", "2"]


def test_they_hold_for_nobody_else(ask: Ask, account: Account, night: QuietHours) -> None:
    Recipient.objects.create(account=account, channel="email", address="ops@example.com", confirmed_at=timezone.now())
    bob = make_account("bob").members.get()
    quiet.set_hours(user=bob, starts=night.starts, ends=night.ends)
    night.delete()
    ask()
    outbox.deliver()
    assert len(mail.outbox) == 1


def test_nobody_holds_up_what_goes_to_a_phone_that_they_did_not_confirm(account: Account, alice: User) -> None:
    mallory = make_account("mallory").members.get()
    now = timezone.now()
    quiet.set_hours(user=mallory, starts=(now - timedelta(hours=1)).time(), ends=(now + timedelta(hours=1)).time())
    User.objects.filter(pk=alice.pk).update(phone="+46701234567", phone_verified=True)
    User.objects.filter(pk=mallory.pk).update(phone="+46701234567")
    recipients = ("+46701234567", mallory.email)
    rows = [
        intake.row(account_id=account.pk, cause=Cause.DEVICE, source=f"quiet:{one}", recipient=one, message="Hot")
        for one in recipients
    ]
    assert list(quiet.waits(rows)) == [rows[1].pk]


def test_they_are_kept_and_taken_back_on_the_page(alice: User, client: Client) -> None:
    client.force_login(alice)
    place = "/notifications/preferences/"
    client.post(place, {"quiet": "1", "starts": "22:00", "ends": "07:30"})
    assert 'value="07:30"' in client.get(place).content.decode()
    for bad in ({"starts": "25:00", "ends": "07:00"}, {"starts": "07:00", "ends": "07:00"}, {"starts": "07:00"}):
        client.post(place, {"quiet": "1", **bad})
        assert str(QuietHours.objects.get(user=alice)) == "22:00 to 07:30"
    client.post(place, {"quiet": "1", "starts": "", "ends": ""})
    assert not QuietHours.objects.filter(user=alice).exists()

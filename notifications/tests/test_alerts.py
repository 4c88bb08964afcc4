"""What an account's people are told of by themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.hooks import signed_in_from_new_place
from accounts.models import Account, Role, User
from billing.services import give_credits, spend_credits
from devices import hooks as device_hooks
from devices.models import Certificate, Device
from devices.tests.factories import make_member
from iotportal.uuid7 import uuid7
from messaging import hooks
from messaging.hooks import Outage
from notifications import exports
from notifications.models import Browser, Cause, Channel, Notification, Suppression
from notifications.services import alerts, outbox, recipients, retention


@pytest.fixture
def outage(device: Device) -> Outage:
    return Outage(uuid7(), device, timezone.now() - timedelta(minutes=7), 5, "timeout")


def test_those_who_manage_a_device_hear_of_its_outage_once(outage: Outage, account: Account) -> None:
    make_member(account, "vera", Role.VIEWER)
    make_member(account, "bert", Role.ADMIN)
    for _ in range(2):
        hooks.device_offline(outage)
    outbox.deliver()
    assert sorted(to for one in mail.outbox for to in one.to) == ["alice@example.org", "bert@example.org"]
    assert mail.outbox[0].subject == "Pump is offline"
    assert "longer than 5 minutes" in mail.outbox[0].body


def test_they_hear_that_it_is_back_unless_they_do_not_want_to(outage: Outage, account: Account) -> None:
    alerts.set_preferences(user=account.members.get(), wanted={(Cause.OFFLINE, Channel.EMAIL): False})
    hooks.device_offline(outage)
    hooks.device_back(Outage(uuid7(), outage.device, outage.since, 5, "timeout", timezone.now()))
    outbox.deliver()
    assert [one.subject for one in mail.outbox] == ["Pump is back"]


def test_whoever_unsubscribed_can_come_back(outage: Outage, account: Account, client: Client) -> None:
    recipients.unsubscribe(account_id=account.pk, channel="email", address="alice@example.org")
    hooks.device_offline(outage)
    outbox.deliver()
    assert mail.outbox == []
    client.force_login(account.members.get())
    assert "You unsubscribed" in client.get("/notifications/preferences/").content.decode()
    client.post("/notifications/preferences/", {"again": "1"})
    client.post("/notifications/preferences/", {"back.email": "on"})
    kept = alerts.preferences(account.members.get())
    assert {choice for choice, yes in kept.items() if yes} == {(Cause.BACK, Channel.EMAIL)}
    assert not Suppression.objects.exists()


def test_those_who_see_to_the_bills_hear_once_that_credits_run_low(account: Account) -> None:
    make_member(account, "vera", Role.VIEWER)
    make_member(account, "bert", Role.ADMIN)
    give_credits(account=account, credits=60, reason="Welcome", key="gift")
    for credits in (15, 1):
        spend_credits(account=account, credits=credits, key=f"use:{credits}")
    outbox.deliver()
    assert sorted(to for one in mail.outbox for to in one.to) == ["alice@example.org", "bert@example.org"]
    assert mail.outbox[0].subject == "45 credits left"
    assert f"/account/billing/{account.pk}/" in mail.outbox[0].body


def test_what_was_said_long_ago_is_forgotten(outage: Outage) -> None:
    hooks.device_offline(outage)
    outbox.deliver()
    assert retention.forget_old() == 0
    assert retention.forget_old(now=timezone.now() + timedelta(days=401)) == 1


def test_what_was_said_is_taken_along_by_whom_it_belongs_to(outage: Outage, account: Account) -> None:
    hooks.device_offline(outage)
    assert [(row[1], row[4]) for row in exports.rows(account)] == [("offline", "alice@example.org")]


def test_an_expiring_certificate_is_told_for_each_mark(device: Device) -> None:
    certificate = Certificate.objects.get(device=device)
    for days in (30, 30, 7):
        device_hooks.certificate_expiring(device_hooks.ExpiringCertificate(certificate, days))
    outbox.deliver()
    assert Notification.objects.filter(cause="certificate", status="sent").count() == 2


def test_each_is_told_by_the_ways_that_they_chose(outage: Outage, account: Account, settings: Settings) -> None:
    settings.SENDERS = replace(settings.SENDERS, sms=("twilio",))
    alice = account.members.get()
    User.objects.filter(pk=alice.pk).update(phone="+46701234567", phone_verified=True)
    Browser.objects.create(user=alice, name="Firefox", endpoint="https://push.example.com/1", p256dh="x", auth="x")
    hooks.device_offline(outage)
    told = Notification.objects.filter(account=account)
    assert {one.channel for one in told} == {"email", "push"}
    told.delete()
    alerts.set_preferences(user=alice, wanted={(Cause.OFFLINE, Channel.EMAIL): False, (Cause.OFFLINE, Channel.SMS): True})
    hooks.device_offline(outage)
    assert {one.channel: one.address for one in told.all()} == {"push": alice.uuid.hex, "sms": "+46701234567"}


class TestNewPlaces:
    @pytest.fixture
    def alice(self, account: Account) -> User:
        alice = account.members.get()
        alice.set_password("a long way to go")
        alice.date_joined = timezone.now() - timedelta(days=30)
        alice.save()
        return alice

    def _sign_in(self, browser: Client, agent: str) -> None:
        about = {"login": "alice", "password": "a long way to go"}
        assert browser.post("/accounts/login/", about, HTTP_USER_AGENT=agent).status_code == 302

    def test_a_browser_that_is_not_known_is_told_once(self, alice: User) -> None:
        browser = Client()
        for _ in range(2):
            self._sign_in(browser, "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
            browser.post("/accounts/logout/")
        one = Notification.objects.get(cause=Cause.SIGN_IN)
        assert (one.address, one.subject) == ("alice@example.org", "A sign-in with a new browser")
        assert "with Firefox on Linux from 127.0.0.1" in one.message

    def test_whoever_has_just_signed_up_knows(self, alice: User) -> None:
        User.objects.filter(pk=alice.pk).update(date_joined=timezone.now())
        self._sign_in(Client(), "Firefox")
        assert not Notification.objects.filter(cause=Cause.SIGN_IN).exists()

    def test_a_sign_in_does_not_fail_because_nobody_can_be_told(self, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_: object) -> None:
            raise RuntimeError("no")

        monkeypatch.setattr(signed_in_from_new_place, "_handlers", [fail])
        self._sign_in(Client(), "Firefox")

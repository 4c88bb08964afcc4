"""What an account's people are told of by themselves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Role
from billing.services import give_credits, spend_credits
from devices import hooks as device_hooks
from devices.models import Certificate, Device
from devices.tests.factories import make_member
from iotportal.uuid7 import uuid7
from messaging import hooks
from messaging.hooks import Outage
from notifications import exports
from notifications.models import Cause, Notification, Suppression
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
    alerts.set_preferences(user=account.members.get(), wanted={Cause.OFFLINE: False})
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
    client.post("/notifications/preferences/", {"back": "on"})
    assert alerts.preferences(account.members.get()) == {Cause.OFFLINE: False, Cause.BACK: True, Cause.CERTIFICATE: False}
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

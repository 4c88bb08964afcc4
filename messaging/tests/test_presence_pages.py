"""Presence and timeline on the pages of a device."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Role
from devices.events import record
from devices.models import Device, EventKind
from devices.tests.factories import make_device, make_member, make_user
from messaging.models import Presence, PresenceChange, PresenceWatch

MINUTE = timedelta(minutes=1)


@pytest.fixture
def device(account: Account) -> Device:
    device = make_device(account)
    Device.objects.filter(pk=device.pk).update(created_at=timezone.now() - timedelta(days=3))
    return device


@pytest.fixture
def browser(account: Account, client: Client) -> Client:
    client.force_login(account.members.get())
    return client


@pytest.fixture
def watched(db: None) -> None:
    now = timezone.now()
    PresenceWatch.objects.create(began=now - timedelta(days=2), until=now)


def shown(browser: Client, device: Device, page: str = "") -> str:
    response = browser.get(f"/devices/{device.hex}/{page}")
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def connect(device: Device, minutes: float) -> None:
    at = timezone.now() - minutes * MINUTE
    PresenceChange.objects.create(device=device, time=at, state="connected", address="10.0.0.7")
    Presence.objects.filter(device=device).update(connected=True, connected_at=at, address="10.0.0.7", protocol="MQTT 3.1")


def disconnect(device: Device, minutes: float, reason: str) -> None:
    at = timezone.now() - minutes * MINUTE
    PresenceChange.objects.create(device=device, time=at, state="disconnected", reason=reason)
    Presence.objects.filter(device=device).update(connected=False, disconnected_at=at, disconnect_reason=reason)


def test_a_new_device_has_never_connected(browser: Client, device: Device, watched: None) -> None:
    page = shown(browser, device)
    assert "it has never connected" in page
    assert "Offline the whole time that is known." in page


def test_connection_message_and_answer_are_told_apart(browser: Client, device: Device, watched: None) -> None:
    connect(device, 60)
    now = timezone.now()
    Presence.objects.filter(device=device).update(
        last_message_at=now - 5 * MINUTE, last_answer_at=now - 7 * MINUTE, last_answer_api="get_gpio", last_answer_ms=38.4
    )
    for page in (shown(browser, device), shown(browser, device, "control/")):
        for word in ("1 h ago", "10.0.0.7", "5 min ago", "38.4 ms", "get_gpio", "7 min ago"):
            assert word in page


def test_why_it_went_is_told_in_plain_words(browser: Client, device: Device, watched: None) -> None:
    connect(device, 60)
    disconnect(device, 5, "keepalive")
    assert "Fell silent.</b> Nothing came for one and a half times its keepalive" in shown(browser, device)
    assert "Fell silent" in shown(browser, device, "control/")


def test_a_device_that_flaps_gets_a_hint(browser: Client, device: Device, watched: None) -> None:
    for minutes in range(40, 0, -8):
        connect(device, minutes + 1)
        disconnect(device, minutes, "replaced")
    assert "Two devices may be using one certificate." in shown(browser, device)
    assert "5 in the last hour, 5 in 24 hours" in shown(browser, device, "control/")


def test_a_refusal_is_told_until_it_is_let_in(browser: Client, device: Device, watched: None) -> None:
    Presence.objects.filter(device=device).update(refused_at=timezone.now(), refused_reason="the certificate was revoked")
    assert "the certificate was revoked.</b>" in shown(browser, device)
    connect(device, 0)
    assert "the certificate was revoked" not in shown(browser, device)


def test_what_is_not_heard_is_not_claimed(browser: Client, device: Device) -> None:
    now = timezone.now()
    PresenceWatch.objects.create(began=now - timedelta(days=2), until=now - 10 * MINUTE)
    connect(device, 60)
    page = shown(browser, device)
    assert "does not hear the broker since" in page
    assert "The device was online then." in page
    assert ">Online<" not in page
    assert "does not hear the broker" in shown(browser, device, "control/")
    assert "does not hear the broker" in browser.get("/devices/").content.decode()


def test_the_list_says_nothing_of_the_broker_while_it_is_heard(browser: Client, device: Device, watched: None) -> None:
    assert "does not hear the broker" not in browser.get("/devices/").content.decode()


def test_the_strip_has_its_finding_in_words(browser: Client, device: Device, watched: None) -> None:
    connect(device, 60 * 12 + 30)
    disconnect(device, 60 * 6, "lost")
    connect(device, 60 * 3)
    words = "Online 39.5 % of the time. Offline for 14 h in 2 outages, the longest 11 h."
    page = shown(browser, device)
    assert f'aria-label="Last 24 hours: {words}"' in page
    assert 'class="on"' in page
    assert 'class="un"' in page  # the week, of which the portal watched two days


def test_what_happened_is_listed_and_paged(browser: Client, device: Device, watched: None) -> None:
    for number in range(70):
        connect(device, 1000 - number)
    record(device=device, kind=EventKind.CUT, why="<script>")
    page = shown(browser, device)
    assert "why: &lt;script&gt;." in page
    assert f"/devices/{device.hex}/timeline/" in page
    first = browser.get(f"/devices/{device.hex}/timeline/")
    assert first.content.decode().count("<time datetime") == 50
    second = browser.get(f"/devices/{device.hex}/timeline/?cursor={first.context['lines'].next}")
    assert 'rel="prev"' in second.content.decode()
    assert browser.get(f"/devices/{device.hex}/timeline/?cursor=nonsense").status_code == 404


def test_the_owner_says_when_to_be_told(browser: Client, device: Device) -> None:
    url = f"/devices/{device.hex}/offline/"
    assert browser.post(url, {"minutes": "10"}).status_code == 302
    assert Presence.objects.get().offline_after_minutes == 10
    assert 'value="10"' in shown(browser, device)
    assert 'value="10"' in shown(browser, device, "offline/")
    assert browser.post(url, {"minutes": ""}).status_code == 302
    assert Presence.objects.get().offline_after_minutes is None


@pytest.mark.parametrize(
    "given", [{"minutes": "0"}, {"minutes": "-5"}, {"minutes": "soon"}, {"minutes": "99999999999999999999"}, {}]
)
def test_a_limit_that_makes_no_sense_changes_nothing(browser: Client, device: Device, given: dict[str, str]) -> None:
    Presence.objects.update(offline_after_minutes=7)
    assert browser.post(f"/devices/{device.hex}/offline/", given).status_code == 400
    assert Presence.objects.get().offline_after_minutes == 7


def test_who_may_only_look_changes_nothing_and_strangers_see_nothing(client: Client, device: Device) -> None:
    client.force_login(make_member(device.account, "vera", Role.VIEWER))
    assert "Tell me when" not in shown(client, device)
    assert client.get(f"/devices/{device.hex}/timeline/").status_code == 200
    assert client.post(f"/devices/{device.hex}/offline/", {"minutes": "5"}).status_code == 403
    client.force_login(make_user("mallory"))
    for page in ("timeline/", "offline/"):
        assert client.get(f"/devices/{device.hex}/{page}").status_code == 404

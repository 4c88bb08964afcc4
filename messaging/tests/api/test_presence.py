"""Presence and timeline in the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from accounts.models import ApiToken, User
from devices.events import record
from devices.models import Device, EventKind
from devices.tests.factories import make_device
from messaging.models import Presence, PresenceChange, PresenceWatch
from messaging.tests.api.conftest import client_of

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def watched(db: None) -> PresenceWatch:
    now = timezone.now()
    return PresenceWatch.objects.create(began=now - timedelta(days=2), until=now)


def changed(device: Device, minutes: float, reason: str = "") -> None:
    """Let it have gone for this reason, or come."""
    at, came = timezone.now() - minutes * MINUTE, not reason
    state, address = ("connected", "10.0.0.7") if came else ("disconnected", None)
    PresenceChange.objects.create(device=device, time=at, state=state, reason=reason, address=address)
    when = {"connected_at": at} if came else {"disconnected_at": at, "disconnect_reason": reason}
    Presence.objects.filter(device=device).update(connected=came, **when)


def presence(api: APIClient, device: Device) -> dict[str, Any]:
    shown: dict[str, Any] = api.get(f"/api/v1/devices/{device.hex}").json()["presence"]
    return shown


def test_a_device_is_shown_with_what_is_known_of_it(api: APIClient, pump: Device) -> None:
    assert presence(api, pump)["state"] == "never"
    changed(pump, 10)
    changed(pump, 5, "keepalive")
    now = timezone.now()
    Presence.objects.update(last_message_at=now - MINUTE, last_answer_at=now, last_answer_api="get_rtc", last_answer_ms=9.5)
    shown = presence(api, pump)
    assert (shown["state"], shown["disconnect_reason"], shown["disconnect_reason_text"]) == (
        "disconnected",
        "keepalive",
        "Fell silent",
    )
    assert (shown["last_answer_api"], shown["last_answer_ms"]) == ("get_rtc", 9.5)
    assert shown["last_message_at"] < shown["last_answer_at"] < shown["as_of"] or shown["as_of"] is not None
    assert shown["drops"] == {"hour": 1, "day": 1, "flapping": False, "hint": ""}
    assert shown["offline_after_minutes"] is None
    assert api.get("/api/v1/devices").json()["results"][0]["presence"] == shown


def test_while_the_broker_is_not_heard_the_state_is_unknown(api: APIClient, pump: Device, watched: PresenceWatch) -> None:
    changed(pump, 60)
    PresenceWatch.objects.update(until=timezone.now() - 10 * MINUTE)
    shown = presence(api, pump)
    assert (shown["state"], shown["connected"]) == ("unknown", True)
    assert api.get(f"/api/v1/devices/{pump.hex}/presence").json()["unknown"] != []


def test_the_list_asks_as_often_for_many_devices_as_for_one(
    api: APIClient, pump: Device, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def asked() -> None:
        with django_assert_num_queries(4):  # the token, the devices, the watch, the disconnects
            assert api.get("/api/v1/devices").status_code == 200

    changed(pump, 5, "lost")
    api.get("/api/v1/devices")
    asked()
    for number in range(5):
        changed(make_device(pump.account, f"More {number}"), 5, "lost")
    asked()


def test_figures_and_changes_are_told_together(api: APIClient, pump: Device) -> None:
    Device.objects.filter(pk=pump.pk).update(created_at=timezone.now() - timedelta(days=30))
    for number in range(3):
        changed(pump, 100 - 10 * number)
        changed(pump, 95 - 10 * number, "lost")
    url = f"/api/v1/devices/{pump.hex}/presence"
    shown = api.get(url).json()
    assert shown["presence"]["state"] == "disconnected"
    assert shown["day"]["outages"] == 4
    assert abs(shown["day"]["online_s"] - 900) < 5
    assert shown["day"]["unknown_s"] == 0
    assert shown["week"]["unknown_s"] > 4 * 86_400
    assert shown["day"]["text"].startswith("Online 1.0 % of the time.")
    assert len(shown["unknown"]) == 1
    assert [row["state"] for row in shown["results"]] == ["disconnected", "connected"] * 3
    assert shown["results"][0] == {**shown["results"][0], "reason": "lost", "address": None, "text": "Went without goodbye."}
    assert shown["results"][1] == {**shown["results"][1], "reason": "", "address": "10.0.0.7", "text": "From 10.0.0.7."}


@pytest.mark.parametrize("path", ["presence", "timeline"])
def test_pages_lead_through_all_of_it(api: APIClient, pump: Device, path: str) -> None:
    for minutes in range(7):
        changed(pump, minutes)
    url: str | None = f"/api/v1/devices/{pump.hex}/{path}?page_size=3"
    whole = api.get(f"/api/v1/devices/{pump.hex}/{path}").json()["results"]
    found = []
    while url:
        shown = api.get(url).json()
        found += shown["results"]
        url = shown["next"] and "?".join(urlsplit(shown["next"])[2:4])
    assert found == whole
    assert len(found) >= 7


def test_the_timeline_says_what_happened(api: APIClient, pump: Device) -> None:
    changed(pump, -1)
    record(device=pump, kind=EventKind.CERTIFICATE_REVOKED, at=timezone.now() + 2 * MINUTE, serial="ab")
    [revoked, connected, *_] = api.get(f"/api/v1/devices/{pump.hex}/timeline").json()["results"]
    assert {**revoked, "time": ""} == {
        "time": "",
        "kind": "certificate_revoked",
        "what": "Certificate revoked",
        "text": "Serial ab.",
        "detail": {"serial": "ab"},
    }
    assert connected["kind"] == "connected"


def test_the_owner_says_when_to_be_told(api: APIClient, pump: Device) -> None:
    url = f"/api/v1/devices/{pump.hex}/presence"
    answer = api.patch(url, {"offline_after_minutes": 15})
    assert (answer.status_code, answer.json()["presence"]["offline_after_minutes"]) == (200, 15)
    unchanged = api.patch(url, {})  # what is not given stays, as everywhere
    assert (unchanged.status_code, unchanged.json()["presence"]["offline_after_minutes"]) == (200, 15)
    assert api.patch(url, {"offline_after_minutes": None}).json()["presence"]["offline_after_minutes"] is None


@pytest.mark.parametrize(
    "body",
    [{"offline_after": 5}, {"offline_after_minutes": 0}, {"offline_after_minutes": 10_081}, {"offline_after_minutes": "soon"},
     {"offline_after_minutes": 2**70}, {"offline_after_minutes": 5, "connected": True}, {"offline_after_minutes": [5]}],
)  # fmt: skip
def test_a_limit_that_makes_no_sense_is_refused(api: APIClient, pump: Device, body: dict[str, Any]) -> None:
    answer = api.patch(f"/api/v1/devices/{pump.hex}/presence", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert Presence.objects.get().offline_after_minutes is None


@pytest.mark.parametrize("path", ["presence", "timeline"])
def test_others_see_nothing(api: APIClient, pump: Device, bob: User, path: str) -> None:
    url = f"/api/v1/devices/{pump.hex}/{path}"
    stranger = client_of(bob)
    unknown = stranger.get(url.replace(pump.hex, "0" * 32))
    assert (stranger.get(url).status_code, stranger.get(url).json()) == (404, unknown.json())
    assert stranger.patch(f"/api/v1/devices/{pump.hex}/presence", {"offline_after_minutes": 5}).status_code == 404
    assert api.get(url, {"cursor": "nonsense"}).status_code == 400
    assert api.get(url, {"since": "now"}).status_code == 400


def test_a_token_to_read_changes_nothing(alice: User, pump: Device) -> None:
    reader = client_of(alice, ApiToken.Scope.READ)
    assert reader.get(f"/api/v1/devices/{pump.hex}/presence").status_code == 200
    assert reader.patch(f"/api/v1/devices/{pump.hex}/presence", {"offline_after_minutes": 5}).status_code == 403

"""Notifications in the API."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import Account, ApiToken, Role
from accounts.services import create_token
from devices.hooks import device_moving
from devices.models import Device
from devices.tests.factories import make_account, make_device, make_member
from notifications.models import Notification, Recipient, Standard
from notifications.services import outbox, standard
from notifications.tests.conftest import Ask


def caller(account: Account, scope: ApiToken.Scope = ApiToken.Scope.MANAGE) -> APIClient:
    token = create_token(user=account.members.get(), name=scope, scopes=[scope])[1]
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


@pytest.fixture
def api(account: Account) -> APIClient:
    return caller(account)


def test_a_program_sends_reads_and_sends_again(api: APIClient, device: Device) -> None:
    about = {"recipient": "alice@example.org", "message": "Hello", "device": device.hex, "key": "one"}
    made = [api.post("/api/v1/notifications", about) for _ in range(2)]
    assert [(one.status_code, one.json()["status"]) for one in made] == [(202, "queued")] * 2
    key = made[0].json()["id"]
    assert made[1].json()["id"] == key
    outbox.deliver()
    read = api.get(f"/api/v1/notifications/{key}").json()
    assert (read["status"], read["cause"], read["attempts"][0]["sender"]) == ("sent", "person", "smtp")
    assert api.post(f"/api/v1/notifications/{key}/resend").status_code == 202
    listed = api.get("/api/v1/notifications?status=sent&page_size=10").json()["results"]
    assert [one["id"] for one in listed] == [key]
    assert api.get("/api/v1/notifications?status=nonsense").status_code == 400
    assert api.get(f"/api/v1/notifications?device={'0' * 32}").status_code == 404


@pytest.mark.parametrize("over", [{"key": "\0"}, {"key": "a b"}, {"key": ""}, {"message": ""}, {"recipient": 5}, {"to": "x"}])
def test_what_makes_no_sense_is_the_callers_mistake(api: APIClient, over: dict[str, object]) -> None:
    about = {"recipient": "alice@example.org", "message": "Hello", **over}
    assert api.post("/api/v1/notifications", about).status_code == 400


def test_half_a_character_is_refused(api: APIClient) -> None:
    body = '{"recipient": "a\\ud800@example.com", "message": "half \\ud800 a character"}'
    assert api.generic("POST", "/api/v1/notifications", body, content_type="application/json").status_code == 400


def test_a_refusal_says_why(api: APIClient) -> None:
    one = api.post("/api/v1/notifications", {"recipient": "stranger@example.com", "message": "Hello"}).json()
    outbox.deliver()
    read = api.get(f"/api/v1/notifications/{one['id']}").json()
    assert (read["status"], read["reason"]) == ("refused", "unconfirmed")
    assert "has not agreed" in read["reason_text"]


def test_recipients_are_added_asked_and_removed(api: APIClient) -> None:
    added = api.post("/api/v1/recipients", {"address": "ops@example.com"})
    assert (added.status_code, added.json()["confirmed_at"]) == (201, None)
    assert Notification.objects.get().cause == "confirm"
    assert [one["address"] for one in api.get("/api/v1/recipients").json()] == ["ops@example.com"]
    assert api.post("/api/v1/recipients", {"address": "ops@example.com"}).status_code == 400
    assert api.delete(f"/api/v1/recipients/{added.json()['id']}").status_code == 204
    assert not Recipient.objects.exists()


def test_a_device_that_names_nobody_uses_what_is_stored(api: APIClient, device: Device, ask: Ask) -> None:
    path = f"/api/v1/devices/{device.hex}/notifications/default"
    assert api.get(path).json() == {"recipient": "", "message": ""}
    assert api.put(path, {"recipient": "nobody", "message": ""}).status_code == 400
    stored = {"recipient": "alice@example.org", "message": "The pump stopped"}
    assert api.put(path, stored).json() == stored
    one = ask("", "")
    assert (one.address, one.message) == ("alice@example.org", "The pump stopped")
    Device.objects.filter(pk=device.pk).update(account=make_account("bob"))
    assert ask("", "").reason == "bad_recipient"  # it moved away; the message is still of its time here


def test_who_claims_a_device_is_not_told_whom_it_wrote_to(device: Device) -> None:
    standard.set_standard(device=device, recipient="alice@example.org", message="The pump stopped")
    bob = make_account("bob")
    device_moving(device)
    Device.objects.filter(pk=device.pk).update(account=bob)
    read = caller(bob).get(f"/api/v1/devices/{device.hex}/notifications/default")
    assert read.json() == {"recipient": "", "message": ""}


def test_the_control_page_stores_it_too(client: Any, account: Account, device: Device) -> None:
    client.force_login(account.members.get())
    form = {"to": "email", "email": "alice@example.org", "message": "The pump stopped"}
    assert client.post(f"/devices/{device.hex}/notifications/default/", form).status_code == 302
    assert Standard.objects.get(device=device).recipient == "alice@example.org"
    page = client.get(f"/devices/{device.hex}/control/").content.decode()
    assert 'value="The pump stopped"' in page


def test_others_and_those_who_look_on_may_not(account: Account, device: Device, ask: Ask) -> None:
    one = ask()
    stranger, reader = caller(make_account("bob")), caller(account, ApiToken.Scope.READ)
    viewer = APIClient()
    viewer.force_login(make_member(account, "vera", Role.VIEWER))
    about = {"recipient": "alice@example.org", "message": "Hello", "device": device.hex}
    for client, statuses in ((stranger, (404, 404, 404, 404)), (reader, (200, 403, 403, 403)), (viewer, (200, 403, 403, 403))):
        assert client.get(f"/api/v1/notifications/{one.hex}").status_code == statuses[0]
        assert client.post(f"/api/v1/notifications/{one.hex}/resend").status_code == statuses[1]
        assert client.post("/api/v1/notifications", about).status_code == statuses[2]
        answer = client.put(f"/api/v1/devices/{device.hex}/notifications/default", {"recipient": "", "message": ""})
        assert answer.status_code == statuses[3]
    assert make_device(make_account("carl")).hex not in stranger.get("/api/v1/notifications").content.decode()

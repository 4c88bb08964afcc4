"""Webhooks and other services: the API to list, add, test and remove them, and writing to them from the Control page."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.models import Account, ApiToken, Role
from billing.services import give_credits
from devices.models import Device
from devices.tests.factories import make_account, make_member
from notifications.models import Notification, Recipient, Standard
from notifications.services import named, outbox
from notifications.tests.http_server import Vendor, serve
from notifications.tests.test_api import caller

TELEGRAM = "tgram://123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr/987654321/"
URL = "https://hooks.example.com/in?key=hidden"


@pytest.fixture
def vendor(settings: Settings) -> Iterator[Vendor]:
    with serve(Vendor()) as found:
        settings.OUTWARD_ORIGINS = frozenset({found.url})
        yield found


@pytest.mark.parametrize(
    ("kind", "url", "spelled", "host"),
    [("webhooks", URL, "webhook:garage", "hooks.example.com"), ("services", TELEGRAM, "apprise:garage", "Telegram")],
)
def test_one_is_added_read_and_removed_and_where_it_leads_is_never_told(
    account: Account, kind: str, url: str, spelled: str, host: str
) -> None:
    api, place = caller(account), f"/api/v1/{kind}"
    made = api.post(place, {"name": "Garage", "url": url})
    key = made.json()["id"]
    secret = made.json().pop("secret", "")
    assert (made.status_code, secret[:6]) == (201, "whsec_" if kind == "webhooks" else "")
    listed = api.get(place).json()
    assert [(one["id"], one["recipient"], one["host"], one["name"]) for one in listed] == [(key, spelled, host, "garage")]
    assert api.get(f"{place}/{key}").json() == listed[0]
    told = made.content.decode().replace(secret or "-", "") + json.dumps(listed) + api.get("/api/v1/recipients").content.decode()
    assert not [word for word in ("hidden", "AAbbCC", "sealed", secret or "whsec_") if word in told]
    again = api.post(place, {"name": "garage", "url": url})
    assert (again.status_code, again.json()["errors"]) == (400, {"name": ["That name is taken."]})
    assert api.post(place, {"name": "x", "url": "http://169.254.169.254/"}).json()["errors"].keys() == {"url"}
    other = "services" if kind == "webhooks" else "webhooks"
    assert api.get(f"/api/v1/{other}/{key}").status_code == api.delete(f"/api/v1/{other}/{key}").status_code == 404
    assert api.delete(f"{place}/{key}").status_code == 204
    assert api.get(f"{place}/{key}").status_code == 404


def test_a_test_is_posted_and_costs_what_any_other_does(account: Account, vendor: Vendor) -> None:
    give_credits(account=account, credits=1, reason="Welcome", key="gift")
    api = caller(account)
    key = api.post("/api/v1/webhooks", {"name": "garage", "url": f"{vendor.url}/in"}).json()["id"]
    sent = api.post(f"/api/v1/webhooks/{key}/test")
    assert (sent.status_code, sent.json()["recipient"], sent.json()["cause"]) == (202, "webhook:garage", "person")
    outbox.deliver()
    assert json.loads(vendor.asked[0].body)["data"]["subject"] == "It works"
    found = api.get(f"/api/v1/notifications/{sent.json()['id']}").json()
    assert (found["status"], found["credits"]) == ("sent", 1)


def test_the_page_tests_one_once_however_often_the_button_is_pressed(client: Client, account: Account) -> None:
    client.force_login(account.members.get())
    one = named.add_service(account=account, name="team", url=TELEGRAM, user=account.members.get())
    places = {client.post(f"/notifications/recipients/{one.hex}/test/", {"key": "x"})["Location"] for _ in range(2)}
    (sent,) = Notification.objects.filter(account=account)
    assert places == {f"/notifications/{sent.hex}/"}


def test_others_and_those_who_may_not_manage_get_nothing(account: Account) -> None:
    one, _ = named.add_webhook(account=account, name="garage", url=URL, user=account.members.get())
    place = f"/api/v1/webhooks/{one.hex}"
    stranger, reader, by_role = caller(make_account("bob")), caller(account, ApiToken.Scope.READ), APIClient()
    by_role.force_login(make_member(account, "otto", Role.OPERATOR))
    body = {"name": "barn", "url": URL, "account": account.pk.hex}
    assert stranger.get("/api/v1/webhooks").json() == []
    for api, statuses in ((stranger, (404, 404, 404, 404)), (reader, (200, 403, 403, 403)), (by_role, (200, 403, 403, 403))):
        asked = (api.get(place), api.post(f"{place}/test"), api.delete(place), api.post("/api/v1/webhooks", body))
        assert tuple(one.status_code for one in asked) == statuses
    assert Recipient.objects.filter(account=account).count() == 1
    assert not Notification.objects.filter(account=account).exists()


def test_the_control_page_offers_the_accounts_own_and_keeps_one_as_the_default(client: Client, device: Device) -> None:
    account, bob = device.account, make_account("bob")
    client.force_login(account.members.get())
    for whose, name in ((account, "garage"), (bob, "cellar")):
        named.add_webhook(account=whose, name=name, url=URL, user=whose.members.get())
    page = client.get(f"/devices/{device.hex}/control/?to=webhook").content.decode()
    assert '<option value="webhook:garage">garage (hooks.example.com)</option>' in page
    assert "cellar" not in page
    for form, kept in (({"to": "webhook", "named": "webhook:garage"}, "webhook:garage"), ({"to": "push"}, "push:")):
        assert client.post(f"/devices/{device.hex}/notifications/default/", {**form, "message": "Hot"}).status_code == 302
        assert Standard.objects.get(device=device).recipient.startswith(kept)

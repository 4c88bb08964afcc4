"""Device passwords in the service: what is kept of them, and when there may be one."""

from __future__ import annotations

import base64
import logging
import re

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from accounts.models import Account
from devices.models import DeviceSecret
from devices.services import DeviceGone, SecretsForbidden, delete_device, issue_secret, revoke_secret, secret_hash
from devices.tests.factories import make_account, make_device, make_member
from devices.tests.test_api import client_of, path


@pytest.fixture(autouse=True)
def allowed(settings: Settings) -> None:
    settings.DEVICE_PASSWORDS = True


def test_there_is_none_unless_the_operator_allows_it_and_taking_away_is_always_possible(
    account: Account, settings: Settings
) -> None:
    device = make_device(account)
    issue_secret(device=device)
    settings.DEVICE_PASSWORDS = False
    with pytest.raises(SecretsForbidden):
        issue_secret(device=device)
    assert revoke_secret(device=device)


def test_it_is_random_and_neither_kept_nor_logged_nor_in_the_timeline(account: Account, caplog: pytest.LogCaptureFixture) -> None:
    device = make_device(account)
    with caplog.at_level(logging.DEBUG):
        first, second = issue_secret(device=device), issue_secret(device=device)
    assert len(base64.urlsafe_b64decode(first + "=")) == 32
    assert first != second
    kept = DeviceSecret.objects.get()
    assert kept.secret_hash == secret_hash(device.pk, second.encode())
    everything = f"{caplog.text} {list(device.events.values())} {kept.__dict__}"
    assert first not in everything
    assert second not in everything


def test_the_hash_is_one_devices_and_one_portals(account: Account, settings: Settings) -> None:
    one, another = make_device(account), make_device(account, "Lamp")
    before = secret_hash(one.pk, b"secret")
    assert before != secret_hash(another.pk, b"secret")
    settings.SEAL_KEY = base64.b64encode(b"k" * 32).decode()
    assert before != secret_hash(one.pk, b"secret")


def test_a_deleted_device_gets_none(account: Account) -> None:
    device = make_device(account)
    issue_secret(device=device)
    delete_device(device=device)
    assert not DeviceSecret.objects.exists()
    with pytest.raises(DeviceGone):
        issue_secret(device=device)


# --- pages and API -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def browser(account: Account, client: Client) -> Client:
    client.force_login(account.members.get())
    return client


def test_a_password_is_made_shown_once_and_taken_away_on_its_pages(account: Account, browser: Client) -> None:
    device = make_device(account)
    address = reverse("devices:secret", args=[device.hex])
    detail = reverse("devices:detail", args=[device.hex])
    assert "weaker than a certificate" in browser.get(address).content.decode()
    assert not DeviceSecret.objects.exists()
    made = browser.post(address)
    assert made["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    [shown] = re.findall(r'id="secret">([\w-]{43})<', made.content.decode())
    assert DeviceSecret.objects.get().secret_hash == secret_hash(device.pk, shown.encode())
    assert shown not in browser.get(detail).content.decode()
    assert "Make another" in browser.get(address).content.decode()
    browser.post(reverse("devices:revoke_secret", args=[device.hex]))
    assert not DeviceSecret.objects.exists()
    assert (
        "It has no password." in browser.post(reverse("devices:revoke_secret", args=[device.hex]), follow=True).content.decode()
    )


def test_nothing_is_said_of_passwords_where_they_are_off(account: Account, browser: Client, settings: Settings) -> None:
    device = make_device(account)
    detail = reverse("devices:detail", args=[device.hex])
    assert 'id="password"' in browser.get(detail).content.decode()
    issue_secret(device=device)
    settings.DEVICE_PASSWORDS = False
    assert "switched off" in browser.get(detail).content.decode()
    assert browser.post(reverse("devices:secret", args=[device.hex])).status_code == 404
    revoke_secret(device=device)
    assert 'id="password"' not in browser.get(detail).content.decode()


def test_the_api_makes_shows_and_takes_away(account: Account, settings: Settings) -> None:
    device, api = make_device(account), client_of(account.members.get())
    assert api.get(path(device, "/password")).json() == {
        "allowed": True, "created_at": None, "used_at": None, "host": "localhost", "port": 8884,
    }  # fmt: skip
    made = api.post(path(device, "/password"), {})
    assert (made.status_code, made["Cache-Control"]) == (201, "no-store")
    assert DeviceSecret.objects.get().secret_hash == secret_hash(device.pk, made.json()["password"].encode())
    assert "password" not in api.get(path(device, "/password")).json()
    assert api.post(path(device, "/password"), {"password": "my own"}).status_code == 400
    for _ in range(2):
        assert api.delete(path(device, "/password")).status_code == 204
    settings.DEVICE_PASSWORDS = False
    answer = api.post(path(device, "/password"), {})
    assert (answer.status_code, answer.json()["code"]) == (409, "passwords_off")
    assert not DeviceSecret.objects.exists()


def test_a_strangers_device_has_no_password_page(account: Account, browser: Client) -> None:
    foreign = make_device(make_account("mallory"), "Foreign")
    api = client_of(account.members.get())
    for name in ("secret", "revoke_secret"):
        assert browser.post(reverse(f"devices:{name}", args=[foreign.hex])).status_code == 404
    assert [api.get(path(foreign, "/password")).status_code, api.post(path(foreign, "/password"), {}).status_code] == [404, 404]
    assert not DeviceSecret.objects.exists()


def test_a_viewer_sees_that_there_is_one_and_changes_nothing(account: Account, client: Client) -> None:
    device = make_device(account)
    issue_secret(device=device)
    client.force_login(make_member(account, "vera", "viewer"))
    html = client.get(reverse("devices:detail", args=[device.hex])).content.decode()
    assert 'id="password"' in html
    assert reverse("devices:secret", args=[device.hex]) not in html
    assert client.post(reverse("devices:secret", args=[device.hex])).status_code == 403
    assert client.post(reverse("devices:revoke_secret", args=[device.hex])).status_code == 403

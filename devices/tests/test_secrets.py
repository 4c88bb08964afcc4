"""Device passwords in the service: what is kept of them, and when there may be one."""

from __future__ import annotations

import base64
import logging

import pytest
from pytest_django import Settings

from accounts.models import Account
from devices.models import DeviceSecret
from devices.services import DeviceGone, SecretsForbidden, delete_device, issue_secret, revoke_secret, secret_hash
from devices.tests.factories import make_device


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

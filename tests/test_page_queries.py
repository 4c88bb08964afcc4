"""How many SQL queries each page takes: however many devices and rows there are, the number stays."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Account, User
from devices.models import Device, Pin
from devices.services import delete_device
from devices.tests.factories import make_account, make_device, make_user
from messaging.gateway import admission
from messaging.models import Presence, Reading
from messaging.tests.history import exchange, many, now
from notifications.models import Rule


@pytest.fixture
def account(db: None, pki: Path) -> Account:
    return make_account("alice")


@pytest.fixture
def browser(account: Account, client: Client) -> Client:
    client.force_login(account.members.get())
    return client


def fill(account: Account, devices: int) -> Device:
    """Register devices that have pins, readings, commands and messages."""
    made = [make_device(account, f"Device {number}", profile="ft900" if number % 2 else "standard") for number in range(devices)]
    for number, device in enumerate(made):
        Presence.objects.filter(device=device).update(connected=number % 3 > 0, last_message_at=now())
        for pin in range(number + 1):
            Pin.objects.create(device=device, number=pin, name=f"Pin {pin}")
            Reading.objects.create(device=device, key=f"gpio/{pin}", value=1, at=now(), elapsed_ms=30.0)
        exchange(device, answer='{"number": 4, "value": 0}')
        exchange(device, "write_uart", '{"value": "hello"}', '{"value": "hello"}')
        many(device, 20, now() - timedelta(minutes=10), timedelta(seconds=1))
        watched(device)
    return made[0]


def watched(device: Device) -> None:
    """Make rules of a device."""
    for recipient in ("push:", "ops@example.com", "nobody"):
        Rule.objects.create(
            account=device.account, device=device, api="get_gpio", field="value", comparison="eq", value="1", recipient=recipient
        )


def queries(client: Client, url: str) -> int:
    """Return how many queries a page takes once the session is in the cache."""
    assert client.get(url).status_code == 200
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


PAGES = {
    "/devices/": 8,
    "/devices/?q=device&show=online": 10,
    "/devices/register/": 3,
    "/devices/certificates/": 3,
    "/devices/{hex}/": 12,
    "/devices/{hex}/registered/": 5,
    "/devices/{hex}/timeline/": 5,
    "/devices/{hex}/control/": 18,
    "/history/": 8,
    "/history/?device={hex}&q=number&direction=to": 10,
    "/notifications/": 4,
    "/notifications/recipients/": 5,
    "/notifications/rules/": 13,
    "/notifications/rules/new/": 8,
    "/notifications/preferences/": 5,
    "/account/": 12,
    "/help/": 1,
    "/settings/": 1,
    "/menu/": 1,
}


@pytest.mark.parametrize(("page", "expected"), PAGES.items())
def test_a_page_takes_as_many_queries_for_many_as_for_few(browser: Client, account: Account, page: str, expected: int) -> None:
    cache.clear()
    url = page.format(hex=fill(account, 2).hex)
    few = queries(browser, url)
    for name in range(2, 8):
        device = make_device(account, f"More {name}")
        exchange(device, answer='{"number": 4, "value": 0}')
        watched(device)
    assert (few, queries(browser, url)) == (expected, expected)


def test_who_may_send_and_how_much_is_asked_in_one_query(account: Account) -> None:
    device, owner, stranger = make_device(account), account.members.get(), make_user("mallory")
    with CaptureQueriesContext(connection) as captured:
        entry = admission._access_entry(owner.pk, device.hex)
    assert (len(captured), (entry or "").split()[:5]) == (
        1,
        ["owner", "standard", "api", account.pk.hex, str(settings.FREE_MESSAGES_PER_MONTH)],
    )
    assert admission._access_entry(stranger.pk, device.hex) is None
    User.objects.filter(pk=owner.pk).update(is_active=False)
    assert admission._access_entry(owner.pk, device.hex) is None
    User.objects.filter(pk=owner.pk).update(is_active=True)
    delete_device(device=device)
    assert admission._access_entry(owner.pk, device.hex) is None

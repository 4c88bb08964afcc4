"""The pages of an emulator, and who may start one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Role, User
from devices.models import Device
from devices.services import forget_key
from devices.tests.factories import make_account, make_device, make_member
from messaging.models import Emulator, Presence
from messaging.services.emulators import CannotStart, start_emulator


@pytest.fixture
def account(db: None, pki: Path) -> Account:
    return make_account("alice")


@pytest.fixture
def device(account: Account) -> Device:
    return make_device(account)


@pytest.fixture
def alice(account: Account) -> User:
    return account.members.get()


@pytest.fixture
def browser(alice: User, client: Client) -> Client:
    client.force_login(alice)
    return client


def run(user: User, device: Device, **more: Any) -> Emulator:
    now = timezone.now()
    return Emulator.objects.create(user=user, device=device, started_at=now, used_at=now, **more)


def page(browser: Client, device: Device) -> str:
    return browser.get(f"/devices/{device.hex}/emulator/").content.decode()


def do(browser: Client, device: Device, what: str, **data: Any) -> Any:
    return browser.post(f"/devices/{device.hex}/emulator/{what}/", data)


def test_it_is_started_and_stopped_on_its_page(browser: Client, device: Device) -> None:
    assert ">Start<" in page(browser, device)
    assert do(browser, device, "start").status_code == 302
    assert "It is starting." in page(browser, device)
    assert browser.get("/emulator/")["Location"] == f"/devices/{device.hex}/emulator/"
    assert do(browser, device, "stop").status_code == 302
    assert not Emulator.objects.exists()
    assert "Choose a device" in browser.get("/emulator/").content.decode()


def test_who_is_connected_is_said_before_one_tries_to_start_it(browser: Client, device: Device) -> None:
    assert "connected now" not in page(browser, device)
    Presence.objects.filter(device=device).update(connected=True)
    assert "This device is connected now" in page(browser, device)


def test_the_lamps_of_the_device_are_among_what_a_page_asks_for_again(browser: Client, device: Device) -> None:
    refreshed = r'<[^>]* data-refresh>(<h1 class="row">)?<span class="led'
    assert re.search(refreshed, page(browser, device))
    assert re.search(refreshed, browser.get(f"/devices/{device.hex}/").content.decode())


def test_the_board_is_shown_as_it_is_kept(browser: Client, alice: User, device: Device) -> None:
    pin = {"direction": "out", "pull": "none", "edge": "none", "level": 1, "enabled": False, "wired": False, "name": ""}
    run(alice, device, state="running", board={"pins": {"10": pin}, "uart": ["<b>hello</b>"], "mac": "02:00:00:00:00:01"})
    shown = page(browser, device)
    assert 'aria-label="GPIO 10 lit"' in shown
    assert "&lt;b&gt;hello&lt;/b&gt;" in shown
    assert "02:00:00:00:00:01" in shown


def test_nobody_touches_what_another_started(browser: Client, account: Account, device: Device) -> None:
    colleague = make_member(account, "bob", Role.ADMIN)
    run(colleague, device)
    for what in ("stop", "reset", "pin", "type", "faults"):
        assert do(browser, device, what, line="iot send", number=5, level=1).status_code == 404
    assert do(browser, device, "start").status_code == 409
    assert "Somebody else" in page(browser, device)
    assert Emulator.objects.get().user == colleague


def test_strangers_find_nothing_and_operators_start_nothing(client: Client, account: Account, device: Device) -> None:
    client.force_login(make_account("mallory").members.get())
    assert client.get(f"/devices/{device.hex}/emulator/").status_code == 404
    assert do(client, device, "start").status_code == 404
    client.force_login(make_member(account, "otto", Role.OPERATOR))
    assert client.get(f"/devices/{device.hex}/emulator/").status_code == 403
    assert do(client, device, "start").status_code == 403
    assert not Emulator.objects.exists()


def test_one_each_and_none_where_the_device_itself_or_its_key_is_elsewhere(
    alice: User, account: Account, device: Device, settings: Any
) -> None:
    first = start_emulator(user=alice, device=device)
    assert start_emulator(user=alice, device=device) == first
    with pytest.raises(CannotStart, match="Your emulator is Pump now"):
        start_emulator(user=alice, device=make_device(account, "Gate"))
    first.delete()
    Presence.objects.filter(device=device).update(connected=True)
    with pytest.raises(CannotStart, match="connected now"):
        start_emulator(user=alice, device=device)
    Presence.objects.filter(device=device).update(connected=False)
    settings.EMULATORS = 1
    run(make_member(account, "bob", Role.ADMIN), make_device(account, "Door"))
    with pytest.raises(CannotStart, match="All 1 emulators of this portal are in use"):
        start_emulator(user=alice, device=device)
    settings.EMULATORS = 0
    with pytest.raises(CannotStart, match="switched emulators off"):
        start_emulator(user=alice, device=device)
    settings.EMULATORS = 200
    forget_key(device=device)
    with pytest.raises(CannotStart, match="does not keep"):
        start_emulator(user=alice, device=device)


def test_where_there_are_none_the_pages_say_so_and_what_to_do(browser: Client, device: Device, settings: Any) -> None:
    url = f"/devices/{device.hex}/"
    assert f"{url}emulator/" in browser.get(url).content.decode()
    settings.EMULATORS = 0
    assert f"{url}emulator/" not in browser.get(url).content.decode()
    for shown in (page(browser, device), browser.get("/emulator/").content.decode()):
        assert ("switched emulators off" in shown, ">Start<" in shown) == (True, False)
    assert do(browser, device, "start").status_code == 409


def test_one_that_waits_for_a_process_says_so(browser: Client, alice: User, device: Device, clean_valkey: None) -> None:
    run(alice, device)
    assert "Nothing runs emulators now" in page(browser, device)
    Emulator.objects.update(state="running")
    assert "Nothing runs emulators now" not in page(browser, device)


def test_what_no_board_has_is_refused_and_a_missing_process_is_said(
    browser: Client, alice: User, device: Device, clean_valkey: None
) -> None:
    run(alice, device)
    assert do(browser, device, "pin", number=256, level=1).status_code == 400
    assert do(browser, device, "type", line="x" * 181).status_code == 400
    assert do(browser, device, "faults", delay_ms=-1, loss=101).status_code == 400
    assert do(browser, device, "faults", rtc_drift_s_per_h=3601).status_code == 400
    assert do(browser, device, "nonsense").status_code == 404
    assert do(browser, device, "reset").status_code == 503
    answer = do(browser, device, "type", line="iot send")
    assert answer.status_code == 503
    assert "Nothing answers that runs emulators" in answer.content.decode()

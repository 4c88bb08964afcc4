from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import cast

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.http import HttpResponse
from django.test import Client

from accounts.models import Account, Role, User
from devices.models import Device, Pin
from devices.profiles import get_profile
from devices.tests.factories import make_account, make_device, make_member
from messaging import tiles
from messaging.gateway import runtime
from messaging.models import Presence, Reading
from messaging.tests.gateway.world import ScriptedDevice, World, obedient
from messaging.tests.history import asked, now, said
from messaging.tiles import BadInput, Tile
from messaging.traces import short, trace


@pytest.fixture
def browser(account: Account, client: Client) -> Client:
    client.force_login(account.members.get())
    return client


@pytest.fixture
def pump(account: Account) -> Device:
    device = make_device(account, "Pump")
    Presence.objects.filter(device=device).update(connected=True, connected_at=now(), last_message_at=now())
    return device


def url(device: Device, tile: str = "") -> str:
    return f"/devices/{device.hex}/control/" + (f"{tile}/" if tile else "")


def page(client: Client, device: Device, query: str = "") -> str:
    response = client.get(url(device) + query)
    assert response.status_code == 200
    return response.content.decode()


def panel(html: str, key: str) -> str:
    """Return the part of the page from a tile's heading to the next tile."""
    return html.partition(f'id="{key}"')[2].partition('<section class="panel')[0]


# --- what it shows ---


def test_it_shows_a_value_only_as_the_device_confirmed_it(browser: Client, pump: Device) -> None:
    Pin.objects.create(device=pump, number=10, name="Pump relay")
    Pin.objects.create(device=pump, number=11, name="Valve")
    Reading.objects.create(device=pump, key="gpio/10", value=1, at=now() - timedelta(minutes=14), elapsed_ms=40.1)
    html = page(browser, pump)
    row = html.partition('id="pin-10"')[2].partition("</li>")[0]
    assert "HIGH" in row
    assert "14 min ago" in row
    assert "40.1 ms" in row
    assert 'aria-checked="true"' in row
    assert 'aria-label="Pump relay, GPIO 10"' in row
    unread = html.partition('id="pin-11"')[2].partition("</li>")[0]
    assert "not read yet" in unread
    assert re.search(r'role="switch"[^>]* disabled', unread)


def test_it_keeps_values_readable_and_switches_closed_while_the_device_is_offline(browser: Client, pump: Device) -> None:
    Reading.objects.create(device=pump, key="gpio/10", value=1, at=now(), elapsed_ms=40.1)
    Presence.objects.filter(device=pump).update(
        connected=False, disconnected_at=now() - timedelta(hours=3), disconnect_reason="lost"
    )
    html = page(browser, pump)
    assert "HIGH" in html
    assert "Went without goodbye" in html
    assert re.search(r'role="switch"[^>]* disabled', html)


def test_it_shows_what_the_profile_says_and_no_more(browser: Client, account: Account, pump: Device) -> None:
    small = make_device(account, "Small", profile="ft900")
    assert "128 bytes a payload" in page(browser, small)
    assert 'data-max-bytes="64"' in page(browser, small)
    assert "bytes a payload" not in page(browser, pump)


def test_it_shows_the_console_as_text_even_where_the_firmware_escapes_nothing(browser: Client, pump: Device) -> None:
    said(pump, "to", "write_uart", '{"value": "say \\"hi\\""}')
    said(pump, "from", "write_uart", '{"value": "say "hi" <b>"}', malformed=True)
    console = panel(page(browser, pump), "uart")
    assert "say &quot;hi&quot; &lt;b&gt;" in console
    assert "{&quot;value" not in console


def test_it_says_how_far_the_clock_is_off(browser: Client, pump: Device) -> None:
    at = now() - timedelta(minutes=1)
    Reading.objects.create(device=pump, key="rtc", value=int(at.timestamp()) - 42, at=at, elapsed_ms=10.0)
    assert "s behind" in panel(page(browser, pump), "rtc")
    Reading.objects.filter(key="rtc").update(value=10**18)
    assert "10000000000000000" in panel(page(browser, pump), "rtc")


def test_it_draws_the_last_commands(browser: Client, pump: Device) -> None:
    asked(pump, "set_gpio", '{"number": 12, "value": 1}', None, now() - timedelta(seconds=20))
    asked(pump, "set_gpio", '{"number": 10, "value": 1}', '{"number": 10, "value": 1}', now() - timedelta(seconds=10))
    timeline = panel(page(browser, pump), "timeline")
    assert "38.4 ms" in timeline
    assert "set_gpio 12 → 1" in timeline
    assert "no answer" in timeline
    assert 'class="x"' in timeline


def test_it_answers_a_foreign_device_as_an_unknown_one(browser: Client, pump: Device) -> None:
    foreign = make_device(make_account("mallory"), "Foreign")
    for path in [url(foreign), url(foreign).replace(foreign.hex, "0" * 32)]:
        assert browser.get(path).status_code == 404
        assert browser.post(path + "gpio/", {"number": "1"}).status_code == 404
        assert browser.post(path + "pins/", {"number": "1", "name": "x"}).status_code == 404


def test_it_lets_a_viewer_look_on(client: Client, account: Account, pump: Device) -> None:
    client.force_login(make_member(account, "victor", Role.VIEWER))
    html = page(client, pump)
    assert "Ask now" not in html
    assert "<form" not in panel(html, "gpio")
    assert client.post(url(pump, "gpio"), {"number": "1"}).status_code == 403


def test_it_names_a_pin_and_takes_the_name_away(browser: Client, pump: Device) -> None:
    response = browser.post(url(pump, "pins"), {"number": "10", "name": " Pump relay "})
    assert response.status_code == 302
    assert "Pump relay" in page(browser, pump)
    browser.post(url(pump, "pins"), {"number": "10", "name": ""})
    html = page(browser, pump)
    assert "Pump relay<" not in html
    assert "GPIO 10" in html


def test_it_refuses_a_bad_pin_name_at_the_field(browser: Client, pump: Device) -> None:
    Pin.objects.create(device=pump, number=10)
    response = browser.post(url(pump, "pins"), {"number": "10", "name": "x" * 61})
    assert response.status_code == 400
    assert "61 characters" in response.content.decode() or "at most 60" in response.content.decode()
    assert "x" * 61 in response.content.decode()
    assert browser.post(url(pump, "pins"), {"number": "256", "name": "x"}).status_code == 400


def test_it_sends_a_reload_of_a_tiles_address_back_to_the_page(browser: Client, pump: Device) -> None:
    assert browser.get(url(pump, "gpio"))["Location"] == f"{url(pump)}#gpio"
    assert browser.post(url(pump, "nonsense"))["Location"] == f"{url(pump)}#"


# --- bad input, before anything is sent ---


@pytest.mark.parametrize(
    ("tile", "form", "said_at_field"),
    [
        ("gpio", {"number": ""}, "Which pin?"),
        ("rtc", {"do": "set", "moment": ""}, "Choose a date and a time."),
        ("rtc", {"do": "set", "moment": "2026-13-45T99:00"}, "Choose a date and a time."),
        ("notifications", {"to": "email", "email": "", "message": "x"}, "To whom?"),
        ("notifications", {"to": "email", "email": "nobody", "message": "x"}, "An e-mail address has an @."),
        ("notifications", {"to": "sms", "phone": "", "message": "x"}, "Which number?"),
        ("notifications", {"to": "sms", "phone": "070 1234567", "message": "x"}, "Choose the country"),
        ("notifications", {"to": "device", "message": "x"}, "Which device?"),
        ("notifications", {"to": "webhook", "named": "garage", "message": "x"}, "Which one?"),
        ("custom", {"api": "", "json": "{}"}, "Which api?"),
        ("custom", {"api": "get_soil", "json": "{bad"}, "This is not JSON at character 2."),
        ("custom", {"api": "get_soil", "json": "[1]"}, "A command is a JSON object"),
        ("custom", {"api": "get_soil", "json": "[" * 5000}, "This is not JSON"),
    ],
)
def test_it_says_at_the_field_what_is_wrong_and_keeps_what_was_typed(
    browser: Client, pump: Device, tile: str, form: dict[str, str], said_at_field: str
) -> None:
    response = browser.post(url(pump, tile), form)
    html = panel(response.content.decode(), tile)
    assert response.status_code == 400
    assert said_at_field in html
    assert 'aria-invalid="true"' in html
    for name in {"email", "message", "api", "json"} & form.keys():
        assert not form[name] or form[name] in html


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"to": "email", "email": " ops@example.com "}, "ops@example.com"),
        ({"to": "sms", "country": "46", "phone": "070-123 45 67"}, "+46701234567"),
        ({"to": "sms", "country": "39", "phone": "06 6982"}, "+39066982"),
        ({"to": "sms", "country": "", "phone": "+1 (555) 0100"}, "+15550100"),
        ({"to": "device", "target": "a" * 32}, "a" * 32),
    ],
)
def test_it_puts_a_recipient_together_as_the_protocol_spells_it(form: Mapping[str, str], expected: str) -> None:
    assert tiles.recipient(form) == expected


def test_the_tiles_are_those_of_the_profile() -> None:
    found = tiles.tiles_of(get_profile("standard"))
    assert list(found) == ["status", "gpio", "ethernet", "rtc", "uart", "notifications", "custom", "restart"]
    assert found["gpio"].get is get_profile("standard").apis["get_gpio"]


def test_a_profile_that_cannot_be_asked_for_pins_says_so() -> None:
    with pytest.raises(BadInput):
        tiles.asks(Tile(tiles.KINDS["gpio"], None, None, ()), {"number": "3"}, Device())


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ('{"value": "hello"}', "hello"),
        ('{"value": "say "hi""}', 'say "hi"'),
        ('{"value": "cut off here', "cut off here"),
        ("[1, 2]", "[1, 2]"),
        ("garbage", "garbage"),
    ],
)
def test_it_reads_uart_text_as_the_page_does(payload: str, expected: str) -> None:
    assert tiles.uart_text(payload) == expected


def test_it_says_a_command_in_few_words() -> None:
    assert short("set_gpio", '{"number": 10, "value": 1}') == "set_gpio 10 → 1"
    assert short("get_gpio", '{"number": 10}') == "get_gpio 10"
    assert short("get_soil", "[") == "get_soil"


def test_it_draws_a_trace_to_scale(pump: Device) -> None:
    drawn = trace(asked(pump, "get_status", "{}", "{}", sent_ms=10.0, broker_ms=20.0, answered_ms=90.0, delivered_ms=100.0))
    assert drawn.mini.to == "M1 3H15.0V9"
    assert drawn.mini.from_ == "M15.0 9H64.0V15"
    assert drawn.wide.done.startswith("M345.6 112H384")
    assert "took 80 % of the time" in drawn.finding


# --- without a script, to a real device over a real broker ---


@pytest_asyncio.fixture
async def world(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    made = World()
    try:
        await made.open()
        monkeypatch.setattr(runtime, "_gateway", await made.gateway())
        yield made
    finally:
        await made.close()


async def submit(user: User, device: ScriptedDevice, tile: str, **form: str) -> HttpResponse:
    """Send a tile's form as a browser without a script does."""
    client = Client()
    await sync_to_async(client.force_login)(user)
    await sync_to_async(Presence.objects.filter(device=device.device).update)(connected=True, running=True, asked_at=now())
    response = await sync_to_async(client.post)(url(device.device, tile), form)
    return cast(HttpResponse, response)


async def test_it_sets_a_pin_and_shows_the_answer_at_that_pin(world: World) -> None:
    device = await world.device()
    response = await submit(world.user, device, "gpio", number="10", value="1")
    html = response.content.decode()
    row = html.partition('id="pin-10"')[2].partition("</li>")[0]
    assert response.status_code == 200
    assert device.heard == [("set_gpio", b'{"number": 10, "value": 1}')]
    assert 'class="confirmed"' in row
    assert "HIGH" in row
    assert "just now" in row
    assert "set_gpio" in panel(html, "timeline")


async def test_it_asks_all_pins_it_knows(world: World) -> None:
    device = await world.device()
    for number in (3, 4):
        await sync_to_async(Pin.objects.create)(device=device.device, number=number)
    html = (await submit(world.user, device, "gpio", do="all")).content.decode()
    assert [json.loads(payload)["number"] for _, payload in device.heard] == [3, 4]
    assert html.count('class="confirmed"') == 2


async def test_it_asks_for_all_addresses(world: World) -> None:
    device = await world.device(script=lambda api, payload: [(0, api, json.dumps({"value": f"{api} answer"}).encode())])
    html = panel((await submit(world.user, device, "ethernet")).content.decode(), "ethernet")
    for key in ("ip", "subnet", "gateway", "mac"):
        assert f"get_{key} answer" in html


async def test_it_shows_what_a_custom_api_answered(world: World) -> None:
    device = await world.device(script=lambda api, payload: [(0, api, b'{"moisture": 41}')])
    html = panel((await submit(world.user, device, "custom", api="get_soil", json='{"number": 2}')).content.decode(), "custom")
    assert "Answered in" in html
    assert "{&quot;moisture&quot;: 41}" in html
    assert "get_soil" in html


async def test_it_asks_before_it_restarts(world: World) -> None:
    device = await world.device()
    response = await submit(world.user, device, "restart")
    assert "Restart Pump?" in response.content.decode()
    assert device.heard == []
    response = await submit(world.user, device, "restart", sure="1")
    assert response.status_code == 200
    assert device.heard == [("set_status", b'{"value": "restart"}')]


async def test_it_puts_a_silent_pin_back_and_says_so_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.conf.settings.COMMAND_TIMEOUT_S", 1)
    device = await world.device(script=lambda api, payload: [])
    await sync_to_async(Reading.objects.create)(device=device.device, key="gpio/12", value=0, at=now(), elapsed_ms=40.1)
    response = await submit(world.user, device, "gpio", number="12", value="1")
    row = response.content.decode().partition('id="pin-12"')[2].partition("</li>")[0]
    assert response.status_code == 504
    assert 'class="reverted"' in row
    assert "Put back to LOW: no answer in" in row
    assert "Get asks it." in row
    assert 'aria-checked="false"' in row


async def test_it_says_what_a_number_out_of_range_may_be(world: World) -> None:
    device = await world.device(script=obedient)
    response = await submit(world.user, device, "gpio", number="999", value="1")
    html = panel(response.content.decode(), "gpio")
    assert response.status_code == 400
    assert "999" in html
    assert 'value="999"' in html
    assert device.heard == []


async def test_it_says_how_long_a_device_has_been_offline_and_that_nothing_was_sent(world: World) -> None:
    from messaging import cache

    device = await world.device()
    cache.client().set(cache.BRIDGE_ALIVE, "1")
    cache.client().set(cache.presence_key(device.device.hex), "0")
    client = Client()
    await sync_to_async(client.force_login)(world.user)
    offline = {"connected": False, "disconnected_at": now() - timedelta(hours=3)}
    await sync_to_async(Presence.objects.filter(device=device.device).update)(**offline)
    response = await sync_to_async(client.post)(url(device.device, "uart"), {"value": "hello"})
    html = panel(response.content.decode(), "uart")
    assert response.status_code == 409
    assert "Pump has been offline for 3 h." in html
    assert "Nothing was sent." in html
    assert 'value="hello"' in html
    assert device.heard == []

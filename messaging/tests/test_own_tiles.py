"""A profile's own apis get tiles on the Control page, without code."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.http import HttpResponse
from django.test import Client

from accounts.models import Role
from devices import services
from devices.profiles import Field, parse_profile
from devices.tests.factories import make_member
from messaging import own_tiles
from messaging.gateway import runtime
from messaging.models import Presence, Reading
from messaging.tests.gateway.world import ScriptedDevice, World
from messaging.tests.history import now

NUMBER = {"name": "number", "type": "integer", "minimum": 0, "maximum": 7, "title": "Sensor"}
APIS: dict[str, Any] = {
    "get_soil": {
        "title": "Soil",
        "help": "Two sensors.",
        "kind": "get",
        "tile": "form",
        "fields": [NUMBER],
        "answer": [
            NUMBER,
            {"name": "moisture", "type": "number", "unit": "%"},
            {"name": "dry", "type": "boolean", "title": "Dry"},
        ],
        "echo": ["number"],
    },
    "get_valve": {"title": "Valve", "kind": "get", "tile": "form", "answer": [{"name": "value", "type": "string"}]},
    "set_valve": {
        "title": "Turn the valve",
        "kind": "set",
        "tile": "form",
        "fields": [
            {"name": "slow", "type": "boolean", "required": False},
            {"name": "plan", "type": "object", "required": False},
            {"name": "value", "type": "string", "choices": ["closed", "half", "open"]},
        ],
        "answer": [{"name": "value", "type": "string"}],
        "echo": ["value"],
    },
    "alarm": {"title": "Alarm", "kind": "event", "tile": "form", "answer": [{"name": "value", "type": "string"}]},
}
DOCUMENT = {"slug": "probe", "name": "Probe", "apis": APIS}
PROBE = parse_profile(DOCUMENT, where="probe", slug="probe")


def reading(key: str, value: object) -> Reading:
    return Reading(key=key, value=value, at=now(), elapsed_ms=2.0)


def test_a_get_a_set_and_an_event_of_one_subject_are_one_tile() -> None:
    assert {key: [api.name for api in apis] for key, apis in own_tiles.grouped(PROBE.tile("form")).items()} == {
        "own-soil": ["get_soil"],
        "own-valve": ["get_valve", "set_valve"],
        "own-alarm": ["alarm"],
    }


def test_values_are_shown_with_units_in_the_order_of_their_numbers() -> None:
    readings = {
        "soil/10": reading("soil/10", {"moisture": 41.5, "dry": False}),
        "soil/2": reading("soil/2", {"dry": True}),
        "gpio/1": reading("gpio/1", 1),
    }
    rows = own_tiles.shown(PROBE, [PROBE.apis["get_soil"]], readings)
    assert [(row.title, row.parts) for row in rows] == [
        ("Sensor 2", (("Dry", "on"),)),
        ("Sensor 10", (("Moisture", "41.5 %"), ("Dry", "off"))),
    ]


@pytest.mark.parametrize(
    ("post", "found"),
    [
        ({"f-value": "half"}, {"value": "half"}),
        ({"f-value": "half", "f-slow": "true", "f-plan": '{"a": [1]}'}, {"value": "half", "slow": True, "plan": {"a": [1]}}),
        ({"f-value": "", "f-slow": "", "slow": "true", "csrfmiddlewaretoken": "x"}, {}),
        ({"f-value": "half", "f-plan": "{"}, {"value": "half", "plan": "{"}),
    ],
)
def test_a_forms_texts_become_arguments(post: dict[str, str], found: dict[str, object]) -> None:
    assert own_tiles.arguments(PROBE.apis["set_valve"], post) == found


def test_what_was_typed_and_what_is_wrong_stand_at_the_form_that_was_sent() -> None:
    values, errors = {"api": "set_valve", "f-value": "ajar"}, {"value": ["No."], "arguments": ["Too long."]}
    get, set_ = own_tiles.forms("own-valve", [PROBE.apis["get_valve"], PROBE.apis["set_valve"]], values, errors)
    assert (get.errors, get.verb, set_.verb) == ((), "Get", "Set")
    assert [(one.name, one.kind, one.value, one.errors) for one in set_.inputs] == [
        ("f-slow", "choice", "", ()),
        ("f-plan", "json", "", ()),
        ("f-value", "choice", "ajar", ("No.",)),
    ]
    assert set_.errors == ("Too long.",)


def test_a_value_is_written_for_people() -> None:
    degrees = Field("value", "number", unit="°C")
    assert own_tiles.words_of(degrees, 21.5) == "21.5 °C"
    assert own_tiles.words_of(Field("value", "array"), ["é", 1]) == '["é", 1]'


# --- the page --------------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def world(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    made = World()
    try:
        await made.open()
        monkeypatch.setattr(runtime, "_gateway", await made.gateway())
        yield made
    finally:
        await made.close()


def script(api: str, payload: bytes) -> list[tuple[float, str, bytes]]:
    asked = json.loads(payload)
    said = {"get_soil": {"number": asked.get("number"), "moisture": 41, "dry": False}, "set_valve": {"value": asked.get("value")}}
    return [(0, api, json.dumps(said[api]).encode())]


@pytest_asyncio.fixture
async def probe(world: World) -> ScriptedDevice:
    account = await sync_to_async(lambda: world.user.memberships.get().account)()
    await sync_to_async(services.make_profile)(account=account, name="Probe", document=DOCUMENT, slug="probe")
    device = await world.device(profile="probe", script=script)
    await sync_to_async(Presence.objects.filter(device=device.device).update)(connected=True, running=True, asked_at=now())
    return device


async def submit(world: World, device: ScriptedDevice, tile: str, **form: str) -> tuple[int, str]:
    """Send a tile's form as a browser without a script; return the status and the tile as it looks then."""
    client = Client()
    await sync_to_async(client.force_login)(world.user)
    response = cast(HttpResponse, await sync_to_async(client.post)(f"/devices/{device.device.hex}/control/{tile}/", form))
    return response.status_code, response.content.decode().partition(f'id="{tile}"')[2].partition('<section class="panel')[0]


async def test_an_own_api_is_asked_from_its_tile_and_the_answer_is_shown_there(world: World, probe: ScriptedDevice) -> None:
    status, html = await submit(world, probe, "own-soil", **{"api": "get_soil", "f-number": "3"})
    assert probe.heard == [("get_soil", b'{"number": 3}')]
    assert status == 200
    assert "Sensor 3, Moisture" in html
    assert "41 %" in html
    assert "Answered in" in html


async def test_what_is_not_possible_is_said_at_the_field_and_nothing_is_sent(world: World, probe: ScriptedDevice) -> None:
    status, html = await submit(world, probe, "own-valve", **{"api": "set_valve", "f-value": "ajar"})
    assert (status, probe.heard) == (400, [])
    assert "is not possible here" in html
    status, html = await submit(world, probe, "own-valve", api="set_something", value="half")
    assert (status, probe.heard) == (400, [])
    assert "The device&#x27;s profile has changed." in html
    assert (await submit(world, probe, "own-nothing", api="set_valve"))[0] == 302


async def test_an_event_is_shown_and_cannot_be_sent(world: World, probe: ScriptedDevice) -> None:
    await sync_to_async(Reading.objects.create)(device=probe.device, key="alarm", value="<b>dry</b>", at=now())
    status, html = await submit(world, probe, "own-alarm", api="alarm")
    assert (status, probe.heard) == (400, [])
    assert "&lt;b&gt;dry&lt;/b&gt;" in html
    assert "<button" not in html


async def test_who_may_only_look_on_has_the_values_and_no_forms(world: World, probe: ScriptedDevice) -> None:
    viewer = await sync_to_async(make_member)(probe.device.account, "vera", Role.VIEWER)
    client = Client()
    await sync_to_async(client.force_login)(viewer)
    page = (await sync_to_async(client.get)(f"/devices/{probe.device.hex}/control/")).content.decode()
    html = page.partition('id="own-valve"')[2].partition('<section class="panel')[0]
    assert "Nothing was read yet." in html
    assert "<form" not in html

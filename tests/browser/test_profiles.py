"""A kind of device of one's own, from the copy of a profile to the tile of its own api, without code."""

from __future__ import annotations

import json
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.desk import Desk, no_reload
from tests.browser.stack import Board

MOISTURE = {"name": "value", "type": "number", "unit": "%", "minimum": 0, "maximum": 100}
SENSOR = {"name": "number", "type": "integer", "minimum": 0, "maximum": 1, "title": "Sensor"}
VALVE = {"name": "value", "type": "string", "choices": ["closed", "half", "open"], "title": "Valve"}
OWN = {
    "get_soil": {
        "title": "Soil",
        "kind": "get",
        "tile": "form",
        "fields": [SENSOR],
        "answer": [SENSOR, MOISTURE],
        "echo": ["number"],
    },
    "get_valve": {"title": "Valve", "kind": "get", "tile": "form", "answer": [VALVE]},
    "set_valve": {"title": "Turn it", "kind": "set", "tile": "form", "fields": [VALVE], "answer": [VALVE], "echo": ["value"]},
}


def test_an_own_api_becomes_a_tile_that_sets_and_shows_it(desk: Desk, make_board: Callable[..., Board]) -> None:
    desk.expect("status of 400")  # the browser's own word on a document that is refused
    page = desk.page("alice", "/devices/profiles/")
    page.get_by_role("link", name="New profile").click()
    page.get_by_label("Name").fill("Soil probe")
    page.get_by_label("Begin with").select_option(label="a copy of Modern")
    page.get_by_role("button", name="Make it").click()
    editor = page.get_by_label("Document")
    document = json.loads(editor.input_value())
    document["apis"] |= OWN
    editor.fill(json.dumps({**document, "lane": "all"}))
    page.get_by_role("button", name="Save as version 2").click()
    expect(page.get_by_role("alert")).to_contain_text("lane")
    editor.fill(json.dumps(document))
    page.get_by_role("button", name="Save as version 2").click()
    expect(page.get_by_role("heading", name="Soil", exact=True)).to_be_visible()
    expect(page.locator("#get_soil")).to_contain_text("GET /api/v1/devices/ID/apis/get_soil")

    page.get_by_role("link", name="Add an api").click()  # and one more without JSON
    page.locator(".api-head").get_by_label("Name").fill("get_air")
    page.get_by_label("Title").fill("Air")
    answer = page.get_by_role("group", name="Value 1")
    answer.get_by_label("Name").fill("value")
    answer.get_by_label("Unit").fill("ppm")
    page.get_by_role("button", name="Add it").click()
    expect(page.locator("#get_air")).to_contain_text("GET /api/v1/devices/ID/apis/get_air")

    board = make_board(profile="soil-probe").start()
    control, other = desk.control(board), desk.control(board)
    soil, valve = control.locator("#own-soil"), control.locator("#own-valve")
    with no_reload(control), no_reload(other):
        control.locator("#own-air").get_by_role("button", name="Get").click()
        expect(control.locator("#own-air [data-value]")).to_contain_text("ppm")
        soil.get_by_label("Sensor").fill("1")
        soil.get_by_role("button", name="Get").click()
        expect(soil.locator("[data-value]")).to_contain_text("%")
        valve.get_by_label("Valve").select_option("half")
        valve.get_by_role("button", name="Set").click()
        for one in (valve, other.locator("#own-valve")):
            expect(one.locator("[data-value]")).to_have_text("half")
        soil.get_by_label("Sensor").fill("2")
        soil.get_by_role("button", name="Get").click()
        expect(soil).to_contain_text("2 is too large; this takes 0 to 1.")

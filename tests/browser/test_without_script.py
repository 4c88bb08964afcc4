"""Everything but live updates works in a browser without JavaScript."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.desk import Desk, knob, pin
from tests.browser.stack import COMMAND_TIMEOUT_S, Board, Portal

TOOK = r"[\d.]+ (ms|s)"
ON_TIME = re.compile(r"^(on time|1(\.\d)? s (behind|ahead))$")  # clocks of whole seconds


def test_a_device_is_registered_renamed_and_deleted_by_plain_forms(portal: Portal, desk: Desk) -> None:
    desk.expect("status of (400|409)")
    page = desk.page("alice", "/devices/register/", script=False)
    page.get_by_role("button", name="Register device").click()
    expect(page.locator(".err")).to_be_visible()
    page.get_by_label("Name").fill("Plain board")
    page.get_by_role("button", name="Register device").click()
    expect(page.get_by_role("heading", name="Plain board is registered")).to_be_visible()
    expect(page.locator("[data-copy]").first).to_be_hidden()
    with page.expect_download() as started:
        page.get_by_role("link", name="All, one zip").click()
    assert started.value.suggested_filename == "plain-board.zip"

    page.goto("/devices/")
    line = page.locator("#list tbody tr").filter(has_text="Plain board")
    line.locator("summary").click()
    line.get_by_role("link", name="View").click()
    page.get_by_label("Name", exact=True).fill("Plainer board")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", name="Plainer board")).to_be_visible()
    page.get_by_role("link", name="Delete…").click()
    expect(page.get_by_text("Its certificate is revoked")).to_be_visible()
    page.get_by_role("button", name="Delete Plainer board").click()
    expect(page).to_have_url(re.compile("/devices/$"))
    expect(page.locator("#list tbody tr").filter(has_text="Plainer board")).to_have_count(0)


def test_pins_are_asked_for_set_and_named_by_plain_forms(desk: Desk, board: Board) -> None:
    desk.expect("status of 400")
    page = desk.control(board, script=False)
    _pin_form(page, "ten", "Get")
    expect(page.locator("#gpio-error")).to_be_visible()
    expect(page.get_by_label("GPIO number")).to_have_value("ten")
    _pin_form(page, "10", "Set high")
    expect(pin(page, 10).locator("[data-level]")).to_have_text("HIGH")
    expect(pin(page, 10).locator("[data-sub]")).to_have_text(re.compile(TOOK))
    knob(page, 10).click()
    expect(pin(page, 10).locator("[data-level]")).to_have_text("LOW")
    pin(page, 10).get_by_role("button", name="Get GPIO 10").click()
    expect(pin(page, 10)).to_have_class("confirmed")
    page.get_by_role("button", name="Get all").click()
    expect(pin(page, 10)).to_have_class("confirmed")
    page.get_by_text("Name a pin").click()
    page.locator("#name-pins").get_by_label("Name").fill("Pump relay")
    page.locator("#name-pins").get_by_role("button", name="Save").click()
    expect(pin(page, 10).locator("[data-title]")).to_have_text("Pump relay")


def _pin_form(page: Page, number: str, button: str) -> None:
    page.get_by_label("GPIO number").fill(number)
    page.locator("#gpio .join").get_by_role("button", name=button).click()


def test_status_addresses_and_clock_are_asked_for_and_set_by_plain_forms(desk: Desk, board: Board) -> None:
    page = desk.control(board, script=False)
    page.get_by_role("button", name="Ask now").click()
    expect(page.locator("[data-run]")).to_have_text("RUNNING")
    page.locator("#ethernet").get_by_role("button", name="Get").click()
    expect(page.locator('[data-reading="gateway"] [data-value]')).to_have_text("192.168.100.1")
    clock = page.locator("#rtc")
    clock.get_by_role("button", name="Get", exact=True).click()
    expect(clock.locator("[data-drift]")).to_have_text(ON_TIME)
    clock.get_by_text("Set to another time").click()
    clock.get_by_label("Time").fill("2031-02-03T04:05:06")
    clock.get_by_role("button", name="Set", exact=True).click()
    expect(clock.locator('[data-reading="rtc"] [data-value]')).to_have_text("1927857906")
    clock.get_by_role("button", name="Set to now").click()
    expect(clock.locator("[data-drift]")).to_have_text(ON_TIME)


def test_texts_notifications_and_custom_commands_are_sent_by_plain_forms(desk: Desk, board: Board) -> None:
    desk.expect("status of (400|504)", "server: 504 POST .*/control/custom/")
    page = desk.control(board, script=False)
    page.get_by_label("Text to send").fill('say "hi"')
    page.get_by_label("Text to send").press("Enter")
    expect(page.locator("#uart [data-said]")).to_have_text(re.compile(f"Answered in {TOOK}"))
    page.reload()
    tile = page.locator("#custom")
    tile.get_by_label("Api").fill("get_gpio")
    tile.get_by_label("JSON").fill('{"number": ')
    tile.get_by_role("button", name="Send command").click()
    expect(page.locator("#custom-json-error")).to_contain_text("not JSON")
    expect(tile.get_by_label("JSON")).to_have_value('{"number": ')
    tile.get_by_label("JSON").fill('{"number": 3}')
    tile.get_by_role("button", name="Send command").click()
    expect(tile.locator("[data-said]")).to_contain_text('{"number": 3, "value": 0}')
    tile.get_by_label("Api").fill("get_soil")
    tile.get_by_label("JSON").fill("{}")
    tile.get_by_role("button", name="Send command").click()
    expect(tile.locator("[data-said]")).to_contain_text(f"No answer in {COMMAND_TIMEOUT_S} s. The device is connected")
    tile = page.locator("#notifications")
    tile.get_by_role("link", name="SMS").click()
    page.locator("#note-phone").fill("+46 70 123 45 67")
    page.get_by_label(re.compile("^Message")).fill("door open")
    page.get_by_label(re.compile("^Message")).press("Enter")  # of the form's buttons the one that sends
    expect(tile.locator("[data-said]")).to_contain_text(re.compile(TOOK))


def test_a_restart_is_confirmed_on_a_page_of_its_own_and_an_offline_device_is_told(desk: Desk, board: Board) -> None:
    desk.expect("status of 409")
    page = desk.control(board, script=False)
    page.get_by_role("button", name="Restart…").click()
    expect(page.get_by_role("heading", name=f"Restart {board.name}?")).to_be_visible()
    page.get_by_role("button", name=f"Restart {board.name}").click()
    expect(page.locator("#restart [data-said]")).to_have_text(re.compile(f"Answered in {TOOK}"))
    board.stop()
    page.get_by_label("Text to send").fill("keep me")
    page.get_by_label("Text to send").press("Enter")
    expect(page.locator("#uart [data-said]")).to_contain_text("Nothing was sent.")
    expect(page.get_by_label("Text to send")).to_have_value("keep me")


def test_the_history_is_filtered_by_a_plain_form(desk: Desk, board: Board) -> None:
    assert board.command("write_uart", value="plain as day")[0] == 200
    assert board.command("get_mac")[0] == 200
    page = desk.page("alice", "/history/", script=False)
    page.get_by_label("Device", exact=True).select_option(board.hex)
    page.get_by_label("Search").fill("plain")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#rows tbody tr")).to_have_count(2)
    expect(page.locator("#tail")).to_be_hidden()
    page.locator("#filters").get_by_role("link", name="To", exact=True).click()
    expect(page.locator("#rows tbody tr")).to_have_count(1)


def test_a_stranger_signs_up_without_a_script(portal: Portal, desk: Desk) -> None:
    page = desk.page(None, "/accounts/signup/", script=False)
    for name, value in {"first_name": "Per", "last_name": "Plain", "username": "per", "email": "per@example.com"}.items():
        page.locator(f"[name={name}]").fill(value)
    page.locator("[name=password1]").fill("a long way to Tipperary")
    page.get_by_role("button", name="Sign up", exact=True).click()
    page.locator(".six").fill(portal.mailed_code("per@example.com"))
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", name="No devices yet")).to_be_visible()

"""Every tile of the Control page, with its script."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.desk import Desk, ask_pin, is_live, knob, no_reload, pin
from tests.browser.stack import COMMAND_TIMEOUT_S, Board

TOOK = r"[\d.]+ (ms|s)"


def test_asking_now_says_that_it_runs_and_how_long_the_answer_took(desk: Desk, board: Board) -> None:
    page = desk.control(board)
    expect(page.locator("[data-asked]")).to_have_text("Not asked yet")
    with no_reload(page):
        page.get_by_role("button", name="Ask now").click()
        expect(page.locator("[data-run]")).to_have_text("RUNNING")
        expect(page.locator("[data-asked]")).to_have_text(re.compile(f"Asked .*, answered in {TOOK}$"))
        expect(page.locator("#timeline")).to_contain_text("get_status")


def test_pins_are_asked_for_set_switched_and_given_names(desk: Desk, board: Board) -> None:
    page = desk.control(board)
    with no_reload(page):
        expect(ask_pin(page, 12, "Get").locator("[data-level]")).to_have_text("LOW")
        expect(ask_pin(page, 3, "Set high").locator("[data-level]")).to_have_text("HIGH")
        assert page.locator("[data-pin]").evaluate_all("(rows) => rows.map((row) => row.dataset.pin)") == ["3", "12"]
        expect(pin(page, 3).locator("[data-sub]")).to_have_text(re.compile(f"^confirmed .* · {TOOK}$"))
        knob(page, 3).click()
        expect(pin(page, 3).locator("[data-level]")).to_have_text("LOW")
        expect(knob(page, 3)).to_have_attribute("aria-checked", "false")
        pin(page, 3).get_by_role("button", name="Get GPIO 3").click()
        expect(pin(page, 3)).to_have_class("confirmed")
        page.get_by_role("button", name="Get all").click()
        expect(page.get_by_role("button", name="Get all")).to_be_enabled()
        expect(page.locator("#timeline")).to_contain_text("get_gpio 12")

        page.get_by_text("Name a pin").click()
        page.get_by_label("Pin", exact=True).select_option("3")
        page.locator("#name-pins").get_by_label("Name").fill("Pump relay")
        page.locator("#name-pins").get_by_role("button", name="Save").click()
        expect(pin(page, 3).locator("[data-title]")).to_have_text("Pump relay")
    expect(knob(page, 3)).to_have_accessible_name("Pump relay, GPIO 3")
    page.reload()
    is_live(page)
    expect(pin(page, 3).locator("[data-title]")).to_have_text("Pump relay")
    expect(pin(page, 3).locator("[data-level]")).to_have_text("LOW")


def test_the_addresses_are_read_one_after_the_other(desk: Desk, board: Board) -> None:
    page = desk.control(board)
    page.locator("#ethernet").get_by_role("button", name="Get").click()
    values = page.locator("#ethernet-values")
    expect(values.locator('[data-reading="mac"] [data-value]')).to_have_text(re.compile("^02(:[0-9a-f]{2}){5}$"))
    expect(values.locator('[data-reading="ip"] [data-value]')).to_have_text(re.compile(r"^192\.168\.100\.\d+$"))
    expect(values.locator('[data-reading="subnet"] [data-value]')).to_have_text("255.255.255.0")
    expect(values.locator('[data-reading="gateway"] [data-value]')).to_have_text("192.168.100.1")
    expect(values.locator('[data-reading="mac"] [data-when]')).to_have_text(re.compile(f"^{TOOK} · "))


def test_the_clock_is_read_set_to_now_and_set_to_a_chosen_time(desk: Desk, make_board: Callable[..., Board]) -> None:
    page = desk.control(make_board().start("--rtc-offset-s", "-7200"))
    tile = page.locator("#rtc")
    tile.get_by_role("button", name="Get", exact=True).click()
    expect(tile.locator("[data-drift]")).to_have_text("2 h behind")
    expect(tile.locator('[data-reading="rtc"] [data-value]')).to_have_text(re.compile(r"^\d{10}$"))
    tile.get_by_role("button", name="Set to now").click()
    expect(tile.locator("[data-drift]")).to_have_text(re.compile(r"^(on time|1(\.\d)? s (behind|ahead))$"))
    tile.get_by_text("Set to another time").click()
    tile.get_by_role("button", name="Set", exact=True).click()
    expect(tile.locator("#rtc-error")).to_have_text("Choose a date and a time.")
    tile.get_by_label("Time").fill("2031-02-03T04:05:06")
    tile.get_by_role("button", name="Set", exact=True).click()
    expect(tile.locator('[data-reading="rtc"] [data-value]')).to_have_text("1927857906")
    expect(tile.locator("[data-local]")).to_have_text(re.compile("^Mon 3 Feb 2031, 04:05:06$"))
    expect(tile.locator("[data-drift]")).to_contain_text("ahead")
    expect(tile.locator("#rtc-error")).to_be_hidden()


def test_the_console_shows_what_was_sent_and_what_came_back(desk: Desk, board: Board) -> None:
    page = desk.control(board)
    expect(page.locator("#con")).to_contain_text("Nothing was written yet.")
    field = page.get_by_label("Text to send")
    for text in ("hello world", 'say "hi" & <b>bye</b>', "Grüße, 世界"):
        field.fill(text)
        field.press("Enter")
        expect(page.locator("#con [data-id]").filter(has_text=text)).to_have_count(2)
        expect(field).to_have_value("")
    expect(page.locator("#uart [data-said]")).to_have_text(re.compile(f"Answered in {TOOK}"))
    assert page.locator("#con [data-arrow]").all_inner_texts() == ["↓", "↑"] * 3
    assert 'UART say "hi" & <b>bye</b>' in board.portal.log(board.hex)
    page.reload()
    expect(page.locator("#con [data-id]")).to_have_count(6)


def test_a_notification_is_checked_while_it_is_typed_and_raised_by_the_device(
    desk: Desk, make_board: Callable[..., Board]
) -> None:
    board, other = make_board(profile="ft900").start(), make_board("Door buzzer")
    page = desk.control(board)
    tile, message = page.locator("#notifications"), page.get_by_label(re.compile("^Message"))
    submit = tile.get_by_role("button", name="Submit")

    message.fill("a" * 71)
    expect(page.locator("#note-count")).to_have_text("71 bytes; this kind of device takes 64. Shorten it by 7.")
    expect(message).to_have_attribute("aria-invalid", "true")
    page.locator("#note-email").fill("ops@example.com")
    submit.click()
    expect(page.locator("#note-message-error")).to_contain_text("64")
    message.fill("Tür offen")
    expect(page.locator("#note-count")).to_have_text("14 of 64 bytes")
    expect(page.locator("#note-cost")).to_contain_text("It would not be sent. This address has not agreed")

    page.locator("#note-email").fill("nobody")
    submit.click()
    expect(page.locator("#note-email-error")).to_have_text("An e-mail address has an @.")
    page.locator("#note-email").fill("ops@example.com")
    message.press("Enter")
    expect(tile.locator("[data-said]")).to_have_text(re.compile(f"The device raised it in {TOOK}"))
    expect(page.locator("#note-email-error")).to_be_hidden()

    tile.get_by_role("link", name="SMS").click()
    submit.click()
    expect(page.locator("#note-phone-error")).to_have_text("Which number?")
    page.get_by_label("Country", exact=True).select_option("46")
    page.locator("#note-phone").fill("070 123 45 67")
    submit.click()
    expect(tile.locator("[data-said]")).to_have_text(re.compile(f"The device raised it in {TOOK}"))
    expect(page.locator("#timeline")).to_contain_text('"+46701234567"')

    tile.get_by_role("link", name="Device").click()
    submit.click()
    expect(page.locator("#note-target-error")).to_have_text("Which device?")
    page.locator("#note-target").select_option(label="Door buzzer")
    submit.click()
    expect(tile.locator("[data-said]")).to_have_text(re.compile(f"The device raised it in {TOOK}"))
    expect(page.locator("#timeline")).to_contain_text(other.hex)

    tile.get_by_role("link", name="Push").click()
    expect(page.locator("#note-cost")).to_have_text("It would not be sent. Nobody there has switched pushes on in a browser.")
    submit.click()
    expect(page.locator("#timeline")).to_contain_text('"push:"')
    tile.get_by_role("link", name="Webhook").click()
    submit.click()
    expect(page.locator("#note-named-error")).to_have_text("Which one?")


def test_a_custom_command_is_checked_sent_and_told_apart_from_one_the_device_does_not_know(desk: Desk, board: Board) -> None:
    page = desk.control(board)
    tile, api, body = page.locator("#custom"), page.get_by_label("Api", exact=True), page.get_by_label("JSON", exact=True)
    send, said = tile.get_by_role("button", name="Send command"), tile.locator("[data-said]")
    send.click()
    expect(page.locator("#custom-api-error")).to_have_text("Which api?")
    api.fill("get_gpio")
    for wrong, text in {
        '{"number": ': "This is not JSON",
        "[10]": "A command is a JSON object",
        '{"number": "x"}': "number",
    }.items():
        body.fill(wrong)
        send.click()
        expect(page.locator("#custom-json-error")).to_contain_text(text)
        expect(page.locator("#custom-api-error")).to_be_hidden()
    body.fill('{"number": 10}')
    send.click()
    expect(said).to_have_text(re.compile(rf'Answered in {TOOK}\. {{"number": ?10, ?"value": ?0}}'))
    expect(page.locator("#custom-json-error")).to_be_hidden()
    api.fill("Get Soil")
    send.click()
    expect(page.locator("#custom-api-error")).to_be_visible()
    page.get_by_role("button", name="Ask now").click()
    expect(page.locator("[data-run]")).to_have_text("RUNNING")
    api.fill("get_soil")
    body.fill("{}")
    send.click()
    unknown = (
        rf"No answer in {COMMAND_TIMEOUT_S} s\. The device is connected and answered get_status .*, so it may not know get_soil\."
    )
    expect(said).to_have_text(re.compile(unknown))
    expect(page.locator("#timeline")).to_contain_text("no answer")


def test_a_restart_is_asked_about_first_and_shows_the_device_go_and_come_back(desk: Desk, board: Board) -> None:
    page = desk.control(board)
    dialog = page.get_by_role("dialog", name=f"Restart {board.name}?")
    page.get_by_role("button", name="Restart…").click()
    dialog.get_by_role("button", name="Keep it running").click()
    expect(dialog).to_be_hidden()
    with no_reload(page):
        page.get_by_role("button", name="Restart…").click()
        dialog.get_by_role("button", name=f"Restart {board.name}").click()
        steps = page.locator("[data-restart]")
        expect(steps.locator("[data-step=answer]")).to_contain_text("answered “restarting” in")
        expect(steps.locator("[data-step=gone]")).to_have_class("done")
        expect(steps.locator("[data-step=back]")).to_contain_text(re.compile("it was away for .* s"))
        expect(page.locator("#unit").get_by_role("img", name="online")).to_be_visible()
        expect(page.locator("#restarted")).to_contain_text("Last restart")
        expect(ask_pin(page, 5, "Set high").locator("[data-level]")).to_have_text("HIGH")

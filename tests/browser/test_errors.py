"""What goes wrong is said where it was asked, in words, and no page ever shows a value that no device has confirmed."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.desk import Desk, ask_pin, is_live, knob, pin
from tests.browser.stack import COMMAND_TIMEOUT_S, Board

SILENT = f"No answer in {COMMAND_TIMEOUT_S} s."


def test_an_offline_device_is_named_with_its_time_and_nothing_is_sent_or_lost(desk: Desk, board: Board) -> None:
    assert board.command("set_gpio", number=2, value=1)[0] == 200
    page = desk.control(board)
    board.stop()
    offline = re.compile(rf"^{board.name} has been offline for \d+ s\. Nothing was sent\.$")
    expect(knob(page, 2)).to_be_disabled()
    expect(pin(page, 2).locator("[data-level]")).to_have_text("HIGH")

    page.get_by_label("GPIO number").fill("2")
    page.locator("#gpio .join").get_by_role("button", name="Set low").click()
    expect(pin(page, 2).locator("[data-say]")).to_have_text(offline)
    expect(pin(page, 2).locator("[data-level]")).to_have_text("HIGH")
    expect(knob(page, 2)).to_have_attribute("aria-checked", "true")
    page.get_by_role("button", name="Ask now").click()
    expect(page.locator("#unit [data-said]")).to_have_text(offline)
    page.get_by_label("Text to send").fill("keep me")
    page.get_by_label("Text to send").press("Enter")
    expect(page.locator("#uart [data-said]")).to_have_text(offline)
    expect(page.get_by_label("Text to send")).to_have_value("keep me")
    page.get_by_label("Api", exact=True).fill("get_soil")
    page.locator("#custom").get_by_role("button", name="Send command").click()
    expect(page.locator("#custom [data-said]")).to_have_text(offline)
    assert "keep me" not in str(board.portal.api("GET", f"/messages?device={board.hex}")[1])

    board.start()
    expect(knob(page, 2)).to_be_enabled()
    knob(page, 2).click()
    expect(pin(page, 2).locator("[data-level]")).to_have_text("LOW")
    expect(pin(page, 2).locator("[data-say]")).to_be_hidden()


def test_a_switch_nobody_confirms_is_put_back_and_every_tile_says_that_no_answer_came(desk: Desk, board: Board) -> None:
    assert board.command("set_gpio", number=4, value=0)[0] == 200
    board.stop()
    board.start("--loss", "1")
    page = desk.control(board)
    knob(page, 4).click()
    expect(pin(page, 4).locator("[data-sub]")).to_have_text(re.compile(r"^asking for HIGH… \d"))
    expect(pin(page, 4).locator("[data-level]")).to_have_text("LOW")
    expect(pin(page, 4)).to_have_class("pending")
    page.get_by_label("Text to send").fill("anybody there?")
    page.get_by_label("Text to send").press("Enter")
    expect(page.locator("#uart").get_by_role("button")).to_have_text("Sending…")
    page.locator("#ethernet").get_by_role("button", name="Get").click()
    page.locator("#rtc").get_by_role("button", name="Set to now").click()
    page.get_by_role("button", name="Ask now").click()
    page.get_by_role("button", name="Restart…").click()
    page.get_by_role("button", name=f"Restart {board.name}").click()

    expect(pin(page, 4).locator("[data-say]")).to_have_text(
        f"Put back to LOW: no answer in {COMMAND_TIMEOUT_S} s. The device may still have switched; Get asks it."
    )
    expect(knob(page, 4)).to_have_attribute("aria-checked", "false")
    expect(page.locator("#ethernet [data-said]")).to_have_text(SILENT)
    for tile in ("uart", "rtc", "restart"):
        expect(page.locator(f"#{tile} [data-said]")).to_have_text(f"{SILENT} The device may still have done it.")
    expect(page.get_by_label("Text to send")).to_have_value("anybody there?")
    expect(page.locator("[data-run]")).to_have_text("NOT RUNNING")
    expect(page.locator("[data-asked]")).to_have_text(re.compile("^Asked .*, no answer$"))
    expect(page.locator("[data-restart]")).to_be_hidden()
    expect(page.locator("#timeline .c-bad").first).to_have_text("no answer")

    board.stop()
    board.start()
    expect(knob(page, 4)).to_be_enabled()
    pin(page, 4).get_by_role("button", name="Get GPIO 4").click()
    expect(pin(page, 4)).to_have_class("confirmed")
    expect(pin(page, 4).locator("[data-say]")).to_be_hidden()


def test_an_answer_about_another_pin_is_not_taken_for_this_one(desk: Desk, make_board: Callable[..., Board]) -> None:
    page = desk.control(make_board().start("--wrong-pin", "1"))
    page.get_by_label("GPIO number").fill("8")
    page.locator("#gpio .join").get_by_role("button", name="Get").click()
    expect(pin(page, 9).locator("[data-level]")).to_have_text("LOW")  # what the device did say
    expect(pin(page, 8).locator("[data-say]")).to_contain_text(SILENT)
    expect(pin(page, 8).locator("[data-level]")).to_have_text("")


def test_an_answer_that_comes_too_late_is_marked_late_in_the_open_history(desk: Desk, make_board: Callable[..., Board]) -> None:
    board = make_board().start("--delay-ms", str(COMMAND_TIMEOUT_S * 1000 + 500))
    history, control = desk.page("alice", f"/history/?device={board.hex}"), desk.control(board)
    is_live(history)
    control.get_by_role("button", name="Ask now").click()
    expect(control.locator("[data-run]")).to_have_text("NOT RUNNING")
    expect(history.locator("#rows tbody tr[data-way=to] [data-flag]")).to_have_text(f"no answer in {COMMAND_TIMEOUT_S} s")
    expect(history.locator("#rows tbody tr[data-way=from] [data-flag]")).to_have_text("late")
    expect(history.locator("#rows tbody tr[data-way=from] [data-took]")).to_have_text(re.compile(r"^\d\.\d s$"))
    history.reload()
    expect(history.locator("#rows tbody tr[data-way=from] [data-flag]")).to_have_text("late")


def test_wrong_input_is_said_at_its_field_and_gone_with_the_next_try(desk: Desk, make_board: Callable[..., Board]) -> None:
    board = make_board(profile="ft900").start()
    page = desk.control(board)
    number, error = page.get_by_label("GPIO number"), page.locator("#gpio-error")
    for typed, said in {
        "": "Which pin?",
        "ten": '"ten" is not a whole number.',
        "-1": "not a whole number",
        "9999": "9999 is not possible",
    }.items():
        number.fill(typed)
        number.press("Enter")
        expect(error).to_contain_text(said)
        expect(number).to_have_attribute("aria-invalid", "true")
    expect(page.locator("[data-pin]")).to_have_count(0)
    ask_pin(page, 11)
    expect(error).to_be_hidden()
    expect(number).not_to_have_attribute("aria-invalid", "true")

    text = page.get_by_label("Text to send")
    text.fill("x" * 200)
    text.press("Enter")
    expect(page.locator("#uart-error")).to_contain_text("128")
    expect(text).to_have_value("x" * 200)


def test_a_device_that_reports_an_error_is_quoted(desk: Desk, make_board: Callable[..., Board]) -> None:
    page = desk.control(make_board(profile="modern").start())
    page.get_by_label("Api", exact=True).fill("get_soil")
    page.locator("#custom").get_by_role("button", name="Send command").click()
    expect(page.locator("#custom [data-said]")).to_contain_text("no api named get_soil")

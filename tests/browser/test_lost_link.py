"""A page that loses the portal says so, comes back by itself and is right afterwards."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.desk import Desk, ask_pin, is_live, knob, no_reload, pin
from tests.browser.stack import Board, until

Tell = Callable[[str, str], None]
LOST = ("WebSocket connection to .* failed", "ERR_(CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED)")


def test_a_crash_of_the_web_server_is_shown_and_mended_without_a_hand(desk: Desk, board: Board, tell: Tell) -> None:
    desk.expect(*LOST)
    page, devices = desk.control(board), desk.page("alice", "/devices/")
    is_live(devices)
    ask_pin(page, 6, "Set low")
    link = page.locator("#link")
    with no_reload(page), no_reload(devices):
        with board.portal.without_web():
            expect(link.locator("[data-text]")).to_have_text(re.compile(r"^Reconnecting(, \d+ s)?$"))
            expect(link.get_by_role("img", name="Live updates are not connected")).to_be_visible()
            expect(pin(page, 6).locator("[data-level]")).to_have_text("LOW")  # with its age, not hidden
            board.close()  # nobody tells the page
            began = time.monotonic()
        is_live(page)
        expect(page.locator("#unit").get_by_role("img", name="offline")).to_be_visible()
        is_live(devices)
        expect(devices.locator(f'tr[data-device="{board.hex}"]').get_by_role("img", name="offline")).to_be_visible()
        board.start()
        expect(knob(page, 6)).to_be_enabled()
        knob(page, 6).click()
        expect(pin(page, 6).locator("[data-level]")).to_have_text("HIGH")
        took = time.monotonic() - began
    tell("a command from the page works", f"{took:.1f} s after the restart began, the device's own start in it")


def test_commands_through_the_api_work_again_right_after_the_restart(board: Board, tell: Tell) -> None:
    assert board.command("get_gpio", number=1)[0] == 200
    with board.portal.without_web():
        pass
    began = time.monotonic()
    until(lambda: board.command("get_gpio", number=1)[0] == 200, "a command works again")
    took = time.monotonic() - began
    tell("a command through the API works", f"{took:.1f} s after the first page")


def test_signing_out_ends_the_live_link_of_the_other_pages(desk: Desk) -> None:
    context = desk.context("vera", own_session=True)
    watching, leaving = context.new_page(), context.new_page()
    watching.goto("/devices/")
    is_live(watching)
    leaving.goto("/menu/")
    leaving.get_by_role("button", name="Log out").last.click()
    expect(leaving.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(watching).to_have_url(re.compile("/accounts/login/"))  # and nothing of the device is on its screen

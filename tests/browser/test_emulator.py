"""A person without a board has the portal play their device, and sees both sides of it."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.desk import Desk, ask_pin, is_live, no_reload
from tests.browser.stack import Portal


def typed(page: Page, line: str) -> None:
    page.get_by_label("Type on the device's UART").fill(line)
    page.keyboard.press("Enter")


def test_a_device_is_played_touched_and_controlled(desk: Desk, portal: Portal) -> None:
    portal.start_emulators()
    page = desk.page("emma", "/devices/register/")
    page.locator("main input[name=name]").fill("Ghost")
    page.locator("main form button.main").click()
    expect(page).to_have_url(re.compile("/devices/[0-9a-f]{32}/"))
    device = page.url.split("/devices/")[1][:32]
    page.goto(f"/devices/{device}/emulator/")
    page.get_by_role("button", name="Start").click()
    is_live(page)
    expect(page.locator("#emulator-how")).to_contain_text("Running")
    with no_reload(page):
        typed(page, "iot gpio 9 enable dir in pull up edge falling")
        expect(page.locator("#emulator-con")).to_contain_text("OK")
        expect(page.get_by_role("switch", name="Input 9")).to_be_checked()
        page.get_by_role("switch", name="Input 5").click()
        expect(page.get_by_role("switch", name="Input 5")).to_be_checked()
        control = desk.page("emma", f"/devices/{device}/control/")
        is_live(control)
        ask_pin(control, 12, "Set high")
        expect(page.get_by_role("img", name="GPIO 12 lit")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Start")).to_be_visible()
    portal.stop_process("emulators")
